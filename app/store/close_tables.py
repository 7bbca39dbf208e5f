"""The table of closes: what has become of each project's billing cycles."""

from datetime import date, datetime

from sqlalchemy import JSON, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.store.columns import Instant
from billing.closing import State


class Close(SQLModel, table=True):
    """The close of a project's period. `is_cycle` tells a billing cycle from a period that somebody chose.

    `attempts` counts those begun; the next one is made at `next_attempt_at`, None where there is none by itself. Whatever was
    observed of the period before `seen_until` is in its report.
    """

    __tablename__ = "closes"
    __table_args__ = (
        UniqueConstraint("project_id", "first_day", "last_day"),
        Index("ix_closes_newest", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.project_id")
    first_day: date
    last_day: date
    is_cycle: bool
    state: str = State.WAITING
    reason: str = Field(sa_type=Text)
    attempts: int = 0
    next_attempt_at: datetime | None = Field(sa_type=Instant, index=True)
    seen_until: datetime = Field(sa_type=Instant, index=True)
    report_id: str | None = Field(default=None, foreign_key="reports.id")
    invoice_ids: list[str] = Field(default_factory=list, sa_type=JSON)
    created_at: datetime = Field(sa_type=Instant)
    changed_at: datetime = Field(sa_type=Instant)
