"""A small world in which everything happens: projects are collected and closed, their customers invoiced, and two receivers
told of it, one of them in order. And what must be true of it afterwards, whatever was killed."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from uuid import uuid4

import httpx
from sqlmodel import col, func, select

from app.auth import Vault
from app.db import transaction
from app.flows.verify import verify_all
from app.insights.client import OpenTokCredentials
from app.jobs.work import COLLECTION, enqueue_close, enqueue_collection
from app.store import ownership, projects, rate_cards, webhooks
from app.store.close_tables import Close
from app.store.money_tables import AuditEntry, Invoice
from app.store.projects import Project
from app.store.tables import Job, ObservationRow, Report
from app.store.webhook_tables import WebhookDelivery, WebhookEvent
from app.webhooks.events import DEFINITIONS, EventType, emit
from app.webhooks.signing import new_secret
from billing.period import parse_period
from tests.app.flows.books import CARD
from tests.app.money import add_customer, add_entity
from tests.app.webhooks.receiver import Call, Receiver, receiving
from tests.e2e.conftest import ADMIN
from tests.e2e.kill.machine import NOW, SECRET_KEY, WORKED, Machine, machine

PERIOD = parse_period("2026-10-31..2026-11-01")
WHOLE = 8
"""Observations of the worked period: two days of daily usage, three windows, each with a detail."""
SUBJECTS = 4
"""What is told besides is about so many things."""
VAULT = Vault(SECRET_KEY)


@dataclass
class Taker:
    """Answers after a while, and refuses one call in ten; `taken` are the ids of the events that it did not refuse."""

    taken: list[str] = field(default_factory=list)

    def __call__(self, call: Call) -> None:
        time.sleep(random.uniform(0, 0.02))
        if random.random() < 0.1:
            call.answer(503)
        else:
            self.taken.append(call.headers["webhook-id"])
            call.answer(204)


@dataclass
class World:
    """The machine, who is told, and what was asked for: the customer of each project and the closes."""

    made: Machine
    ordered: Receiver
    other: Receiver
    entity_id: str
    ids: Iterator[str]
    customers: dict[str, str] = field(default_factory=dict)
    closing: set[str] = field(default_factory=set)
    told: dict[str, list[str]] = field(default_factory=dict)

    def add(self) -> str:
        """One more project with a customer of its own, to be collected."""
        project_id, vault = next(self.ids), VAULT
        secret = str(WORKED["projects"][0]["secret"])
        with transaction(self.made.engine) as session:
            customer = add_customer(session, self.entity_id, f"Customer of {project_id}", rate_card_id=CARD["id"])
            projects.create(session, vault, Project(project_id, "Acme", OpenTokCredentials(project_id, secret), NOW))
            ownership.assign_project(session, project_id, customer.id, actor="cli", now=NOW)
            enqueue_collection(session, project_id, PERIOD, NOW)
        self.customers[project_id] = customer.id
        return project_id

    def close(self) -> bool:
        """Ask for the close of what is collected; whether nothing is left to collect, to close or to deliver."""
        with transaction(self.made.engine, read_only=True) as session:
            collected = session.exec(select(Job.project_id).where(Job.kind == COLLECTION, Job.state == "succeeded")).all()
        for project_id in {it for it in collected if it} - self.closing:
            with transaction(self.made.engine) as session:
                enqueue_close(session, project_id, PERIOD.period, NOW, actor="cli")
            self.closing.add(project_id)
        return not self.made.unfinished()

    def tell(self, number: int) -> None:
        """Something else that happened."""
        kind, subject = EventType.DISCREPANCY_OPENED, f"dsc_{number % SUBJECTS}"
        data = {**DEFINITIONS[kind].example, "discrepancy_id": subject, "summary": str(number)}
        with transaction(self.made.engine) as session:
            emit(session, kind, project_id="100", subject=subject, data=data, now=NOW)
        self.told.setdefault(subject, []).append(str(number))

    def to_issue(self) -> list[str]:
        """The invoices that are not issued yet."""
        with transaction(self.made.engine, read_only=True) as session:
            return list(session.exec(select(Invoice.id).where(Invoice.status != "finalized")))

    @contextmanager
    def issuing(self, address: str) -> Iterator[None]:
        """Approve and finalize what there is over REST, several at once. In the end, the service may be dead."""
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client, ThreadPoolExecutor(3) as pool:
            clients = [pool.submit(issue, client, it) for it in self.to_issue() if address]
            yield
        for it in clients:
            it.result()


def issue(client: httpx.Client, invoice_id: str) -> None:
    """What is to be done next is what the invoice says: an answer may have been lost."""
    with suppress(httpx.TransportError):
        for _ in range(2):
            it = client.get(f"/v1/invoices/{invoice_id}").json()
            step = {"draft": "approve", "approved": "finalize"}.get(it["status"])
            if step is None:
                return
            key = {"Idempotency-Key": uuid4().hex}
            answer = client.post(f"/v1/invoices/{invoice_id}/{step}", json={"version": it["version"]}, headers=key)
            assert answer.status_code == 200, answer.text


@contextmanager
def world(folder: Path, url: str, most: int) -> Iterator[World]:
    """A world without a project yet, which can have so many."""
    ids = [str(100 + number) for number in range(most)]
    with machine(folder, url, ids) as made, receiving(Taker()) as ordered, receiving(Taker()) as other:
        with transaction(made.engine) as session:
            rate_cards.publish(session, CARD, NOW, actor="cli")
            entity = add_entity(session)
            for receiver in (ordered, other):
                given = {"url": receiver.url, "description": "", "types": None, "projects": None}
                given["ordered"] = receiver is ordered
                webhooks.create(session, VAULT, new_secret(), actor="cli", now=NOW, **given)
        yield World(made, ordered, other, entity.id, iter(ids))


def finish(world: World) -> None:
    """Let one more process do what is left, issue all invoices, and end it as an operator does."""
    process, address = world.made.start("serve")
    while not (world.close() and not world.to_issue()):
        with world.issuing(address):
            world.made.until(world.close)
    assert world.made.end(process) != -SIGKILL


def assert_whole(world: World) -> None:
    """Nothing is missing and nothing doubled."""
    made = world.made
    assert set(made.states()) == {"succeeded"}, made.failures()
    with transaction(made.engine, read_only=True) as session:
        days = Counter(session.exec(select(ObservationRow.project_id, ObservationRow.kind, ObservationRow.day)))
        reports = {it.project_id: it.id for it in session.exec(select(Report)) if (it.version, it.verdict) == (1, "balanced")}
        closes = session.exec(select(Close)).all()
        invoices = session.exec(select(Invoice).order_by(col(Invoice.number))).all()
        audited = Counter(session.exec(select(AuditEntry.subject, AuditEntry.action)))
        events = session.exec(select(WebhookEvent).order_by(col(WebhookEvent.seq))).all()
        deliveries = session.exec(select(WebhookDelivery)).all()
        attempts = webhooks.attempts(session, [it.id for it in deliveries])
        versions = session.exec(select(func.count()).select_from(Report)).one()

    assert set(days.values()) == {1}
    assert Counter(project_id for project_id, _, _ in days) == dict.fromkeys(world.customers, WHOLE)
    assert (reports.keys(), versions) == (world.customers.keys(), len(world.customers))

    invoice_of = {it.customer_id: it for it in invoices}
    assert len(invoices) == len(invoice_of) == len(world.customers)
    assert {(it.project_id, it.state, it.report_id, *it.invoice_ids) for it in closes} == {
        (project_id, "closed", reports[project_id], invoice_of[customer_id].id)
        for project_id, customer_id in world.customers.items()
    }
    assert len(closes) == len(world.customers)
    assert [it.number for it in invoices] == [f"ACME-2026-{place:05}" for place in range(1, len(invoices) + 1)]
    for it in invoices:
        done = {action: times for (subject, action), times in audited.items() if subject == it.id}
        assert done == {"invoice.drafted": 1, "invoice.approved": 1, "invoice.finalized": 1}
    assert verify_all(made.engine) == []

    said: dict[str, list[str]] = {}
    for event in events:
        said.setdefault(event.subject, []).append(event.type)
    assert said == {
        **{
            f"{project_id} {PERIOD.period.first_day}..{PERIOD.period.last_day}": ["reconciliation.completed"]
            for project_id in world.customers
        },
        **{it.id: ["invoice.drafted", "invoice.finalized"] for it in invoices},
        **{subject: ["discrepancy.opened"] * len(numbers) for subject, numbers in world.told.items()},
    }
    assert Counter(it.state for it in deliveries) == {"delivered": 2 * len(events)}
    made_of = Counter({it.event_seq: 0 for it in deliveries})
    for it in deliveries:
        made_of[it.event_seq] += len(attempts[it.id])
    called = Counter(call.headers["webhook-id"] for receiver in (world.ordered, world.other) for call in receiver.calls)
    for event in events:
        assert called[event.id] <= made_of[event.seq or 0], "every call is an attempt that is kept"
    for receiver in (world.ordered, world.other):
        assert set(taken_by(receiver)) == {event.id for event in events}
    first = list(dict.fromkeys(taken_by(world.ordered)))
    for subject in said:
        of_subject = [event.id for event in events if event.subject == subject]
        assert [it for it in first if it in of_subject] == of_subject, f"{subject} was told out of order"


def taken_by(receiver: Receiver) -> list[str]:
    assert isinstance(receiver.behaviour, Taker)
    return receiver.behaviour.taken
