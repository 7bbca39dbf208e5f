"""Invoicing a customer's period: draft → approved → finalized → void or credited, each step in the caller's transaction.

Every step is for the version of the invoice that the caller has seen (None: whichever), by an `actor` (an API key's name and
id, or `cli`) who is in the audit log, `now`. Finalizing takes its number last, so that one that fails leaves no gap.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import msgspec
import pytz
from sqlmodel import Session

from app.errors import Conflict, FourEyes, InvalidRequest
from app.flows import notify
from app.flows.billable import Billable, billable
from app.store import audit, customers, entities, invoices, ownership, reports
from app.store.customers import Customer
from app.store.money_tables import Invoice
from billing import invoice as made
from billing.exports import einvoice
from billing.invoice import Envelope, Kind, Override, Status, may_invoice, move
from billing.notes import settled
from billing.period import BillingPeriod

SHOWN = 5
"""Problems of an e-invoice in one sentence."""


def draft_invoice(
    session: Session,
    customer_id: str,
    period: BillingPeriod,
    *,
    override: str | None = None,
    notes: str = "",
    actor: str,
    now: datetime,
) -> Invoice:
    """The draft of a customer's period: the one that is there, else a new one from the newest reports of exactly the period.

    `override` is the reason for invoicing reports that may not be invoiced without. Raises NotFound, Conflict, NotInvoiceable,
    NoRateCard or InvalidRequest.
    """
    customer = customers.lock(session, customer_id)
    for other in invoices.living(session, customer_id, period.first_day, period.last_day):
        if _is_draft_of(other, period, override, notes):
            return other
        raise Conflict(
            f"The customer {customer_id} has the invoice {other.number or other.id} of {other.first_day} to {other.last_day} "
            f"already, which is {other.status}."
        )
    found = billable(session, customer, period)
    core = _core(session, customer, period, found, override_of(override, found, actor, now), notes)
    invoice = invoices.create(session, core, actor=actor, now=now)
    note(session, invoice, "invoice.drafted", actor, now)
    return invoice


def redraft(
    session: Session, invoice_id: str, *, override: str | None = None, actor: str, now: datetime, expected_version: int | None
) -> Invoice:
    """Make a draft again from the newest reports, prices and details. Where they say the same, nothing changes.

    An approval is taken back, and whoever makes it again is its maker. An override is for the reports that it was given for: it
    is to be given again.

    Raises NotFound, StaleVersion, InvalidTransition and what `draft_invoice` does.
    """
    invoice = invoices.lock(session, invoice_id, expected_version)
    status = Status(invoice.status)
    if invoice.kind != Kind.INVOICE:
        raise Conflict(f"Only an invoice is drafted again: void the note {invoice_id}, and make another.")
    if status is not Status.DRAFT:
        move(status, Status.DRAFT)
    before = invoices.core_of(invoice)
    customer = customers.get(session, invoice.customer_id)
    period = BillingPeriod(invoice.first_day, invoice.last_day)
    found = billable(session, customer, period)
    core = _core(session, customer, period, found, override_of(override, found, actor, now), before["notes"])
    if _but_for_time(core) == _but_for_time(before):
        return invoice
    again = {"status": Status.DRAFT, "created_by": actor, "approved_by": None}
    invoices.change(session, invoice, now=now, core=core, **again)
    note(session, invoice, "invoice.redrafted", actor, now)
    return invoice


def approve(session: Session, invoice_id: str, *, actor: str, now: datetime, expected_version: int | None) -> Invoice:
    """Approve a draft. Raises NotFound, StaleVersion, InvalidTransition, or FourEyes where its maker may not."""
    invoice = invoices.lock(session, invoice_id, expected_version)
    status = move(Status(invoice.status), Status.APPROVED)
    if customers.get(session, invoice.customer_id).four_eyes and invoice.created_by == actor:
        raise FourEyes(f"The customer {invoice.customer_id} asks for four eyes: whoever made {invoice_id} may not approve it.")
    invoices.change(session, invoice, now=now, status=status, approved_by=actor)
    note(session, invoice, "invoice.approved", actor, now)
    return invoice


def finalize(session: Session, invoice_id: str, *, actor: str, now: datetime, expected_version: int | None) -> Invoice:
    """Issue what was approved, dated in its legal entity's time zone: it gets its number, and never changes again.

    Raises NotFound, StaleVersion, InvalidTransition, NoRateCard, or Conflict for an e-invoice that does not validate, for what
    is to be billed otherwise since it was drafted, and for a project that was invoiced to another customer.
    """
    invoice = invoices.lock(session, invoice_id, expected_version)
    status = move(Status(invoice.status), Status.FINALIZED)
    corrected = invoices.lock(session, invoice.corrects) if invoice.corrects else None
    entity = entities.get(session, invoice.entity_id)
    issued_on = now.astimezone(pytz.timezone(entity.timezone)).date()
    core = made.finalize(invoices.core_of(invoice), issued_on)

    if invoice.kind == Kind.INVOICE:
        _require_current(session, invoice, core, now)
    number = invoices.take_number(session, entity.id, entity.prefix, issued_on.year)
    _require_valid(core, Envelope(invoice.id, number, status, invoice.version + 1))
    invoices.change(session, invoice, now=now, core=core, status=status, number=number)
    invoices.bill_projects(session, invoice)
    note(session, invoice, "invoice.finalized", actor, now, number=number)
    if corrected is not None:
        _settle(session, corrected, actor, now)
    return invoice


def void(session: Session, invoice_id: str, *, reason: str, actor: str, now: datetime, expected_version: int | None) -> Invoice:
    """Give up a draft, or void what was finalized: its number stays taken. Nothing that a note corrects is void, and no note
    that a later one rests on. Raises NotFound, StaleVersion, InvalidTransition, or InvalidRequest without a reason."""
    if not reason.strip():
        raise InvalidRequest("Voiding says why.", pointer="/reason", expected="a sentence for the audit log")
    invoice = invoices.lock(session, invoice_id, expected_version)
    of = invoices.lock(session, invoice.corrects) if invoice.corrects else invoice
    chain = [of.id, *(it.id for it in invoices.notes_of(session, of.id))]
    status = move(Status(invoice.status), Status.VOID, corrected=invoice_id != chain[-1])
    if of.status == Status.CREDITED:
        raise Conflict(f"The invoice {of.number} is credited: its notes stay as they are.")
    invoices.change(session, invoice, now=now, status=status)
    note(session, invoice, "invoice.voided", actor, now, reason=reason)
    if of is not invoice:
        _settle(session, of, actor, now)
    return invoice


def whole(invoice: Invoice) -> dict[str, Any]:
    """The document of an invoice as a value, for what is made of it."""
    document: dict[str, Any] = msgspec.json.decode(invoices.document(invoice))
    return document


def note(session: Session, invoice: Invoice, action: str, actor: str, now: datetime, **more: str) -> None:
    """Tell of what was done to an invoice, and put it into the audit log, an override that it was drafted with by itself."""
    notify.invoiced(session, invoice, action, now)
    core = invoices.core_of(invoice)
    said = {name: core[name] for name in ("kind", "customer_id", "currency", "total", "report_ids")}
    detail = {**said, "status": invoice.status, "version": invoice.version, "sha256": invoice.sha256, **more}
    audit.record(session, at=now, actor=actor, action=action, subject=invoice.id, detail=detail)
    if core["override"] is not None and invoice.status == Status.DRAFT:
        verdicts = {it["id"]: it["verdict"] for it in core["reports"]}
        detail = {"reason": core["override"]["reason"], "verdicts": verdicts}
        audit.record(session, at=now, actor=actor, action="invoice.overridden", subject=invoice.id, detail=detail)


def override_of(reason: str | None, found: Billable, actor: str, now: datetime) -> Override | None:
    """The override, where these reports need one. Raises InvalidRequest for one without a reason."""
    if reason is not None and not reason.strip():
        raise InvalidRequest("An override says why.", pointer="/override/reason", expected="a sentence for the audit log")
    needed = not may_invoice(it.verdict for it in found.reports)
    return Override(reason, actor, now) if reason is not None and needed else None


def _core(
    session: Session, customer: Customer, period: BillingPeriod, found: Billable, override: Override | None, notes: str
) -> dict[str, Any]:
    entity = entities.get(session, customer.entity_id)
    return made.draft(asdict(customer), asdict(entity), period, found.priced, found.reports, override=override, notes=notes)


def _is_draft_of(invoice: Invoice, period: BillingPeriod, override: str | None, notes: str) -> bool:
    """Whether this is the very draft that is asked for."""
    if invoice.status != Status.DRAFT or (invoice.first_day, invoice.last_day) != (period.first_day, period.last_day):
        return False
    core = invoices.core_of(invoice)
    return core["notes"] == notes and (core["override"] is None or core["override"]["reason"] == override)


def _but_for_time(core: Mapping[str, Any]) -> dict[str, Any]:
    return {**core, "override": core["override"] and core["override"]["reason"]}


def _require_valid(core: Mapping[str, Any], envelope: Envelope) -> None:
    """Raise Conflict where the e-invoice that the customer asks for would not be one."""
    if einvoice.FORMATS.isdisjoint(core["formats"]):
        return
    if problems := einvoice.validate(msgspec.json.decode(made.document(core, envelope))):
        more = f" And {len(problems) - SHOWN} more." if len(problems) > SHOWN else ""
        raise Conflict(f"The e-invoice does not validate, so it is not issued. {' '.join(problems[:SHOWN])}{more}")


def _require_current(session: Session, invoice: Invoice, core: Mapping[str, Any], now: datetime) -> None:
    """Raise Conflict where newer reports come to something else than was drafted, or another customer was billed the same.

    The projects stay locked, so that of two who bill one at the same time the second finds the first.
    """
    period = BillingPeriod(invoice.first_day, invoice.last_day)
    ownership.lock(session, [it["project_id"] for it in core["reports"]])
    newest = [reports.find(session, it["project_id"], period.first_day, period.last_day) for it in core["reports"]]
    if any(report and report.id != it["id"] for it, report in zip(core["reports"], newest, strict=True)):
        _require_same(session, invoice, core, period)
    for project_id in (it["project_id"] for it in core["reports"]):
        if ownership.is_shared(session, project_id):  # it is billed to several
            continue
        for other, _ in invoices.resting_on(session, project_id, period, now):
            if other.customer_id != invoice.customer_id:
                raise Conflict(
                    f"The project {project_id} is invoiced to the customer {other.customer_id} for these days already, "
                    f"by {other.number}: credit that first."
                )


def _require_same(session: Session, invoice: Invoice, core: Mapping[str, Any], period: BillingPeriod) -> None:
    """Upstream is asked again and again, and newer reports mostly come to the same."""
    found = billable(session, customers.get(session, invoice.customer_id), period)
    billed = ("position", "quantity", "unit_price", "amount")
    then, today = ([[line[it] for it in billed] for line in each["lines"]] for each in (core, made.body(found.priced, [])))
    doubtful = core["override"] is None and not may_invoice(it.verdict for it in found.reports)
    if doubtful or then != today or core["total"] != found.priced.currency.text(found.priced.total):
        raise Conflict(f"The newest reports and prices come to something else than {invoice.id}: draft it again.")


def _settle(session: Session, invoice: Invoice, actor: str, now: datetime) -> None:
    """Mark a finalized invoice as credited once its notes, all of them issued, leave nothing of it."""
    notes = invoices.notes_of(session, invoice.id)
    issued = all(it.status == Status.FINALIZED for it in notes)
    if invoice.status == Status.FINALIZED and issued and settled(whole(invoice), [whole(it) for it in notes]):
        invoices.change(session, invoice, now=now, status=Status.CREDITED)
        note(session, invoice, "invoice.credited", actor, now)
