"""The events: what each is called, when it happens and what it says. docs/webhooks.md is made from this.

An event is written in the transaction of what happened, so one never exists without the other. What says the same as an event
that is there already is that event: whoever does his work twice tells of it once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec
from sqlmodel import Session

from app.store import webhooks
from app.store.webhook_tables import WebhookEvent
from billing.report import instant

VERSION = 1
"""Of the bodies. A new field does not change it: a receiver ignores what it does not know."""
DATA_LIMIT = 16 * 1024
"""Bytes of an event's data: it says what to fetch, and is no copy of it."""
_encoder = msgspec.json.Encoder(order="sorted")


class EventType(StrEnum):
    """What an endpoint may be told."""

    COLLECTION_GAP = "collection.gap"
    RECONCILIATION_COMPLETED = "reconciliation.completed"
    DISCREPANCY_OPENED = "discrepancy.opened"
    DISCREPANCY_RESOLVED = "discrepancy.resolved"
    REPORT_RESTATED = "report.restated"
    INVOICE_DRAFTED = "invoice.drafted"
    INVOICE_FINALIZED = "invoice.finalized"
    ENDPOINT_DISABLED = "endpoint.disabled"


TEST = "endpoint.test"
"""The type of what `test` sends, to the one endpoint, whatever it chose."""


@dataclass(frozen=True)
class Definition:
    """What an event means: `fields` of its data with what each is, the path of what it is about, its subject, an example."""

    when: str
    fields: Mapping[str, str]
    path: str
    subject: str
    example: Mapping[str, Any]


_REPORT = {
    "project_id": "the project",
    "report_id": "the report",
    "version": "its version",
    "first_day": "the period's first billing day",
    "last_day": "its last billing day",
    "verdict": "`balanced`, `explained`, `unexplained`, `incomplete` or `unchecked`",
}
_A_REPORT = {
    "project_id": "100",
    "report_id": "rpt_f2b12628cce7d706452f4996",
    "version": 1,
    "first_day": "2026-10-01",
    "last_day": "2026-10-31",
    "verdict": "explained",
}
_DISCREPANCY = {
    "project_id": "the project",
    "report_id": "the last report that has it",
    "discrepancy_id": "the discrepancy",
    "code": "what kind it is, see the concepts",
    "severity": "`low`, `medium` or `high`",
    "first_day": "the first billing day of that report",
    "last_day": "its last billing day",
    "total": "minutes",
    "amount": "money, in the report's currency; null without a rate card",
    "summary": "a sentence for people, cut after 500 characters",
    "changed_at": "when it became so",
}
_A_DISCREPANCY = {
    "project_id": "100",
    "report_id": "rpt_f2b12628cce7d706452f4996",
    "discrepancy_id": "dsc_5d41402abc4b2a76b9719d91",
    "code": "restated",
    "severity": "medium",
    "first_day": "2026-10-01",
    "last_day": "2026-10-31",
    "total": "137.500000",
    "amount": "0.54",
    "summary": "The project level of 2026-10-05 was changed after it was final, by 137.50 minutes.",
    "changed_at": "2026-11-04T06:00:00Z",
}
_INVOICE = {
    "invoice_id": "the invoice or note",
    "kind": "`invoice`, `credit_note` or `debit_note`",
    "number": "its number; null for a draft",
    "version": "its version",
    "customer_id": "the customer",
    "project_ids": "the projects that it is for, 100 at most",
    "first_day": "the period's first billing day",
    "last_day": "its last billing day",
    "currency": "its currency",
    "total": "what is to be paid, or given back by a credit note",
}
_AN_INVOICE = {
    "invoice_id": "inv_5d41402abc4b2a76b9719d91",
    "kind": "invoice",
    "number": None,
    "version": 1,
    "customer_id": "cus_2f6c1d0e9b8a47f3a1b2c3d4",
    "project_ids": ["100"],
    "first_day": "2026-10-01",
    "last_day": "2026-10-31",
    "currency": "EUR",
    "total": "5431.20",
}

