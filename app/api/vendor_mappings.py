"""How each vendor's files are read: kept per vendor, for the uploads to come."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path
from pydantic import Field

from app.api.access import Actor, Invoices, Operation, Reads
from app.api.parties import CurrencyCode
from app.api.schemas import NOT_FOUND, PRINTABLE, READS, WRITES, Cursor, Instant, Limit, Page, Strict
from app.db import transaction
from app.store import vendor_invoices
from app.store.vendor_tables import VendorMappingRow
from billing.vendor_mapping import Numbers, VendorMapping

router = APIRouter(prefix="/vendor-mappings", tags=["vendor's invoices"], route_class=Operation)

Vendor = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._&-]{0,99}$", examples=["vonage"])]
InPath = Annotated[Vendor, Path(description="The vendor's name")]
Cell = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]


class NumberFormat(Strict):
    """How numbers are written."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'", "’"] = ""
    negative: Literal["minus", "trailing_minus", "parentheses"] = "minus"
    symbol: Annotated[str, Field(max_length=8, pattern=r"^[^\x00-\x1f\x7f0-9.,()-]*$", examples=["$"])] = Field(
        "", description="What may stand before or after an amount"
    )


class NewMapping(Strict):
    """How a vendor's CSV or JSON becomes an invoice."""

    columns: dict[
        Literal[
            "usage",
            "quantity",
            "unit_price",
            "amount",
            "kind",
            "text",
            "project_id",
            "number",
            "currency",
            "first_day",
            "last_day",
        ],
        Cell,
    ] = Field(
        description="From fields to the file's columns; usage, quantity and amount are required",
        examples=[{"usage": "Product", "quantity": "Minutes", "unit_price": "Rate", "amount": "Charge"}],
    )
    kinds: dict[Cell, Literal["usage", "credit", "tax", "other", "total", "skip"]] = Field(
        {}, max_length=1000, description="From values of the kind column to what the row is"
    )
    usages: dict[Cell, Annotated[str, Field(max_length=100)]] = Field(
        {}, max_length=1000, description="From values of the usage column to tiers and other kinds of usage"
    )
    format: Literal["csv", "json"] = "csv"
    delimiter: Annotated[str, Field(pattern=r"^[^\r\n \x00\"]$", examples=[";"])] = ","
    header_row: Annotated[int, Field(strict=True, ge=1, le=100, description="The row of the CSV's header")] = 1
    rows: Annotated[str, Field(max_length=200, pattern=PRINTABLE)] = Field(
        "", description="The JSON pointer of the array of rows in a JSON file"
    )
    numbers: NumberFormat = NumberFormat()
    dates: Annotated[str, Field(max_length=20, pattern=PRINTABLE, examples=["DD.MM.YYYY"])] = "YYYY-MM-DD"
    currency: CurrencyCode | None = None
    positive_credits: Annotated[bool, Field(strict=True, description="Whether credits are written without a sign")] = False

    def value(self) -> VendorMapping:
        """The mapping that it is. Raises InvalidVendorInvoice."""
        said = self.model_dump()
        return VendorMapping(**said | {"numbers": Numbers(**said["numbers"])})


class Mapping(NewMapping):
    """A vendor's mapping."""

    vendor: Vendor
    created_at: Instant
    changed_at: Instant

    @classmethod
    def of(cls, row: VendorMappingRow) -> Self:
        """The JSON of a mapping."""
        return cls(vendor=row.vendor, created_at=row.created_at, changed_at=row.changed_at, **row.body)


@router.put("/{vendor}", summary="Say how a vendor's files are read", responses=WRITES)
def put_vendor_mapping(service: Invoices, actor: Actor, vendor: InPath, given: NewMapping) -> Mapping:
    """Keep a vendor's mapping, in place of the one before. What was uploaded stays as it was read."""
    mapping = given.value()
    with transaction(service.engine) as session:
        row = vendor_invoices.put_mapping(session, vendor, mapping, actor=actor, now=service.clock.now())
        return Mapping.of(row)


@router.get("", summary="List the vendors' mappings", responses=READS)
def list_vendor_mappings(service: Reads, limit: Limit = 50, cursor: Cursor = None) -> Page[Mapping]:
    """The mapping of every vendor, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = vendor_invoices.list_mappings(session, limit=limit, cursor=cursor)
        return Page(items=[Mapping.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{vendor}", summary="Read a vendor's mapping", responses=READS | NOT_FOUND)
def get_vendor_mapping(service: Reads, vendor: InPath) -> Mapping:
    """How a vendor's files are read."""
    with transaction(service.engine, read_only=True) as session:
        return Mapping.of(vendor_invoices.get_mapping(session, vendor))
