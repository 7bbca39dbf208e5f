"""Pricing a month and making the invoice's document, 100 times: 10 projects, six tiers, daily figures, all four price models.

The floor does what nobody can do without: add up the days, multiply by a price, round, and encode the finished document. The
float contender does the same with the numbers that money must not be made of: what exactness costs.
"""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from benchmarks.measure import contender, timed
from billing import invoice, notes
from billing.invoice import Envelope, Status
from billing.notes import CreditLine
from billing.pricing import Usage, price
from tests import samples

TIMES, PROJECTS = 100, 10
PRICE, CENT = Decimal("0.0045"), Decimal("0.01")
BRACKETS = [{"up_to": "100000", "unit_price": "0.0045"}, {"up_to": None, "unit_price": "0.0040"}]
CARDS = samples.card(
    prices={
        samples.PLAN[1]: {"model": "graduated", "brackets": BRACKETS},
        samples.PLAN[2]: {"model": "volume", "brackets": BRACKETS},
        samples.PLAN[3]: {"model": "package", "size": "1000", "package_price": "7.00"},
    },
    allowance={"scope": "pooled", "minutes": "50000"},
    discounts=[{"kind": "percentage", "value": "10"}],
    commitment={"amount": "1000.00"},
)
USAGES: list[Usage] = [
    samples.usage(tier, *((37 * project + 11 * day) % 997 + 0.25 for day in range(31)), project=str(project))
    for project in range(PROJECTS)
    for tier in samples.PLAN
]
REPORTS = [samples.report(str(project)) for project in range(PROJECTS)]


def ours() -> int:
    """Lines of the invoice: priced, put into its document, hashed, encoded."""
    priced = price(USAGES, CARDS, samples.OCTOBER)
    core = invoice.draft(samples.CUSTOMER, samples.ENTITY, samples.OCTOBER, priced, REPORTS)
    invoice.document(core, Envelope("inv_1", None, Status.DRAFT, 1))
    return len(core["lines"])


DOCUMENT = samples.invoiced(price(USAGES, CARDS, samples.OCTOBER), *REPORTS)
EARLIER = [
    samples.issued(notes.credit(DOCUMENT, [], [CreditLine(position)], None, "Agreed."), f"N-{position}")
    for position in range(1, 10)
]


def floor() -> int:
    """The least that there is to do."""
    total = Decimal(0)
    for usage in USAGES:
        total += ((Decimal(sum(usage.days.values())).scaleb(-6)).quantize(CENT) * PRICE).quantize(CENT)
    return len(msgspec.json.encode(DOCUMENT))


def floats() -> int:
    """The least with floats."""
    total = 0.0
    for usage in USAGES:
        total += round(round(sum(usage.days.values()) / 1e6, 2) * 0.0045, 2)
    return len(msgspec.json.encode(DOCUMENT))


def credit() -> int:
    """The tenth credit note of the invoice."""
    return len(notes.credit(DOCUMENT, EARLIER, [CreditLine(10)], None, "Agreed.")["lines"])


CONTENDERS: dict[str, Callable[[], int]] = {
    "bare products and JSON": floor,
    "the same in floats": floats,
    "Reckoner: price and document": ours,
    "Reckoner: the tenth credit note": credit,
}


def rows() -> list[dict[str, Any]]:
    """A row for each contender; `ratio` compares its seconds with the floor's."""
    found = [(name, contender("benchmarks.invoices", name)) for name in CONTENDERS]
    least = found[0][1]["seconds"]
    return [
        {
            "benchmark": f"{TIMES} invoices of {len(DOCUMENT['lines'])} lines",
            "contender": name,
            "seconds": it["seconds"],
            "ratio": it["seconds"] / least,
            "peak_mb": it["peak_mb"],
            "notes": {"ms each": round(it["seconds"] / TIMES * 1000, 2)},
        }
        for name, it in found
    ]


if __name__ == "__main__":
    work = CONTENDERS[sys.argv[1]]
    print(json.dumps(timed(lambda: [work() for _ in range(TIMES)][-1])))
