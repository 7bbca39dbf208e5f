"""The past changes after a period was closed: before it is invoiced, and after."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.db import transaction
from app.flows import invoice as flow
from app.flows.close import DueClose
from app.flows.verify import verify_all
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.store import observations
from billing.closing import State
from billing.notes import CreditLine
from tests.app.flows.books import WORKED, open_books
from tests.app.flows.closing import Closing
from tests.app.flows.conftest import WORKED as DATASET
from tests.app.flows.conftest import Office

TIER = "from1To2Publishers"
FIRST, SECOND = (datetime(2026, 11, day, 12, tzinfo=UTC) for day in (11, 13))


@pytest.fixture
def closed(worked_with: Callable[..., Office]) -> Callable[..., Closing]:
    """Makes a period that is closed, and that upstream will change at FIRST and SECOND by so many minutes."""

    def make(*minutes: int) -> Closing:
        days = {"kind": "restated", "project_id": "100", "day": "2026-10-31", "tier": TIER}
        at = ("2026-11-10T00:00:00Z", "2026-11-12T00:00:00Z")
        office = worked_with([days | {"minutes": more, "at": when} for more, when in zip(minutes, at, strict=True)])
        office.collect(WORKED)
        closing = Closing(open_books(office))
        assert closing.close().state == State.CLOSED
        return closing

    return make


@pytest.fixture
def closing(closed: Callable[..., Closing]) -> Closing:
    """100 minutes more, then 40 less."""
    return closed(100, -40)


def change(closing: Closing, at: datetime) -> None:
    """It is read again after upstream has changed it, and the unattended do their round."""
    closing.books.office.clock.move(at)
    closing.books.office.collect(WORKED)
    (due,) = closing.work()
    assert (due.kind, due.project_id) == ("restate", "100")
    assert closing.work() == [], "that was all"


def severities(closing: Closing) -> list[str]:
    """How much the restatements weigh by which the newest report differs from the first."""
    found = json.loads(closing.reports()[-1].body)["discrepancies"]
    return [it["severity"] for it in found if it["code"] == "restated"]


def test_a_draft_is_made_again(closing: Closing) -> None:
    (draft,) = closing.invoices()
    change(closing, FIRST)
    (again,) = closing.invoices()
    assert (again.id, again.status, again.version) == (draft.id, "draft", 2)
    assert (str(draft.total), str(again.total)) == ("3.39", "4.58")
    assert [it.version for it in closing.reports()] == [1, 2]
    assert (closing.row().state, closing.row().report_id) == (State.CLOSED, closing.reports()[1].id)
    assert closing.told().count("report.restated") == 1
    assert severities(closing) == ["medium"], "no money has to be moved"
    assert verify_all(closing.books.engine) == []


def test_an_approval_was_for_other_figures(closing: Closing) -> None:
    closing.books.do(flow.approve, closing.invoices()[0])
    change(closing, FIRST)
    assert [(it.status, it.approved_by) for it in closing.invoices()] == [("draft", None)]


def test_after_invoicing_a_note_is_proposed_for_each_change(closing: Closing) -> None:
    books = closing.books
    issued = books.issue(closing.invoices()[0])
    change(closing, FIRST)
    invoice, debit = closing.invoices()
    assert (invoice.sha256, invoice.body, invoice.status, invoice.version) == (issued.sha256, issued.body, "finalized", 3)
    assert (debit.kind, debit.status, debit.corrects, str(debit.total)) == ("debit_note", "draft", issued.id, "1.19")
    assert closing.row().invoice_ids == [issued.id, debit.id]
    assert severities(closing) == ["high"]
    change(closing, SECOND)
    *_, credit = closing.invoices()
    assert (credit.kind, credit.status, credit.corrects, str(credit.total)) == ("credit_note", "draft", issued.id, "0.47")
    assert [it.version for it in closing.reports()] == [1, 2, 3]
    assert closing.told().count("report.restated") == 2
    assert closing.told().count("invoice.drafted") == 3
    assert verify_all(books.engine) == []


def test_a_change_that_is_taken_back_takes_the_note_back(closed: Callable[..., Closing]) -> None:
    closing = closed(100, -100)
    issued = closing.books.issue(closing.invoices()[0])
    change(closing, FIRST)
    change(closing, SECOND)
    notes = [(it.kind, it.status, str(it.total)) for it in closing.invoices()[1:]]
    assert notes == [("debit_note", "draft", "1.19"), ("credit_note", "draft", "1.19")]
    assert closing.row().invoice_ids[0] == issued.id
    assert closing.told().count("report.restated") == 2
    assert severities(closing) == ["medium"], "the invoice says what upstream says"
    assert verify_all(closing.books.engine) == []


def test_a_change_that_is_taken_back_after_it_was_invoiced_weighs(closed: Callable[..., Closing]) -> None:
    closing = closed(100, -100)
    change(closing, FIRST)
    issued = closing.books.issue(closing.invoices()[0])
    change(closing, SECOND)
    _, credit = closing.invoices()
    assert (credit.kind, str(credit.total), str(issued.total)) == ("credit_note", "1.19", "4.58")
    assert severities(closing) == ["high"]
    assert closing.told().count("report.restated") == 2
    assert verify_all(closing.books.engine) == []


def test_again_changes_nothing(closing: Closing) -> None:
    closing.books.issue(closing.invoices()[0])
    change(closing, FIRST)
    left = closing.left()
    closing.close()
    closing.pass_time(hours=2)
    assert closing.work() == []
    assert closing.left() == left


def test_a_note_that_was_declined_is_not_proposed_again(closing: Closing) -> None:
    books = closing.books
    books.issue(closing.invoices()[0])
    change(closing, FIRST)
    books.do(flow.void, closing.invoices()[1], reason="a courtesy")
    closing.close()
    assert [it.status for it in closing.invoices()] == ["finalized", "void"]
    change(closing, SECOND)
    *_, note = closing.invoices()
    assert (note.kind, note.status, str(note.total)) == ("debit_note", "draft", "0.72"), "of all that has changed"


def test_what_was_credited_in_full_stays_so(closing: Closing) -> None:
    books = closing.books
    issued = books.issue(closing.invoices()[0])
    note = books.issue(books.credit(issued))
    change(closing, FIRST)
    assert [(it.id, it.status) for it in closing.invoices()] == [(issued.id, "credited"), (note.id, "finalized")]
    assert closing.row().reason == "It is reconciled. An invoice that was voided or credited is not drafted again by itself."
    assert severities(closing) == ["medium"], "there is nothing to make up for"


def test_what_a_credit_leaves_no_room_for_waits_for_a_person(closed: Callable[..., Closing]) -> None:
    closing = closed(-100, 0)
    books = closing.books
    issued = books.issue(closing.invoices()[0])
    books.issue(books.credit(issued, lines=[CreditLine(1, None)]))
    change(closing, FIRST)
    assert (closing.row().state, closing.row().reason) == (
        State.WAITING,
        "Its invoice does not hold what has changed since. Of line 1, 2.10 EUR are credited already, and now it comes to 1.10.",
    )
    assert len(closing.invoices()) == 2


def test_a_project_that_moved_is_not_invoiced_to_its_new_customer_for_what_the_old_one_paid(closing: Closing) -> None:
    books = closing.books
    issued = books.issue(closing.invoices()[0])
    books.own(books.bob)
    change(closing, FIRST)
    assert [it.id for it in closing.invoices()] == [issued.id]
    row = closing.row()
    assert (row.state, row.next_attempt_at, row.invoice_ids) == (State.CLOSED, None, [issued.id])
    assert f"It was invoiced to the customer {books.ada}, by {issued.number}," in row.reason
    books.issue(books.credit(issued))
    closing.close()
    assert [it.customer_id for it in closing.invoices()] == [books.ada, books.ada, books.bob]


def test_an_invoice_that_was_given_up_is_not_drafted_again(closing: Closing) -> None:
    closing.books.do(flow.void, closing.invoices()[0], reason="another company invoices this")
    change(closing, FIRST)
    assert [it.status for it in closing.invoices()] == ["void"]
    assert len(closing.reports()) == 2


def test_a_report_that_a_person_made_again_is_followed_too(closing: Closing) -> None:
    closing.books.issue(closing.invoices()[0])
    closing.books.office.clock.move(FIRST)
    closing.books.office.collect(WORKED)
    closing.books.office.reconcile(WORKED)
    (due,) = closing.work()
    assert due.kind == "restate"
    assert [it.kind for it in closing.invoices()] == ["invoice", "debit_note"]


def test_a_note_that_a_person_made_is_the_note(closing: Closing) -> None:
    issued = closing.books.issue(closing.invoices()[0])
    closing.books.office.clock.move(FIRST)
    closing.books.office.collect(WORKED)
    closing.books.office.reconcile(WORKED)
    note = closing.books.restate(issued)
    assert note
    closing.work()
    assert closing.row().invoice_ids == [issued.id, note.id]


def upstream_says(closing: Closing, change: Callable[[dict[str, Any]], None]) -> list[DueClose]:
    """What is done after upstream's data was changed and read again."""
    office, dataset = closing.books.office, json.loads(DATASET.read_text())
    change(dataset)
    closing.pass_time(days=2)
    office.transport = SandboxTransport(Upstream(Dataset.load(dataset), office.clock))
    office.collect(WORKED)
    return closing.work()


