"""Exports of what is stored: the document, and where a report's costs are asked for, the rate card that it was priced by.

A report is as large as what was found in it: one with 100,000 discrepancies has 70 MB, and its workbook takes 10 s and 600 MB.
So the export of a large report is a job, and is kept for a while.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.clock import Clock
from app.db import transaction
from app.errors import InvalidRequest
from app.flows.steps import Steps
from app.store import exports, invoices, jobs, rate_cards, reports
from app.store.jobs import State
from app.store.money_tables import Invoice
from app.store.tables import Job, Report
from billing.errors import BillingError, TooLargeToPrint
from billing.exports import formats, pdf
from billing.exports.formats import Export, InvoiceFormat, ReportFormat
from billing.ratecard import CardHistory

JOB = "export"
_MIB = 1024 * 1024
AT_ONCE: Mapping[ReportFormat, int] = {ReportFormat.CSV: 4 * _MIB, ReportFormat.XLSX: 4 * _MIB, ReportFormat.PDF: _MIB // 2}
"""Bytes of a report up to which these take a second at most, so that a request may make them. It may make every other form:
the JSON is what is stored, and FOCUS rows do without the discrepancies."""
KEPT = timedelta(days=30)
"""How long an export that a job made is kept."""
ONE_AT_A_TIME = "exports of reports"
"""The partition of the jobs: a process must have room for one export, and for no more. No project has a blank in its id."""
_MADE = "made"


def export_report(engine: Engine, report_id: str, form: ReportFormat) -> tuple[Report, Export]:
    """A report and its export, however long it takes. Raises NotFound, and InvalidRequest for a form that this report cannot
    have."""
    with transaction(engine, read_only=True) as session:
        report = reports.get(session, report_id)
        if form is ReportFormat.JSON:
            return report, formats.file(report.body, form)
        document = _without_discrepancies(report) if form is ReportFormat.FOCUS else msgspec.json.decode(report.body)
        named = document.get("rate_card") if form is ReportFormat.FOCUS else None
        cards = [rate_cards.get(session, named["id"], version) for version in named["versions"]] if named else []

    with _refusing():
        return report, formats.report(document, form, CardHistory(cards))


def export_at_hand(engine: Engine, report_id: str, form: ReportFormat) -> tuple[Report, Export] | None:
    """What `export_report` gives, if a request may wait for it or a job has made it; None for what a job has to make."""
    with transaction(engine, read_only=True) as session:
        report, size = reports.head(session, report_id)
        if size > AT_ONCE.get(form, size):
            content = exports.find(session, report_id, form)
            return None if content is None else (report, formats.file(content, form))
    return export_report(engine, report_id, form)


def order(engine: Engine, report_id: str, form: ReportFormat, *, clock: Clock) -> Job:
    """The job that makes the export of a large report: the one that is at it or has failed at it, else a new one.

    One that has failed is not begun again by asking for its export, or asking would try for ever: it is retried as any other
    job. Raises NotFound, and InvalidRequest for a form that is known to be refused.
    """
    with transaction(engine, read_only=True) as session:
        project_id = reports.head(session, report_id)[0].project_id
        arguments = {"report_id": report_id, "format": form}
        key = f"{JOB} {json.dumps(arguments, sort_keys=True)}"
        job = exports.last_job(session, project_id, key)
    if job and job.state not in (State.SUCCEEDED, State.CANCELLED):
        return job
    if form is ReportFormat.PDF:
        with transaction(engine, read_only=True) as session, _refusing():
            pdf.check_report(_without_discrepancies(reports.get(session, report_id)))

    with transaction(engine) as session:
        return jobs.add(session, JOB, key, arguments, clock.now(), project_id=project_id, partition=ONE_AT_A_TIME)


def make(engine: Engine, report_id: str, form: ReportFormat, *, clock: Clock, steps: Steps) -> None:
    """Make an export and keep it. To do so again changes nothing. Raises as `export_report` does."""
    if steps.done(_MADE):
        return
    _, made = export_report(engine, report_id, form)
    with transaction(engine) as session:
        steps.record(session, _MADE, True)
        exports.add(session, report_id, form, made.content, clock.now())


def tidy(session: Session, now: datetime) -> None:
    """Delete the exports that were kept for long enough."""
    exports.forget(session, now - KEPT)


def export_invoice(engine: Engine, invoice_id: str, form: InvoiceFormat) -> tuple[Invoice, Export]:
    """An invoice or note and its export. Raises NotFound, NotInvoiceable for an e-invoice of what is not issued or not valid as
    one, and InvalidRequest for a form that holds fewer lines."""
    with transaction(engine, read_only=True) as session:
        invoice = invoices.get(session, invoice_id)
    with _refusing(TooLargeToPrint):
        return invoice, formats.invoice(msgspec.json.decode(invoices.document(invoice)), form)


def _without_discrepancies(report: Report) -> dict[str, Any]:
    """A report's document but for what may be large in it, which is not even decoded."""
    parts = msgspec.json.decode(report.body, type=dict[str, msgspec.Raw])
    return {name: msgspec.json.decode(part) for name, part in parts.items() if name != "discrepancies"}


@contextmanager
def _refusing(error: type[BillingError] = BillingError) -> Iterator[None]:
    """What `error` says is said of the form that was asked for."""
    try:
        yield
    except error as refusal:
        raise InvalidRequest(refusal.message, parameter="format", expected=refusal.expected) from None
