"""Restatements: when upstream changes what a closed period rests on, its report is made again and its invoices follow.

A draft is made again. What is issued never changes: the difference is proposed as the draft of a credit or debit note, once for
each version of the report, so that one which somebody declined is not proposed again.
"""

from datetime import date, datetime, timedelta

import msgspec
from sqlmodel import Session

from app.flows import invoice as invoicing
from app.flows import notes
from app.store import invoices, observations, ownership, reports
from app.store.money_tables import Invoice
from app.store.payloads import decode_meetings
from app.store.tables import Report
from billing.collection_plan import same_meetings
from billing.facts import Kind, Observation
from billing.invoice import Status

REASON = "The vendor changed the usage of the period after it was invoiced."


class _Seen(msgspec.Struct):
    kind: Kind
    day: date
    sha256: str
    complete: bool


class _Listed(msgspec.Struct):
    """Of a report's JSON, only what it rests on: the rest may be megabytes."""

    cross_check: bool
    observations: list[_Seen]


def has_changed(session: Session, report: Report) -> bool:
    """Whether upstream has said something else since of what a report rests on, or something that was wanting.

    Another reading that says the same is nothing new: it would only make a report that lists it.
    """
    listed = msgspec.json.decode(report.body, type=_Listed)
    known = {(it.kind, it.day): it for it in listed.observations}  # in order of time: the last of a day counts
    wanted = [(Kind.DAILY_USAGE, report.first_day)]
    if listed.cross_check:
        wanted.append((Kind.MEETINGS, report.first_day - timedelta(days=1)))
    return any(
        _says_more(session, known.get((kind, day)), latest)
        for kind, first_day in wanted
        for day, latest in observations.latest(session, report.project_id, kind, first_day, report.last_day).items()
    )


def _says_more(session: Session, known: _Seen | None, latest: Observation) -> bool:
    if known is None or known.complete != latest.complete:
        return True
    if known.sha256 == latest.sha256:
        return False
    if latest.kind is not Kind.MEETINGS:
        return True
    one, other = (decode_meetings(observations.payload(session, it)) for it in (known.sha256, latest.sha256))
    return not same_meetings(latest.day, one, other)


def follow(session: Session, invoice: Invoice, *, actor: str, now: datetime) -> Invoice | None:
    """Let an invoice that is a draft, approved or finalized take in the newest reports of its customer's projects; the note of
    the difference, where a finalized one has any.

    Raises what `app.flows.invoice.redraft` and `app.flows.notes.restate` do, such as NotInvoiceable where a report now needs an
    override.
    """
    newest = {
        report.id
        for row in ownership.projects_of(session, invoice.customer_id)
        if (report := reports.find(session, row.project_id, invoice.first_day, invoice.last_day))
    }
    told = [invoice, *invoices.notes_of(session, invoice.id, void=True)]
    if any(set(invoices.core_of(it)["report_ids"]) == newest for it in told):
        return None
    if invoice.status == Status.FINALIZED:
        return notes.restate(session, invoice.id, reason=REASON, actor=actor, now=now, expected_version=None)
    invoicing.redraft(session, invoice.id, actor=actor, now=now, expected_version=None)
    return None
