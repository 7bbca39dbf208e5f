"""What the jobs do: collect and reconcile the worked period, also through a process that is killed on the way."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.auth import Vault
from app.clock import MovableClock
from app.db import create_engine, transaction
from app.errors import Interrupted
from app.insights.client import InsightsClient, OpenTokCredentials
from app.insights.limits import ClientLimits
from app.jobs.work import KINDS, SCHEDULES, enqueue_collection, enqueue_reconciliation
from app.jobs.worker import Worker
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.service import Service
from app.settings import Settings
from app.store import jobs, projects, reports
from app.store.jobs import State
from app.store.projects import Project
from app.store.tables import Job, ObservationRow
from app.webhooks.sender import Sender
from billing.facts import Kind
from billing.period import parse_period, resolve
from tests.app.jobs.conftest import wait
from tests.e2e.kill.machine import processes
from tests.upstream import client_of

SECRET = "project-secret-0123456789abcdef0123456789abcdef"
DATASET = Path(__file__).parents[2] / "scenarios" / "worked-period.json"
NOW = datetime(2026, 11, 6, 20, tzinfo=UTC)
WORKED = parse_period("2026-10-31..2026-11-01")
WHOLE = 8
"""Observations of the worked period: two days of daily usage, three windows, each with a detail."""


@dataclass(frozen=True)
class Installation(Service):
    """A service whose upstream is a transport."""

    transport: httpx.BaseTransport

    def insights(self, project: Project) -> InsightsClient:
        return client_of(project, self.clock, self.transport, limits=ClientLimits(attempts=1))


def install(engine: Engine, transport: httpx.BaseTransport, clock: MovableClock) -> Installation:
    return Installation(
        Settings(_env_file=None),
        engine,
        clock,
        Vault("jobs-under-test-0123456789abcdefghijklmn"),
        Sender(development=True),
        transport,
    )


def sandbox(clock: MovableClock, **changes: Any) -> SandboxTransport:
    return SandboxTransport(Upstream(Dataset.load(json.loads(DATASET.read_text()) | changes), clock))


@pytest.fixture
def service(engine: Engine) -> Installation:
    clock = MovableClock(NOW)
    made = install(engine, sandbox(clock), clock)
    with transaction(engine) as session:
        projects.create(session, made.vault, Project("100", "Acme", OpenTokCredentials("100", SECRET), NOW))
    return made


@contextmanager
def working(service: Installation) -> Iterator[None]:
    explain = lambda error: {"detail": str(error)}  # noqa: E731  the one line that it is
    with Worker(service, KINDS, explain=explain):
        yield


def queue(service: Installation, *, reconcile: bool = False, collect: bool = True) -> Job:
    with transaction(service.engine) as session:
        if reconcile:
            return enqueue_reconciliation(session, "100", WORKED, NOW, collect_first=collect)
        return enqueue_collection(session, "100", WORKED, NOW)


def kept(engine: Engine) -> Counter[tuple[str, str]]:
    with transaction(engine, read_only=True) as session:
        return Counter((row.kind, str(row.day)) for row in session.exec(select(ObservationRow)))


def test_a_collection_tells_what_it_stored_and_what_not(service: Installation) -> None:
    job = queue(service)
    with working(service):
        done = wait(service.engine, job.id, timeout=20)
    assert (done.state, done.problem) == (State.SUCCEEDED, None)
    assert done.result == {"observations": WHOLE, "not_collected": []}
    assert (done.done, done.total) == (4, 4)


def test_a_reconciliation_collects_first_and_leaves_its_report(service: Installation) -> None:
    job = queue(service, reconcile=True)
    with working(service):
        done = wait(service.engine, job.id, timeout=20)
    assert done.result is not None, done.problem
    with transaction(service.engine, read_only=True) as session:
        assert reports.get(session, done.result["report_id"]).verdict == "balanced"


def test_a_reconciliation_without_collecting_asks_upstream_nothing(service: Installation) -> None:
    job = queue(service, reconcile=True, collect=False)
    with working(service):
        done = wait(service.engine, job.id, timeout=20)
    assert done.result is not None, done.problem
    assert set(done.result) == {"report_id"}
    with transaction(service.engine, read_only=True) as session:
        assert reports.get(session, done.result["report_id"]).verdict == "incomplete"
    assert not kept(service.engine)


def test_a_collection_that_fails_fails_the_reconciliation(engine: Engine, service: Installation) -> None:
    clock = MovableClock(NOW)
    fault = {"kind": "http", "project_id": "100", "operation": "sessionSummaries", "calls": [2], "error_code": 1005}
    broken = install(engine, sandbox(clock, faults=[fault]), clock)
    job = queue(service, reconcile=True)
    with working(broken):
        done = wait(engine, job.id, timeout=20)
    assert (done.state, done.result) == (State.FAILED, None)
    assert done.problem is not None
    assert done.problem["detail"].startswith("Not all was collected. meetings of ")
    with transaction(engine, read_only=True) as session:
        assert reports.find(session, "100", WORKED.period.first_day, WORKED.period.last_day) is None


def test_the_same_request_is_one_job_and_another_is_another(service: Installation) -> None:
    first = queue(service)
    assert queue(service).id == first.id
    assert queue(service, reconcile=True).id != queue(service, reconcile=True, collect=False).id != first.id
    with transaction(service.engine) as session:
        month = enqueue_collection(session, "100", resolve({"month": "2026-10"}), NOW)
    assert month.id != first.id


@pytest.mark.parametrize("name", ["collections", "closes"])
def test_a_process_that_is_to_end_queues_nothing_more(service: Installation, name: str) -> None:
    service.clock.move(NOW + timedelta(days=30))
    service.stopping.set()
    with pytest.raises(Interrupted):
        SCHEDULES[name].function(service)
    service.stopping.clear()
    SCHEDULES[name].function(service)
    with transaction(service.engine, read_only=True) as session:
        assert jobs.list_page(session, limit=2).items


class Killer(httpx.BaseTransport):
    """The sandbox, until a request comes at which the whole process is killed."""

    def __init__(self, inner: SandboxTransport, at: int) -> None:
        self.inner = inner
        self.left = at

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.handle_request(request)


def work_until_killed(url: str, at: int) -> None:
    """In a process of its own: run the jobs, and die at the so many-th request."""
    clock = MovableClock(NOW)
    service = install(create_engine(url), Killer(sandbox(clock), at), clock)
    with working(service), transaction(service.engine, read_only=True) as session:
        (job,) = jobs.list_page(session, limit=1).items
        wait(service.engine, job.id, timeout=20)


@pytest.mark.parametrize("at", [1, 3, 5, 7])
def test_a_killed_process_leaves_whole_days_and_its_job_to_the_next(service: Installation, database_url: str, at: int) -> None:
    job = queue(service, reconcile=True)
    process = processes.Process(target=work_until_killed, args=(database_url, at))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    with transaction(service.engine, read_only=True) as session:
        assert jobs.get(session, job.id).state == State.RUNNING
    left = kept(service.engine)
    assert {day for kind, day in left if kind == Kind.MEETINGS} == {day for kind, day in left if kind == Kind.SESSION_DETAIL}
    assert sum(1 for kind, _ in left if kind == Kind.DAILY_USAGE) in (0, 2)
    assert len(left) < WHOLE

    with working(service):
        done = wait(service.engine, job.id, timeout=20)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)
    assert (len(kept(service.engine)), set(kept(service.engine).values())) == (WHOLE, {1})
    assert done.result is not None
    with transaction(service.engine, read_only=True) as session:
        assert reports.get(session, done.result["report_id"]).verdict == "balanced"
