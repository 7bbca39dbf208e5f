"""The report: a reconciliation as canonical JSON, which names every observation it rests on.

The **core** is everything but the envelope (id, version, supersedes, sha256, created_at), as JSON with sorted keys, no white
space, in UTF-8; `sha256` is of the core. So the same observations and the same settings give the same hash, and anybody can
compute it again from the document alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from billing.amounts import Amounts
from billing.attribution import Tiers
from billing.discrepancy import Discrepancy
from billing.facts import Observation
from billing.minutes import format_minutes
from billing.model import BridgeLine, DayLine, Reconciliation
from billing.period import AlignedPeriod, BillingPeriod, hours_of

_ENVELOPE = ("id", "version", "supersedes", "sha256", "created_at")
_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True)
class Envelope:
    """A report's name and place among its versions; `created_at` is also the instant as of which it was made."""

    id: str
    version: int
    supersedes: str | None
    created_at: datetime


def build(reconciliation: Reconciliation, amounts: Amounts | None = None) -> bytes:
    """The core of the report, with the money where there is a rate card: the same input always gives the same bytes."""
    money = amounts or Amounts("", (), None, [None] * len(reconciliation.bridge), [None] * len(reconciliation.discrepancies))
    terms, plan = reconciliation.terms, reconciliation.terms.plan.fields
    return _encoder.encode(
        {
            "project_id": terms.project_id,
            "basis": terms.basis,
            "cross_check": terms.cross_check,
            "tier_plan": plan,
            "tolerance": {
                "minutes": format_minutes(terms.tolerance.minutes),
                "relative": format(terms.tolerance.relative, "f"),
            },
            "period": {
                "requested": dict(reconciliation.aligned.requested),
                "aligned": aligned(reconciliation.aligned),
                "added_days": reconciliation.aligned.added_days,
                "explanation": reconciliation.aligned.explanation,
            },
            "verdict": reconciliation.verdict,
            "explained_ratio": format(reconciliation.explained, "f"),
            "totals": {level: _minutes(plan, value) for level, value in reconciliation.totals.items()},
            "currency": money.currency,
            "rate_card": {"id": money.card_id, "versions": list(money.versions), "problem": money.problem} if amounts else None,
            "usage": _kinds(_added(line.usage for line in reconciliation.days)),
            "bridge": [_bridge_line(plan, *each) for each in zip(reconciliation.bridge, money.bridge, strict=True)],
            "days": [_day(plan, line) for line in reconciliation.days],
            "discrepancies": [
                finding(it, terms.project_id, amount)
                for it, amount in zip(reconciliation.discrepancies, money.discrepancies, strict=True)
            ],
            "observations": [_observation(it) for it in reconciliation.observations],
        }
    )


def digest(core: bytes) -> str:
    """The report's sha256, in hexadecimal."""
    return sha256(core).hexdigest()


def document(core: bytes, envelope: Envelope) -> bytes:
    """The whole report: the envelope before the core, as it is stored and served."""
    head = {
        "id": envelope.id,
        "version": envelope.version,
        "supersedes": envelope.supersedes,
        "sha256": digest(core),
        "created_at": instant(envelope.created_at),
    }
    return msgspec.json.encode(head)[:-1] + b"," + core[1:]


def core_of(whole: bytes) -> bytes:
    """The core of a stored report, to compute its hash again. Raises msgspec.DecodeError for what is no JSON object."""
    content = msgspec.json.decode(whole, type=dict[str, Any])
    return _encoder.encode({key: value for key, value in content.items() if key not in _ENVELOPE})


def aligned(period: AlignedPeriod) -> dict[str, Any]:
    """The aligned part of a period, as it stands in answers and reports."""
    return {
        **days_of(period.period),
        "short_days": [str(day) for day in period.short_days],
        "long_days": [str(day) for day in period.long_days],
    }


def days_of(period: BillingPeriod) -> dict[str, Any]:
    """A billing period, as it stands in every document."""
    return {
        "first_day": str(period.first_day),
        "last_day": str(period.last_day),
        "start": instant(period.start),
        "end": instant(period.end),
        "days": len(period),
    }


def instant(moment: datetime) -> str:
    """An instant in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def discrepancy_id(fingerprint: str) -> str:
    """A discrepancy's id, the same in every report that finds it again."""
    return f"dsc_{fingerprint[:24]}"


def finding(found: Discrepancy, project_id: str, amount: str | None) -> Mapping[str, Any]:
    """A discrepancy as it stands in a report; `amount` is what it comes to in the report's currency, if that is known."""
    fingerprint = found.fingerprint(project_id)
    return {
        "id": discrepancy_id(fingerprint),
        "fingerprint": fingerprint,
        "code": found.code,
        "severity": found.severity,
        "status": "open",
        "minutes": {field: format_minutes(value) for field, value in found.minutes.items()},
        "total": format_minutes(found.total),
        "amount": amount,
        "days": [str(day) for day in found.days],
        "sessions": list(found.sessions),
        "summary": found.summary,
        "evidence": dict(found.evidence),
    }


def _minutes(plan: Sequence[str], value: Tiers | None) -> dict[str, str]:
    return {} if value is None else {field: format_minutes(minutes) for field, minutes in zip(plan, value, strict=True)}


def _kinds(usage: Mapping[str, int]) -> dict[str, str]:
    return {kind: format_minutes(micro) for kind, micro in usage.items()}


def _added(usages: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total = Counter[str]()
    for usage in usages:
        total.update(usage)
    return total


def _bridge_line(plan: Sequence[str], line: BridgeLine, amount: str | None) -> Mapping[str, Any]:
    return {
        "step": line.step,
        "subtotal": line.subtotal,
        "minutes": _minutes(plan, line.minutes),
        "total": format_minutes(sum(line.minutes)),
        "amount": amount,
    }


def _day(plan: Sequence[str], line: DayLine) -> Mapping[str, Any]:
    difference = None
    if line.project_level is not None and line.meeting_level is not None:
        difference = tuple(one - other for one, other in zip(line.project_level, line.meeting_level, strict=True))
    return {
        "day": str(line.day),
        "hours": hours_of(line.day),
        "project_level": _minutes(plan, line.project_level),
        "project_status": line.project_status,
        "meeting_level": _minutes(plan, line.meeting_level),
        "meeting_coverage": line.meeting_coverage,
        "gaps": list(line.gaps),
        "difference": _minutes(plan, difference),
        "usage": _kinds(line.usage),
        "observation_id": line.observation_id,
    }


def _observation(it: Observation) -> Mapping[str, Any]:
    return {
        "id": it.id,
        "kind": it.kind,
        "day": str(it.day),
        "sha256": it.sha256,
        "observed_at": instant(it.observed_at),
        "complete": it.complete,
    }
