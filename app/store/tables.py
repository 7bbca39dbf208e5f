"""The tables, the same on SQLite and PostgreSQL. Instants are zone-aware UTC, decimals are text, documents are JSON.

Observations, payloads and reports are append-only: triggers of the migration refuse to change or delete them. The tables of
money are in `app.store.money_tables`.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, String, Text, UniqueConstraint, literal, text, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, Session, SQLModel

from app.store import close_tables, money_tables, plan_tables, vendor_tables, webhook_tables  # noqa: F401  One import has all tables.
from app.store.columns import ExactDecimal, Instant
from billing.facts import Kind

_UNRESOLVED = text("status IN ('open', 'acknowledged')")


def _one_of(column: str, where: str) -> Index:
    """At most one job for each value of a column, of those that `where` selects."""
    return Index(f"uq_jobs_{column}", column, unique=True, sqlite_where=text(where), postgresql_where=text(where))


class ApiKey(SQLModel, table=True):
    """Who may call the service: only the SHA-256 of the key is kept."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    name: str
    sha256: str = Field(unique=True)
    scopes: list[str] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class ProjectRow(SQLModel, table=True):
    """A project of the vendor's; `credentials` is encrypted by `app.auth.Vault`, `customer_id` is whose it is, and
    `collect_automatically` says whether the collection plan is carried out."""

    __tablename__ = "projects"

    project_id: str = Field(primary_key=True)
    name: str
    credentials: str = Field(sa_type=Text, repr=False)
    insights_url: str | None
    basis: str
    cross_check: bool
    tier_plan: list[str] = Field(sa_type=JSON)
    cycle_anchor_day: int
    tolerance_minutes: int = Field(sa_type=BigInteger)
    tolerance_relative: Decimal = Field(sa_type=ExactDecimal)
    rate_card_id: str | None = None
    customer_id: str | None = Field(default=None, foreign_key="customers.id", index=True)
    collect_automatically: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    created_at: datetime = Field(sa_type=Instant)


class PayloadRow(SQLModel, table=True):
    """What upstream said, once for each content."""

    __tablename__ = "payloads"

    sha256: str = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary, repr=False)
    size: int
    created_at: datetime = Field(sa_type=Instant)


class ObservationRow(SQLModel, table=True):
    """When upstream said it, of which project and billing day: see `billing.facts.Observation`."""

    __tablename__ = "observations"
    __table_args__ = (Index("ix_observations_what", "project_id", "kind", "day", "observed_at"),)

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.project_id")
    kind: Kind = Field(sa_type=String)
    day: date
    observed_at: datetime = Field(sa_type=Instant)
    sha256: str = Field(foreign_key="payloads.sha256")
    requests: int
    complete: bool
    reason: str


class Report(SQLModel, table=True):
    """A reconciliation report: `body` is the canonical JSON that is served, `sha256` is over what the observations settle."""

    __tablename__ = "reports"
    __table_args__ = (UniqueConstraint("project_id", "first_day", "last_day", "version"),)

    id: str = Field(primary_key=True)
    project_id: str = Field(foreign_key="projects.project_id")
    first_day: date
    last_day: date = Field(index=True)
    version: int
    supersedes: str | None = Field(foreign_key="reports.id")
    sha256: str
    verdict: str
    created_at: datetime = Field(sa_type=Instant)
    body: bytes = Field(sa_type=LargeBinary, repr=False)


class ReportExport(SQLModel, table=True):
    """An export that takes too long for a request, as a job made it: see `app.flows.exports`."""

    __tablename__ = "report_exports"

    report_id: str = Field(primary_key=True, foreign_key="reports.id")
    format: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Instant)
    content: bytes = Field(sa_type=LargeBinary, repr=False)


