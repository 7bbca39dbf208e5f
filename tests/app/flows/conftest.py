"""A project whose upstream is the sandbox, without sockets, on both databases."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from app.auth import Vault
from app.clock import MovableClock
from app.db import transaction
from app.flows.collect import CollectionResult, Progress, collect
from app.flows.reconcile import reconcile
from app.insights.client import InsightsClient, OpenTokCredentials
from app.insights.limits import ClientLimits
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.store import projects
from app.store.projects import Project
from app.store.tables import Report
from billing.period import parse_period
from tests.upstream import client_of

SECRET = "project-secret-0123456789abcdef0123456789abcdef"
WORKED = Path(__file__).parents[2] / "scenarios" / "worked-period.json"
VAULT = Vault("flows-under-test-0123456789abcdefghijklm")


@dataclass
class Office:
    """One project, its upstream, and the clock that both go by."""

    engine: Engine
    project: Project
    upstream: Upstream
    clock: MovableClock
    transport: SandboxTransport = field(init=False)

    def __post_init__(self) -> None:
        self.transport = SandboxTransport(self.upstream)

    def client(self, project: Project) -> InsightsClient:
        return client_of(project, self.clock, self.transport, limits=ClientLimits(attempts=2, backoff=0.001))

    def collect(self, period: str, progress: Progress = lambda done, total: None) -> CollectionResult:
        return collect(
            self.engine,
            self.project,
            parse_period(period).period,
            client_factory=self.client,
            clock=self.clock,
            progress=progress,
        )

    def reconcile(self, period: str) -> Report:
        return reconcile(self.engine, self.project, parse_period(period), clock=self.clock)

    def at(self, instant: str) -> None:
        self.clock.move(datetime.fromisoformat(instant))

    def change(self, **changes: Any) -> None:
        """Other terms for the project."""
        self.project = replace(self.project, **changes)


@pytest.fixture
def open_office(engine: Engine) -> Callable[..., Office]:
    """Makes an office of a dataset, at an instant."""

    def make(dataset: dict[str, Any], now: str) -> Office:
        clock = MovableClock(datetime.fromisoformat(now))
        credentials = OpenTokCredentials("100", SECRET)
        with transaction(engine) as session:
            project = projects.create(session, VAULT, Project("100", "Acme", credentials, clock.now()))
        return Office(engine, project, Upstream(Dataset.load(dataset), clock), clock)

    return make


@pytest.fixture
def worked_with(open_office: Callable[..., Office]) -> Callable[..., Office]:
    """Makes an office of the worked period, four days after its end, with faults or another kind of project."""

    def make(faults: Sequence[dict[str, Any]] = (), now: str = "2026-11-06T20:00:00Z", **project: Any) -> Office:
        dataset = json.loads(WORKED.read_text())
        dataset["faults"] = list(faults)
        dataset["projects"][0].update(project)
        return open_office(dataset, now)

    return make


@pytest.fixture
def worked(worked_with: Callable[..., Office]) -> Office:
    """The worked period, four days after its end."""
    return worked_with()
