"""Webhooks as they are kept: endpoints, what happened, and the deliveries with their attempts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import uuid4

from sqlmodel import Session, col, select

from app.store.tables import add_missing
from app.store.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent

JOB = "delivery"
"""The kind of the job that makes an attempt: its arguments are `delivery_id` and `turn`."""


class State(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def publish(session: Session, event: WebhookEvent) -> None:
    """Keep an event, unless it is there already or nobody wants it, with a delivery to every enabled endpoint that wants it."""
    known = session.exec(select(WebhookEndpoint).where(col(WebhookEndpoint.deleted_at).is_(None))).all()
    wanting = [endpoint for endpoint in known if wants(endpoint, event)]
    if not wanting or not add_missing(session, event):
        return
    seq = session.exec(select(WebhookEvent.seq).where(WebhookEvent.id == event.id)).one()
    assert seq is not None
    deliver(session, [endpoint for endpoint in wanting if endpoint.enabled], seq, event.created_at)


def wants(endpoint: WebhookEndpoint, event: WebhookEvent) -> bool:
    """Whether an endpoint chose the event's type and one of its projects; what is about no project is for all."""
    chosen = endpoint.types is None or event.type in endpoint.types
    projects, about = endpoint.projects, event.projects
    return chosen and (projects is None or about is None or not set(projects).isdisjoint(about))


def deliver(session: Session, endpoints: Iterable[WebhookEndpoint], event_seq: int, now: datetime) -> Sequence[WebhookDelivery]:
    """New deliveries of an event, each with the job of its first attempt."""
    deliveries = [
        WebhookDelivery(
            id=f"dlv_{uuid4().hex[:24]}",
            endpoint_id=endpoint.id,
            event_seq=event_seq,
            state=State.PENDING,
            next_at=now,
            created_at=now,
            changed_at=now,
        )
        for endpoint in endpoints
    ]
    session.add_all(deliveries)
    session.flush()
    return deliveries
