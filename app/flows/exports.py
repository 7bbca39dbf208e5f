"""Exports of stored reports: the document, and where its costs are asked for, the rate card that it was priced by."""

import msgspec
from sqlalchemy.engine import Engine

from app.db import transaction
from app.errors import InvalidRequest
from app.store import rate_cards, reports
from app.store.tables import Report
from billing.errors import BillingError
from billing.exports import formats
from billing.exports.formats import Export, ReportFormat
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
