"""Webhook deliveries: what was sent where, every attempt, and sending it again."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from app.api.access import Administers, Operation
from app.api.schemas import NOT_FOUND, OUR_ID, READS, WRITES, Cursor, Instant, Limit, Nothing, Page
from app.db import transaction
from app.flows import deliver
from app.service import Service
from app.store import webhooks
from app.store.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEvent
from app.store.webhooks import State
from app.webhooks import events
from app.webhooks.events import EventType

router = APIRouter(prefix="/webhook-deliveries", tags=["webhooks"], route_class=Operation)

InPath = Annotated[str, Path(pattern=OUR_ID, description="A webhook delivery's id")]


class Attempt(BaseModel):
    """One attempt: `status` is null where there was no answer, `answer` is its first kilobyte, and `error` what went wrong.

    `milliseconds` is null while it is made, or where its process ended before it did.
    """

    number: int
    at: Instant
    milliseconds: int | None
    status: int | None
    answer: str
    error: str


class Listed(BaseModel):
    """An event on its way to an endpoint; `next_attempt_at` is null where there is none, or where one before it comes first."""

    id: str
    endpoint_id: str
    event_id: str = Field(description="The header `webhook-id`, the same at every attempt and every endpoint")
    type: str
    subject: str
    state: State
    next_attempt_at: Instant | None
    created_at: Instant
    changed_at: Instant

    @classmethod
    def fields(cls, delivery: WebhookDelivery, event: WebhookEvent) -> dict[str, Any]:
        """What the JSON of a delivery says."""
        of_event = {"event_id": event.id, "type": event.type, "subject": event.subject}
        return {**delivery.model_dump(), **of_event, "next_attempt_at": delivery.next_at}


class Delivery(Listed):
    """A delivery with the body that is sent and its attempts, the first one first."""

    body: str = Field(description="As it is sent and signed")
    attempts: list[Attempt]


def _whole(service: Service, delivery: WebhookDelivery, event: WebhookEvent, attempts: Sequence[WebhookAttempt]) -> Delivery:
    body = events.body(event, service.settings.public_url or "").decode()
    told = [Attempt.model_validate(it, from_attributes=True) for it in attempts]
    return Delivery(**Listed.fields(delivery, event), body=body, attempts=told)


def read(service: Service, delivery_id: str) -> Delivery:
    """The JSON of a delivery. Raises NotFound."""
    with transaction(service.engine, read_only=True) as session:
        _, delivery, event = webhooks.delivery(session, delivery_id)
        return _whole(service, delivery, event, webhooks.attempts(session, [delivery_id])[delivery_id])


def tried(service: Service, delivery: WebhookDelivery) -> Delivery:
    """The JSON of a delivery whose only attempt is made here and now."""
    service.courier.attempt(delivery.id, delivery.turn)
    return read(service, delivery.id)


@router.get("", summary="List webhook deliveries", responses=READS)
def list_webhook_deliveries(
    service: Administers,
    endpoint_id: Annotated[str | None, Query(pattern=OUR_ID, description="Only those to this endpoint")] = None,
    state: Annotated[State | None, Query(description="Only those in this state")] = None,
    type: Annotated[  # noqa: A002  the word of the body
        EventType | None, Query(description="Only those of events of this type")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Listed]:
    """Deliveries of the last 90 days and what is still pending, newest first. What `failed` was given up: it can be asked for
    again."""
    with transaction(service.engine, read_only=True) as session:
        page, told = webhooks.deliveries(session, endpoint_id=endpoint_id, state=state, type=type, limit=limit, cursor=cursor)
    items = [Listed(**Listed.fields(it, told[it.event_seq])) for it in page.items]
    return Page(items=items, next_cursor=page.next_cursor)


@router.get("/{delivery_id}", summary="Read a webhook delivery", responses=READS | NOT_FOUND)
def get_webhook_delivery(service: Administers, delivery_id: InPath) -> Delivery:
    """One delivery with its body and every attempt."""
    return read(service, delivery_id)


@router.post("/{delivery_id}/redeliver", summary="Deliver again", responses=WRITES | NOT_FOUND)
def redeliver_webhook(service: Administers, delivery_id: InPath, _: Nothing) -> Delivery:
    """Send it again, at once and then over days as the first time, with the same `webhook-id`."""
    with transaction(service.engine) as session:
        deliver.redeliver(session, delivery_id, now=service.clock.now())
    return read(service, delivery_id)
