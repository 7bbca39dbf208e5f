"""Closing the worked period: what is invoiced, what waits and why, and that nothing is done twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.db import transaction
from app.errors import NotFound, Unavailable
from app.flows import invoice as flow
from app.flows import schedule
from app.flows.invoice import whole
from app.flows.verify import verify_all
from app.store import closes, customers, jobs
from app.store.tables import Job, ProjectRow
from billing.closing import State, ready_at
from billing.model import Tolerance
from billing.period import BillingPeriod, parse_period
from tests.app.flows.books import PERIOD, WORKED, open_books
from tests.app.flows.closing import Closing, Defect
from tests.app.flows.conftest import Office

ADDED = {"kind": "project_day_adjusted", "project_id": "100", "day": "2026-10-31", "tier": "from1To2Publishers", "minutes": 90}


@pytest.fixture
def closing(worked: Office) -> Closing:
    """Everything is collected, and nothing reconciled."""
    worked.collect(WORKED)
    return Closing(open_books(worked))


def test_a_period_is_reconciled_and_invoiced(closing: Closing) -> None:
    close = closing.close()
    (report,), (invoice,) = closing.reports(), closing.invoices()
    assert (close.state, close.reason, close.next_attempt_at) == (State.CLOSED, "It is reconciled and invoiced.", None)
    assert (close.report_id, close.invoice_ids, close.attempts) == (report.id, [invoice.id], 1)
    assert (invoice.status, invoice.created_by, str(invoice.total)) == ("draft", "reckoner", "3.39")
    assert closing.told() == ["reconciliation.completed", "invoice.drafted"]
    assert verify_all(closing.books.engine) == []


def test_again_changes_nothing(closing: Closing) -> None:
    first, left = closing.close(), closing.left()
    again = closing.close()
    assert closing.left() == left
    assert (again.state, again.report_id, again.invoice_ids) == (first.state, first.report_id, first.invoice_ids)
    assert again.attempts == 2


def test_another_reading_that_says_the_same_is_nothing_new(closing: Closing) -> None:
    closing.close()
    left = closing.left()
    closing.pass_time(days=7)
    closing.books.office.collect(WORKED)
    assert closing.work() == []
    closing.close()
    assert closing.left() == left


def test_a_report_that_a_person_asked_for_in_other_words_is_the_report(closing: Closing) -> None:
    asked = parse_period("2026-10-31T07:00:00Z..2026-11-02T08:00:00Z")
    assert asked.period == parse_period(WORKED).period
    report = closing.books.office.reconcile("2026-10-31T07:00:00Z..2026-11-02T08:00:00Z")
    assert closing.close().report_id == report.id
    closing.pass_time(days=1)
    closing.books.office.change(tolerance=Tolerance(20_000))
    closing.close()
    assert [it.version for it in closing.reports()] == [1, 2]
    assert b"2026-11-02T08:00:00Z" in closing.reports()[1].body


def test_what_is_not_final_waits_until_it_is(worked_with: Callable[..., Office]) -> None:
    office = worked_with(now="2026-11-04T07:59:00Z")
    closing = Closing(open_books(office))
    close = closing.close()
    assert (close.state, close.reason) == (
        State.WAITING,
        "It is closed from 2026-11-04T14:00:00Z on, when its data is final.",
    )
    assert closing.reports() == []
    assert closing.due() == []
    office.at("2026-11-04T14:00:00Z")
    office.collect(WORKED)
    assert len(closing.work()) == 1
    assert closing.row().state == State.CLOSED


def test_a_missing_day_that_arrives_later(worked: Office) -> None:
    closing = Closing(open_books(worked))
    worked.collect("2026-10-31..2026-10-31")
    close = closing.close()
    assert (close.state, close.invoice_ids) == (State.WAITING, [])
    assert close.reason == (
        "It is not complete: the daily usage of 2026-11-01 and all meetings created on 2026-11-01 cannot be relied on yet."
    )
    worked.collect(WORKED)
    closing.pass_time(hours=23)
    assert closing.due() == []
    closing.pass_time(hours=1)
    (due,) = closing.due()
    assert (due.kind, due.project_id, due.period) == ("close", "100", parse_period(WORKED).period)
    assert closing.work() == [due]
    close = closing.row()
    assert (close.state, close.attempts, len(close.invoice_ids)) == (State.CLOSED, 2, 1)
    assert [it.verdict for it in closing.reports()] == ["incomplete", "balanced"]
    assert closing.due() == []


def test_what_is_being_collected_is_waited_for_no_longer_than_an_hour(worked: Office) -> None:
    """After downtime, and where there are many projects, a cycle is due before the collection of its last days is done."""
    closing, engine = Closing(open_books(worked)), worked.engine
    queued = schedule.tick(engine, closing.books.now)
    assert len(queued) == 1
    close = closing.close()
    assert (close.state, close.reason[:22]) == (State.WAITING, "It is not complete: th")
    assert timedelta(0) < close.next_attempt_at - closing.books.now <= timedelta(hours=1)
    with transaction(engine) as session:
        session.get_one(Job, queued[0].id).state = jobs.State.FAILED
    again = closing.close().next_attempt_at
    assert again - closing.books.now > timedelta(hours=23), "it is no longer under way"
    closing.pass_time(minutes=20)
    assert closing.close().next_attempt_at - closing.books.now <= timedelta(hours=1), "it is to be asked for again"
    with transaction(engine) as session:
        session.get_one(ProjectRow, "100").collect_automatically = False
    assert closing.close().next_attempt_at - closing.books.now > timedelta(hours=23), "nobody collects it"


def test_what_upstream_has_forgotten_can_never_be_complete(worked: Office) -> None:
    closing = Closing(open_books(worked))
    worked.at("2026-11-25T20:00:00Z")
    closing.close()
    close = closing.row()
    assert (close.state, close.next_attempt_at) == (State.FAILED, None)
    assert close.reason == (
        "It cannot become complete any more: upstream has forgotten all meetings created on 2026-10-30 to 2026-11-01. Upstream "
        "may still say the daily usage of 2026-10-31 to 2026-11-01. It can be invoiced with an override."
    )
    assert closing.due() == []
    worked.collect(WORKED)
    closing.pass_time(hours=2)
    (due,) = closing.work()
    assert due.kind == "restate", "what can still be had makes another report"
    assert [it.version for it in closing.reports()] == [1, 2]
    assert closing.row().state == State.FAILED
    assert closing.invoices() == []
    draft = closing.books.draft(override="agreed with Ada")
    assert (closing.close().state, closing.row().invoice_ids) == (State.CLOSED, [draft.id])


def test_a_day_that_expires_while_it_is_waited_for(worked: Office) -> None:
    worked.change(cross_check=False)
    closing = Closing(open_books(worked))
    assert closing.close().state == State.WAITING
    assert "daily usage of 2026-10-31 to 2026-11-01 cannot be relied on" in closing.row().reason
    worked.at("2027-02-01T20:00:00Z")
    closing.work()
    assert closing.rows()[-1].state == State.FAILED
    assert [it.version for it in closing.reports()[:2]] == [1, 2]
    assert b'"project_status":"expired"' in closing.reports()[1].body


def test_what_may_not_be_invoiced_is_closed_all_the_same(worked_with: Callable[..., Office]) -> None:
    office = worked_with([ADDED])
    office.collect(WORKED)
    closing = Closing(open_books(office))
    close = closing.close()
    report = closing.reports()[0]
    assert (close.state, report.verdict, closing.invoices()) == (State.CLOSED, "unexplained", [])
    doubtful = f"This may be invoiced only with an override: {report.id} of project 100 is unexplained."
    assert close.reason == f"It is reconciled, but not invoiced. {doubtful}"
    closing.pass_time(days=1)
    office.change(tolerance=Tolerance(minutes=100_000_000))
    assert len(closing.work()) == 1
    assert (closing.row().state, closing.row().reason) == (State.CLOSED, "It is reconciled and invoiced.")
    assert len(closing.invoices()) == 1


def test_or_a_person_gives_an_override(worked_with: Callable[..., Office]) -> None:
    office = worked_with([ADDED])
    office.collect(WORKED)
    closing = Closing(open_books(office))
    closing.close()
    draft = closing.books.draft(override="agreed with Ada")
    closing.pass_time(days=1)
    closing.work()
    assert (closing.row().invoice_ids, closing.row().next_attempt_at) == ([draft.id], None)


def test_what_was_invoiced_with_an_override_is_taken_in_within_the_hour(worked: Office) -> None:
    """A close that has failed for good is attempted no more; it is looked at all the same."""
    closing = Closing(open_books(worked))
    worked.at("2026-11-25T20:00:00Z")
    assert closing.close().state == State.FAILED
    draft = closing.books.draft(override="agreed with Ada")
    closing.pass_time(hours=2)
    (due,) = closing.work()
    assert due.kind == "restate"
    assert (closing.row().state, closing.row().invoice_ids) == (State.CLOSED, [draft.id])
    closing.pass_time(hours=2)
    assert closing.work() == []


def test_what_an_override_was_not_given_for_is_said(worked_with: Callable[..., Office]) -> None:
    office = worked_with([ADDED, {**ADDED, "kind": "restated", "at": "2026-11-08T00:00:00Z"}])
    office.collect(WORKED)
    closing = Closing(open_books(office))
    closing.close()
    issued = closing.books.issue(closing.books.draft(override="agreed with Ada"))
    closing.pass_time(days=3)
    office.collect(WORKED)
    closing.work()
    (_, report), row = closing.reports(), closing.row()
    assert (row.state, row.invoice_ids) == (State.CLOSED, [issued.id])
    assert row.reason == (
        "It is reconciled. Its invoice does not hold what has changed since. This may be invoiced only with an override: "
        f"{report.id} of project 100 is unexplained."
    )
    note = closing.books.restate(issued, override="agreed with Ada, too")
    assert note
    closing.pass_time(days=1)
    closing.work()
    assert (closing.row().reason, closing.row().invoice_ids) == ("It is reconciled and invoiced.", [issued.id, note.id])


def test_an_invoice_that_was_given_up_is_not_called_invoiced(closing: Closing) -> None:
    closing.close()
    closing.books.do(flow.void, closing.invoices()[0], reason="another company invoices this")
    again = closing.close()
    assert (again.state, again.invoice_ids) == (State.CLOSED, [closing.invoices()[0].id])
    assert again.reason == "It is reconciled. An invoice that was voided or credited is not drafted again by itself."


def test_a_clock_that_is_set_back_puts_no_close_off(worked: Office) -> None:
    """What a machine a year ahead has given up is attempted again, once, and closed when it is due."""
    closing, right = Closing(open_books(worked)), worked.clock.now()
    closing.pass_time(days=365)
    closing.work()
    cycles = [(it.first_day, it.state) for it in closing.rows()]
    assert len(cycles) == 12
    assert {state for _, state in cycles} == {State.FAILED}
    worked.clock.move(right)
    assert len(closing.work()) == 12
    assert closing.work() == []
    assert {it.state for it in closing.rows()} == {State.WAITING}
    assert closing.row().reason.startswith("It is closed from 2027-11-0")
    assert {it.next_attempt_at for it in closing.rows()} == {
        ready_at(BillingPeriod(it.first_day, it.last_day)) for it in closing.rows()
    }


def test_a_project_of_nobody_is_only_reconciled(closing: Closing) -> None:
    closing.books.own(None)
    close = closing.close()
    assert (close.state, close.invoice_ids) == (State.CLOSED, [])
    assert close.reason == "It is reconciled. The project belongs to no customer, so nothing is invoiced."


def test_two_customers_of_one_project(closing: Closing) -> None:
    closing.books.rule(("1_MX4xMDB-worked-B", closing.books.bob))
    close = closing.close()
    assert close.state == State.CLOSED, close.reason
    assert {it.customer_id for it in closing.invoices()} == {closing.books.ada, closing.books.bob}
    assert sorted(close.invoice_ids) == sorted(it.id for it in closing.invoices())


def test_one_customer_is_refused_and_the_other_invoiced(closing: Closing) -> None:
    books = closing.books
    books.rule(("1_MX4xMDB-worked-B", books.bob))
    with transaction(books.engine) as session:
        customers.update(session, books.bob, expected_version=None, actor="cli", now=books.now, currency="JPY")
    close = closing.close()
    assert (close.state, [it.customer_id for it in closing.invoices()]) == (State.WAITING, [books.ada])
    assert "The rate card is in EUR, but this is invoiced in JPY" in close.reason
    assert close.invoice_ids == [closing.invoices()[0].id]


def test_a_customer_is_invoiced_once_all_its_projects_are_reconciled(closing: Closing) -> None:
    books = closing.books
    closing.add("200")
    books.own(books.ada, "200")
    close = closing.close()
    assert (close.state, closing.invoices()) == (State.WAITING, [])
    assert close.reason == "There is no report of exactly 2026-10-31 to 2026-11-01 for project 200: reconcile it first."
    assert closing.close("200").reason.startswith("It is not complete: the daily usage of 2026-10-31 to 2026-11-01 cannot")
    assert "of project 200 is incomplete" in closing.close().reason
    closing.use("200")
    assert closing.close("200").state == State.CLOSED
    (invoice,) = closing.invoices()
    assert {it["project_id"] for it in whole(invoice)["lines"]} == {"100", "200"}
    (due,) = closing.due()
    assert due.project_id == "100", "it need not wait until tomorrow"
    closing.work()
    assert {(it.state, *it.invoice_ids) for it in closing.rows()} == {(State.CLOSED, invoice.id)}
    assert closing.due() == []


def test_one_bad_project_holds_up_no_other(closing: Closing) -> None:
    for project_id in ("200", "300", "400"):
        closing.add(project_id)
    closing.broken["200"] = lambda: Unavailable("The credentials were encrypted with another key.")
    closing.broken["300"] = Defect
    closing.use("400")
    with transaction(closing.books.engine) as session:
        for project_id in ("200", "300", "400", "100"):
            closes.add(session, project_id, PERIOD, closing.books.now, is_cycle=True)
    assert len(closing.work()) == 4
    assert {it.project_id: (it.state, it.reason.split(".")[0]) for it in closing.rows()} == {
        "100": (State.CLOSED, "It is reconciled and invoiced"),
        "200": (State.WAITING, "The credentials were encrypted with another key"),
        "300": (State.WAITING, "It failed inside, and the log says how"),
        "400": (State.CLOSED, "It is reconciled"),
    }
    assert closing.due() == []
    closing.pass_time(days=1)
    assert [it.project_id for it in closing.work()] == ["200", "300"]
    closing.broken.clear()
    closing.use("200")
    closing.use("300")
    closing.pass_time(days=1)
    closing.work()
    assert {it.state for it in closing.rows()} == {State.CLOSED}


def test_nobody_closes_an_unknown_project(closing: Closing) -> None:
    with pytest.raises(NotFound):
        closing.close("404")
    assert closing.rows() == []


class Killed(BaseException):
    """The process is gone."""


def test_killed_after_any_transaction_it_ends_the_same(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run gets one transaction further than the one before, and the last one to its end: all that they leave is what one
    would have left."""
    closing.books.rule(("1_MX4xMDB-worked-B", closing.books.bob))
    survived, left = [0], [0]

    @contextmanager
    def deadly(engine: Engine, **options: Any) -> Iterator[Session]:
        with transaction(engine, **options) as session:
            yield session
            if not left[0]:
                session.rollback()
                raise Killed  # before its commit: whatever it did is gone
        left[0] -= 1

    for module in ("close", "reconcile"):
        monkeypatch.setattr(f"app.flows.{module}.transaction", deadly)
    while True:
        left[0] = survived[0]
        try:
            closing.close()
            break
        except Killed:
            survived[0] += 1
    monkeypatch.undo()
    assert survived[0] > 7
    close = closing.row()
    assert (close.state, len(close.invoice_ids), len(closing.reports()), len(closing.invoices())) == (State.CLOSED, 2, 1, 2)
    assert closing.told() == ["reconciliation.completed", "invoice.drafted", "invoice.drafted"]
    assert closing.due() == []


def test_two_at_once_are_one(closing: Closing) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: closing.close(), range(4)))
    assert {it.id for it in done} == {closing.row().id}
    assert (closing.row().attempts, len(closing.reports()), len(closing.invoices())) == (4, 1, 1)
