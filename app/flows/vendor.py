"""Matching a vendor's invoice: with the newest reports of its projects, and with the days held around its period."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from sqlmodel import Session

from app.errors import Conflict, InvalidRequest
from app.flows import notify
from app.flows.reconcile import gather
from app.store import discrepancies, entities, observations, projects, rate_cards, reports, vendor_invoices
from app.store.tables import Report
from app.store.vendor_tables import VendorInvoice
from billing.coverage import DailyReading, DailyStatus, by_day
from billing.errors import NoRateCard, TierNotObserved
from billing.facts import Kind
from billing.minutes import parse_minutes
from billing.model import Evidence, Tolerance
from billing.money import decimal_of
from billing.period import BillingPeriod
from billing.ratecard import CardHistory
from billing.report import finding
from billing.tiers import TierPlan
from billing.vendor import BilledInvoice
from billing.vendor_dispute import Dispute
from billing.vendor_match import Basis, match, mismatches
from billing.vendor_minutes import REACH, Minutes, Unit, together
from billing.vendor_variance import vary
from billing.vendor_zone import in_utc, needed

_UNKNOWN = (DailyStatus.MISSING, DailyStatus.EXPIRED)
_UNSAFE = (*_UNKNOWN, DailyStatus.PROVISIONAL)
"""The status of a day whose project level may yet be another."""


def upload(session: Session, invoice: BilledInvoice, *, actor: str, now: datetime) -> tuple[VendorInvoice, bool]:
    """Keep a vendor's invoice and match it, where that can be done already; true with it if it is new.

    Raises Conflict where another invoice of the vendor has its number.
    """
    row, is_new = vendor_invoices.save(session, invoice, actor=actor, now=now)
    if row.match is None:
        try:
            _match(session, row, now)
        except (Conflict, NoRateCard) as error:
            vendor_invoices.keep_match(session, row, None, error.message, now)
    return row, is_new


def rematch(session: Session, invoice_id: str, *, now: datetime) -> VendorInvoice:
    """Match an invoice again. Raises NotFound, Conflict where a report or a rate card is wanting, or NoRateCard."""
    row = vendor_invoices.get(session, invoice_id, lock=True)
    _match(session, row, now)
    return row


def _match(session: Session, row: VendorInvoice, now: datetime) -> None:
    invoice = vendor_invoices.billed(row)
    card_id, found = _reports(session, invoice)
    cards = rate_cards.history(session, card_id)
    currency = cards.on(invoice.period.last_day).currency
    if currency != invoice.currency:
        raise Conflict(f"The invoice is in {invoice.currency.code}, and the rate card {card_id} in {currency.code}.")
    contents = [msgspec.json.decode(report.body) for report in found]
    _require_tiers(contents, cards, invoice.period)
    units = [_unit(session, content, invoice.period, now) for content in contents]

    tolerance = _tolerance(contents)
    variance = vary(invoice, units if invoice.by_project else [together(units)], cards, tolerance)
    body = match(invoice, variance, _basis(contents, cards, card_id, invoice.period), tolerance)

    if body != row.match:
        vendor_invoices.keep_match(session, row, body, "", now)
    by_project = {report.project_id: report for report in found}
    told = mismatches(invoice, msgspec.json.decode(body), row.id)
    differing = [(by_project[project], finding(it, project, amount)) for project, it, amount in told]
    notify.followed(session, discrepancies.follow_match(session, row.id, differing, now), now)


def _reports(session: Session, invoice: BilledInvoice) -> tuple[str, Sequence[Report]]:
    """The rate card of the invoice's projects, and the newest report of each of exactly its period.

    The projects are those that it names, or else all that have a rate card: the invoice is for the account then.
    """
    known = projects.rate_cards_of(session)
    wanted = invoice.projects or sorted(project for project, card in known.items() if card)
    if not wanted:
        raise Conflict("No project has a rate card: give the projects theirs, rate_card_id, and match again.")
    for project in wanted:
        if project not in known:
            raise Conflict(f"The invoice is for the project {project}, which is not here.")
        if known[project] is None:
            raise Conflict(f"The project {project} has no rate card to match by: give it one, rate_card_id, and match again.")
    if len({known[project] for project in wanted}) > 1:
        raise Conflict("The projects of the invoice have different rate cards: upload an invoice for those of each card.")
    found = []
    for project in wanted:
        report = reports.find(session, project, invoice.period.first_day, invoice.period.last_day)
        if report is None:
            days = f"{invoice.period.first_day}..{invoice.period.last_day}"
            raise Conflict(f"The project {project} has no report of {days}: reconcile it, or name the invoice's projects.")
        found.append(report)
    return str(known[wanted[0]]), found


def _require_tiers(contents: Sequence[Mapping[str, Any]], cards: CardHistory, period: BillingPeriod) -> None:
    plans = {card.plan for card, _ in cards.segments(period)}
    for content in contents:
        if {TierPlan.of(content["tier_plan"])} != plans:
            project = content["project_id"]
            raise Conflict(f"The report {content['id']} has other tiers than the rate card: reconcile project {project} again.")


def _unit(session: Session, report: Mapping[str, Any], period: BillingPeriod, now: datetime) -> Unit:
    """What is held of one project: its report, and the days around."""
    plan = TierPlan.of(report["tier_plan"])
    evidence = _around(session, report["project_id"], period, now)
    days = {day: usage for day, it in by_day(evidence.daily).items() if (usage := _daily(it[-1], plan)) is not None}
    days |= {
        date.fromisoformat(day["day"]): _minutes(day["project_level"]) | _minutes(day["usage"])
        for day in report["days"]
        if day["project_status"] not in _UNKNOWN
    }
    steps = {line["step"]: _minutes(line["minutes"]) for line in report["bridge"]}
    checked = report["cross_check"]
    unit = Unit(
        report["project_id"],
        days,
        _minutes(report["totals"]["meeting_level"]) if checked else None,
        _minutes(report["totals"]["session_level"]) if checked else None,
        {tier: _spilled(steps, tier) for tier in plan.fields} if checked else {},
    )
    windows = list(evidence.meetings)
    if not checked or {it.day for it, _ in windows if it.complete} != set(needed(period)):
        return unit
    try:
        return replace(unit, zone=in_utc(unit.used(period), windows, evidence.details, period, plan))
    except TierNotObserved:
        return unit


def _around(session: Session, project_id: str, period: BillingPeriod, now: datetime) -> Evidence:
    """The daily usage near the period, and the meetings of its edges."""
    first, last = period.first_day - timedelta(days=REACH), period.last_day + timedelta(days=REACH)
    held = list(observations.latest(session, project_id, Kind.DAILY_USAGE, first, last).values())
    for kind in (Kind.MEETINGS, Kind.SESSION_DETAIL):
        for day in needed(period):
            held += observations.latest(session, project_id, kind, day, day).values()
    return gather(session, held, now)


def _daily(reading: DailyReading, plan: TierPlan) -> Minutes | None:
    """What a day used; None where its tiers were not asked for when it was collected."""
    if reading.value is None:
        return {}
    try:
        return {**dict(zip(plan.fields, reading.value.of(plan.fields), strict=True)), **reading.value.usage}
    except TierNotObserved:
        return None


def _spilled(steps: Mapping[str, Minutes], tier: str) -> int:
    """What the session level holds beyond the period's own minutes: B + A + E − S, of lines that carry their sign."""
    return -sum(steps[step].get(tier, 0) for step in ("reuse_before", "reuse_after", "straddles_end", "straddles_start"))


