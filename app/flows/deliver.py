"""Delivering webhooks: one attempt at a time, each a job, until the receiver has taken it or patience ends.

A job may make its attempt twice, so a receiver may get an event twice, with the same `webhook-id`; it is never lost.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

from sqlalchemy.engine import Engine
from sqlmodel import Session

from app import tracing
from app.auth import Vault
from app.clock import Clock
from app.db import transaction
from app.errors import Conflict, InvalidRequest, Unavailable
from app.store import webhooks
from app.store.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.store.webhooks import State
from app.webhooks import events, signing
from app.webhooks.events import TEST, EventType
from app.webhooks.schedule import PATIENCE, next_attempt
from app.webhooks.sender import Answer, Sender
from billing.report import instant

AT_ONCE = 1000
"""Events that are delivered again by one request."""
IN_ONE_JOB = 100
"""Attempts that follow the one of a job."""
KEPT = timedelta(days=90)
"""How long a delivery can be looked at after it was written, and an event be delivered again."""
OVERDUE = timedelta(minutes=10)
"""A delivery whose job has not run by then has lost it, most likely."""


@dataclass(frozen=True)
class Outcome:
    """What came of a turn: whether there was an attempt, whether the receiver took it, and when the next one is due."""

    made: bool
    taken: bool = False
    following: datetime | None = None


@dataclass(frozen=True)
class _Call:
    """What an attempt sends."""

    number: int
    event_id: str
    url: str
    body: bytes
    secrets: list[str] | None
    """None where they cannot be read."""


@dataclass(frozen=True)
class Courier:
    """Who delivers: with what, by which clock, and with which luck in what is left to chance."""

    engine: Engine
    vault: Vault
    sender: Sender
    clock: Clock
    public_url: str
    draw: Callable[[], float] = random.random

    def attempt(self, delivery_id: str, turn: int) -> Outcome:
        """Make the attempt whose turn it is. One that comes late, or before its turn where the order counts, does nothing.

        Raises NotFound.
        """
        # Should the machine go down with what is written here, the attempt is made again all the same.
        with transaction(self.engine, durable=False) as session:
            call = _begin(session, self.vault, delivery_id, turn, self.clock.now(), self.public_url)
        if call is None:
            return Outcome(made=False)

        if call.secrets is None:
            answer = Answer(0, error="The secret was encrypted with another RECKONER_SECRET_KEY: rotate it.")
        else:
            headers = signing.headers(call.secrets, call.event_id, self.clock.now(), call.body)
            with tracing.span("webhook", delivery_id=delivery_id, host=urlsplit(call.url).hostname or ""):
                answer = self.sender.post(call.url, headers, call.body)

        with transaction(self.engine) as session:
            following = _end(session, delivery_id, turn, call, answer, self.clock.now(), self.draw())
        return Outcome(made=True, taken=answer.is_success, following=following)

    def round(self, delivery_id: str, turn: int, stopping: Callable[[], bool]) -> Outcome:
        """Make an attempt, and as long as the endpoint takes what it is sent, those that are due there as well: from one job to
        the next takes longer than from one attempt to the next. Their own jobs find nothing to do. Raises NotFound."""
        first = outcome = self.attempt(delivery_id, turn)
        for _ in range(IN_ONE_JOB):
            if stopping() or (outcome.made and not outcome.taken):
                break
            with transaction(self.engine, read_only=True) as session:
                following = webhooks.next_due(session, delivery_id, self.clock.now())
            if following is None:
                break
            outcome = self.attempt(following.id, following.turn)
        return first


def _begin(session: Session, vault: Vault, delivery_id: str, turn: int, now: datetime, public_url: str) -> _Call | None:
    endpoint, delivery, event = webhooks.delivery(session, delivery_id, lock=True)
    if delivery.state != State.PENDING or delivery.turn != turn:
        return None
    if not endpoint.enabled and event.type != TEST:
        webhooks.put(session, delivery, now, state=State.FAILED, next_at=None)
        return None
    if endpoint.ordered and event.type != TEST and webhooks.of_subject(session, endpoint, event.subject) is not delivery:
        webhooks.put(session, delivery, now, next_at=None)  # the one before it will call it up
        return None
    number = webhooks.begin_attempt(session, delivery, now)
    try:
        secrets = webhooks.secrets(vault, endpoint, now)
    except Unavailable:
        secrets = None
    return _Call(number, event.id, endpoint.url, events.body(event, public_url), secrets)


def _end(
    session: Session, delivery_id: str, turn: int, call: _Call, answer: Answer, now: datetime, draw: float
) -> datetime | None:
    endpoint, delivery, event = webhooks.delivery(session, delivery_id, lock=True)
    outcome = {"milliseconds": answer.milliseconds, "status": answer.status, "answer": answer.text, "error": answer.error}
    webhooks.end_attempt(session, delivery_id, call.number, **outcome)
    following = None
    if answer.is_success:
        webhooks.put(session, delivery, now, state=State.DELIVERED, next_at=None)
    elif delivery.state == State.PENDING and delivery.turn == turn:
        tries = delivery.tries + 1
        following = None if event.type == TEST else next_attempt(tries, now, answer.retry_after, draw)
        if following:
            webhooks.due(session, delivery, following, now, tries=tries)
        else:
            webhooks.put(session, delivery, now, state=State.FAILED, tries=tries, next_at=None)
    # Meanwhile it may have been given another address, of which this answer says nothing.
    if event.type != TEST and endpoint.enabled and endpoint.url == call.url:
        following = following if _is_kept(session, endpoint, answer, now) else None
    if endpoint.ordered and following is None:
        _call_up(session, endpoint, event.subject, now)
    return following


def _is_kept(session: Session, endpoint: WebhookEndpoint, answer: Answer, now: datetime) -> bool:
    """Whether the endpoint stays enabled after this answer."""
    failing = webhooks.note_outcome(session, endpoint, failed=not answer.is_success, now=now)
    if answer.status == 410:
        reason = "It answered 410: it is gone."
    elif endpoint.failing_since is not None and failing >= PATIENCE:
        reason = f"Every attempt since {instant(endpoint.failing_since)} failed, for {PATIENCE.days} days."
    else:
        return True
    data = {"endpoint_id": endpoint.id, "endpoint_url": endpoint.url, "reason": reason, "disabled_at": instant(now)}
    webhooks.disable(session, endpoint, reason, now)
    events.emit(session, EventType.ENDPOINT_DISABLED, project_id=None, subject=endpoint.id, data=data, now=now)
    return False


def _call_up(session: Session, endpoint: WebhookEndpoint, subject: str, now: datetime) -> None:
    """Let the next delivery about the subject go, if it has been held up."""
    waiting = webhooks.of_subject(session, endpoint, subject)
    if waiting and waiting.next_at is None:
        webhooks.due(session, waiting, now, now, tries=waiting.tries)


def redeliver(session: Session, delivery_id: str, *, now: datetime) -> WebhookDelivery:
    """Deliver it again, or now if it is still tried. Raises NotFound, or Conflict where its endpoint is not enabled."""
    endpoint, delivery, event = webhooks.delivery(session, delivery_id, lock=True)
    _require_enabled(endpoint)
    if event.type == TEST:
        raise Conflict("A test is not delivered again: make another.")
    webhooks.due(session, delivery, now, now, tries=0)
    return delivery


def redeliver_since(
    session: Session, endpoint_id: str, since: datetime, until: datetime | None = None, *, now: datetime
) -> int:
    """Deliver to an endpoint, again or for the first time, all that it wants of what happened from `since` on, before `until`;
    how many that are. What is still tried stays as it is. Raises NotFound, Conflict, or InvalidRequest for too many or for
    instants in the wrong order.
    """
    if until is not None and until <= since:
        raise InvalidRequest("The end is not after the beginning", pointer="/until", expected="an instant after `since`")
    endpoint = webhooks.get(session, endpoint_id, lock=True)
    _require_enabled(endpoint)
    wanted: list[int] = []
    for event in webhooks.events_between(session, since, until or now + timedelta(microseconds=1)):
        if event.type == TEST or not webhooks.wants(endpoint, event) or event.seq is None:
            continue
        if len(wanted) == AT_ONCE:
            raise InvalidRequest(
                f"More than {AT_ONCE} events happened between these instants.",
                pointer="/until",
                expected=f"at most {instant(event.created_at)}; then the rest from there",
            )
        wanted.append(event.seq)
    held, count = webhooks.held(session, endpoint_id, wanted), 0
    for seq in wanted:
        delivery = held.get(seq)
        if delivery is None:
            webhooks.deliver(session, endpoint, seq, now)
        elif delivery.state != State.PENDING:
            webhooks.due(session, delivery, now, now, tries=0)
        else:
            continue
        count += 1
    return count


def send_test(session: Session, endpoint_id: str, *, now: datetime) -> WebhookDelivery:
    """A delivery for an endpoint's trial, of which the caller makes the only attempt. Raises NotFound."""
    endpoint = webhooks.get(session, endpoint_id)
    event = WebhookEvent(
        id=f"evt_{uuid4().hex[:24]}",
        type=TEST,
        subject=endpoint.id,
        projects=[],
        data={"endpoint_id": endpoint.id},
        created_at=now,
    )
    seq = webhooks.keep(session, event)
    assert seq is not None
    return webhooks.deliver(session, endpoint, seq, now, queue=False)


def tidy(session: Session, now: datetime) -> None:
    """Give a job to each delivery that has lost its own, and forget what ended long ago. To be done every minute."""
    for delivery in webhooks.overdue(session, now - OVERDUE, limit=AT_ONCE):
        webhooks.enqueue(session, delivery, now)
    webhooks.forget(session, now - KEPT)


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise Conflict(f"The webhook endpoint {endpoint.id} is not enabled: {endpoint.reason}")
