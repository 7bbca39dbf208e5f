"""What a new version of a rate card would have made of past reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlmodel import Session

from app.errors import NotFound
from app.store import projects, rate_cards, reports
from app.store.tables import Report
from billing.errors import BillingError
from billing.period import BillingPeriod
from billing.pricing import Priced, price
from billing.ratecard import CardHistory, RateCard
from billing.ratecard_file import parse
from billing.usage import usages_of


@dataclass(frozen=True)
class Repriced:
    """A past report at the published rates and at the new ones: each side the prices, or why there are none."""

    report: Report
    old: Priced | str
    new: Priced | str


def diff(
    session: Session,
    document: object,
    *,
    card_id: str | None = None,
    project_ids: Sequence[str] = (),
    period: BillingPeriod | None = None,
    dated: bool = False,
    limit: int | None = None,
) -> Iterator[Repriced]:
    """What a document would have made of past reports, the last first, were it the next version of a rate card.

    Old is the card of `card_id`, or else the one that the document's `id` names, or else each project's own. The reports are
    the newest of each period, of `project_ids` or else of all projects that the card prices; with a `period` those within it.
    Each is priced by itself. The new version counts on all days of a report, however late it begins; where it is `dated`, only
    on its own days, and the old ones on the rest.

    Raises NotFound, and BillingError with the path of what is wrong in the document. Nothing is kept.
    """
    terms = parse(document)
    assert isinstance(document, Mapping)  # or it had not been parsed
    given = _given(session, document.get("id"), card_id)
    own = projects.rate_cards_of(session, None if project_ids or given is None else given.versions[0].id)
    if unknown := [it for it in project_ids if it not in own]:
        raise NotFound(f"There is no project {unknown[0]}.")
    histories = {card: rate_cards.history(session, card) for card in set(own.values()) if card and given is None}
    for report in reports.newest(session, project_ids or list(own), period, limit=limit):
        content = msgspec.json.decode(report.body)
        days = BillingPeriod(report.first_day, report.last_day)
        old = given or histories.get(own[report.project_id] or "")
        before = _price(content, old, days) if old else f"The project {report.project_id} has no rate card."
        yield Repriced(report, before, _price(content, _with(terms, old, days, dated), days))


def _given(session: Session, stated: object, card_id: str | None) -> CardHistory | None:
    """The versions of the card to compare with, if one is named that is there."""
    if card_id is not None:
        return rate_cards.history(session, card_id)
    try:
        return rate_cards.history(session, rate_cards.identity(stated, None))
    except NotFound:
        return None


def _with(terms: RateCard, old: CardHistory | None, days: BillingPeriod, dated: bool) -> CardHistory:
    """The card with the new version."""
    before = list(old.versions) if old else []
    new = replace(terms, version=max((it.version for it in before), default=0) + 1)
    return CardHistory([*before, new] if dated else [replace(new, effective_from=days.first_day, effective_to=None)])


def _price(content: Mapping[str, Any], cards: CardHistory, days: BillingPeriod) -> Priced | str:
    if "usage" not in content:
        return "The report was made by a release that knew nothing of money; reconcile the period again."
    try:
        return price(usages_of(content), cards, days)
    except BillingError as error:
        return error.message
