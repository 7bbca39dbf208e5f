"""What was invoiced already: a value that has changed since weighs more, because money has to be moved for it.

Whether a period was invoiced is no observation. So what a finding's weight rests on stands in its evidence: the invoices, and
the payloads that their reports rested on. From these the report can be made again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from billing.discrepancy import Code, Discrepancy, Severity
from billing.facts import Kind
from billing.model import Reconciliation
from billing.period import BillingPeriod

NAMED = 3
"""Invoices that a sentence names; a shared project may have hundreds."""

Reading = tuple[Kind, date]


@dataclass(frozen=True)
class Invoiced:
    """A finalized invoice of a project's period; `readings` are the sha256 of what it rests on, by kind and billing day."""

    id: str
    number: str
    period: BillingPeriod
    readings: Mapping[Reading, str]


def after_invoicing(it: Reconciliation, invoices: Callable[[Discrepancy], Iterable[Invoiced]]) -> Reconciliation:
    """The same, in which a value that was restated after one of its `invoices` rested on it is of high severity."""
    # In order of time: the last of a kind and day counts.
    latest: dict[Reading, str] = {(seen.kind, seen.day): seen.sha256 for seen in it.observations}
    return replace(it, discrepancies=[_weighed(found, latest, invoices) for found in it.discrepancies])


def stated(discrepancies: Iterable[Mapping[str, Any]], project_id: str) -> Callable[[Discrepancy], Iterable[Invoiced]]:
    """The invoices that each of a report's discrepancies, as its JSON has them, rests on."""
    told = {it["fingerprint"]: it for it in discrepancies}

    def invoices(found: Discrepancy) -> Iterator[Invoiced]:
        evidence = told.get(found.fingerprint(project_id), {}).get("evidence", {})
        for it in evidence.get("invoices", ()):
            kind = Kind.MEETINGS if found.sessions else Kind.DAILY_USAGE
            readings = {(kind, date.fromisoformat(day)): sha256 for day, sha256 in it["readings"].items()}
            period = BillingPeriod(date.fromisoformat(it["first_day"]), date.fromisoformat(it["last_day"]))
            yield Invoiced(it["id"], it["number"], period, readings)

    return invoices


def _weighed(
    found: Discrepancy, latest: Mapping[Reading, str], invoices: Callable[[Discrepancy], Iterable[Invoiced]]
) -> Discrepancy:
    about = list(_about(found))
    changed = [it for it in invoices(found) if any(_has_changed(reading, latest, it) for reading in about)] if about else []
    if not changed:
        return found
    changed.sort(key=lambda it: (it.number, it.id))
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    named = ", ".join(invoice.number for invoice in changed[:NAMED])
    return replace(
        found,
        weight=Severity.HIGH,
        summary=f"{found.summary} It was invoiced before, with {named}{more}.",
        evidence={**found.evidence, "invoices": [_json(invoice, about) for invoice in changed]},
    )


def _about(found: Discrepancy) -> Iterator[Reading]:
    """The readings that a restatement is about: a day's usage, or the meetings created on some days."""
    if found.code is Code.RESTATED:
        yield from ((Kind.DAILY_USAGE, day) for day in found.days)
        yield from ((Kind.MEETINGS, date.fromisoformat(day)) for day in found.evidence.get("windows", ()))


def _has_changed(reading: Reading, latest: Mapping[Reading, str], invoice: Invoiced) -> bool:
    """Whether it says something else than what the invoice rests on; a window before its period may be none of its business."""
    then = invoice.readings.get(reading)
    return then != latest.get(reading) and (then is not None or reading[1] in invoice.period)


def _json(invoice: Invoiced, about: Iterable[Reading]) -> dict[str, Any]:
    return {
        "id": invoice.id,
        "number": invoice.number,
        "first_day": str(invoice.period.first_day),
        "last_day": str(invoice.period.last_day),
        "readings": {str(it[1]): invoice.readings[it] for it in about if it in invoice.readings},
    }