def _minutes(texts: Mapping[str, str]) -> dict[str, int]:
    return {usage: parse_minutes(text) for usage, text in texts.items()}


def _tolerance(contents: Sequence[Mapping[str, Any]]) -> Tolerance:
    """The smallest of the projects' tolerances."""
    return Tolerance(
        min(parse_minutes(content["tolerance"]["minutes"]) for content in contents),
        min(decimal_of(content["tolerance"]["relative"]) for content in contents),
    )


def _basis(contents: Sequence[Mapping[str, Any]], cards: CardHistory, card_id: str, period: BillingPeriod) -> Basis:
    notes = []
    for content in contents:
        unsafe = [day["day"] for day in content["days"] if day["project_status"] in _UNSAFE]
        said = f"{', '.join(unsafe[:5])}{' and more' if len(unsafe) > 5 else ''}"
        if unsafe:
            notes.append(f"The project level of project {content['project_id']} is not final or not known on {said}.")
        elif content["verdict"] in ("incomplete", "unexplained"):
            notes.append(f"The report {content['id']} of project {content['project_id']} is {content['verdict']}.")
    return Basis(
        [{key: content[key] for key in ("id", "version", "sha256", "project_id", "verdict")} for content in contents],
        {"id": card_id, "versions": sorted({card.version for card, _ in cards.segments(period)})},
        notes,
    )


def dispute_pack(session: Session, invoice_id: str, entity_id: str | None = None) -> tuple[VendorInvoice, bytes]:
    """The invoice and the ZIP that disputes it, in the name of a legal entity, or of the only one there is.

    Raises NotFound, InvalidRequest where there are several entities and none is named, or Conflict where the invoice is not
    matched yet or not too high.
    """
    row = vendor_invoices.get(session, invoice_id)
    if row.match is None or row.matched_at is None:
        raise Conflict(f"The invoice is not matched yet: {row.unmatched}")
    matched = msgspec.json.decode(row.match)
    if decimal_of(matched["variance"]["amount"], negative=True) <= 0:
        raise Conflict("There is nothing to dispute: the invoice is not higher than what was used comes to.")
    bodies = [reports.get(session, report["id"]).body for report in matched["reports"]]
    sender = _sender(session, entity_id)
    return row, Dispute(vendor_invoices.billed(row), row.body, row.match, row.matched_at, bodies, sender).pack()


def _sender(session: Session, entity_id: str | None) -> Mapping[str, Any] | None:
    if entity_id is not None:
        return asdict(entities.get(session, entity_id))
    known = entities.list_page(session, limit=2).items
    if len(known) > 1:
        raise InvalidRequest(
            "There are several legal entities.", parameter="entity_id", expected="the id of the one that disputes the invoice"
        )
    return asdict(known[0]) if known else None
