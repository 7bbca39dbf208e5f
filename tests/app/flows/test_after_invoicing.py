"""A value that changes after its period was invoiced is of high severity, until a note makes up for it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from app.db import transaction
from app.errors import Conflict
from app.flows import invoice as flow
from app.flows.reconcile import look_back
from app.flows.verify import verify, verify_all
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Upstream
from app.store import discrepancies
from app.store.tables import Report
from billing.period import parse_period
from tests.app.flows.books import WORKED, Books, open_books
from tests.app.flows.conftest import WORKED as WORKED_DATASET
from tests.app.flows.conftest import Office

LOW = "from1To2Publishers"


def restated(day: str, at: str, minutes: int = 50) -> dict[str, Any]:
    return {"kind": "restated", "project_id": "100", "day": day, "tier": LOW, "minutes": minutes, "at": f"{at}T00:00:00Z"}


@pytest.fixture
def opened(worked_with: Callable[..., Office]) -> Callable[..., Books]:
    """Makes the books of an office whose upstream restates a day, once before the period is invoiced, once after."""

    def make() -> Books:
        office = worked_with([restated("2026-11-01", "2026-11-08"), restated("2026-10-31", "2026-11-20")])
        office.collect(WORKED)
        office.at("2026-11-09T20:00:00Z")
        again(office)
        return open_books(office)

    return make


def again(office: Office) -> Report:
    office.collect(WORKED)
    return office.reconcile(WORKED)


def weights(report: Report) -> dict[str, str]:
    found = json.loads(report.body)["discrepancies"]
    return {it["days"][0]: it["severity"] for it in found if it["code"] == "restated"}


def stored(engine: Engine) -> list[str]:
    with transaction(engine, read_only=True) as session:
        return sorted(it.severity for it in discrepancies.list_page(session, code="restated", limit=9).items)


def test_only_what_changed_after_the_invoice_is_high_and_a_note_settles_it(opened: Callable[..., Books]) -> None:
    books = opened()
    office, issued = books.office, books.issue(books.draft())
    assert weights(again(office)) == {"2026-11-01": "medium"}, "that change is in the invoice"
    before = office.clock.now()
    office.at("2026-11-21T20:00:00Z")
    late = again(office)
    assert weights(late) == {"2026-10-31": "high", "2026-11-01": "medium"}
    assert stored(books.engine) == ["high", "medium"]
    (found,) = (it for it in json.loads(late.body)["discrepancies"] if it["severity"] == "high")
    assert found["summary"].endswith(f"It was invoiced before, with {issued.number}.")
    assert [it["id"] for it in found["evidence"]["invoices"]] == [issued.id]

    note = books.restate(issued)
    assert note is not None
    assert weights(again(office))["2026-10-31"] == "high", "a draft settles nothing"
    books.issue(note)
    assert weights(again(office)) == {"2026-10-31": "medium", "2026-11-01": "medium"}
    back = json.loads(look_back(books.engine, office.project, parse_period(WORKED), before))
    assert [it["severity"] for it in back["discrepancies"] if it["code"] == "restated"] == ["medium"]
    assert verify(books.engine, late.id) == [], "though the note has settled it since"
    assert verify_all(books.engine) == []


def test_what_was_never_issued_weighs_nothing(opened: Callable[..., Books]) -> None:
    books = opened()
    draft = books.draft()
    books.office.at("2026-11-21T20:00:00Z")
    assert weights(again(books.office))["2026-10-31"] == "medium"
    books.do(flow.void, draft, reason="a test")
    assert weights(again(books.office))["2026-10-31"] == "medium"
    assert verify_all(books.engine) == []


def test_what_is_void_weighs_nothing(opened: Callable[..., Books]) -> None:
    books = opened()
    issued = books.issue(books.draft())
    books.office.at("2026-11-21T20:00:00Z")
    assert weights(again(books.office))["2026-10-31"] == "high"
    books.do(flow.void, issued, reason="a test")
    assert weights(again(books.office))["2026-10-31"] == "medium"
    assert verify_all(books.engine) == []


def test_an_invoice_of_the_month_weighs_on_the_report_of_a_day(opened: Callable[..., Books]) -> None:
    books = opened()
    books.issue(books.draft())
    books.office.at("2026-11-21T20:00:00Z")
    books.office.collect(WORKED)
    assert weights(books.office.reconcile("2026-10-31..2026-10-31")) == {"2026-10-31": "high"}
    assert weights(books.office.reconcile("2026-11-01..2026-11-01")) == {"2026-11-01": "medium"}


def test_a_meeting_that_changed_after_the_invoice_is_high(worked: Office) -> None:
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    books = open_books(worked)
    books.issue(books.draft())
    changed = json.loads(WORKED_DATASET.read_text())
    changed["faults"] = [
        {
            "kind": "meeting_adjusted",
            "project_id": "100",
            "session_id": "1_MX4xMDB-worked-A",
            "meeting_created_at": "2026-10-31T20:05:00.000Z",
            "tier": LOW,
            "minutes": "7.5",
        }
    ]
    worked.transport.upstream = Upstream(Dataset.load(changed), worked.clock)
    worked.at("2026-11-07T20:00:00Z")
    report = again(worked)
    (found,) = (it for it in json.loads(report.body)["discrepancies"] if it["code"] == "restated")
    assert (found["severity"], found["sessions"]) == ("high", ["1_MX4xMDB-worked-A"])
    assert verify(books.engine, report.id) == []


def test_a_draft_that_the_newest_report_no_longer_bears_out_is_not_issued(opened: Callable[..., Books]) -> None:
    books = opened()
    draft = books.draft()
    again(books.office)
    books.office.at("2026-11-21T20:00:00Z")
    again(books.office)
    approved = books.do(flow.approve, draft)
    with pytest.raises(Conflict, match="draft it again"):
        books.do(flow.finalize, approved)
    issued = books.issue(books.do(flow.redraft, draft.id))
    assert issued.number.endswith("-00001"), "the one that was refused took no number"


def test_a_project_that_moved_is_not_billed_to_both(opened: Callable[..., Books]) -> None:
    books = opened()
    issued = books.issue(books.draft())
    books.own(books.bob)
    approved = books.do(flow.approve, books.draft(books.bob))
    with pytest.raises(Conflict, match=issued.number):
        books.do(flow.finalize, approved)
    books.issue(books.credit(issued))
    assert books.do(flow.finalize, approved).customer_id == books.bob
