"""docs/vendor-invoices.md tells the truth: its file is read as it says, and its parts are worked out."""

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from billing.model import Tolerance
from billing.ratecard import CardHistory
from billing.vendor import parse
from billing.vendor_dispute import REASONS
from billing.vendor_mapping import KINDS, NEGATIVES, Numbers, VendorMapping
from billing.vendor_minutes import Cause, Unit
from billing.vendor_variance import vary
from tests.billing.rate_cards import card
from tests.test_docs import table

GUIDE = (Path(__file__).parents[2] / "docs" / "vendor-invoices.md").read_text()
PLAN = ("from1To2Publishers", "from3PlusPublishers")
CARD = card({PLAN[0]: {"model": "flat", "unit_price": "0.004"}, PLAN[1]: {"model": "flat", "unit_price": "0.005"}}, plan=PLAN)
PERIOD = {"month": "2026-10"}


def block(kind: str) -> str:
    return re.search(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)[1]


def test_the_file_is_read_as_it_says() -> None:
    document = json.loads(block("json"))
    mapping = VendorMapping(**document | {"numbers": Numbers(**document["numbers"])})
    invoice = mapping.read(block("csv"), {"vendor": "v", "number": "1", "period": PERIOD}).invoice()
    told = [
        [str(line.line), line.kind.value, line.usage, "" if line.quantity is None else str(line.quantity), str(line.amount)]
        for line in invoice.lines
    ]
    assert told == table(GUIDE, "| row | kind |")
    assert invoice.total == 45


@pytest.mark.parametrize("row", table(GUIDE, "| what is wrong |"), ids=lambda row: row[0])
def test_the_parts_are_worked_out(row: list[str]) -> None:
    lines = []
    for place, (usage, cell) in enumerate(zip(PLAN, row[1:3], strict=True), 1):
        quantity, price, amount = re.fullmatch(r"([\d,.]+) × ([\d.]+) = ([\d.]+)", cell).groups()
        same = {"line": place, "kind": "usage", "usage": usage}
        lines.append(same | {"quantity": quantity.replace(",", ""), "unit_price": price, "amount": amount})
    invoice = parse({"vendor": "v", "number": "1", "currency": "EUR", "period": PERIOD, "lines": lines})
    used = {date(2026, 10, 9): {PLAN[0]: 10_000_000_000, PLAN[1]: 2_000_000_000}}
    found = vary(invoice, [Unit("", used)], CardHistory([CARD]), Tolerance())
    assert found.expected == 50
    told = dict(part.split() for part in row[3].split(", ")) if row[3] else {}
    assert {cause.value: amount for cause, amount in found.parts.items() if amount or cause in told} == {
        cause: Decimal(amount) for cause, amount in told.items()
    }


def test_every_cause_and_kind_is_explained() -> None:
    assert set(re.findall(r"^- \*\*([a-z ]+)\*\*", GUIDE, re.MULTILINE)) == {cause.replace("_", " ") for cause in Cause}
    for name in (*KINDS, *NEGATIVES, *REASONS.values()):
        assert f"`{name}`" in GUIDE, name
