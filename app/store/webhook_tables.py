"""The tables of webhooks: who is told what, what happened, and every attempt to tell it."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.store.columns import Instant

_PENDING = text("state = 'pending'")
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts on only in a column of this type."""


class WebhookEndpoint(SQLModel, table=True):
    """Where events are sent: `types` and `projects` None are all, also those to come.

    `secrets` are encrypted by `app.auth.Vault`, the newest first: `sealed`, and `until` when a replaced one counts. A deleted
    endpoint stays for the sake of its deliveries, without a secret.
    """

    __tablename__ = "webhook_endpoints"

    id: str = Field(primary_key=True)
    url: str = Field(sa_type=Text)
    description: str
    types: list[str] | None = Field(sa_type=JSON(none_as_null=True))
    projects: list[str] | None = Field(sa_type=JSON(none_as_null=True))
    ordered: bool
    enabled: bool
    reason: str = ""
    failing_since: datetime | None = Field(default=None, sa_type=Instant)
    secrets: list[dict[str, Any]] = Field(sa_type=JSON, repr=False)
    version: int = 1
    created_at: datetime = Field(sa_type=Instant)
    changed_at: datetime = Field(sa_type=Instant)
    deleted_at: datetime | None = Field(default=None, sa_type=Instant)


class WebhookEvent(SQLModel, table=True):
    """What happened; `projects` None is the whole installation. Its id follows from what it says, so it is kept once."""

    __tablename__ = "webhook_events"

    seq: int | None = Field(default=None, primary_key=True, sa_type=_NUMBER)
    id: str = Field(unique=True)
    type: str
    subject: str
    projects: list[str] | None = Field(sa_type=JSON(none_as_null=True))
    data: dict[str, Any] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=Instant, index=True)


class WebhookDelivery(SQLModel, table=True):
    """An event on its way to an endpoint, in the order of `event_seq`.

    `turn` is the number of the attempt that is due, and only the job with that number makes it; `tries` counts the attempts
    since it was last asked for, which decides when the next one is.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_seq"),
        Index("ix_webhook_deliveries_pending", "endpoint_id", "event_seq", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index("ix_webhook_deliveries_newest", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    endpoint_id: str = Field(foreign_key="webhook_endpoints.id")
    event_seq: int = Field(foreign_key="webhook_events.seq", sa_type=_NUMBER, index=True)
    state: str
    turn: int = 1
    tries: int = 0
    next_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    changed_at: datetime = Field(sa_type=Instant)


class WebhookAttempt(SQLModel, table=True):
    """One attempt, written before it is made: one that its process did not survive says so."""

    __tablename__ = "webhook_attempts"

    delivery_id: str = Field(primary_key=True, foreign_key="webhook_deliveries.id")
    number: int = Field(primary_key=True)
    at: datetime = Field(sa_type=Instant)
    milliseconds: int | None = None
    status: int | None = None
    answer: str = Field(default="", sa_type=Text)
    error: str = Field(default="", sa_type=Text)
