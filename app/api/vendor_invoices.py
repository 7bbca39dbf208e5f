"""The vendor's invoices: uploaded as they are or through a mapping, matched with what was used, disputed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Discriminator, Field, Tag

from app.api.access import Actor, Invoices, Operation, Reads
from app.api.parties import CurrencyCode
from app.api.projects import ProjectId
from app.api.schemas import (
    NOT_FOUND,
    OUR_ID,
    PRINTABLE,
    READS,
    WRITES,
    Cursor,
    Day,
    Instant,
    Limit,
    Minutes,
    Page,
    Period,
    Strict,
    documented,
)
from app.api.vendor_mappings import Vendor
from app.db import transaction
from app.flows import vendor as flow
from app.store import vendor_invoices
from billing import vendor
from billing.vendor_minutes import Cause

router = APIRouter(prefix="/vendor-invoices", tags=["vendor's invoices"], route_class=Operation)

InPath = Annotated[str, Path(pattern=OUR_ID, description="The id of a vendor's invoice")]
Number = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE, examples=["INV-2026-10"])]
Figure = Annotated[str, Field(pattern=r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?$", examples=["3.95"])]
"""A quantity, price or amount: a text, so that it never passes through a float."""
Projects = Annotated[list[ProjectId], Field(max_length=1000)]


class BilledLine(Strict):
    """A row of the invoice. Usage lines name a tier or another kind of usage and its minutes; credits are not positive.

    Either every usage line names its project or none does: then they are for all the invoice's projects together.
    """

    line: Annotated[int, Field(strict=True, ge=1, le=10**9)]
    kind: vendor.Kind
    usage: Annotated[str, Field(max_length=100, examples=["from1To2Publishers"])] | None = None
    quantity: Figure | None = Field(None, description="Minutes")
    unit_price: Figure | None = None
    amount: Figure
    text: Annotated[str, Field(max_length=2000, pattern=PRINTABLE)] = ""
    project_id: ProjectId | None = None


class NewVendorInvoice(Strict):
    """A vendor's invoice, in the form that a mapping makes of a file."""

    vendor: Vendor
    number: Number
    currency: CurrencyCode
    period: Period
    project_ids: Projects = Field([], description="What it is for; none is the account, all projects with a rate card")
    lines: Annotated[list[BilledLine], Field(min_length=1, max_length=vendor.MAX_LINES)]
    total: Figure | None = Field(None, description="With tax; the sum of the lines where it is left out")

    def document(self) -> dict[str, Any]:
        """What `billing.vendor` reads."""
        return self.model_dump() | {"period": _days(self.period)}


class VendorFile(Strict):
    """A vendor's invoice as the vendor's own file; what the file does not say of the invoice stands beside it."""

    mapping: Vendor = Field(description="The vendor whose mapping reads it")
    content: Annotated[str, Field(min_length=1)] = Field(description="The CSV or JSON, as text")
    number: Number | None = None
    currency: CurrencyCode | None = None
    period: Period | None = None
    project_ids: Projects = Field([], description="What it is for; none is the account, all projects with a rate card")
    total: Figure | None = None

    def given(self) -> dict[str, Any]:
        """What `billing.vendor_mapping` takes beside the file."""
        said = self.model_dump(exclude={"mapping", "content", "period"})
        return said | {"vendor": self.mapping, "period": _days(self.period) if self.period else None}


class BilledPeriod(BaseModel):
    """The billing days of an invoice, both included."""

    first_day: Day
    last_day: Day


class PartOfLine(BaseModel):
    """What one cause makes of a line's difference."""

    minutes: Minutes
    amount: Figure


class MatchedLine(BaseModel):
    """One usage with every row that bills it, or all rows of another kind; amounts are before discounts and tax.

    `meeting_quantity` is what the meetings add up to, null where they do not tell.
    """

    kind: Literal["usage", "credit", "tax", "other", "total"]
    rows: list[int]
    project_id: str | None
    usage: str | None
    label: str
    state: Literal["matched", "differs", "not_in_usage", "not_billed"]
    quantity: Minutes | None
    unit_price: Figure | None
    amount: Figure
    our_quantity: Minutes | None
    our_unit_price: Figure | None
    our_amount: Figure
    meeting_quantity: Minutes | None
    minutes: Minutes
    difference: Figure
    parts: dict[Cause, PartOfLine]
    explanation: str


class Variance(BaseModel):
    """What is billed minus what the rate card makes of the usage; `parts` add up to `amount`, `minutes_by_part` to `minutes`.

    Each part holds the discounts and the tax that follow from it.
    """

    billed: Figure
    expected: Figure
    minutes: Minutes
    amount: Figure
    parts: dict[Cause, Figure]
    minutes_by_part: dict[Cause, Minutes]


class MatchedReport(BaseModel):
    """A report that a match rests on."""

    id: str
    version: int
    sha256: str
    project_id: str
    verdict: str


class MatchedCard(BaseModel):
    """The rate card of a match, and its versions in effect in the period."""

    id: str
    versions: list[int]


