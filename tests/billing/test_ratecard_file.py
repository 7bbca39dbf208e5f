"""Rate cards as documents: what is written is read again, and what is wrong is named by its path."""

import json
from copy import deepcopy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError, InvalidRateCard
from billing.ratecard_file import dump, load_text, parse
from tests.billing.rate_cards import cards

CARD = {
    "name": "List",
    "currency": "EUR",
    "effective_from": "2026-10-01",
    "tier_plan": ["from1To2Publishers", "from3PlusPublishers"],
    "prices": {
        "from1To2Publishers": {"model": "flat", "unit_price": "0.004"},
        "from3PlusPublishers": {
            "model": "graduated",
            "brackets": [{"up_to": "1000", "unit_price": "0.005"}, {"up_to": None, "unit_price": "0.004"}],
        },
    },
}


@given(cards())
def test_what_is_written_is_read_again(card):
    document = dump(card)
    assert parse(document, card_id=card.id, version=card.version) == card
    as_text = {"yaml": yaml.safe_dump(document), "json": json.dumps(document)}
    for kind, text in as_text.items():
        assert parse(load_text(text, kind), card_id=card.id, version=card.version) == card


def wrong(path, value):
    document = deepcopy(CARD)
    *above, last = path
    place = document
    for key in above:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


FLAT = {"model": "flat", "unit_price": "1"}
LOW, UP = "from1To2Publishers", "from3PlusPublishers"


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (["currency"], "eur", "/currency"),
        (["currency"], "XAU", "/currency"),
        (["name"], "", "/name"),
        (["name"], ..., "/name"),
        (["colour"], "red", "/colour"),
        (["effective_from"], "1 October", "/effective_from"),
        (["effective_to"], "2026-09-30", "/effective_to"),
        (["tier_plan"], [LOW], "/tier_plan"),
        (["tier_plan"], [LOW, "from2PlusPublishers"], "/tier_plan"),
        (["tier_plan"], [LOW, "many"], "/tier_plan/1"),
        (["prices", LOW], ..., f"/prices/{LOW}"),
        (["prices", "from7To8Publishers"], FLAT, "/prices/from7To8Publishers"),
        (["prices", LOW, "model"], "tiered", f"/prices/{LOW}/model"),
        (["prices", LOW, "unit_price"], 0.004, f"/prices/{LOW}/unit_price"),
        (["prices", LOW, "unit_price"], "-0.004", f"/prices/{LOW}/unit_price"),
        (["prices", LOW, "unit_price"], "1e-3", f"/prices/{LOW}/unit_price"),
        (["prices", LOW, "unit_price"], "NaN", f"/prices/{LOW}/unit_price"),
        (["prices", LOW, "brackets"], [], f"/prices/{LOW}/brackets"),
        (["prices", LOW], {"model": "package", "size": "0", "package_price": "7"}, f"/prices/{LOW}/size"),
        (["prices", UP, "brackets"], [], f"/prices/{UP}/brackets"),
        (["prices", UP, "brackets", 1, "up_to"], "500", f"/prices/{UP}/brackets/1/up_to"),
        (["prices", UP, "brackets", 1, "up_to"], "1000", f"/prices/{UP}/brackets/1/up_to"),
        (["prices", UP, "brackets", 1, "up_to"], "2000", f"/prices/{UP}/brackets"),
        (["prices", UP, "brackets", 0, "up_to"], None, f"/prices/{UP}/brackets/0/up_to"),
        (["usage_prices"], {"sipMinutes": FLAT}, "/usage_prices/sipMinutes"),
        (["allowance"], {"scope": "all", "minutes": "5"}, "/allowance/scope"),
        (["allowance"], {"scope": "pooled", "minutes": {LOW: "5"}}, "/allowance/minutes"),
        (["allowance"], {"scope": "tier", "minutes": {"from7To8Publishers": "5"}}, "/allowance/minutes/from7To8Publishers"),
        (["commitment"], {"amount": "5.001"}, "/commitment/amount"),
        (["discounts"], [{"kind": "percentage", "value": "101"}], "/discounts/0/value"),
        (["discounts"], [{"kind": "fixed", "value": "5.001"}], "/discounts/0/value"),
        (["discounts"], {}, "/discounts"),
        (["tax"], {"name": "VAT", "percent": "19", "category": "Z"}, "/tax/category"),
        (["tax"], {"name": "RC", "percent": "0", "category": "AE"}, "/tax/reason"),
        (["taxes"], [{"name": "VAT", "percent": "19"}] * 2, "/taxes/1/name"),
        (["rounding"], {"quantity_decimals": 7}, "/rounding/quantity_decimals"),
        (["rounding"], {"per": "month"}, "/rounding/per"),
        (["rounding"], {"amount_mode": "bankers"}, "/rounding/amount_mode"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(path, value, pointer):
    parse(CARD)
    with pytest.raises(BillingError) as refused:
        parse(wrong(path, value))
    assert refused.value.pointer == pointer
    assert refused.value.expected


leaves = st.none() | st.booleans() | st.text() | st.floats()


@given(st.recursive(leaves, lambda it: st.lists(it) | st.dictionaries(st.text(), it)))
def test_whatever_comes_is_refused_and_nothing_else_happens(value):
    for document in (value, {**CARD, "currency": value}, {**CARD, "prices": value}, {**CARD, "discounts": [value]}):
        with pytest.raises(BillingError):
            parse(document)


def test_a_number_keeps_its_digits():
    assert load_text("price: 0.00450\nday: 2026-10-01\nnone: null\nyes: true", "yaml") == {
        "price": "0.00450",
        "day": "2026-10-01",
        "none": None,
        "yes": "true",
    }
    assert load_text('{"price": 0.1000000000000000055}', "json") == {"price": "0.1000000000000000055"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a: &x [1]\nb: *x", "yaml"),
        ("a: 1\na: 2", "yaml"),
        ("? [1]\n: 2", "yaml"),
        ("a: !!python/object/apply:os.system [id]", "yaml"),
        ("a: [", "yaml"),
        ('{"a": 1, "a": 2}', "json"),
        ("{", "json"),
        ("[" * 100_000, "json"),
        ("[" * 20_000, "yaml"),
        (" " * 1_000_001, "json"),
    ],
)
def test_a_text_that_cannot_be_trusted_is_refused(text, kind):
    with pytest.raises(InvalidRateCard):
        load_text(text, kind)
