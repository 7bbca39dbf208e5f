"""Holding a report against what was planted: it must name every fault, and nothing that is not there."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.demo.month import Month
from billing.discrepancy import Code
from billing.minutes import parse_minutes
from billing.model import Verdict

NATURAL = (Code.SESSION_REUSE_SPILLOVER, Code.BOUNDARY_STRADDLE)
"""What any company's month has: a session may be named for it if it really reaches out of the period."""

Json = Mapping[str, Any]


def wrong(report: Json, month: Month) -> list[str]:
    """What is wrong with a report of the month, a sentence each."""
    verdict = (
        [] if report["verdict"] == Verdict.INCOMPLETE else [f"The verdict is {report['verdict']}, though a day is missing."]
    )
    return [*verdict, *_sums(report), *_findings(report, month)]


def _sums(report: Json) -> Iterator[str]:
    """A subtotal of the bridge must be the sum of the lines above it, and a total the sum of its tiers."""
    first, *lines = ((line, _minutes(line)) for line in report["bridge"])
    running = first[1]
    for line, minutes in lines:
        if not line["subtotal"]:
            running = {tier: value + minutes[tier] for tier, value in running.items()}
        elif minutes != running:
            yield f"The line {line['step']} of the bridge is not the sum of the lines above it."
    for line, minutes in (first, *lines):
        if parse_minutes(line["total"]) != sum(minutes.values()):
            yield f"The total of the line {line['step']} of the bridge is not the sum of its tiers."


def _findings(report: Json, month: Month) -> Iterator[str]:
    found = {(it["code"], (it["sessions"] or it["days"])[0]): it for it in report["discrepancies"]}
    planted = {(it.code, it.subject): it for it in month.planted}
    for key, fault in planted.items():
        if key not in found:
            yield f"Not found: {fault.words}"
        elif fault.minutes is not None and _minutes(found[key]) != fault.minutes:
            yield f"Found with other minutes than were planted: {found[key]['summary']}"
    for code, subject in found.keys() - planted.keys():
        if code not in NATURAL or subject not in month.reaching_out:
            yield f"Found, but not planted: {found[code, subject]['summary']}"


def _minutes(line: Json) -> dict[str, int]:
    return {tier: parse_minutes(value) for tier, value in line["minutes"].items()}
