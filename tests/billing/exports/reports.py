"""Reports to export: three days with a reused room, a day that disagrees, usage of other kinds, priced and not."""

import json
from typing import Any

from billing.amounts import amounts
from billing.model import Evidence
from billing.ratecard import CardHistory
from billing.reconcile import reconcile
from billing.report import Envelope, build, document
from tests.billing.rate_cards import brackets_of, card
from tests.billing.test_bridge import ALIGNED, PERIOD, START, WINDOWS
from tests.billing.world import MILLION, MINUTE, PLAN, TERMS, Meeting, Room, as_of, reading, window

SMALL, LARGE = PLAN.fields[:2]
CARDS = CardHistory(
    [
        card(
            {
                SMALL: {"model": "graduated", "brackets": brackets_of("100", "0.0045", "0.004")},
                LARGE: {"model": "flat", "unit_price": "0.0065"},
            },
            plan=PLAN.fields,
            usage_prices={"sipUserMinutes": {"model": "flat", "unit_price": "0.005"}},
            discounts=[{"kind": "percentage", "value": "10"}],
            tax={"name": "VAT", "percent": "19"},
        )
    ]
)


def report(cards: CardHistory | None = CARDS, *, room: str = "s") -> dict[str, Any]:
    """A report; without `cards` it has no money."""
    early, late = START - 600 * MINUTE, START + 90 * MINUTE
    world = [Room(room, [Meeting(early, early + 60 * MINUTE, 2, "a"), Meeting(late, late + 60 * MINUTE, 2, "b")])]
    used = [{SMALL: 120 * MILLION}, {LARGE: 33_333_333}, {}]
    readings = [reading(day, tiers) for day, tiers in zip(PERIOD.days, used, strict=True)]
    readings[1].value.usage["sipUserMinutes"] = 12_500_000
    evidence = Evidence(readings, [window(world, day) for day in WINDOWS], [], [], as_of(PERIOD.last_day))
    found = reconcile(ALIGNED, TERMS, evidence)
    core = build(found, amounts(found, "rc", cards) if cards else None)
    return json.loads(document(core, Envelope("rpt_1", 1, None, as_of(PERIOD.last_day))))