DEFINITIONS: Mapping[EventType, Definition] = {
    EventType.COLLECTION_GAP: Definition(
        "A day that upstream will soon forget was not collected, or can no longer be: once for each day, kind and state.",
        {
            "project_id": "the project",
            "kind": "what of it: `daily_usage` or `meetings`",
            "day": "the billing day",
            "state": "`at_risk`: it can still be collected; `lost`: it cannot",
            "gone_at": "when upstream forgets it",
        },
        "/v1/projects/{project_id}/coverage?period={day}..{day}",
        "project and day",
        {
            "project_id": "100",
            "kind": "meetings",
            "day": "2026-10-05",
            "state": "at_risk",
            "gone_at": "2026-10-26T07:00:00Z",
        },
    ),
    EventType.RECONCILIATION_COMPLETED: Definition(
        "A reconciliation made a report or a new version of one. One that found nothing new is not told.",
        _REPORT | {"supersedes": "the version before it; null for the first", "discrepancies": "how many it has, by severity"},
        "/v1/reports/{report_id}",
        "project and period",
        _A_REPORT | {"supersedes": None, "discrepancies": {"info": 12, "medium": 2}},
    ),
    EventType.DISCREPANCY_OPENED: Definition(
        "A discrepancy was found, found again after it was resolved, or reopened by a person. Those of severity `info` explain "
        "the bridge and ask nothing of anybody: they are in the report and not told.",
        _DISCREPANCY,
        "/v1/discrepancies/{discrepancy_id}",
        "discrepancy",
        _A_DISCREPANCY,
    ),
    EventType.DISCREPANCY_RESOLVED: Definition(
        "A newer report no longer has the discrepancy, or a person resolved it.",
        _DISCREPANCY,
        "/v1/discrepancies/{discrepancy_id}",
        "discrepancy",
        _A_DISCREPANCY,
    ),
    EventType.REPORT_RESTATED: Definition(
        "Upstream changed a value after it was final, so a report that was there has a new version with other figures.",
        _REPORT | {"supersedes": "the version before it", "days": "the restated billing days, 100 at most"},
        "/v1/reports/{report_id}",
        "project and period",
        _A_REPORT | {"version": 2, "supersedes": "rpt_0c88028bf3aa6a6a143ed846", "days": ["2026-10-05"]},
    ),
    EventType.INVOICE_DRAFTED: Definition(
        "An invoice, credit note or debit note was drafted.", _INVOICE, "/v1/invoices/{invoice_id}", "invoice", _AN_INVOICE
    ),
    EventType.INVOICE_FINALIZED: Definition(
        "An invoice, credit note or debit note was issued: it has its number and never changes again.",
        _INVOICE,
        "/v1/invoices/{invoice_id}",
        "invoice",
        _AN_INVOICE | {"number": "ACME-2026-00001", "version": 3},
    ),
    EventType.ENDPOINT_DISABLED: Definition(
        "An endpoint failed for five days or answered 410, and is sent nothing any longer. It is told to the others.",
        {"endpoint_id": "the endpoint", "endpoint_url": "its address", "reason": "a sentence", "disabled_at": "when"},
        "/v1/webhook-endpoints/{endpoint_id}",
        "endpoint",
        {
            "endpoint_id": "we_5d41402abc4b2a76b9719d91",
            "endpoint_url": "https://erp.example.com/hooks",
            "reason": "It has failed since 2026-11-01T07:00:00Z.",
            "disabled_at": "2026-11-06T07:00:00Z",
        },
    ),
}


def emit(
    session: Session,
    type: EventType,  # noqa: A002  the word of the body
    *,
    project_id: str | Sequence[str] | None,
    subject: str,
    data: Mapping[str, Any],
    now: datetime,
) -> None:
    """Tell every endpoint that wants it, in the caller's transaction: the event, its deliveries and their jobs.

    `project_id` is the project or the projects it is about, None the whole installation; `subject` is what the order is kept
    for, such as an invoice's id. `data` is JSON with exactly the fields of the type's definition.
    """
    if data.keys() != DEFINITIONS[type].fields.keys():
        raise ValueError(f"{type} says {sorted(DEFINITIONS[type].fields)}, not {sorted(data)}")
    projects = [project_id] if isinstance(project_id, str) else None if project_id is None else sorted(project_id)
    identity = _encoder.encode([type, subject, projects, data])
    if len(identity) > DATA_LIMIT:
        raise ValueError(f"{type} of {subject} is larger than {DATA_LIMIT} bytes")
    event = WebhookEvent(
        id=f"evt_{sha256(identity).hexdigest()[:24]}",
        type=type,
        subject=subject,
        projects=projects,
        data=dict(data),
        created_at=now,
    )
    webhooks.publish(session, event)


def body(event: WebhookEvent, public_url: str) -> bytes:
    """What is sent: always the same bytes for the same event. Links begin with `public_url`, or with `/` where it is empty."""
    path = DEFINITIONS[EventType(event.type)].path if event.type != TEST else "/v1/webhook-endpoints/{endpoint_id}"
    data = {**event.data, "url": public_url.rstrip("/") + path.format_map(event.data)}
    return _encoder.encode({"type": event.type, "timestamp": instant(event.created_at), "version": VERSION, "data": data})
