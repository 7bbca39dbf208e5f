"""What of a report is priced: its basis by day and tier, and every other kind of usage."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from billing.minutes import parse_minutes
from billing.pricing import Usage


def usages_of(report: Mapping[str, Any], basis: str | None = None) -> list[Usage]:
    """The usage that a report's JSON states, of `basis` (its own if none is named), with the readings it rests on.

    A day whose figure is not known adds nothing: whoever prices it looks at the verdict first.
    """
    level = basis or report["basis"]
    days = {date.fromisoformat(line["day"]): line for line in report["days"]}
    tiers = {tier: {day: line[level].get(tier, "0") for day, line in days.items()} for tier in report["tier_plan"]}
    kinds = {kind: {day: line["usage"].get(kind, "0") for day, line in days.items()} for kind in report["usage"]}
    observations = {day: line["observation_id"] for day, line in days.items() if line["observation_id"]}
    return [_usage(report, usage, figures, observations) for usage, figures in {**tiers, **kinds}.items()]


def _usage(report: Mapping[str, Any], usage: str, figures: Mapping[date, str], observations: Mapping[date, str]) -> Usage:
    minutes = {day: parse_minutes(figure) for day, figure in figures.items()}
    return Usage(report["project_id"], usage, minutes, report["id"], observations)
