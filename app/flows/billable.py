"""What a customer is to be invoiced for: the newest reports of its projects, what of them is its own, and at which prices.

It rests on what the reports say, word for word. A project that is shared by session is split by the meetings that its report
rests on; its owner also takes what no customer's session used, and what the two levels differ by, each as lines of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import numpy as np
from sqlmodel import Session

from app.errors import Conflict
from app.flows.reconcile import gather
from app.store import observations, ownership, rate_cards, reports
from app.store.customers import Customer
from app.store.tables import ProjectRow, Report
from billing.facts import Ints, Kind
from billing.invoice import ReportRef
from billing.minutes import parse_minutes
from billing.model import Basis
from billing.period import BillingPeriod
from billing.pricing import Priced, Usage, price
from billing.ratecard import CardHistory
from billing.sharing import shares
from billing.tiers import TierPlan
from billing.usage import usages_of


@dataclass(frozen=True)
class Billable:
    """A customer's period, priced, and the reports that it rests on."""

    priced: Priced
    reports: Sequence[ReportRef]


def billable(session: Session, customer: Customer, period: BillingPeriod) -> Billable:
    """What a customer is to be invoiced for.

    Raises Conflict where a report is missing, a project cannot be shared or it is not known which rate card counts, and
    NoRateCard where a day or a kind of usage has no price.
    """
    projects = ownership.projects_of(session, customer.id)
    if not projects:
        raise Conflict(f"The customer {customer.id} owns no project, and no session of one.")
    found = [(row, reports.find(session, row.project_id, period.first_day, period.last_day)) for row in projects]
    if missing := [row.project_id for row, report in found if report is None]:
        raise Conflict(
            f"There is no report of exactly {period.first_day} to {period.last_day} for project {', '.join(missing)}: "
            "reconcile it first."
        )
    cards = _cards(session, customer, projects)
    held = [(row, report) for row, report in found if report is not None]
    usages = [usage for row, report in held for usage in _usages(session, customer.id, row, report)]
    return Billable(price(usages, cards, period, tax=customer.tax), [_reference(row, report) for row, report in held])


def _cards(session: Session, customer: Customer, projects: Sequence[ProjectRow]) -> CardHistory:
    found = {customer.rate_card_id} if customer.rate_card_id else {row.rate_card_id for row in projects} - {None}
    if len(found) == 1:
        return rate_cards.history(session, str(*found))
    said = "its projects have several" if found else "neither has any of its projects"
    raise Conflict(f"The customer {customer.id} has no rate card of its own, and {said}: give it one.")


def _reference(row: ProjectRow, report: Report) -> ReportRef:
    basis = msgspec.json.decode(report.body)["basis"]
    return ReportRef(report.id, report.version, report.sha256, report.verdict, row.project_id, row.name, basis)


def _usages(session: Session, customer_id: str, row: ProjectRow, report: Report) -> list[Usage]:
    content: dict[str, Any] = msgspec.json.decode(report.body)
    stated = usages_of(content)
    if not ownership.is_shared(session, row.project_id):
        return stated
    if row.customer_id is None:
        raise Conflict(
            f"The project {row.project_id} is shared by session but belongs to nobody, so nobody would be invoiced for what no "
            "customer's session used: give the project to a customer."
        )
    if not content["cross_check"]:
        raise Conflict(
            f"The project {row.project_id} is shared by session, but its report {report.id} holds no meetings to split it by."
        )
    table = _shares(session, row.project_id, content, report)
    made_of = {date.fromisoformat(it["day"]): it["id"] for it in content["observations"] if it["kind"] == Kind.MEETINGS}

    def share(owner: str | None, kind: str) -> Iterator[Usage]:
        if owner in table:
            for tier, column in zip(content["tier_plan"], table[owner].T.tolist(), strict=True):
                yield Usage(row.project_id, tier, dict(zip(_days(content), column, strict=True)), report.id, made_of, kind)

    mine = list(share(customer_id, "usage"))
    if row.customer_id == customer_id:
        mine += share(None, "unowned")
        mine += _beyond_meetings(content, stated)
    return mine


def _beyond_meetings(content: Mapping[str, Any], stated: Sequence[Usage]) -> Iterator[Usage]:
    """What no session is known for: usage other than participants', and what is invoiced beyond the meeting level, signed."""
    meetings = {it.usage: it.days for it in usages_of(content, Basis.MEETING_LEVEL)}
    for it in stated:
        if it.usage not in content["tier_plan"]:
            yield Usage(it.project_id, it.usage, it.days, it.report_id, it.observations, "unowned")
        elif content["basis"] == Basis.PROJECT_LEVEL:
            days = {day: value - meetings[it.usage][day] for day, value in it.days.items()}
            yield Usage(it.project_id, it.usage, days, it.report_id, it.observations, "level_difference")


def _shares(session: Session, project_id: str, content: Mapping[str, Any], report: Report) -> dict[str | None, Ints]:
    """The report's meeting level by owner, (day, tier), from the very observations that it lists."""
    days, plan = _days(content), TierPlan.of(content["tier_plan"])
    held = [observations.get(session, it["id"]) for it in content["observations"] if it["kind"] != Kind.DAILY_USAGE]
    evidence = gather(session, held, report.created_at)
    windows = ((observation, day.only(plan.fields)) for observation, day in evidence.meetings)
    owner_of = ownership.owner_of(session, project_id)
    table = shares(windows, evidence.details, BillingPeriod(days[0], days[-1]), plan, owner_of)
    stated = [[parse_minutes(line["meeting_level"][tier]) for tier in plan.fields] for line in content["days"]]
    if not np.array_equal(sum(table.values(), np.zeros((len(days), len(plan)), np.int64)), np.array(stated)):
        raise Conflict(f"The report {report.id} is not what its observations give: verify it.")
    return table


def _days(content: Mapping[str, Any]) -> list[date]:
    return [date.fromisoformat(line["day"]) for line in content["days"]]
