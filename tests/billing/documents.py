"""Documents of money for tests: periods priced at drawn rate cards, and what must hold of every document."""

from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import strategies as st

from billing.pricing import price
from billing.ratecard import CardHistory, TaxRate
from tests.billing.rate_cards import PERIOD, cards, usages

LOWER = TaxRate("Lower", Decimal(7), "S")
_CARDS, _USAGES = cards(), usages()
_WHETHER, _CHANGE = st.booleans(), st.integers(2, 31)


@st.composite
def histories(draw):
    """Rate cards of one currency: one version, or two that change in the month, perhaps with another rate of tax."""
    first = draw(_CARDS)
    if not draw(_WHETHER):
        return CardHistory([first])
    second = replace(draw(_CARDS), version=2, effective_from=date(2026, 10, draw(_CHANGE)), currency=first.currency)
    if draw(_WHETHER):
        second = replace(second, tax=LOWER)
    return CardHistory([first, second])


_HISTORIES = histories()


@st.composite
def priced_periods(draw):
    """A customer's priced month."""
    return price(draw(_USAGES), draw(_HISTORIES), PERIOD)


@st.composite
def restated_periods(draw, times=3):
    """The same month priced several times, as its reports are restated."""
    history = draw(_HISTORIES)
    return [price(draw(_USAGES), history, PERIOD) for _ in range(times)]


def check_sums(document):
    """Each sum of a document is that of its parts, and each tax base what stands before that tax."""
    money = {key: Decimal(document[key]) for key in ("subtotal", "discount", "commitment", "tax", "total")}
    assert money["subtotal"] == sum(Decimal(it["amount"]) for it in document["lines"])
    assert money["discount"] == sum(Decimal(it["amount"]) for it in document["discounts"])
    assert money["tax"] == sum(Decimal(it["amount"]) for it in document["taxes"])
    assert money["total"] == money["subtotal"] - money["discount"] + money["commitment"] + money["tax"]
    bases = Counter({it["name"]: Decimal(0) for it in document["taxes"]})
    for it in document["lines"]:
        bases[it["tax"]] += Decimal(it["amount"])
    for it in document["discounts"]:
        bases[it["tax"]] -= Decimal(it["amount"])
    bases[document["commitment_tax"]] += money["commitment"]
    stated = {it["name"]: Decimal(it["base"]) for it in document["taxes"]}
    assert {name: base for name, base in bases.items() if name and base} == {
        name: base for name, base in stated.items() if base
    }
    assert [it["position"] for it in document["lines"]] == list(range(1, len(document["lines"]) + 1))


def amounts(document):
    """Every amount of money, as its text."""
    sums = [document[key] for key in ("subtotal", "discount", "commitment", "tax", "total")]
    parts = (*document["lines"], *document["discounts"], *document["taxes"])
    return [*sums, *(it["amount"] for it in parts), *(it["base"] for it in document["taxes"])]


def owed(*documents):
    """Every amount of money, added up over documents by what it is about; those that come to zero are left out."""
    total = Counter()
    for document in documents:
        sign = -1 if document["kind"] == "credit_note" else 1
        named = [(key, document[key]) for key in ("subtotal", "discount", "commitment", "tax", "total")]
        named += [(("line", it["corrects_position"] or it["position"]), it["amount"]) for it in document["lines"]]
        named += [(("discount", it["text"], it["tax"]), it["amount"]) for it in document["discounts"]]
        for it in document["taxes"]:
            named += [(("base", it["name"]), it["base"]), (("tax", it["name"]), it["amount"])]
        for key, amount in named:
            total[key] += sign * Decimal(amount)
    return {key: amount for key, amount in total.items() if amount}
