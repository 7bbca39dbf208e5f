"""Invoices and notes: documents with a status, written by one at a time, numbered without a gap once they are finalized."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import update
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from app.errors import NotFound
from app.store.money_tables import BilledProject, Invoice, LegalEntityRow, NumberCounter
from app.store.paging import Page, page
from app.store.tables import add_missing
from app.store.versions import require_version
from billing.invoice import Envelope, Kind, Status
from billing.invoice import document as whole
from billing.period import BillingPeriod

LIVING = (Status.DRAFT, Status.APPROVED, Status.FINALIZED)
_encoder = msgspec.json.Encoder(order="sorted")


def create(session: Session, core: Mapping[str, Any], *, actor: str, now: datetime) -> Invoice:
    """Keep a new draft, whose core says whose it is and for which period. Raises IntegrityError for a second living invoice."""
    invoice = Invoice(
        id=f"inv_{uuid4().hex[:24]}",
        status=Status.DRAFT,
        version=1,
        created_by=actor,
        created_at=now,
        changed_at=now,
        **_said(core),
    )
    session.add(invoice)
    session.flush()
    return invoice


def get(session: Session, invoice_id: str) -> Invoice:
    """The invoice of that id. Raises NotFound."""
    return _found(session.get(Invoice, invoice_id), invoice_id)


def lock(session: Session, invoice_id: str, expected_version: int | None = None) -> Invoice:
    """The invoice of that id, which nobody else changes until this transaction ends. Raises NotFound or StaleVersion."""
    row = session.get(Invoice, invoice_id, with_for_update={"key_share": True}, populate_existing=True)
    invoice = _found(row, invoice_id)
    require_version(f"The invoice {invoice_id}", invoice.version, expected_version)
    return invoice


def change(
    session: Session, invoice: Invoice, *, now: datetime, core: Mapping[str, Any] | None = None, **changes: Any
) -> Invoice:
    """Write a locked invoice: other columns, and another core where one is given."""
    said = {} if core is None else _said(core)
    invoice.sqlmodel_update({**changes, **said, "version": invoice.version + 1, "changed_at": now})
    session.add(invoice)
    session.flush()
    return invoice


def take_number(session: Session, entity_id: str, prefix: str, year: int) -> str:
    """The next number of a legal entity's year, such as `ACME-2026-00001`.

    Everybody else who wants one waits until this transaction ends, and gets the same number if it fails: so no gap.
    """
    add_missing(session, NumberCounter(entity_id=entity_id, year=year, last=0))
    mine = (col(NumberCounter.entity_id) == entity_id, col(NumberCounter.year) == year)
    counted = update(NumberCounter).where(*mine).values(last=NumberCounter.last + 1).returning(col(NumberCounter.last))
    last = session.connection().execute(counted).scalar_one()
    return _number(prefix, year, last)


def bill_projects(session: Session, invoice: Invoice) -> None:
    """Let `resting_on` find a document that is issued."""
    for row in _billed(invoice):
        add_missing(session, row)


def core_of(invoice: Invoice) -> dict[str, Any]:
    """The core of its document."""
    core: dict[str, Any] = msgspec.json.decode(invoice.body)
    return core


def document(invoice: Invoice) -> bytes:
    """The document as it is served: its core, with the status, number and version of now."""
    return whole(core_of(invoice), Envelope(invoice.id, invoice.number, Status(invoice.status), invoice.version))


def living(session: Session, customer_id: str, first_day: date, last_day: date) -> Sequence[Invoice]:
    """A customer's invoices, neither void nor credited in full, with one of these billing days; no notes."""
    return session.exec(
        select(Invoice)
        .where(
            Invoice.customer_id == customer_id,
            Invoice.kind == Kind.INVOICE,
            col(Invoice.status).in_(LIVING),
            Invoice.first_day <= last_day,
            Invoice.last_day >= first_day,
        )
        .order_by(col(Invoice.first_day))
    ).all()


def of_period(session: Session, customer_id: str, period: BillingPeriod) -> Invoice | None:
    """A customer's invoice of exactly this period, whatever has become of it: the living one, else the last; no notes."""
    statement = select(Invoice).where(
        Invoice.customer_id == customer_id,
        Invoice.kind == Kind.INVOICE,
        Invoice.first_day == period.first_day,
        Invoice.last_day == period.last_day,
    )
    found = session.exec(statement.order_by(col(Invoice.created_at).desc(), col(Invoice.id))).all()
    return next((it for it in found if it.status in LIVING), found[0] if found else None)


def notes_of(session: Session, invoice_id: str, *, void: bool = False) -> Sequence[Invoice]:
    """The notes that correct an invoice, oldest first, those that are void only if they are wanted too."""
    statement = select(Invoice).where(Invoice.corrects == invoice_id)
    if not void:
        statement = statement.where(Invoice.status != Status.VOID)
    return session.exec(statement.order_by(col(Invoice.created_at), col(Invoice.id))).all()


