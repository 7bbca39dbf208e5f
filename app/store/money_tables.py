"""The tables of money: who invoices whom at which prices, the invoices, and the audit log.

Rate cards and the audit log are append-only, an invoice is never deleted, and one that has a number changes its status and
nothing else: triggers of the migration see to it. `app.store.tables` imports this, so that whoever has one has both.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.store.columns import ExactDecimal, Instant

_LIVING = text("kind = 'invoice' AND status IN ('draft', 'approved', 'finalized')")


class LegalEntityRow(SQLModel, table=True):
    """Who invoices; `prefix` begins its invoices' numbers, and `details` are the rest of `app.store.entities.LegalEntity`."""

    __tablename__ = "legal_entities"

    id: str = Field(primary_key=True)
    name: str
    prefix: str = Field(unique=True)
    details: dict[str, Any] = Field(sa_type=JSON)
    version: int
    created_at: datetime = Field(sa_type=Instant)


class CustomerRow(SQLModel, table=True):
    """Who is invoiced; `details` are the rest of `app.store.customers.Customer`."""

    __tablename__ = "customers"

    id: str = Field(primary_key=True)
    name: str
    entity_id: str = Field(foreign_key="legal_entities.id")
    rate_card_id: str | None
    details: dict[str, Any] = Field(sa_type=JSON)
    version: int
    created_at: datetime = Field(sa_type=Instant)


class SessionOwner(SQLModel, table=True):
    """Whose a session of a shared project is, by an imported list."""

    __tablename__ = "session_owners"

    project_id: str = Field(primary_key=True, foreign_key="projects.project_id")
    session_id: str = Field(primary_key=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)


class SessionRule(SQLModel, table=True):
    """Whose the sessions of a shared project are that no list names: `pattern` is a glob in which `*` stands for anything."""

    __tablename__ = "session_rules"

    project_id: str = Field(primary_key=True, foreign_key="projects.project_id")
    pattern: str = Field(primary_key=True)
    customer_id: str = Field(foreign_key="customers.id", index=True)


class RateCardRow(SQLModel, table=True):
    """One published version of a rate card: `body` is its canonical JSON."""

    __tablename__ = "rate_cards"

    id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    name: str
    currency: str
    effective_from: date
    effective_to: date | None
    sha256: str
    body: bytes = Field(sa_type=LargeBinary, repr=False)
    published_at: datetime = Field(sa_type=Instant)


class Invoice(SQLModel, table=True):
    """An invoice, credit note or debit note: `body` is the core of its document, `sha256` is over it.

    `currency`, `total` and `due_on` are the document's, for lists. `version` counts the writes, for optimistic locking;
    `corrects` is the invoice that a note is about. The database itself sees to it that a customer has one living invoice for a
    period.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("entity_id", "number"),
        Index(
            "uq_invoices_living",
            "customer_id",
            "first_day",
            "last_day",
            unique=True,
            sqlite_where=_LIVING,
            postgresql_where=_LIVING,
        ),
    )

    id: str = Field(primary_key=True)
    kind: str
    customer_id: str = Field(foreign_key="customers.id", index=True)
    entity_id: str = Field(foreign_key="legal_entities.id")
    first_day: date
    last_day: date
    status: str
    version: int
    number: str | None = None
    issued_on: date | None = None
    due_on: date | None
    currency: str
    total: Decimal = Field(sa_type=ExactDecimal)
    corrects: str | None = Field(default=None, foreign_key="invoices.id", index=True)
    created_by: str
    approved_by: str | None = None
    created_at: datetime = Field(sa_type=Instant)
    changed_at: datetime = Field(sa_type=Instant)
    sha256: str
    body: bytes = Field(sa_type=LargeBinary, repr=False)


class BilledProject(SQLModel, table=True):
    """That an issued invoice or note bills a project, or that such a note corrects the invoice. Their documents say so too, but
    a month has too many of them to be read."""

    __tablename__ = "billed_projects"

    project_id: str = Field(primary_key=True)
    invoice_id: str = Field(primary_key=True, foreign_key="invoices.id")


class NumberCounter(SQLModel, table=True):
    """The last number that a legal entity gave to an invoice in a year."""

    __tablename__ = "number_counters"

    entity_id: str = Field(primary_key=True, foreign_key="legal_entities.id")
    year: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    last: int


class AuditEntry(SQLModel, table=True):
    """Who did what, and when: each entry's hash is over it and the hash of the one before."""

    __tablename__ = "audit_log"

    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=Instant)
    actor: str
    action: str
    subject: str = Field(index=True)
    detail: dict[str, Any] = Field(sa_type=JSON)
    previous_sha256: str
    sha256: str
