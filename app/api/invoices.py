"""Invoices: drafted from a period's reports, approved, finalized with a number, corrected by notes; every step is a POST."""

from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema, model_validator

from app.api.access import Actor, Invoices, Operation, Reads
from app.api.customers import CustomerId
from app.api.documents import Document
from app.api.parties import WORDS, Note
from app.api.schemas import (
    NOT_FOUND,
    OUR_ID,
    READS,
    WRITES,
    Cursor,
    Day,
    Instant,
    Limit,
    Page,
    Period,
    PeriodText,
    Strict,
    documented,
)
from app.api.versions import (
    ETAG,
    LOCATED,
    NOT_MODIFIED,
    PRIVATE,
    STALE,
    IfMatch,
    IfNoneMatch,
    Version,
    etag,
    expected,
    unless_known,
)
from app.db import transaction
from app.flows import invoice as flow
from app.flows import notes
from app.flows.exports import export_invoice as export
from app.store import invoices
from app.store.money_tables import Invoice as Stored
from billing.exports.formats import MEDIA_TYPES, InvoiceFormat
from billing.invoice import Kind, Status
from billing.money import decimal_of
from billing.notes import CreditLine

router = APIRouter(prefix="/invoices", tags=["invoices"], route_class=Operation)

InPath = Annotated[str, Path(pattern=OUR_ID, description="The id of an invoice or a note")]
Reason = Annotated[
    str, Field(min_length=1, max_length=1000, pattern=WORDS, examples=["Agreed with the customer on the phone."])
]
RESTATED = "The reports of the period were restated."
LONGEST_NOTE = 10_000
"""Lines that one credit note may name."""
STEPS = WRITES | NOT_FOUND | STALE | ETAG
MADE = WRITES | NOT_FOUND | LOCATED
_FILES: dict[str, Any] = {
    "application/json": {},
    **{MEDIA_TYPES[form]: {"schema": {"type": "string", "format": "binary"}} for form in ("csv", "xlsx", "pdf", "xml")},
}


def _amount(value: object) -> Decimal:
    return decimal_of(value, places=4, negative=True)