class Discrepancy(SQLModel, table=True):
    """A discrepancy's life from one report to the next: `finding` is how `report_id`, the last report with it, has it, and
    `amount` with its `currency` what it comes to, if that is known."""

    __tablename__ = "discrepancies"
    __table_args__ = (
        Index("ix_discrepancies_period", "project_id", "first_day", "last_day"),
        Index("ix_discrepancies_unresolved", "code", sqlite_where=_UNRESOLVED, postgresql_where=_UNRESOLVED),
    )

    id: str = Field(primary_key=True)
    fingerprint: str = Field(unique=True)
    project_id: str = Field(foreign_key="projects.project_id")
    first_day: date
    last_day: date
    report_id: str = Field(foreign_key="reports.id")
    code: str
    severity: str
    status: str
    note: str = ""
    assignee: str = ""
    ignore_until: datetime | None = Field(default=None, sa_type=Instant)
    opened_at: datetime = Field(sa_type=Instant)
    changed_at: datetime = Field(sa_type=Instant)
    amount: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    currency: str | None = None
    finding: dict[str, Any] = Field(sa_type=JSON)


class DiscrepancyEvent(SQLModel, table=True):
    """One step in a discrepancy's life; `actor` is a report's id or who changed it."""

    __tablename__ = "discrepancy_events"

    id: int | None = Field(default=None, primary_key=True)
    discrepancy_id: str = Field(foreign_key="discrepancies.id", index=True)
    at: datetime = Field(sa_type=Instant)
    what: str
    actor: str
    detail: dict[str, Any] = Field(sa_type=JSON)


class Job(SQLModel, table=True):
    """Work that a request or a schedule left behind. `arguments` are all that it knows when it runs, `key` is what it is for.

    The database itself sees to it that a key is unfinished at most once, and that a partition has one job running at most.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        _one_of("key", "state IN ('queued', 'running', 'cancelling')"),
        _one_of("partition", "state IN ('running', 'cancelling')"),
        Index("ix_jobs_created_at", "created_at", "id"),
        Index("ix_jobs_project_id", "project_id", "created_at"),
    )

    id: str = Field(primary_key=True)
    kind: str
    key: str
    project_id: str | None = Field(default=None, foreign_key="projects.project_id")
    partition: str
    arguments: dict[str, Any] = Field(sa_type=JSON)
    state: str = Field(default="queued", index=True)
    queued: int = 1
    attempts: int = 0
    losses: int = 0
    done: int = 0
    total: int = 0
    result: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    problem: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    run_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)


class JobStep(SQLModel, table=True):
    """A step that an unfinished job has done, with what it left: written in the transaction of what the step did."""

    __tablename__ = "job_steps"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    name: str = Field(primary_key=True)
    result: Any = Field(sa_type=JSON)


class WorkerRow(SQLModel, table=True):
    """A process that runs jobs: where it is, and when it last said that it lives."""

    __tablename__ = "workers"

    id: str = Field(primary_key=True)
    place: str
    started_at: datetime = Field(sa_type=Instant)
    seen_at: datetime = Field(sa_type=Instant)


class IdempotencyRow(SQLModel, table=True):
    """A POST that came with an Idempotency-Key, and its answer once there is one."""

    __tablename__ = "idempotency_keys"

    owner: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    body: bytes = Field(default=b"", sa_type=LargeBinary, repr=False)
    created_at: datetime = Field(sa_type=Instant, index=True)


class RequestWindow(SQLModel, table=True):
    """When requests to upstream were or will be let through: microseconds since the epoch, by scope of upstream's limit."""

    __tablename__ = "request_windows"

    scope: str = Field(primary_key=True)
    stamps: list[int] = Field(sa_type=JSON)


def add_missing(session: Session, row: SQLModel) -> bool:
    """Insert the row unless one with its key is there; true if it was inserted.

    One statement, so that two transactions adding the same row at once both succeed and one row remains.
    """
    values = {name: value for name, value in row.model_dump().items() if value is not None}  # a number counts on by itself
    statement = insert_into(session, type(row)).values(**values).on_conflict_do_nothing().returning(literal(1))
    return session.connection().execute(statement).first() is not None


def insert_into(session: Session, table: type[SQLModel]) -> Any:
    """An insert of the database's own kind, which can say what is to happen where the row is there already."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name](table)
