"""docs/rate-cards.md is right: every table is worked out from the blocks above it."""

import re
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from billing.minutes import parse_minutes
from billing.period import BillingPeriod
from billing.pricing import Priced, Usage, price
from billing.ratecard import CardHistory
from billing.ratecard_file import load_text, parse
from billing.tiers import Tier

GUIDE = (Path(__file__).parents[2] / "docs" / "rate-cards.md").read_text()
OCTOBER = BillingPeriod(date(2026, 10, 1), date(2026, 10, 31))
SUMS = ("subtotal", "discount", "commitment", "tax", "total")


def blocks(text: str) -> list[dict[str, Any]]:
    return [load_text(block, "yaml") for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


CARD = blocks(GUIDE)[0]
SECTIONS = dict(re.findall(r"^#+ ([^\n]*)\n(.*?)(?=^#+ |\Z)", GUIDE, re.MULTILINE | re.DOTALL))


def rows(text: str) -> list[dict[str, str]]:
    head, _, *body = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ] or [[], []]
    return [dict(zip(head, cells, strict=True)) for cells in body]


def usages(minutes: str) -> list[Usage]:
    """What a cell says: `1-2: 1,000 · 3+: 20 on 2026-10-20`."""
    names = {Tier.parse(field).label: field for field in CARD["tier_plan"]}
    found: dict[str, dict[date, int]] = defaultdict(dict)
    for part in minutes.split(" · "):
        label, quantity, day = re.fullmatch(r"([^:]+): ([\d,.]+)(?: on ([\d-]+))?", part).groups()
        found[names.get(label, label)][date.fromisoformat(day or "2026-10-05")] = parse_minutes(quantity.replace(",", ""))
    return [Usage("100", usage, days) for usage, days in found.items()]


def priced(section: str, minutes: str) -> Priced:
    changes = blocks(SECTIONS[section]) or [{}]
    cards = [parse(CARD | change, version=number) for number, change in enumerate(changes, 1)]
    return price(usages(minutes), CardHistory(cards), OCTOBER)


WORKED = [(section, row) for section, text in SECTIONS.items() for row in rows(text)]


@pytest.mark.parametrize(("section", "row"), WORKED, ids=[f"{section}: {row['minutes']}" for section, row in WORKED])
def test_what_is_worked_out_is_right(section: str, row: dict[str, str]) -> None:
    it = priced(section, row["minutes"])
    assert {name: row[name] for name in SUMS if name in row} == {
        name: it.currency.text(getattr(it, name)) for name in SUMS if name in row
    }


def test_every_model_and_every_part_of_a_card_is_worked_out() -> None:
    documents = [CARD | block for text in SECTIONS.values() if rows(text) for block in blocks(text)]
    prices = [it for document in documents for kind in ("prices", "usage_prices") for it in document.get(kind, {}).values()]
    assert {it["model"] for it in prices} == {"flat", "graduated", "volume", "package"}
    told = {key for document in documents for key in document}
    assert {"allowance", "commitment", "discounts", "tax", "taxes", "rounding", "usage_prices"} <= told
    assert len(WORKED) > 20
