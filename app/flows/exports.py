"""Exports of what is stored: the document, and where a report's costs are asked for, the rate card that it was priced by."""

import msgspec
from sqlalchemy.engine import Engine

from app.db import transaction
from app.errors import InvalidRequest
from app.store import invoices, rate_cards, reports
from app.store.money_tables import Invoice
from app.store.tables import Report
from billing.errors import BillingError, TooLargeToPrint
from billing.exports import formats
from billing.exports.formats import Export, InvoiceFormat, ReportFormat
from billing.ratecard import CardHistory


def export_report(engine: Engine, report_id: str, form: ReportFormat) -> tuple[Report, Export]:
    """A report and its export. Raises NotFound, and InvalidRequest for a form that this report cannot have."""
    with transaction(engine, read_only=True) as session:
        report = reports.get(session, report_id)
        document = msgspec.json.decode(report.body)
        named = document.get("rate_card") if form is ReportFormat.FOCUS else None
        cards = [rate_cards.get(session, named["id"], version) for version in named["versions"]] if named else []

    try:
        return report, formats.report(document, form, CardHistory(cards))
    except BillingError as error:
        raise InvalidRequest(error.message, parameter="format", expected=error.expected) from None


def export_invoice(engine: Engine, invoice_id: str, form: InvoiceFormat) -> tuple[Invoice, Export]:
    """An invoice or note and its export. Raises NotFound, NotInvoiceable for an e-invoice of what is not issued or not valid as
    one, and InvalidRequest for a form that holds fewer lines."""
    with transaction(engine, read_only=True) as session:
        invoice = invoices.get(session, invoice_id)
    try:
        return invoice, formats.invoice(msgspec.json.decode(invoices.document(invoice)), form)
    except TooLargeToPrint as error:
        raise InvalidRequest(error.message, parameter="format", expected=error.expected) from None
