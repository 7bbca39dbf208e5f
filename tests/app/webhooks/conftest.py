"""An office that tells others what happens: endpoints, events, and a worker that does the jobs when the clock says so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import col, select

from app.auth import Vault
from app.db import transaction
from app.flows.deliver import Courier, Outcome
from app.store import webhooks
from app.store.tables import Job
from app.store.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.webhooks import signing
from app.webhooks.events import DEFINITIONS, EventType, emit
from app.webhooks.sender import Answer
from tests.app.conftest import NOW

Post = Callable[[str, dict[str, str], bytes], Answer]


@dataclass
class Hand:
    """A clock that stands still until it is moved."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@dataclass
class Wire:
    """In place of a sender: notes what is sent, and gives the answers in order, the last one for ever."""

    answers: list[Answer] = field(default_factory=lambda: [Answer(3, 200, "ok")])
    sent: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.sent.append((url, headers, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


OK, BAD = Answer(3, 200, "ok"), Answer(4, 500, "no")


@dataclass
class Office:
    engine: Engine
    clock: Hand = field(default_factory=Hand)
    wire: Any = field(default_factory=Wire)
    vault: Vault = field(default_factory=lambda: Vault("a secret of the tests"))

    def endpoint(self, url: str = "https://hooks.example/", **more: Any) -> tuple[str, str]:
        """A new endpoint's id and secret."""
        secret = signing.new_secret()
        given = {"url": url, "description": "", "types": None, "projects": None, "ordered": False} | more
        with transaction(self.engine) as session:
            made = webhooks.create(session, self.vault, secret, actor="Ada (1)", now=self.clock.at, **given)
        return made.id, secret

    def change(self, endpoint_id: str, **changes: Any) -> None:
        with transaction(self.engine) as session:
            webhooks.change(session, endpoint_id, actor="Ada (1)", now=self.clock.at, expected_version=None, **changes)

    def tell(self, subject: str = "dsc_1", kind: EventType = EventType.DISCREPANCY_OPENED, **data: Any) -> None:
        said = {**DEFINITIONS[kind].example, **data}
        with transaction(self.engine) as session:
            emit(session, kind, project_id=said.get("project_id"), subject=subject, data=said, now=self.clock.at)

    @property
    def courier(self) -> Courier:
        return Courier(self.engine, self.vault, self.wire, self.clock, "https://reckoner.example", draw=lambda: 0.0)

    def attempt(self, delivery_id: str, turn: int) -> Outcome:
        return self.courier.attempt(delivery_id, turn)

    def jobs(self) -> list[Job]:
        """The jobs that are queued, the next one first."""
        with transaction(self.engine, read_only=True) as session:
            found = session.exec(select(Job).where(Job.state == "queued", Job.kind == webhooks.JOB)).all()
        return sorted(found, key=lambda job: (job.run_at or job.created_at, job.created_at))

    def work(self, until: datetime | None = None) -> int:
        """Do every job that is due until an instant, moving the clock to each; how many that were."""
        done, until = 0, until or self.clock.at
        while waiting := [job for job in self.jobs() if (job.run_at or job.created_at) <= until]:
            job = waiting[0]
            self.clock.at = max(self.clock.at, job.run_at or job.created_at)
            self.attempt(**job.arguments)
            self.end(job)
            done += 1
        self.clock.at = max(self.clock.at, until)
        return done

    def end(self, job: Job) -> None:
        with transaction(self.engine) as session:
            session.get_one(Job, job.id).state = "succeeded"

    def days(self, count: float) -> int:
        return self.work(self.clock.at + timedelta(days=count))

    def see_endpoint(self, endpoint_id: str) -> WebhookEndpoint:
        with transaction(self.engine, read_only=True) as session:
            return session.get_one(WebhookEndpoint, endpoint_id)

    def deliveries(self, endpoint_id: str | None = None) -> list[WebhookDelivery]:
        """In the order of what happened."""
        statement = select(WebhookDelivery).order_by(col(WebhookDelivery.event_seq))
        if endpoint_id:
            statement = statement.where(WebhookDelivery.endpoint_id == endpoint_id)
        with transaction(self.engine, read_only=True) as session:
            return list(session.exec(statement).all())

    def states(self, endpoint_id: str | None = None) -> list[str]:
        return [it.state for it in self.deliveries(endpoint_id)]

    def attempts(self, delivery_id: str) -> list[WebhookAttempt]:
        with transaction(self.engine, read_only=True) as session:
            return list(webhooks.attempts(session, [delivery_id])[delivery_id])

    def events(self) -> list[WebhookEvent]:
        with transaction(self.engine, read_only=True) as session:
            return list(session.exec(select(WebhookEvent).order_by(col(WebhookEvent.seq))).all())


@pytest.fixture
def office(engine: Engine, projects: None) -> Office:
    return Office(engine)