Amount = Annotated[
    Any,
    AfterValidator(_amount),
    WithJsonSchema({"type": "string", "pattern": r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$", "examples": ["12.50"]}),
]
"""An amount of a body; its value is a Decimal. That the currency has so many decimals is seen later."""


class Override(Strict):
    """Why reports are invoiced whose verdict forbids it; it stands in the document and in the audit log, with who says so."""

    reason: Reason


class NewInvoice(Strict):
    """What to invoice."""

    customer_id: CustomerId
    period: Period
    override: Override | None = None
    notes: Note = Field("", description="Stands on the invoice")


class Step(Strict):
    """The next step, of the version that was read."""

    version: Version = None


class Redrafting(Step):
    """A new draft in place of the one that was read."""

    override: Override | None = Field(None, description="Counts for the reports of now, so it is given again")


class Voiding(Step):
    """Why it is void."""

    reason: Reason


class Restatement(Step):
    """Why what was invoiced is restated."""

    reason: Reason = RESTATED
    override: Override | None = None


class CreditedLine(Strict):
    """How much of a line is credited: an amount of the line's own sign, or all that is left of it."""

    position: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
    amount: Amount | None = None


class NewCreditNote(Step):
    """What to credit: `all` that is left, or some `lines` and some of the `commitment`'s true-up. Discounts and tax follow."""

    all: Annotated[bool, Field(strict=True)] = False
    lines: Annotated[list[CreditedLine], Field(max_length=LONGEST_NOTE)] = Field([])
    commitment: Amount | None = None
    reason: Reason

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.all == bool(self.lines or self.commitment is not None):
            raise ValueError("Expected either all, or lines and commitment, or one of these two")
        return self


class InvoiceSummary(BaseModel):
    """An invoice or a note in a list."""

    id: str
    kind: Kind
    number: str | None
    status: Status
    version: int
    customer_id: str
    entity_id: str
    first_day: Day
    last_day: Day
    currency: str
    total: str
    issued_on: Day | None
    due_on: Day | None
    corrects: str | None
    created_at: Instant
    changed_at: Instant
    created_by: str
    approved_by: str | None
    sha256: str

    @classmethod
    def of(cls, invoice: Stored) -> Self:
        """The JSON of an invoice without its document."""
        return cls.model_validate({**invoice.model_dump(exclude={"body"}), "total": format(invoice.total, "f")})


@router.post("", status_code=201, summary="Draft an invoice", response_model=Document, responses=MADE)
def create_invoice(service: Invoices, actor: Actor, new: NewInvoice) -> Response:
    """Draft a customer's invoice of a period from the newest reports of exactly that period, of all its projects.

    Where a report's verdict does not allow it, an override says why it is done all the same. Asked for the same again, the
    answer is the draft that is there.
    """
    reason = new.override.reason if new.override else None
    with transaction(service.engine) as session:
        return _made(
            flow.draft_invoice(
                session,
                new.customer_id,
                new.period.period,
                override=reason,
                notes=new.notes,
                actor=actor,
                now=service.clock.now(),
            )
        )


@router.get("", summary="List invoices and notes", responses=READS)
def list_invoices(
    service: Reads,
    customer_id: Annotated[str | None, Query(pattern=OUR_ID)] = None,
    status: Status | None = None,
    kind: Kind | None = None,
    period: PeriodText | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[InvoiceSummary]:
    """Invoices and notes, newest first; with `period`, those that have one of its days."""
    with transaction(service.engine, read_only=True) as session:
        page = invoices.list_page(
            session,
            customer_id=customer_id,
            status=status,
            kind=kind,
            period=period.period if period else None,
            limit=limit,
            cursor=cursor,
        )
    return Page(items=[InvoiceSummary.of(it) for it in page.items], next_cursor=page.next_cursor)


@router.get(
    "/{invoice_id}", summary="Read an invoice", response_model=Document, responses=READS | NOT_FOUND | ETAG | NOT_MODIFIED
)
def get_invoice(service: Reads, invoice_id: InPath, if_none_match: IfNoneMatch = None) -> Response:
    """The document as it stands. Its ETag is what a step with `If-Match` needs."""
    with transaction(service.engine, read_only=True) as session:
        return unless_known(_answer(invoices.get(session, invoice_id)), if_none_match)


@router.get(
    "/{invoice_id}/document",
    summary="Export an invoice",
    response_class=Response,
    responses=READS | documented(404, 409) | NOT_MODIFIED | {200: {"description": "The file", "content": _FILES}},
)
def export_invoice(
    service: Reads,
    invoice_id: InPath,
    format: Annotated[InvoiceFormat, Query()] = InvoiceFormat.JSON,  # noqa: A002
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The document as a file: canonical JSON, PDF, CSV, a workbook, FOCUS 1.2 rows, or, once it is issued, an e-invoice:
    `facturx` (a PDF with the XML inside), `ubl`, and `xml`, which is the XML of the e-invoice that the customer asks for."""
    invoice, file = export(service.engine, invoice_id, format)
    headers = {
        "Content-Disposition": f'attachment; filename="{invoice.number or invoice.id}.{file.extension}"',
        "ETag": f'"{sha256(file.content).hexdigest()}"',
        "Cache-Control": PRIVATE,
    }
    return unless_known(Response(file.content, 200, headers, file.media_type), if_none_match)


@router.post("/{invoice_id}/redraft", summary="Draft an invoice again", response_model=Document, responses=STEPS)
def redraft_invoice(
    service: Invoices, actor: Actor, invoice_id: InPath, step: Redrafting, if_match: IfMatch = None
) -> Response:
    """Make the draft from the newest reports, prices and details; an approval is taken back."""
    reason, now = step.override.reason if step.override else None, service.clock.now()
    with expected(step.version, if_match) as version, transaction(service.engine) as session:
        return _answer(flow.redraft(session, invoice_id, override=reason, actor=actor, now=now, expected_version=version))


@router.post("/{invoice_id}/approve", summary="Approve an invoice", response_model=Document, responses=STEPS)
def approve_invoice(service: Invoices, actor: Actor, invoice_id: InPath, step: Step, if_match: IfMatch = None) -> Response:
    """Approve a draft. Where the customer asks for four eyes, whoever made it may not."""
    now = service.clock.now()
    with expected(step.version, if_match) as version, transaction(service.engine) as session:
        return _answer(flow.approve(session, invoice_id, actor=actor, now=now, expected_version=version))


@router.post("/{invoice_id}/finalize", summary="Finalize an invoice", response_model=Document, responses=STEPS)
def finalize_invoice(service: Invoices, actor: Actor, invoice_id: InPath, step: Step, if_match: IfMatch = None) -> Response:
    """Issue what was approved: it gets the next number of its legal entity and year, and never changes again."""
    now = service.clock.now()
    with expected(step.version, if_match) as version, transaction(service.engine) as session:
        return _answer(flow.finalize(session, invoice_id, actor=actor, now=now, expected_version=version))


@router.post("/{invoice_id}/void", summary="Void an invoice", response_model=Document, responses=STEPS)
def void_invoice(service: Invoices, actor: Actor, invoice_id: InPath, step: Voiding, if_match: IfMatch = None) -> Response:
    """Give up a draft, or void what was finalized and has no note; its number stays taken."""
    now = service.clock.now()
    with expected(step.version, if_match) as version, transaction(service.engine) as session:
        return _answer(flow.void(session, invoice_id, reason=step.reason, actor=actor, now=now, expected_version=version))


@router.post(
    "/{invoice_id}/credit-notes",
    status_code=201,
    summary="Draft a credit note",
    response_model=Document,
    responses=MADE | STALE,
)
def create_credit_note(
    service: Invoices, actor: Actor, invoice_id: InPath, new: NewCreditNote, if_match: IfMatch = None
) -> Response:
    """Draft a credit note of a finalized invoice, to be approved and finalized like one. More than is left is refused."""
    lines = None if new.all else [CreditLine(it.position, it.amount) for it in new.lines]
    with expected(new.version, if_match) as version, transaction(service.engine) as session:
        return _made(
            notes.credit(
                session,
                invoice_id,
                lines=lines,
                commitment=new.commitment,
                reason=new.reason,
                actor=actor,
                now=service.clock.now(),
                expected_version=version,
            )
        )


@router.post(
    "/{invoice_id}/restate",
    status_code=201,
    summary="Restate an invoice",
    response_model=Document,
    responses=MADE | STALE | {204: {"description": "Nothing differs, so there is no note"}},
)
def restate_invoice(
    service: Invoices, actor: Actor, invoice_id: InPath, new: Restatement, if_match: IfMatch = None
) -> Response:
    """Draft the credit or debit note of what the newest reports and prices make of a finalized invoice's period."""
    with expected(new.version, if_match) as version, transaction(service.engine) as session:
        note = notes.restate(
            session,
            invoice_id,
            reason=new.reason,
            override=new.override.reason if new.override else None,
            actor=actor,
            now=service.clock.now(),
            expected_version=version,
        )
        return Response(status_code=204) if note is None else _made(note)


def _answer(invoice: Stored, status: int = 200) -> Response:
    """The document's own bytes with their ETag."""
    headers = {"ETag": etag(invoice.version), "Cache-Control": PRIVATE}
    return Response(invoices.document(invoice), status, headers, "application/json")


def _made(invoice: Stored) -> Response:
    response = _answer(invoice, 201)
    response.headers["Location"] = f"/v1/invoices/{invoice.id}"
    return response
