"""The schedule: what is due is queued once, what failed comes again after a while, a gap is told once in each state."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.db import transaction
from app.flows import schedule
from app.flows.schedule import tick, wanted
from app.insights.client import OpenTokCredentials
from app.store import jobs, observations, payloads, plans, projects, webhooks
from app.store.meeting_rows import PayloadError
from app.store.plan_tables import CollectionGap
from app.store.projects import Project
from app.store.tables import Job
from app.store.webhook_tables import WebhookEvent
from billing.facts import Kind
from billing.period import day_start, next_day
from tests.app.flows.conftest import VAULT

DAY = date(2026, 10, 5)
NIGHT = day_start(DAY) + timedelta(minutes=5)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    schedule._AGREEMENTS.clear()
    yield
    schedule._AGREEMENTS.clear()


def add(engine: Engine, project_id: str = "100", at: datetime = NIGHT, **terms: Any) -> None:
    with transaction(engine) as session:
        projects.create(session, VAULT, Project(project_id, "Acme", OpenTokCredentials(project_id, "secret"), at, **terms))


def read(engine: Engine, job: Job, at: datetime) -> None:
    """What a collection leaves behind: everything that was wanted, and its job done."""
    these = wanted(job.arguments)
    with transaction(engine) as session:
        for day in these.daily:
            keep(session, Kind.DAILY_USAGE, day, at, at >= day_start(next_day(day)) + timedelta(hours=48))
        for day in these.windows:
            keep(session, Kind.MEETINGS, day, at, complete=True)
    end(engine, job, at)


def keep(session: Any, kind: Kind, day: date, at: datetime, complete: bool) -> None:
    payload = payloads.encode_daily(None) if kind is Kind.DAILY_USAGE else payloads.encode_meetings([], [])
    observations.record(
        session, project_id="100", kind=kind, day=day, observed_at=at, payload=payload, requests=1, complete=complete
    )


def end(engine: Engine, job: Job, at: datetime, *, failed: bool = False) -> None:
    with transaction(engine) as session:
        begun = jobs.begin(session, job.id, job.queued, at)
        assert begun
        attempt = jobs.Attempt(begun.id, begun.attempts)
        jobs.fail(session, attempt, {}, at) if failed else jobs.succeed(session, attempt, {}, at)


def told(engine: Engine) -> list[tuple[str, str, str]]:
    with transaction(engine, read_only=True) as session:
        return [(it.data["kind"], it.data["day"], it.data["state"]) for it in session.exec(select(WebhookEvent))]


def listen(engine: Engine) -> None:
    endpoint = {"url": "https://erp.example.com", "description": "", "types": None, "projects": None, "ordered": False}
    with transaction(engine) as session:
        webhooks.create(session, VAULT, "whsec_0", actor="test", now=NIGHT, **endpoint)


def test_a_new_project_is_asked_for_all_that_upstream_still_has(engine: Engine) -> None:
    add(engine)
    (job,) = tick(engine, NIGHT)
    these = wanted(job.arguments)
    assert these.windows == [DAY - timedelta(days=age) for age in range(20, 0, -1)]
    assert these.daily == [DAY - timedelta(days=age) for age in range(89, 0, -1)]
    assert (job.kind, job.project_id) == ("collection", "100")


def test_a_tick_that_comes_twice_adds_nothing(engine: Engine) -> None:
    add(engine)
    assert len(tick(engine, NIGHT)) == 1
    for minutes in (0, 1, 5, 20, 60):
        assert tick(engine, NIGHT + minutes * MINUTE) == [], "it is queued"


def test_what_fails_late_comes_again_soon(engine: Engine) -> None:
    add(engine)
    (job,) = tick(engine, NIGHT)
    assert tick(engine, NIGHT + 15 * MINUTE) == [], "it is under way"
    end(engine, job, NIGHT + 16 * MINUTE, failed=True)
    assert len(tick(engine, NIGHT + 20 * MINUTE)) == 1


def test_what_was_read_is_due_no_more_until_the_next_night(engine: Engine) -> None:
    add(engine)
    (job,) = tick(engine, NIGHT)
    read(engine, job, NIGHT)
    nights = [NIGHT + timedelta(minutes=minutes) for minutes in range(5, 24 * 60 + 1, 5)]
    found = [(at, job) for at in nights for job in tick(engine, at)]
    ((at, job),) = found
    assert at == NIGHT + timedelta(days=1)
    these = wanted(job.arguments)
    assert these.daily == [DAY - timedelta(days=2), DAY - timedelta(days=1), DAY]
    assert set(these.windows) >= {DAY - timedelta(days=1), DAY}


def test_what_failed_comes_again_ever_later(engine: Engine) -> None:
    add(engine, cross_check=False)
    asked = []
    for minutes in range(0, 20 * 60, 5):
        for job in tick(engine, NIGHT + minutes * MINUTE):
            if str(DAY - timedelta(days=1)) in job.arguments["daily"]:
                asked.append(minutes)
            end(engine, job, NIGHT + minutes * MINUTE, failed=True)
    assert asked[:6] == [0, 15, 45, 105, 225, 465]
    assert len(asked) < 12, "the oldest day is asked for more often before it is gone, and all others with it"


def test_mended_credentials_are_tried_at_once(engine: Engine) -> None:
    add(engine)
    (job,) = tick(engine, NIGHT)
    end(engine, job, NIGHT, failed=True)
    assert tick(engine, NIGHT + MINUTE) == []
    change(engine, name="Other")
    assert tick(engine, NIGHT + MINUTE) == []
    change(engine, credentials=OpenTokCredentials("100", "another"))
    assert len(tick(engine, NIGHT + MINUTE)) == 1


def change(engine: Engine, at: datetime = NIGHT + MINUTE, **changes: Any) -> None:
    with transaction(engine) as session:
        before = projects.get(session, VAULT, "100")
        plans.follow(session, before, projects.update(session, VAULT, "100", actor="test", now=at, **changes), at)


def test_one_project_holds_up_no_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for project_id in ("100", "200", "300"):
        add(engine, project_id)
    real = observations.latest

    def latest(session: Any, project_id: str, *arguments: Any) -> Any:
        if project_id == "200":
            raise PayloadError("a payload is damaged")
        return real(session, project_id, *arguments)

    monkeypatch.setattr(observations, "latest", latest)
    assert {job.project_id for job in tick(engine, NIGHT)} == {"100", "300"}
    monkeypatch.undo()
    assert [job.project_id for job in tick(engine, NIGHT)] == ["200"]


def test_a_project_collected_by_hand_is_left_alone_and_begins_anew(engine: Engine) -> None:
    listen(engine)
    add(engine, collect_automatically=False)
    assert tick(engine, NIGHT) == []
    later = NIGHT + timedelta(days=200)
    change(engine, later, collect_automatically=True)
    (job,) = tick(engine, later)
    assert len(job.arguments["windows"]) == 20
    assert told(engine) == [], "what was lost meanwhile is not told"


def test_a_gap_is_told_when_at_risk_and_when_lost_each_once(engine: Engine) -> None:
    listen(engine)
    add(engine)
    for hours in range(0, 8 * 24, 2):
        at = NIGHT + timedelta(hours=hours)
        for job in tick(engine, at):
            end(engine, job, at, failed=True)
    events = told(engine)
    assert len(events) == len(set(events))
    meetings = {
        state: {day for kind, day, told in events if (kind, told) == ("meetings", state)} for state in ("at_risk", "lost")
    }
    assert min(meetings["lost"]) == str(DAY - timedelta(days=20)), "what upstream still had when the project was added"
    assert str(DAY - timedelta(days=14)) in meetings["lost"]
    assert str(DAY - timedelta(days=11)) in meetings["at_risk"] - meetings["lost"]
    with transaction(engine, read_only=True) as session:
        rows = session.exec(select(CollectionGap).where(CollectionGap.kind == "meetings")).all()
    assert {str(row.day) for row in rows if row.state == "lost"} == meetings["lost"]


def test_a_day_that_is_read_in_time_is_a_gap_no_more(engine: Engine) -> None:
    listen(engine)
    add(engine)
    (job,) = tick(engine, NIGHT)
    assert told(engine) == [], "it is being asked for"
    end(engine, job, NIGHT, failed=True)
    (job,) = tick(engine, NIGHT + 15 * MINUTE)
    at_risk = {day for kind, day, state in told(engine) if kind == "meetings" and state == "at_risk"}
    assert at_risk == {str(DAY - timedelta(days=age)) for age in (18, 19, 20)}
    read(engine, job, NIGHT + 15 * MINUTE)
    tick(engine, NIGHT + 45 * MINUTE)
    with transaction(engine, read_only=True) as session:
        assert session.exec(select(CollectionGap)).all() == []


def test_meetings_wait_for_the_end_of_maintenance(engine: Engine) -> None:
    evening = day_start(DAY) + timedelta(hours=22)
    add(engine, at=evening)
    (job,) = tick(engine, evening)
    assert (len(job.arguments["daily"]), job.arguments["windows"]) == (89, [])
    read(engine, job, evening)
    found = [(at, job) for minutes in range(5, 120, 5) for at in [evening + minutes * MINUTE] for job in tick(engine, at)]
    ((at, job),) = found
    assert at == day_start(DAY) + timedelta(hours=23, minutes=30)
    assert (job.arguments["daily"], len(job.arguments["windows"])) == ([], 20)


def test_a_clock_that_is_set_back_stops_nothing(engine: Engine) -> None:
    """A machine that began a year ahead: what it has noted must not hold for a year."""
    add(engine)
    ahead = NIGHT + timedelta(days=365)
    for job in tick(engine, ahead):
        end(engine, job, ahead, failed=True)
    (job,) = tick(engine, NIGHT)
    assert wanted(job.arguments).windows == [DAY - timedelta(days=age) for age in range(20, 0, -1)]
    assert tick(engine, NIGHT + MINUTE) == [], "once is enough"
    end(engine, job, NIGHT + MINUTE, failed=True)
    assert len(tick(engine, NIGHT + 16 * MINUTE)) == 1
