"""Jobs in the process: once for each key, one at a time for each project, and again after an interruption."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from app.clock import MovableClock
from app.db import transaction
from app.errors import NotFound
from app.flows.collect import Progress
from app.jobs import worker
from app.jobs.worker import Handler, Worker
from app.store import jobs
from app.store.jobs import State
from app.store.tables import Job
from tests.app.conftest import NOW
from tests.app.jobs.conftest import wait

pytestmark = pytest.mark.usefixtures("projects")


def add(engine: Engine, key: str, project_id: str = "100", kind: str = "work") -> Job:
    with transaction(engine) as session:
        return jobs.add(session, kind, key, project_id, {"key": key}, NOW)


def state(engine: Engine, job: Job) -> str:
    with transaction(engine, read_only=True) as session:
        return jobs.get(session, job.id).state


@contextmanager
def working(engine: Engine, work: Handler, **others: Handler) -> Iterator[Worker]:
    with Worker(
        engine, {"work": work, **others}, clock=MovableClock(NOW), explain=lambda error: {"detail": str(error)}
    ) as running:
        yield running


def echo(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    progress(1, 2)
    progress(2, 2)
    return dict(arguments)


def test_a_job_runs_and_leaves_its_result_and_progress(engine: Engine) -> None:
    job = add(engine, "one")
    assert job.state == State.QUEUED
    with working(engine, echo):
        done = wait(engine, job.id, timeout=10)
    assert (done.state, done.result, done.done, done.total, done.attempts) == (State.SUCCEEDED, {"key": "one"}, 2, 2, 1)


def test_a_failure_is_explained_and_does_not_stop_the_others(engine: Engine) -> None:
    def fails(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
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

    def holds(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
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
    met, together = [], Event()

    def notes(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        project = arguments["key"][0]
        met.append(project in running)
        running.add(project)
        if len(running) == 2:
            together.set()
        together.wait(10)
        running.discard(project)
        return {}

    queued = [add(engine, f"{project}{number}", f"{project}00") for number in range(3) for project in "12"]
    with working(engine, notes):
        assert all(wait(engine, job.id, timeout=20).state == State.SUCCEEDED for job in queued)
    assert together.is_set()
    assert not any(met)


def test_two_workers_on_one_database_run_each_job_once(engine: Engine) -> None:
    ran: list[str] = []

    def notes(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        ran.append(arguments["key"])
        return {}

    with working(engine, notes), working(engine, notes):
        queued = [add(engine, f"{number}", "100" if number % 2 else "200") for number in range(20)]
        for job in queued:
            wait(engine, job.id, timeout=20)
    assert sorted(ran) == sorted(job.key for job in queued)


def test_a_job_leaves_only_with_its_transaction(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"), transaction(engine) as session:
        job_id = jobs.add(session, "work", "never", "100", {}, NOW).id
        raise RuntimeError("changed my mind")
    with transaction(engine, read_only=True) as session, pytest.raises(NotFound):
        jobs.get(session, job_id)


def test_stopping_ends_a_long_job_at_its_next_progress_and_it_runs_again(engine: Engine) -> None:
    begun, attempts = Event(), []

    def long(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        attempts.append(1)
        begun.set()
        while len(attempts) == 1:
            progress(len(attempts), 100)
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

    def short(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        begun.set()
        Event().wait(0.2)
        return {}

    job = add(engine, "short")
    with working(engine, short):
        assert begun.wait(10)
    assert state(engine, job) == State.SUCCEEDED


def abandon(engine: Engine, times: int = 1) -> Job:
    """A job as a process leaves it that dies while it runs, so many times."""
    job = add(engine, "abandoned")
    for _ in range(times):
        with transaction(engine) as session:
            for left in jobs.running(session):
                jobs.requeue(session, left.id, NOW)
            assert jobs.take(session, NOW)
    return job


def test_what_a_dead_process_left_running_runs_again(engine: Engine) -> None:
    job = abandon(engine)
    assert state(engine, job) == State.RUNNING
    with working(engine, echo):
        done = wait(engine, job.id, timeout=10)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)


def test_a_job_that_kills_its_process_again_and_again_is_given_up(engine: Engine) -> None:
    job = abandon(engine, worker.MAX_ATTEMPTS)
    with working(engine, echo):
        failed = wait(engine, job.id, timeout=10)
    assert failed.state == State.FAILED
    assert failed.problem == {"detail": "The process died 3 times while it ran this job."}


def test_a_database_that_fails_for_a_moment_does_not_end_the_worker(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = jobs.take, [RuntimeError("gone"), RuntimeError("still gone")]
    monkeypatch.setattr(worker, "PAUSE", 0.01)

    def take(*arguments: Any) -> Job | None:
        if failures:
            raise failures.pop()
        return real(*arguments)

    monkeypatch.setattr(jobs, "take", take)
    job = add(engine, "patient")
    with working(engine, echo):
        assert wait(engine, job.id, timeout=10).state == State.SUCCEEDED