class Match(BaseModel):
    """A vendor's invoice beside the project level and the meeting level."""

    currency: str
    reports: list[MatchedReport]
    rate_card: MatchedCard
    lines: list[MatchedLine]
    variance: Variance
    notes: list[str]


class VendorInvoiceSummary(BaseModel):
    """A vendor's invoice in a list; `unmatched` says why there is no match yet."""

    id: str
    vendor: str
    number: str
    currency: str
    first_day: Day
    last_day: Day
    total: Figure
    sha256: str
    created_at: Instant
    matched_at: Instant | None
    unmatched: str


class VendorInvoice(BaseModel):
    """A vendor's invoice as it was read, and its match. `sha256` is over the invoice alone, which never changes."""

    id: str
    vendor: str
    number: str
    currency: str
    period: BilledPeriod
    project_ids: list[str]
    lines: list[BilledLine]
    total: Figure
    sha256: str
    created_at: Instant
    match: Match | None
    matched_at: Instant | None
    unmatched: str


def _form(body: Any) -> str:
    return "file" if isinstance(body, dict) and ("content" in body or "mapping" in body) else "invoice"


Upload = Annotated[
    Annotated[NewVendorInvoice, Tag("invoice")] | Annotated[VendorFile, Tag("file")],
    Discriminator(_form),
]
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Where the invoice is"}}
_UPLOADED: dict[int | str, dict[str, Any]] = {
    200: {"description": "It was uploaded before with the same content", "headers": _LOCATION},
    201: {"headers": _LOCATION},
}


@router.post(
    "",
    status_code=201,
    summary="Upload a vendor's invoice",
    response_model=VendorInvoice,
    responses=WRITES | NOT_FOUND | _UPLOADED | {200: _UPLOADED[200] | {"model": VendorInvoice}},
)
def create_vendor_invoice(service: Invoices, actor: Actor, given: Upload) -> Response:
    """Keep what the vendor billed, and match it where the projects have a rate card and a report of exactly its period.

    The same again is the one that is there, with 200; another content under the same number is refused. What cannot be read is
    refused with its row and column, and nothing is kept.
    """
    with transaction(service.engine) as session:
        if isinstance(given, VendorFile):
            mapping = vendor_invoices.mapping_of(vendor_invoices.get_mapping(session, given.mapping))
            invoice = mapping.read(given.content, given.given()).invoice()
        else:
            invoice = vendor.parse(given.document())
        row, is_new = flow.upload(session, invoice, actor=actor, now=service.clock.now())
        return _answer(vendor_invoices.document(row), 201 if is_new else 200, f"/v1/vendor-invoices/{row.id}")


@router.get("", summary="List the vendors' invoices", responses=READS)
def list_vendor_invoices(
    service: Reads,
    vendor: Annotated[Vendor | None, Query(description="Of this vendor only")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[VendorInvoiceSummary]:
    """Invoices of one vendor or of all, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = vendor_invoices.list_page(session, vendor=vendor, limit=limit, cursor=cursor)
        items = [VendorInvoiceSummary.model_validate(row, from_attributes=True) for row in page.items]
    return Page(items=items, next_cursor=page.next_cursor)


@router.get("/{invoice_id}", summary="Read a vendor's invoice", response_model=VendorInvoice, responses=READS | NOT_FOUND)
def get_vendor_invoice(service: Reads, invoice_id: InPath) -> Response:
    """The invoice with every row, and its last match."""
    with transaction(service.engine, read_only=True) as session:
        return _answer(vendor_invoices.document(vendor_invoices.get(session, invoice_id)))


@router.post(
    "/{invoice_id}/match", summary="Match a vendor's invoice again", response_model=Match, responses=WRITES | NOT_FOUND
)
def match_vendor_invoice(service: Invoices, invoice_id: InPath) -> Response:
    """Match it with the newest reports of its period. What differs becomes discrepancies; those that are gone are resolved."""
    with transaction(service.engine) as session:
        row = flow.rematch(session, invoice_id, now=service.clock.now())
        return _answer(row.match or b"")


@router.get(
    "/{invoice_id}/dispute-pack",
    summary="Dispute a vendor's invoice",
    response_class=Response,
    responses=READS
    | NOT_FOUND
    | documented(409)
    | {200: {"description": "The ZIP", "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_dispute_pack(
    service: Reads,
    invoice_id: InPath,
    entity_id: Annotated[
        str | None, Query(pattern=OUR_ID, description="The legal entity that disputes it, where there are several")
    ] = None,
) -> Response:
    """A ZIP with what the vendor's dispute form asks for: the form's fields, a letter as PDF, the evidence as CSV, the reports.

    The same match gives the same bytes. Refused where the invoice is not matched, or not too high.
    """
    with transaction(service.engine, read_only=True) as session:
        row, content = flow.dispute_pack(session, invoice_id, entity_id)
    name = f"dispute-{row.id}.zip"
    return Response(content, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, "application/zip")


def _answer(content: bytes, status: int = 200, location: str | None = None) -> Response:
    return Response(content, status, {"Location": location} if location else None, "application/json")


def _days(aligned: Any) -> dict[str, str]:
    return {"first_day": str(aligned.period.first_day), "last_day": str(aligned.period.last_day)}
