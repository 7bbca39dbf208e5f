"""A year of billing cycles under a moving clock: each is closed once, on the day on which it is final."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from app.db import transaction
from app.flows.close import CLOSE, tick
from app.store import jobs, projects
from app.store.tables import ProjectRow
from billing.closing import State, ready_at
from billing.period import BillingPeriod, cycle, day_start
from tests.app.flows.books import open_books
from tests.app.flows.closing import Closing
from tests.app.flows.conftest import SECRET, VAULT, Office

BEGIN, END = date(2027, 8, 1), date(2028, 8, 4)
"""Over a leap day and both changes of the clock."""
ANCHORS = {"100": 1, "200": 15, "300": 31}


@pytest.fixture
def closing(open_office: Callable[..., Office]) -> Closing:
    """Three projects that are billed by their project level alone, each with a customer of its own."""
    usage = {str(BEGIN + timedelta(days=offset)): {"sipUserMinutes": 10} for offset in range(0, 360, 9)}
    own = [{"id": it, "secret": SECRET, "advanced_insights": False, "usage": usage} for it in ANCHORS]
    office = open_office({"account": {"key": "9000", "secret": "x"}, "projects": own}, "2027-08-01T08:00:00Z")
    office.change(cross_check=False)
    closing = Closing(open_books(office))
    books = closing.books
    for project_id in ("200", "300"):
        closing.add(project_id)
    books.own(books.bob, "200")
    with transaction(books.engine) as session:
        for project_id, anchor in ANCHORS.items():
            session.get_one(ProjectRow, project_id).cycle_anchor_day = anchor
    return closing


def collect(closing: Closing, project_id: str, period: BillingPeriod) -> None:
    """Read the daily usage of a period."""
    office = closing.books.office
    own = Office(office.engine, closing.project(project_id), office.upstream, office.clock)
    own.collect(f"{period.first_day}..{period.last_day}")


def live_through(closing: Closing, closed: list[tuple[str, BillingPeriod]], until: date) -> None:
    """Day by day: at noon what is due is collected and closed, by jobs that a tick has queued, twice to be sure."""
    day, books = closing.books.now.date(), closing.books
    while (day := day + timedelta(days=1)) < until:
        books.office.clock.move(day_start(day) + timedelta(hours=12))
        queued = tick(books.engine, books.now)
        assert not queued or tick(books.engine, books.now) == []
        for job in queued:
            assert (job.kind, job.state) == (CLOSE, "queued")
            days = (date.fromisoformat(job.arguments["period"][name]) for name in ("first_day", "last_day"))
            period = BillingPeriod(*days)
            collect(closing, str(job.project_id), period)
            with transaction(books.engine) as session:
                begun = jobs.begin(session, job.id, job.queued, books.now)
            assert begun
            closing.close(str(job.project_id), period)
            closing.close(str(job.project_id), period)
            with transaction(books.engine) as session:
                jobs.succeed(session, jobs.Attempt(job.id, begun.attempts), {}, books.now)
            closed.append((str(job.project_id), period))
            assert books.now - timedelta(days=1) < ready_at(period) <= books.now, "on its day"


def test_a_year_has_twelve_closes_of_each_project(closing: Closing) -> None:
    closed: list[tuple[str, BillingPeriod]] = []
    live_through(closing, closed, END)
    for project_id, anchor in ANCHORS.items():
        mine = [period for it, period in closed if it == project_id]
        assert len(set(mine)) == len(mine) == 12
        assert all(one.last_day + timedelta(days=1) == other.first_day for one, other in pairwise(mine))
        assert all(period == cycle(period.first_day, anchor) for period in mine)
        assert [it.version for it in closing.reports(project_id)] == [1] * len(mine)
    assert {it.state for it in closing.rows()} == {State.CLOSED}
    assert len(closing.invoices()) == 12 + 12
    assert closing.due() == []


def test_after_downtime_all_of_it_is_closed_the_oldest_first(closing: Closing) -> None:
    closing.books.office.clock.move(datetime.fromisoformat("2027-11-20T20:00:00Z"))
    found = [(it.project_id, str(it.period.first_day)) for it in closing.due()]
    assert found == [
        ("200", "2027-07-15"),
        ("300", "2027-07-31"),
        ("100", "2027-08-01"),
        ("200", "2027-08-15"),
        ("300", "2027-08-31"),
        ("100", "2027-09-01"),
        ("200", "2027-09-15"),
        ("300", "2027-09-30"),
        ("100", "2027-10-01"),
        ("200", "2027-10-15"),
    ]
    closing.work()
    assert closing.due() == []
    by_state: dict[str, Any] = {it.state: it for it in closing.rows()}
    assert by_state.keys() == {State.FAILED, State.WAITING}
    assert "upstream has forgotten the daily usage of 2027-07-15 to 2027-08-14" in closing.rows()[-1].reason


def test_the_anchor_day_changes_in_the_middle_of_a_year(closing: Closing) -> None:
    closed: list[tuple[str, BillingPeriod]] = []
    live_through(closing, closed, date(2027, 10, 10))
    with transaction(closing.books.engine) as session:
        projects.update(session, VAULT, "100", actor="test", now=closing.books.now, cycle_anchor_day=20)
    live_through(closing, closed, date(2027, 12, 30))
    mine = [(str(it.first_day), str(it.last_day)) for project_id, it in closed if project_id == "100"]
    assert mine[:2] == [("2027-08-01", "2027-08-31"), ("2027-09-01", "2027-09-30")]
    assert mine[2:] == [("2027-10-01", "2027-10-19"), ("2027-10-20", "2027-11-19"), ("2027-11-20", "2027-12-19")]


def test_a_project_that_does_not_run_unattended_is_not_closed_by_itself(closing: Closing) -> None:
    with transaction(closing.books.engine) as session:
        session.get_one(ProjectRow, "100").collect_automatically = False
    closing.books.office.clock.move(datetime.fromisoformat("2027-09-20T20:00:00Z"))
    assert {it.project_id for it in closing.due()} == {"200", "300"}
    with transaction(closing.books.engine) as session:
        session.get_one(ProjectRow, "100").collect_automatically = True
    again = [str(it.period.first_day) for it in closing.due() if it.project_id == "100"]
    assert again == ["2027-08-01"], "none is left out for good"


def test_what_a_person_closed_before_it_was_due_is_not_closed_again(closing: Closing) -> None:
    august = BillingPeriod(date(2027, 8, 1), date(2027, 8, 31))
    closing.books.office.clock.move(ready_at(august) - timedelta(hours=1))
    collect(closing, "100", august)
    closing.close("100", august)
    assert [it.state for it in closing.rows()] == [State.CLOSED]
    closing.books.office.clock.move(ready_at(august))
    assert "100" not in {it.project_id for it in closing.due()}
    assert [(it.is_cycle, it.attempts) for it in closing.rows() if it.project_id == "100"] == [(True, 1)]