def resting_on(session: Session, project_id: str, period: BillingPeriod, known_at: datetime) -> list[tuple[Invoice, str]]:
    """The finalized invoices of any of these billing days, issued by `known_at`, that rest on a report of the project.

    Each comes with the id of the newest such report: its own, or that of its last restatement.
    """
    issued = select(Invoice).join(BilledProject)
    issued = issued.where(
        BilledProject.project_id == project_id,
        Invoice.status == Status.FINALIZED,
        Invoice.first_day <= period.last_day,
        Invoice.last_day >= period.first_day,
        col(Invoice.issued_on) <= known_at.date() + timedelta(days=1),  # east of UTC the date is ahead
    )
    found: dict[str, Invoice] = {}
    newest: dict[str, tuple[int, str]] = {}
    for invoice in session.exec(issued):
        core = core_of(invoice)
        if invoice.kind == Kind.INVOICE:
            found[invoice.id] = invoice
        for it in core["reports"]:
            if it["project_id"] == project_id:
                about = invoice.corrects or invoice.id
                newest[about] = max(newest.get(about, (0, "")), (it["version"], it["id"]))
    return [(found[about], report_id) for about, (_, report_id) in newest.items() if about in found]


def list_page(
    session: Session,
    *,
    customer_id: str | None = None,
    status: str | None = None,
    kind: str | None = None,
    period: BillingPeriod | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[Invoice]:
    """Invoices and notes, newest first, without their bodies; of `period`, those that have one of its days. Raises
    InvalidRequest for a cursor that is none."""
    statement = select(Invoice).options(defer(Invoice.body, raiseload=True))  # type: ignore[arg-type]  # a column at run time
    for column, value in ((Invoice.customer_id, customer_id), (Invoice.status, status), (Invoice.kind, kind)):
        if value is not None:
            statement = statement.where(column == value)
    if period is not None:
        statement = statement.where(Invoice.first_day <= period.last_day, Invoice.last_day >= period.first_day)
    return page(session, statement, Invoice.created_at, Invoice.id, limit=limit, cursor=cursor)


def check(session: Session) -> list[str]:
    """What is wrong with any invoice or with the numbers, a sentence each, for `verify`."""
    problems, numbers = list[str](), set[tuple[str, str]]()
    listed = {tuple(it) for it in session.execute(select(BilledProject.project_id, BilledProject.invoice_id))}
    for invoice in _all(session):
        problems += _wrong(invoice, listed)
        if invoice.number is not None:
            numbers.add((invoice.entity_id, invoice.number))
    statement = select(NumberCounter, LegalEntityRow.prefix).join(LegalEntityRow)
    for counter, prefix in session.exec(statement.order_by(LegalEntityRow.prefix, col(NumberCounter.year))):
        counted = [_number(prefix, counter.year, place) for place in range(1, counter.last + 1)]
        problems += [f"The number {it} is of no invoice." for it in counted if (counter.entity_id, it) not in numbers]
        numbers -= {(counter.entity_id, it) for it in counted}
    return problems + [f"The number {number} was never given out." for _, number in sorted(numbers)]


def foundations(session: Session) -> Iterator[tuple[str, str, str]]:
    """Of every invoice that can be read, the reports that it rests on: its id, the report's, and the report's sha256."""
    for invoice in _all(session):
        if sha256(invoice.body).hexdigest() == invoice.sha256:
            yield from ((invoice.id, it["id"], it["sha256"]) for it in core_of(invoice)["reports"])


def _all(session: Session) -> Iterable[Invoice]:
    in_order = select(Invoice).order_by(col(Invoice.created_at), col(Invoice.id))
    return session.exec(in_order.execution_options(yield_per=100))


def _billed(invoice: Invoice) -> Iterator[BilledProject]:
    """What is listed of a document that is issued."""
    for it in core_of(invoice)["reports"]:
        for invoice_id in (invoice.id, invoice.corrects):
            if invoice_id:
                yield BilledProject(project_id=it["project_id"], invoice_id=invoice_id)


def _wrong(invoice: Invoice, listed: Collection[tuple[str, str]]) -> Iterator[str]:
    name = f"The invoice {invoice.id}"
    if sha256(invoice.body).hexdigest() != invoice.sha256:
        yield f"{name} does not say what its hash says."
        return
    wrong = [key for key, value in _listed(core_of(invoice)).items() if getattr(invoice, key) != value]
    if wrong:
        yield f"{name} is listed with another {' and '.join(wrong)} than its own."
    if (invoice.number is None) != (invoice.issued_on is None):
        yield f"{name} has a number or a date of issue, but not both."
    unlisted = [it for it in _billed(invoice) if (it.project_id, it.invoice_id) not in listed]
    if invoice.number is not None and unlisted:
        yield f"{name} is not listed as one that bills the project {unlisted[0].project_id}."


def _listed(core: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that repeat what the core says, so that a list need not read it."""
    return {
        "kind": core["kind"],
        "customer_id": core["customer_id"],
        "entity_id": core["entity"]["id"],
        "first_day": date.fromisoformat(core["period"]["first_day"]),
        "last_day": date.fromisoformat(core["period"]["last_day"]),
        "issued_on": core["issued_on"] and date.fromisoformat(core["issued_on"]),
        "due_on": core["due_on"] and date.fromisoformat(core["due_on"]),
        "currency": core["currency"],
        "total": Decimal(core["total"]),
        "corrects": core["corrects"] and core["corrects"]["id"],
    }


def _number(prefix: str, year: int, place: int) -> str:
    return f"{prefix}-{year}-{place:05}"


def _found(invoice: Invoice | None, invoice_id: str) -> Invoice:
    if invoice is None:
        raise NotFound(f"There is no invoice {invoice_id}.")
    return invoice


def _said(core: Mapping[str, Any]) -> dict[str, Any]:
    body = _encoder.encode(core)
    return {**_listed(core), "body": body, "sha256": sha256(body).hexdigest()}
