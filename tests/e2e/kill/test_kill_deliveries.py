"""`kill -9` while webhooks are delivered: every event arrives, in order where that is asked for, and every call is recorded."""

import random
import time
from collections import Counter
from pathlib import Path

from sqlmodel import Session, col, func, select

from app.auth import Vault
from app.db import transaction
from app.store import webhooks
from app.store.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEvent
from app.webhooks.events import DEFINITIONS, EventType, emit
from app.webhooks.signing import new_secret
from tests.app.webhooks.receiver import Call, receiving
from tests.e2e.kill.machine import NOW, SECRET_KEY, Machine, machine

EVENTS, SUBJECTS, KILLS = 40, 4, 20


def slowly(call: Call) -> None:
    time.sleep(random.uniform(0, 0.05))
    call.answer(204)


def tell(session: Session, number: int) -> None:
    kind, subject = EventType.DISCREPANCY_OPENED, f"dsc_{number % SUBJECTS}"
    data = {**DEFINITIONS[kind].example, "discrepancy_id": subject, "summary": str(number)}
    emit(session, kind, project_id="100", subject=subject, data=data, now=NOW)


def counted(made: Machine) -> int:
    with transaction(made.engine, read_only=True) as session:
        return session.exec(select(func.count()).select_from(WebhookAttempt)).one()


def test_kills_while_webhooks_are_delivered(tmp_path: Path, database_url: str) -> None:
    with machine(tmp_path, database_url, ["100"]) as made, receiving(slowly) as ordered, receiving(slowly) as other:
        with transaction(made.engine) as session:
            for receiver in (ordered, other):
                given = {"url": receiver.url, "description": "", "types": None, "projects": None}
                given["ordered"] = receiver is ordered
                webhooks.create(session, Vault(SECRET_KEY), new_secret(), actor="cli", now=NOW, **given)
        for number in range(EVENTS):
            with transaction(made.engine) as session:
                tell(session, number)
        for kill in range(KILLS):
            process = made.start("worker")
            before = counted(made)
            if kill % 3:
                made.until(lambda before=before: counted(made) > before or made.states().keys() <= {"succeeded"})
            time.sleep(random.uniform(0, 0.1))
            process.kill()
            process.join()
        made.finish("worker")

        with transaction(made.engine, read_only=True) as session:
            deliveries = session.exec(select(WebhookDelivery)).all()
            events = session.exec(select(WebhookEvent).order_by(col(WebhookEvent.seq))).all()
            attempts = webhooks.attempts(session, [it.id for it in deliveries])
        assert Counter(it.state for it in deliveries) == {"delivered": 2 * EVENTS}
        calls = [call.headers["webhook-id"] for receiver in (ordered, other) for call in receiver.calls]
        assert set(calls) == {event.id for event in events}
        for receiver in (ordered, other):
            assert len({call.headers["webhook-id"] for call in receiver.calls}) == EVENTS
        of_event = {it.event_seq: 0 for it in deliveries}
        for it in deliveries:
            of_event[it.event_seq] += len(attempts[it.id])
        for event in events:
            assert event.seq is not None
            assert calls.count(event.id) <= of_event[event.seq], "every call is an attempt that is kept"
        first_seen = list(dict.fromkeys(call.headers["webhook-id"] for call in ordered.calls))
        for number in range(SUBJECTS):
            of_subject = [event.id for event in events if event.subject == f"dsc_{number}"]
            assert [it for it in first_seen if it in of_subject] == of_subject