def test_usage_that_comes_late_is_waited_for(worked_with: Callable[..., Office]) -> None:
    """Upstream leaves a day out when it ought to be final, and states it four days later."""
    office = worked_with([{"kind": "project_day_dropped", "project_id": "100", "day": "2026-11-01"}])
    office.collect(WORKED)
    closing = Closing(open_books(office))
    assert closing.close().reason == "It is not complete: the daily usage of 2026-11-01 cannot be relied on yet."
    closing.pass_time(days=1)
    assert (len(closing.work()), closing.row().state, closing.row().attempts) == (1, State.WAITING, 2)
    (due,) = upstream_says(closing, lambda dataset: None)
    assert (due.kind, closing.row().state, closing.row().attempts) == ("close", State.CLOSED, 3)
    assert [(it.version, it.verdict) for it in closing.reports()] == [(1, "incomplete"), (2, "balanced")]
    assert [(it.status, str(it.total)) for it in closing.invoices()] == [("draft", "3.39")]
    assert closing.told().count("report.restated") == closing.told().count("invoice.drafted") == 1


def test_a_meeting_that_changes_is_noticed(closing: Closing) -> None:
    meeting = {"session_id": "1_MX4xMDB-worked-A", "meeting_created_at": "2026-10-31T20:05:00.000Z"}
    fault = {"kind": "meeting_adjusted", "project_id": "100", "tier": TIER, "minutes": 5, **meeting}
    (due,) = upstream_says(closing, lambda dataset: dataset.update(faults=[fault]))
    assert due.kind == "restate"
    assert [it.version for it in closing.reports()] == [1, 2]
    assert closing.told().count("report.restated") == 1


def test_a_room_that_is_used_again_changes_nothing(closing: Closing) -> None:
    """Its statement is another, and so is the answer; what it says of the days that are closed is not."""

    def use_again(dataset: dict[str, Any]) -> None:
        room = next(it for it in dataset["sessions"] if it["session_id"] == "1_MX4xMDB-worked-A")
        later = json.loads(json.dumps(room["connections"]).replace("2026-10-31", "2026-11-07"))
        room["connections"] += json.loads(json.dumps(later).replace('_id": "A', '_id": "Z'))

    before = closing.left()
    with transaction(closing.books.engine, read_only=True) as session:
        payloads = len(observations.payload_hashes(session))
    assert upstream_says(closing, use_again) == []
    assert closing.left() == before
    with transaction(closing.books.engine, read_only=True) as session:
        assert len(observations.payload_hashes(session)) > payloads, "the answer was another"
