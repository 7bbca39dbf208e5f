"""The tables of the collection plan: when each project is looked at, what was asked for in vain, and what is wanting."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from app.store.columns import Instant


class CollectionPlan(SQLModel, table=True):
    """When a project's plan is to be looked at next, and was looked at last; and what was `asked` for that is still due: by
    kind and day, how often and when last. A project without a row is looked at at once."""

    __tablename__ = "collection_plans"

    project_id: str = Field(primary_key=True, foreign_key="projects.project_id")
    look_at: datetime = Field(sa_type=Instant, index=True)
    looked_at: datetime = Field(sa_type=Instant)
    asked: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class CollectionGap(SQLModel, table=True):
    """A day that upstream is about to forget, or has forgotten, and that was not read as it ought to be: told once in each
    state. One that is read in time after all is a gap no longer."""

    __tablename__ = "collection_gaps"

    project_id: str = Field(primary_key=True, foreign_key="projects.project_id")
    kind: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    state: str
    gone_at: datetime = Field(sa_type=Instant)
    told_at: datetime = Field(sa_type=Instant)
