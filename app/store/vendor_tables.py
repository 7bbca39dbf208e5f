"""The tables of the vendor's invoices: how each vendor's files are read, and what was billed and matched."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.store.columns import Instant


class VendorMappingRow(SQLModel, table=True):
    """How the files of one vendor are read: `body` is the document that `billing.vendor_mapping` takes."""

    __tablename__ = "vendor_mappings"

    vendor: str = Field(primary_key=True)
    body: dict[str, Any] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=Instant)
    changed_at: datetime = Field(sa_type=Instant)


class VendorInvoice(SQLModel, table=True):
    """What a vendor billed: `body` is its canonical JSON, which never changes, and `sha256` is over it.

    `match` is the answer of the last match as canonical JSON; without one, `unmatched` says why there is none yet.
    """

    __tablename__ = "vendor_invoices"
    __table_args__ = (UniqueConstraint("vendor", "number"),)

    id: str = Field(primary_key=True)
    vendor: str
    number: str
    currency: str
    first_day: date
    last_day: date
    total: str
    sha256: str
    body: bytes = Field(sa_type=LargeBinary, repr=False)
    created_at: datetime = Field(sa_type=Instant)
    match: bytes | None = Field(default=None, sa_type=LargeBinary, repr=False)
    matched_at: datetime | None = Field(default=None, sa_type=Instant)
    unmatched: str = ""
