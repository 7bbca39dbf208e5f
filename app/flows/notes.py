"""Correcting what was invoiced: credit notes by line, and the note of what a restated report comes to.

A note is a draft like any other document: `app.flows.invoice` approves, finalizes and voids it. Drafts count as well in what
is left of an invoice, so nothing is given back twice.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Session

from app.errors import Conflict
from app.flows.billable import billable
from app.flows.invoice import note, override_of, whole
from app.store import customers, invoices
from app.store.money_tables import Invoice
from billing import notes as made
from billing.invoice import Kind, Status
from billing.notes import CreditLine
from billing.period import BillingPeriod


def credit(
    session: Session,
    invoice_id: str,
    *,
    lines: Sequence[CreditLine] | None = None,
    commitment: Decimal | None = None,
    reason: str,
    actor: str,
    now: datetime,
    expected_version: int | None,
) -> Invoice:
    """The draft of a credit note: of these lines and so much of the commitment's true-up, or with neither, of all that is left.

    Raises NotFound, StaleVersion, InvalidNote, or Conflict for what is not a finalized invoice.
    """
    invoice = _finalized(session, invoice_id, expected_version)
    earlier = [whole(it) for it in invoices.notes_of(session, invoice_id)]
    return _create(session, made.credit(whole(invoice), earlier, lines, commitment, reason), actor, now)


def restate(
    session: Session,
    invoice_id: str,
    *,
    reason: str,
    override: str | None = None,
    actor: str,
    now: datetime,
    expected_version: int | None,
) -> Invoice | None:
    """The draft of the note of what the newest reports and prices make of the invoice's period; None where no amount differs.

    Raises NotFound, StaleVersion, InvalidNote, NotInvoiceable, NoRateCard, InvalidRequest or Conflict.
    """
    invoice = _finalized(session, invoice_id, expected_version)
    period = BillingPeriod(invoice.first_day, invoice.last_day)
    found = billable(session, customers.get(session, invoice.customer_id), period)
    earlier = [whole(it) for it in invoices.notes_of(session, invoice_id)]
    given = override_of(override, found, actor, now)
    core = made.restate(whole(invoice), earlier, found.priced, found.reports, reason, override=given)
    return None if core is None else _create(session, core, actor, now)


def _finalized(session: Session, invoice_id: str, expected_version: int | None) -> Invoice:
    invoice = invoices.lock(session, invoice_id, expected_version)
    if invoice.kind != Kind.INVOICE:
        raise Conflict(f"{invoice_id} is a note: correct the invoice {invoice.corrects}.")
    if invoice.status != Status.FINALIZED:
        raise Conflict(f"The invoice {invoice_id} is {invoice.status}: only what is finalized is corrected by a note.")
    return invoice


def _create(session: Session, core: dict[str, Any], actor: str, now: datetime) -> Invoice:
    created = invoices.create(session, core, actor=actor, now=now)
    note(session, created, "invoice.drafted", actor, now)
    return created
