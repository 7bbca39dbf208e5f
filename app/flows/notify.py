"""Telling of what happened: from what the other flows have done to the events of it, in the same transaction."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlmodel import Session

from app.store import invoices
from app.store.discrepancies import Change, Status, Step
from app.store.money_tables import Invoice
from app.store.reports import Saved
from app.store.tables import Discrepancy, Report
from app.webhooks.events import EventType, emit
from billing.discrepancy import Code, Severity
from billing.report import instant

SUMMARY = 500
"""Characters of a sentence."""
MOST = 100
"""Items of a list in an event."""
_OF_INVOICES = {"invoice.drafted": EventType.INVOICE_DRAFTED, "invoice.finalized": EventType.INVOICE_FINALIZED}
_OF_DISCREPANCIES = {
    Step.OPENED: EventType.DISCREPANCY_OPENED,
    Step.REOPENED: EventType.DISCREPANCY_OPENED,
    Step.RESOLVED: EventType.DISCREPANCY_RESOLVED,
}


def reconciled(session: Session, saved: Saved, now: datetime) -> None:
    """A report was made, unless nothing was new."""
    if not saved.is_new:
        return
    report, content = saved.report, msgspec.json.decode(saved.report.body)
    severities = [finding["severity"] for finding in content["discrepancies"]]
    data = _of(report) | {
        "supersedes": report.supersedes,
        "discrepancies": {severity: severities.count(severity) for severity in Severity if severity in severities},
    }
    subject = f"{report.project_id} {report.first_day}..{report.last_day}"
    emit(session, EventType.RECONCILIATION_COMPLETED, project_id=report.project_id, subject=subject, data=data, now=now)
    if saved.before and (days := _restated_days(content, msgspec.json.decode(saved.before.body))):
        data = _of(report) | {"supersedes": report.supersedes, "days": days[:MOST]}
        emit(session, EventType.REPORT_RESTATED, project_id=report.project_id, subject=subject, data=data, now=now)
    followed(session, saved.changes, now)


def followed(session: Session, changes: Iterable[Change], now: datetime) -> None:
    """Discrepancies were opened or resolved; those that only explain are not told of."""
    for row, step in changes:
        if row.severity == Severity.INFO:
            continue
        data = {
            "project_id": row.project_id,
            "report_id": row.report_id,
            "discrepancy_id": row.id,
            "code": row.code,
            "severity": row.severity,
            "first_day": str(row.first_day),
            "last_day": str(row.last_day),
            "total": row.finding["total"],
            "amount": row.finding["amount"],
            "summary": row.finding["summary"][:SUMMARY],
            "changed_at": instant(row.changed_at),
        }
        emit(session, _OF_DISCREPANCIES[step], project_id=row.project_id, subject=row.id, data=data, now=now)


def edited(session: Session, row: Discrepancy, was: str, now: datetime) -> None:
    """A person changed a discrepancy whose status was that."""
    if row.status == was:
        return
    if row.status == Status.RESOLVED:
        followed(session, [(row, Step.RESOLVED)], now)
    elif was == Status.RESOLVED:
        followed(session, [(row, Step.REOPENED)], now)


def invoiced(session: Session, invoice: Invoice, action: str, now: datetime) -> None:
    """Something was done to an invoice; drafting and issuing it is told."""
    if action not in _OF_INVOICES:
        return
    core = invoices.core_of(invoice)
    projects = sorted({report["project_id"] for report in core["reports"]})
    data = {
        "invoice_id": invoice.id,
        "kind": invoice.kind,
        "number": invoice.number,
        "version": invoice.version,
        "customer_id": invoice.customer_id,
        "project_ids": projects[:MOST],
        "first_day": str(invoice.first_day),
        "last_day": str(invoice.last_day),
        "currency": core["currency"],
        "total": core["total"],
    }
    emit(session, _OF_INVOICES[action], project_id=projects, subject=invoice.id, data=data, now=now)


def _of(report: Report) -> dict[str, Any]:
    return {
        "project_id": report.project_id,
        "report_id": report.id,
        "version": report.version,
        "first_day": str(report.first_day),
        "last_day": str(report.last_day),
        "verdict": report.verdict,
    }


def _restated_days(content: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """The days that a report finds restated and the version before it did not, or by other minutes, or the other way round."""

    def restated(it: dict[str, Any]) -> dict[str, Any]:
        return {
            found["id"]: (found["minutes"], found["days"] or found["evidence"]["windows"])
            for found in it["discrepancies"]
            if found["code"] == Code.RESTATED
        }

    told, known = restated(content), restated(before)
    changed = [key for key in told.keys() | known.keys() if told.get(key) != known.get(key)]
    return sorted({day for key in changed for day in (told.get(key) or known[key])[1]})
