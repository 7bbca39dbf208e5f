"""Jobs: once for each key, one at a time for each project, again after an interruption, ended or begun again by hand."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from app.auth import Scope, Vault
from app.clock import MovableClock
from app.db import transaction
from app.errors import Conflict, Interrupted, NotFound
from app.jobs import worker
from app.jobs.run import Run
from app.jobs.work import Kind, Schedule
from app.jobs.worker import Worker, gone, here
from app.service import Service
from app.settings import Settings
from app.store import jobs, workers
from app.store.jobs import Attempt, State
from app.store.tables import Job, JobStep, WorkerRow
from app.webhooks.sender import Sender
from tests.app.conftest import NOW
from tests.app.jobs.conftest import wait

pytestmark = pytest.mark.usefixtures("projects")


def add(engine: Engine, key: str, project_id: str | None = "100", kind: str = "work") -> Job:
    with transaction(engine) as session:
        return jobs.add(session, kind, key, {"key": key}, NOW, project_id=project_id)


def state(engine: Engine, job: Job) -> str:
    with transaction(engine, read_only=True) as session:
        return jobs.get(session, job.id).state


Handler = Callable[[Mapping[str, Any], Run], dict[str, Any]]


@contextmanager
def working(
    engine: Engine, work: Handler, schedules: Mapping[str, Schedule] | None = None, **others: Handler
) -> Iterator[Worker]:
    vault = Vault("jobs-under-test-0123456789abcdefghijklmn")
    service = Service(Settings(_env_file=None), engine, MovableClock(NOW), vault, Sender(development=True))
    kinds = {
        name: Kind(lambda _, arguments, run, handler=handler: handler(arguments, run), Scope.ADMIN)
        for name, handler in {"work": work, **others}.items()
    }
    with Worker(service, kinds, schedules, explain=lambda error: {"detail": str(error)}) as running:
        yield running


def echo(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    run.progress(1, 2)
    run.progress(2, 2)
    return dict(arguments)


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


def test_stopping_ends_a_long_job_at_its_next_progress_and_it_runs_again(engine: Engine) -> None:
    begun, attempts = Event(), []

    def long(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        attempts.append(1)
        begun.set()
        while len(attempts) == 1:
            run.progress(len(attempts), 100)
            Event().wait(0.01)
        return {"attempts": len(attempts)}

    job = add(engine, "long")
    with working(engine, long):
        assert begun.wait(10)
    assert state(engine, job) == State.QUEUED
    with working(engine, long):
        assert wait(engine, job.id, timeout=10).result == {"attempts": 2}


def test_stopping_lets_a_job_without_progress_end(engine: Engine) -> None:
    begun = Event()

    def short(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        begun.set()
        Event().wait(0.2)
        return {}

    job = add(engine, "short")
    with working(engine, short):
        assert begun.wait(10)
    assert state(engine, job) == State.SUCCEEDED


def abandon(engine: Engine, key: str = "abandoned", times: int = 1) -> Job:
    """A job as a process leaves it that dies while it runs, so many times; the engine may know of it or not."""
    job = add(engine, key)
    for _ in range(times):
        with transaction(engine) as session:
            assert jobs.begin(session, job.id, job.queued, NOW)
    return job


def test_what_a_dead_process_left_running_runs_again(engine: Engine) -> None:
    job = abandon(engine)
    assert state(engine, job) == State.RUNNING
    with working(engine, echo):
        done = wait(engine, job.id, timeout=10)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)


def test_a_job_that_kills_its_process_again_and_again_is_given_up(engine: Engine) -> None:
    job = abandon(engine, times=worker.MAX_LOSSES + 1)
    with working(engine, echo):
        failed = wait(engine, job.id, timeout=10)
    assert failed.state == State.FAILED
    assert failed.problem == {"detail": f"The process died {worker.MAX_LOSSES + 1} times while it ran this job."}


def test_a_job_lets_one_go_first_that_was_lost_while_it_ran(engine: Engine) -> None:
    lost, other = abandon(engine, "lost"), add(engine, "other")
    with transaction(engine) as session:
        assert jobs.begin(session, other.id, 1, NOW) is None
    with transaction(engine, read_only=True) as session:
        behind = jobs.get(session, other.id)
    assert (behind.state, behind.queued, behind.attempts, behind.run_at) == (State.QUEUED, 2, 0, NOW + jobs.BEHIND)
    with working(engine, echo):
        assert [wait(engine, job.id, timeout=10).state for job in (lost, other)] == [State.SUCCEEDED] * 2


def test_a_step_that_was_done_says_that_the_job_goes_forward(engine: Engine) -> None:
    job = abandon(engine, times=worker.MAX_LOSSES + 1)
    with transaction(engine) as session:
        jobs.record_step(session, Attempt(job.id, worker.MAX_LOSSES + 1), "one", [1])
    with working(engine, echo):
        assert wait(engine, job.id, timeout=10).state == State.SUCCEEDED


def test_what_was_queued_before_it_was_queued_again_does_nothing(engine: Engine) -> None:
    job = abandon(engine)
    with transaction(engine) as session:
        jobs.let_go(session, Attempt(job.id, 1), NOW)
    with transaction(engine) as session:
        assert jobs.begin(session, job.id, 1, NOW) is None
        assert jobs.begin(session, job.id, 2, NOW)


def test_a_job_knows_the_steps_that_it_did_before(engine: Engine) -> None:
    done: list[str] = []

    def steps(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        for name in ("one", "two", "three"):
            if run.done(name) is None:
                with transaction(engine) as session:
                    run.record(session, name, [name])
                done.append(name)
                if name == "two" and len(done) == 2:
                    raise Interrupted
        return {name: run.done(name) for name in ("one", "two")}

    job = add(engine, "steps")
    with working(engine, steps):
        assert wait(engine, job.id, timeout=10).result == {"one": ["one"], "two": ["two"]}
    assert done == ["one", "two", "three"]
    with transaction(engine, read_only=True) as session:
        assert session.exec(select(JobStep)).all() == []


def test_a_step_is_undone_with_its_transaction(engine: Engine) -> None:
    job = abandon(engine)
    with pytest.raises(RuntimeError, match="no luck"), transaction(engine) as session:
        jobs.record_step(session, Attempt(job.id, 1), "one", [])
        raise RuntimeError("no luck")
    with transaction(engine, read_only=True) as session:
        assert jobs.steps(session, Attempt(job.id, 1)) == {}


def test_who_was_thought_dead_can_write_nothing_any_more(engine: Engine) -> None:
    job = abandon(engine, times=2)
    writes: list[Callable[[Any, Attempt], object]] = [
        lambda session, attempt: jobs.record_step(session, attempt, "one", []),
        lambda session, attempt: jobs.progress(session, attempt, 1, 2, NOW),
        lambda session, attempt: jobs.succeed(session, attempt, {}, NOW),
        lambda session, attempt: jobs.fail(session, attempt, {}, NOW),
        lambda session, attempt: jobs.let_go(session, attempt, NOW),
    ]
    for write in writes:
        with pytest.raises(Interrupted), transaction(engine) as session:
            write(session, Attempt(job.id, 1))
    with transaction(engine) as session:
        jobs.succeed(session, Attempt(job.id, 2), {}, NOW)


def test_a_database_that_fails_for_a_moment_does_not_end_the_worker(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = {name: getattr(jobs, name) for name in ("begin", "succeed")}
    failures = {name: [OperationalError("", {}, Exception("gone"))] * 2 for name in real}
    monkeypatch.setattr(worker, "PAUSE", 0.01)
    for name in real:

        def stumbles(*arguments: Any, name: str = name) -> Any:
            if failures[name]:
                raise failures[name].pop()
            return real[name](*arguments)

        monkeypatch.setattr(jobs, name, stumbles)
    job = add(engine, "patient")
    with working(engine, echo):
        assert wait(engine, job.id, timeout=10).state == State.SUCCEEDED


def test_a_job_that_meets_a_passing_failure_of_the_database_runs_again(engine: Engine) -> None:
    tried: list[float] = []

    def stumbles(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        tried.append(time.monotonic())
        if len(tried) == 1:
            raise OperationalError("", {}, Exception("deadlock"))
        return {}

    job = add(engine, "stumbles")
    with working(engine, stumbles):
        done = wait(engine, job.id, timeout=10)
    assert (done.state, done.attempts, done.losses) == (State.SUCCEEDED, 2, 1)
    assert tried[1] - tried[0] >= 1, "not at once"


def test_a_job_that_only_meets_failures_of_the_database_is_given_up(engine: Engine) -> None:
    def stumbles(arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        raise OperationalError("", {}, Exception("always"))

    job = abandon(engine, times=worker.MAX_LOSSES)
    with working(engine, stumbles):
        failed = wait(engine, job.id, timeout=10)
    assert (failed.state, failed.attempts) == (State.FAILED, worker.MAX_LOSSES + 1)
    assert "always" in str(failed.problem)


def test_a_job_waits_longer_each_time_it_stumbles(engine: Engine) -> None:
    job, pauses = add(engine, "stumbles"), []
    for number in range(1, 9):
        with transaction(engine) as session:
            begun = jobs.begin(session, job.id, number, NOW)
            assert begun
            jobs.let_go(session, Attempt(job.id, number), NOW, stumbled=True)
            assert begun.run_at
            pauses.append((begun.run_at - NOW).total_seconds())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


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
