"""What the flows do is told, once, by those who do it, in the transaction in which they do it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from app.db import transaction
from app.flows import invoice as flow
from app.flows import notes as correcting
from app.flows import notify
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.store import discrepancies, webhooks
from app.store.webhook_tables import WebhookEvent
from tests.app.flows.books import Books, open_books
from tests.app.flows.conftest import VAULT, WORKED, Office

DAY = "2026-11-01"
PERIOD = "2026-10-31..2026-11-01"
DROPPED = {"kind": "project_day_dropped", "project_id": "100", "day": DAY}
RESTATED = {
    "kind": "restated",
    "project_id": "100",
    "day": DAY,
    "tier": "from1To2Publishers",
    "minutes": 3.0,
    "at": "2026-11-06T00:00:00Z",
}


@pytest.fixture
def books(worked: Office) -> Books:
    worked.collect(PERIOD)
    worked.reconcile(PERIOD)
    return open_books(worked)


def listen(engine: Engine, office: Office) -> None:
    given = {"url": "https://a.example/", "description": "", "types": None, "projects": None, "ordered": False}
    with transaction(engine) as session:
        webhooks.create(session, VAULT, "whsec_x", actor="cli", now=office.clock.now(), **given)


def told(engine: Engine) -> list[WebhookEvent]:
    with transaction(engine, read_only=True) as session:
        return list(session.exec(select(WebhookEvent).order_by(col(WebhookEvent.seq))).all())


def kinds(engine: Engine) -> list[str]:
    return [event.type for event in told(engine)]


def test_a_report_is_told_once_with_what_it_found(worked_with: Callable[..., Office], engine: Engine) -> None:
    office = worked_with([DROPPED])
    listen(engine, office)
    office.collect(PERIOD)
    report = office.reconcile(PERIOD)
    assert kinds(engine) == ["reconciliation.completed", "discrepancy.opened"]
    completed, opened = told(engine)
    assert completed.data["report_id"] == opened.data["report_id"] == report.id
    assert completed.data["verdict"] == report.verdict == "incomplete"
    assert completed.data["discrepancies"]["high"] == 1
    assert completed.data["discrepancies"]["info"] > 0, "what only explains is counted, and not told one by one"
    assert (opened.data["code"], opened.data["severity"]) == ("project_day_missing", "high")
    assert opened.subject == opened.data["discrepancy_id"]
    office.reconcile(PERIOD)
    assert len(told(engine)) == 2, "nothing was new"


def test_what_a_newer_report_no_longer_has_is_told_as_resolved(worked_with: Callable[..., Office], engine: Engine) -> None:
    office = worked_with([DROPPED])
    listen(engine, office)
    office.collect(PERIOD)
    office.reconcile(PERIOD)
    healed = Dataset.load(json.loads(WORKED.read_text()))
    office.transport = SandboxTransport(Upstream(healed, office.clock))
    office.at("2026-11-07T20:00:00Z")
    office.collect(PERIOD)
    office.reconcile(PERIOD)
    came = ["reconciliation.completed", "report.restated", "discrepancy.opened", "discrepancy.resolved"]
    assert kinds(engine)[2:] == came, "a figure that comes after a day without one was final is a restatement too"
    assert told(engine)[5].subject == told(engine)[1].subject
    assert told(engine)[2].data["supersedes"] == told(engine)[0].data["report_id"]


def test_a_change_of_what_was_final_is_told_as_restated(worked_with: Callable[..., Office], engine: Engine) -> None:
    office = worked_with([RESTATED], "2026-11-05T20:00:00Z")
    listen(engine, office)
    office.collect(PERIOD)
    first = office.reconcile(PERIOD)
    assert "report.restated" not in kinds(engine)
    office.at("2026-11-07T20:00:00Z")
    office.collect(PERIOD)
    second = office.reconcile(PERIOD)
    (restated,) = [event for event in told(engine) if event.type == "report.restated"]
    assert (restated.data["report_id"], restated.data["supersedes"]) == (second.id, first.id)
    assert restated.data["days"] == [DAY]
    assert "restated" in [event.data["code"] for event in told(engine) if event.type == "discrepancy.opened"]


def test_what_a_person_resolves_or_reopens_is_told(worked_with: Callable[..., Office], engine: Engine) -> None:
    office = worked_with([DROPPED])
    office.collect(PERIOD)
    office.reconcile(PERIOD)
    listen(engine, office)

    def edit(session: Session, minute: int, **changes: Any) -> None:
        office.at(f"2026-11-06T20:{minute:02}:00Z")
        (row,) = [it for it in discrepancies.list_page(session, limit=50).items if it.code == "project_day_missing"]
        was, now = row.status, office.clock.now()
        notify.edited(session, discrepancies.edit(session, row.id, changes, actor="Ada", now=now), was, now)

    for minute, status in enumerate(("acknowledged", "resolved", "resolved", "open", "ignored", "open", "resolved")):
        with transaction(engine) as session:
            edit(session, minute, status=status)
    assert kinds(engine) == ["discrepancy.resolved", "discrepancy.opened", "discrepancy.resolved"]


def test_invoices_and_notes_are_told_when_drafted_and_when_issued(books: Books) -> None:
    listen(books.engine, books.office)
    invoice = books.draft()
    books.do(flow.approve, invoice)
    books.do(flow.finalize, invoice.id)
    books.do(correcting.credit, invoice.id, reason="A gift.")
    drafted, issued, note = told(books.engine)
    assert [event.type for event in (drafted, issued, note)] == ["invoice.drafted", "invoice.finalized", "invoice.drafted"]
    assert drafted.subject == issued.subject == invoice.id
    assert (drafted.data["number"], issued.data["number"] is None) == (None, False)
    assert (note.data["kind"], note.data["total"]) == ("credit_note", issued.data["total"])
    assert drafted.projects == drafted.data["project_ids"] == ["100"]


def test_what_fails_is_not_told(books: Books) -> None:
    listen(books.engine, books.office)
    invoice = books.draft()
    with pytest.raises(Exception, match="draft"):
        books.do(flow.finalize, invoice.id)
    assert kinds(books.engine) == ["invoice.drafted"]
