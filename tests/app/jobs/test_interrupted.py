"""Jobs that are interrupted: by a process that ends or dies, or by the database. They go on after their last step."""

import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from app.db import transaction
from app.errors import Interrupted
from app.jobs import worker
from app.jobs.run import Run
from app.store import jobs
from app.store.jobs import Attempt, State
from app.store.tables import JobStep
from tests.app.conftest import NOW
from tests.app.jobs.conftest import abandon, add, echo, state, wait, working

pytestmark = pytest.mark.usefixtures("projects")


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
