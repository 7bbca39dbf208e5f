"""Jobs: once for each key, one at a time for each project, at their time, ended or begun again by hand, and tidied up."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.db import transaction
from app.errors import Conflict, NotFound
from app.jobs import worker
from app.jobs.run import Run
from app.jobs.work import Schedule
from app.jobs.worker import gone, here
from app.service import Service
from app.store import jobs, workers
from app.store.jobs import State
from app.store.tables import Job, WorkerRow
from tests.app.conftest import NOW
from tests.app.jobs.conftest import abandon, add, echo, state, wait, working

pytestmark = pytest.mark.usefixtures("projects")


def test_a_job_runs_and_leaves_its_result_and_progress(engine: Engine) -> None:
    job = add(engine, "one")
    assert job.state == State.QUEUED
    with working(engine, echo):
        done = wait(engine, job.id, timeout=10)
    assert (done.state, done.result, done.done, done.total, done.attempts) == (State.SUCCEEDED, {"key": "one"}, 2, 2, 1)


def test_a_failure_is_explained_and_does_not_stop_the_others(engine: Engine) -> None:
    def fails(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        raise RuntimeError("no luck")

    broken, sound = add(engine, "broken", kind="fails"), add(engine, "sound")
    with working(engine, echo, fails=fails):
        failed, done = wait(engine, broken.id, timeout=10), wait(engine, sound.id, timeout=10)
    assert (failed.state, failed.problem, failed.result) == (State.FAILED, {"detail": "no luck"}, None)
    assert done.state == State.SUCCEEDED


def test_an_unknown_kind_fails(engine: Engine) -> None:
    job = add(engine, "strange", kind="unheard of")
    with working(engine, echo):
        assert wait(engine, job.id, timeout=10).state == State.FAILED


def test_the_same_key_is_queued_once_until_it_has_ended(engine: Engine) -> None:
    begun, go_on = Event(), Event()

    def holds(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(10)
        return {}

    first = add(engine, "same")
    assert add(engine, "same").id == first.id
    with working(engine, holds):
        assert begun.wait(10)
        assert add(engine, "same").id == first.id, "while it runs"
        go_on.set()
        wait(engine, first.id, timeout=10)
        assert add(engine, "same").id != first.id, "once it has ended"


def test_a_project_has_one_job_running_at_a_time_and_others_do_not_wait(engine: Engine) -> None:
    running: set[str] = set()
    together, doubled = Event(), Event()

    def notes(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        project = arguments["key"][0]
        if project in running:
            doubled.set()
        running.add(project)
        if len(running) == 2:
            together.set()
        together.wait(10)
        doubled.wait(1)  # time for another one to come in, if it were let
        running.discard(project)
        return {}

    queued = [add(engine, f"{project}{number}", f"{project}00") for number in range(2) for project in "12"]
    with working(engine, notes):
        assert all(wait(engine, job.id, timeout=20).state == State.SUCCEEDED for job in queued)
    assert together.is_set()
    assert not doubled.is_set()


def test_a_job_leaves_only_with_its_transaction(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"), transaction(engine) as session:
        job_id = jobs.add(session, "work", "never", {}, NOW, project_id="100").id
        raise RuntimeError("changed my mind")
    with transaction(engine, read_only=True) as session, pytest.raises(NotFound):
        jobs.get(session, job_id)


def test_a_job_waits_for_its_time(engine: Engine) -> None:
    with transaction(engine) as session:
        soon, later = (
            jobs.add(session, "work", key, {"key": key}, NOW, run_at=NOW + timedelta(seconds=seconds))
            for key, seconds in (("soon", 0.5), ("later", 86_400))
        )
    begun = time.monotonic()
    with working(engine, echo):
        assert wait(engine, soon.id, timeout=10).state == State.SUCCEEDED
        assert time.monotonic() - begun > 0.4
        assert state(engine, later) == State.QUEUED


def test_jobs_of_no_project_wait_for_no_other(engine: Engine) -> None:
    together = [Event(), Event()]

    def meets(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        together[arguments["me"]].set()
        return {"met": together[1 - arguments["me"]].wait(10)}

    with transaction(engine) as session:
        queued = [jobs.add(session, "work", f"{me}", {"me": me}, NOW) for me in (0, 1)]
    with working(engine, meets):
        assert [wait(engine, job.id, timeout=15).result for job in queued] == [{"met": True}] * 2


def test_a_job_that_has_not_begun_is_cancelled_at_once_and_never_runs(engine: Engine) -> None:
    cancelled, other = add(engine, "cancelled"), add(engine, "other")
    with transaction(engine) as session:
        assert jobs.cancel(session, cancelled.id, NOW).state == State.CANCELLED
    with working(engine, echo):
        assert wait(engine, other.id, timeout=10).state == State.SUCCEEDED
    with transaction(engine, read_only=True) as session:
        assert (jobs.get(session, cancelled.id).state, jobs.get(session, cancelled.id).attempts) == (State.CANCELLED, 0)


def test_a_running_job_that_is_cancelled_ends_before_its_next_step(engine: Engine) -> None:
    begun, go_on = Event(), Event()

    def holds(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(10)
        run.progress(1, 2)
        raise AssertionError("it went on")

    job = add(engine, "long")
    with working(engine, holds):
        assert begun.wait(10)
        with transaction(engine) as session:
            assert jobs.cancel(session, job.id, NOW).state == State.CANCELLING
        assert add(engine, "long").id == job.id, "it is still at it"
        go_on.set()
        assert wait(engine, job.id, timeout=10).state == State.CANCELLED


def test_a_job_that_dies_while_it_is_cancelled_is_cancelled(engine: Engine) -> None:
    job = abandon(engine)
    with transaction(engine) as session:
        jobs.cancel(session, job.id, NOW)
    with working(engine, echo):
        assert wait(engine, job.id, timeout=10).state == State.CANCELLED


def test_a_failed_job_can_be_retried_and_no_other(engine: Engine) -> None:
    lucky: list[int] = []

    def second_time(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        lucky.append(1)
        if len(lucky) == 1:
            raise RuntimeError("no luck")
        return {}

    job = add(engine, "unlucky")
    with working(engine, second_time):
        assert wait(engine, job.id, timeout=10).state == State.FAILED
        with transaction(engine) as session:
            again = jobs.retry(session, job.id, NOW)
            assert (again.state, again.problem) == (State.QUEUED, None)
        done = wait(engine, job.id, timeout=10)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)
    for change in (jobs.retry, jobs.cancel):
        with pytest.raises(Conflict), transaction(engine) as session:
            change(session, job.id, NOW)


def test_a_job_is_not_retried_while_another_does_the_same(engine: Engine) -> None:
    first = add(engine, "same")
    with transaction(engine) as session:
        jobs.cancel(session, first.id, NOW)
    assert add(engine, "same").id != first.id
    with pytest.raises(Conflict, match="Another job does the same"), transaction(engine) as session:
        jobs.retry(session, first.id, NOW)


def test_what_happens_by_itself_happens(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    happened = Event()

    def fails(_: Service) -> None:
        raise RuntimeError("no luck")

    schedules = {"often": Schedule("* * * * * *", lambda _: happened.set()), "broken": Schedule("* * * * * *", fails)}
    with working(engine, echo, schedules):
        assert happened.wait(10)
        assert wait(engine, add(engine, "after").id, timeout=10).state == State.SUCCEEDED


def test_what_ended_long_ago_is_forgotten_by_us_and_by_the_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself: what the engine starts may ask the engine."""
    monkeypatch.setattr(worker, "TRACES_KEPT", timedelta(0))
    monkeypatch.setattr(worker, "HOURLY", "* * * * * *")
    old, waiting = add(engine, "old"), add(engine, "waiting", project_id="200", kind="holds")
    held = Event()

    def holds(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        return {"held": held.wait(60)}

    def is_forgotten() -> bool:
        with transaction(engine, read_only=True) as session:
            return session.get(Job, old.id) is None

    with working(engine, echo, holds=holds) as running:
        wait(engine, old.id, timeout=10)
        until(lambda: engine_rows(engine) == [f"{waiting.id}-1"])
        assert state(engine, old) == State.SUCCEEDED
        running._service.clock.move(NOW + worker.KEPT + timedelta(seconds=1))
        until(is_forgotten)
        held.set()
        assert wait(engine, waiting.id, timeout=10).state == State.SUCCEEDED


def until(come: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end
        time.sleep(0.02)


def engine_rows(engine: Engine) -> list[str]:
    schema = "dbos." if engine.dialect.name == "postgresql" else ""
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT workflow_uuid FROM {schema}workflow_status WHERE name = 'job'"))
        return list(rows.scalars())


def test_a_job_that_the_engine_does_not_know_is_queued_again(engine: Engine) -> None:
    queued, running = add(engine, "queued"), abandon(engine, "running")
    schema = "dbos." if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        for table in ("workflow_input", "workflow_status"):
            connection.execute(text(f"DELETE FROM {schema}{table}"))
    with working(engine, echo):
        assert [wait(engine, job.id, timeout=10).state for job in (queued, running)] == [State.SUCCEEDED] * 2


def test_the_engine_is_quiet_and_its_tables_hold_ids_only(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), transaction(engine) as session:
        jobs.add(session, "work", "secret-key", {"token": "secret-token"}, NOW)
    schema = "dbos." if engine.dialect.name == "postgresql" else ""
    with engine.connect() as connection:
        for table in ("workflow_status", "workflow_input"):
            assert "secret" not in str(connection.execute(text(f"SELECT * FROM {schema}{table}")).all())


def test_who_is_silent_or_gone_is_forgotten(engine: Engine) -> None:
    with transaction(engine) as session:
        assert workers.alive(session, "a", "there x 1", gone) == {"a"}
        assert workers.alive(session, "b", here(), gone) == {"a", "b"}
        assert workers.alive(session, "a", "there x 1", lambda place: place == here()) == {"a"}
        session.get_one(WorkerRow, "a").seen_at -= workers.SILENCE + timedelta(seconds=1)
    with transaction(engine) as session:
        assert workers.alive(session, "b", here(), gone) == {"b"}
        workers.leave(session, "b")
        assert session.exec(select(WorkerRow)).all() == []


def test_who_ends_is_forgotten_at_once(engine: Engine) -> None:
    with working(engine, echo), transaction(engine, read_only=True) as session:
        assert workers.count(session) == 1
    with transaction(engine, read_only=True) as session:
        assert workers.count(session) == 0


def test_a_process_is_gone_only_if_it_was_here() -> None:
    world = here().rpartition(" ")[0]
    assert gone(f"{world} 4194304")
    assert gone(here()), "the id is ours now, so whoever had it is gone"
    assert not gone(f"{world} 1")
    assert not gone("elsewhere 4194304")


def test_a_process_has_one_worker(engine: Engine) -> None:
    with working(engine, echo), pytest.raises(RuntimeError, match="already"), working(engine, echo):
        pass
