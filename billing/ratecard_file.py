"""Rate cards as documents: JSON or YAML that finance writes, checked to the last field; and back again."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

import yaml

from billing.errors import BillingError, InvalidRateCard
from billing.facts import USAGE_KINDS
from billing.money import ROUNDING, Currency, decimal_of
from billing.period import parse_day
from billing.ratecard import (
    Allowance,
    Bracket,
    Discount,
    Flat,
    Graduated,
    Package,
    Price,
    RateCard,
    Rounding,
    TaxRate,
    Volume,
)
from billing.tiers import TierPlan

MAX_TEXT = 1_000_000
_MOST = 1_000
"""Brackets, discounts or tax rates of one card."""
CATEGORIES = ("S", "Z", "E", "AE", "K", "G", "O")


class _Loader(yaml.SafeLoader):
    """YAML whose numbers, dates and yes or no stay the text that they are: 0.0045 must not become a float on its way."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases, by which a small text makes a huge document."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that comes twice."""
        keys = [str(key.value) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"the key {_twice(keys)!r} comes more than once")
        return super().construct_mapping(node, deep)


_TEXT = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("float", "int", "timestamp", "bool"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_text(text: str, kind: str) -> object:
    """What a text in `json` or `yaml` says, with every number left as its text. Raises InvalidRateCard."""
    if len(text) > MAX_TEXT:
        raise InvalidRateCard("the text is too long for a rate card", expected=f"at most {MAX_TEXT} characters")
    try:
        if kind == "yaml":
            return yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once)
    except (ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        words = " ".join(str(error).split())[:300] or "nested too deep"
        raise InvalidRateCard(f"the text cannot be read as {kind.upper()}: {words}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"the key {_twice(keys)!r} comes more than once")
    return dict(pairs)


def _twice(keys: Sequence[str]) -> str:
    return next(key for key, times in Counter(keys).items() if times > 1)


class _Fields:
    """The fields of one object, each taken once; what is left over was meant and would be lost, so it is refused."""

    def __init__(self, value: object, pointer: str) -> None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            _refuse("this is no object", pointer, "an object with named fields")
        self.left = dict(value)
        self.pointer = pointer

    def take(self, name: str, read: Callable[[Any, str], Any], *default: Any) -> Any:
        """The field as `read` makes it; absent or null it is the default, if there is one."""
        value = self.left.pop(name, None)
        if value is None:
            if default:
                return default[0]
            _refuse("this field is required", f"{self.pointer}/{name}", "a value")
        return read(value, f"{self.pointer}/{name}")

    def close(self) -> None:
        """Refuse fields that nobody took."""
        for name in self.left:
            _refuse("there is no such field", f"{self.pointer}/{_escaped(name)}", "a field of a rate card")


def parse(document: object, *, card_id: str = "", version: int = 0) -> RateCard:
    """The rate card that a document says. Raises InvalidRateCard and other BillingErrors, each with the path of what is wrong.

    `card_id` and `version` name it; those that the document bears are not taken from it.
    """
    fields = _Fields(document, "")
    fields.left.pop("id", None)
    fields.left.pop("version", None)
    currency: Currency = fields.take("currency", Currency.of)
    effective_from = fields.take("effective_from", parse_day)
    effective_to = fields.take("effective_to", parse_day, None)
    if effective_to is not None and effective_to < effective_from:
        _refuse("the card ends before it begins", "/effective_to", f"{effective_from} or later, or null")
    plan = fields.take("tier_plan", _plan)
    card = RateCard(
        id=card_id,
        version=version,
        name=fields.take("name", _name),
        currency=currency,
        effective_from=effective_from,
        effective_to=effective_to,
        plan=plan,
        prices=fields.take("prices", lambda value, at: _prices(value, at, plan.fields, every=True)),
        usage_prices=fields.take("usage_prices", lambda value, at: _prices(value, at, USAGE_KINDS, every=False), {}),
        allowance=fields.take("allowance", lambda value, at: _allowance(value, at, plan), None),
        commitment=fields.take("commitment", lambda value, at: _commitment(value, at, currency), None),
        discounts=fields.take("discounts", lambda value, at: _each(value, at, lambda it, to: _discount(it, to, currency)), ()),
        tax=fields.take("tax", _tax, None),
        taxes=fields.take("taxes", _taxes, {}),
        rounding=fields.take("rounding", _rounding, Rounding()),
        note=fields.take("note", lambda value, at: _text(value, at, 2_000), ""),
    )
    fields.close()
    if card.tax and card.taxes.get(card.tax.name, card.tax) != card.tax:
        _refuse(f"the table of taxes has another rate of the name {card.tax.name!r}", "/tax", "one rate for one name")
    return card


def dump(card: RateCard) -> dict[str, Any]:
    """The card as a document: what `parse` reads again to the same card."""
    allowance = card.allowance and (
        {"scope": "tier", "minutes": {tier: _plain(value) for tier, value in card.allowance.by_tier.items()}}
        if card.allowance.pooled is None
        else {"scope": "pooled", "minutes": _plain(card.allowance.pooled)}
    )
    return {
        "id": card.id,
        "name": card.name,
        "version": card.version,
        "currency": card.currency.code,
        "effective_from": str(card.effective_from),
        "effective_to": card.effective_to and str(card.effective_to),
        "tier_plan": list(card.plan.fields),
        "prices": {usage: _price_document(price) for usage, price in card.prices.items()},
        "usage_prices": {usage: _price_document(price) for usage, price in card.usage_prices.items()},
        "allowance": allowance,
        "commitment": None if card.commitment is None else {"amount": card.currency.text(card.commitment)},
        "discounts": [{"kind": it.kind, "value": _plain(it.value)} for it in card.discounts],
        "tax": card.tax and _tax_document(card.tax),
        "taxes": [_tax_document(it) for it in card.taxes.values()],
        "rounding": dict(vars(card.rounding)),
        "note": card.note,
    }


def _plan(value: object, pointer: str) -> TierPlan:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        _refuse("this is no list of tiers", pointer, "a list of tiers such as 'from1To2Publishers'")
    try:
        return TierPlan.of(value)
    except BillingError as error:
        raise type(error)(error.message, pointer=pointer + error.pointer, expected=error.expected) from None


def _prices(value: object, pointer: str, known: Sequence[str], *, every: bool) -> dict[str, Price]:
    fields = _Fields(value, pointer)
    for name in fields.left:
        if name not in known:
            _refuse(f"{name[:64]!r} is not priced here", f"{pointer}/{_escaped(name)}", f"one of {', '.join(known)}")
    found = {name: fields.take(name, _price, *(() if every else (None,))) for name in known}
    return {name: price for name, price in found.items() if price is not None}


def _price(value: object, pointer: str) -> Price:
    fields = _Fields(value, pointer)
    model = fields.take("model", _one_of("flat", "graduated", "volume", "package"))
    price: Price
    if model == "flat":
        price = Flat(fields.take("unit_price", decimal_of))
    elif model == "package":
        price = Package(fields.take("size", _positive), fields.take("package_price", decimal_of))
    else:
        brackets = fields.take("brackets", _brackets)
        price = Graduated(brackets) if model == "graduated" else Volume(brackets)
    fields.close()
    return price


def _brackets(value: object, pointer: str) -> tuple[Bracket, ...]:
    brackets: list[Bracket] = []
    start: Decimal | None = Decimal(0)
    for place, (up_to, unit_price) in enumerate(_each(value, pointer, _bracket)):
        at = f"{pointer}/{place}/up_to"
        if start is None:
            _refuse("the bracket before this one has no end", f"{pointer}/{place - 1}/up_to", "null in the last bracket only")
        if up_to is not None and up_to <= start:
            _refuse("the bracket ends before it begins", at, f"more than {start:f}")
        brackets.append(Bracket(start, up_to, unit_price))
        start = up_to
    if not brackets or start is not None:
        _refuse("the brackets do not reach to the end", pointer, "at least one bracket, and a last one whose up_to is null")
    return tuple(brackets)


def _bracket(value: object, pointer: str) -> tuple[Decimal | None, Decimal]:
    fields = _Fields(value, pointer)
    bracket = fields.take("up_to", _quantity, None), fields.take("unit_price", decimal_of)
    fields.close()
    return bracket


def _allowance(value: object, pointer: str, plan: TierPlan) -> Allowance:
    fields = _Fields(value, pointer)
    if fields.take("scope", _one_of("tier", "pooled")) == "pooled":
        allowance = Allowance(fields.take("minutes", _quantity))
    else:
        minutes = _Fields(fields.take("minutes", lambda it, _: it), f"{pointer}/minutes")
        allowance = Allowance(None, {tier: minutes.take(tier, _quantity) for tier in plan.fields if tier in minutes.left})
        minutes.close()
    fields.close()
    return allowance


def _commitment(value: object, pointer: str, currency: Currency) -> Decimal:
    fields = _Fields(value, pointer)
    amount: Decimal = fields.take("amount", currency.parse)
    fields.close()
    return amount


def _discount(value: object, pointer: str, currency: Currency) -> Discount:
    fields = _Fields(value, pointer)
    kind = fields.take("kind", _one_of("percentage", "fixed"))
    discount = Discount(kind, fields.take("value", _percent if kind == "percentage" else currency.parse))
    fields.close()
    return discount


def _tax(value: object, pointer: str) -> TaxRate:
    fields = _Fields(value, pointer)
    percent = fields.take("percent", _percent)
    category = fields.take("category", _one_of(*CATEGORIES), "S" if percent else "Z")
    tax = TaxRate(fields.take("name", _name), percent, category, fields.take("reason", lambda it, at: _text(it, at, 500), ""))
    fields.close()
    if (category == "S") != bool(percent):
        _refuse(
            f"the category {category} does not go with {percent:f} %",
            f"{pointer}/category",
            "S with tax, another without",
        )
    if category in ("E", "AE", "K", "G", "O") and not tax.reason:
        _refuse("a rate without tax must say why", f"{pointer}/reason", "the reason, as it stands on the invoice")
    return tax


def _taxes(value: object, pointer: str) -> dict[str, TaxRate]:
    table: dict[str, TaxRate] = {}
    for place, rate in enumerate(_each(value, pointer, _tax)):
        if rate.name in table:
            _refuse(f"the name {rate.name!r} comes more than once", f"{pointer}/{place}/name", "one rate for one name")
        table[rate.name] = rate
    return table


def _rounding(value: object, pointer: str) -> Rounding:
    fields = _Fields(value, pointer)
    rounding = Rounding(
        int(fields.take("quantity_decimals", _one_of(*"0123456"), "2")),
        fields.take("quantity_mode", _one_of(*ROUNDING), "half_up"),
        fields.take("amount_mode", _one_of(*ROUNDING), "half_up"),
        fields.take("per", _one_of("line", "invoice"), "line"),
    )
    fields.close()
    return rounding


def _each(value: object, pointer: str, read: Callable[[Any, str], Any]) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > _MOST:
        _refuse("this is no list", pointer, f"a list of at most {_MOST}")
    return tuple(read(item, f"{pointer}/{place}") for place, item in enumerate(value))


def _one_of(*choices: str) -> Callable[[Any, str], str]:
    def read(value: object, pointer: str) -> str:
        text = str(value) if type(value) is int else value  # of REST's JSON, where quantity_decimals is a number
        if text not in choices or not isinstance(text, str):
            _refuse(f"{str(value)[:64]!r} is not known here", pointer, f"one of {', '.join(choices)}")
        return text

    return read


def _quantity(value: object, pointer: str) -> Decimal:
    return decimal_of(value, pointer, places=6)


def _positive(value: object, pointer: str) -> Decimal:
    return _quantity(value, pointer) or _refuse("a package of nothing", pointer, "more than 0 minutes")


def _percent(value: object, pointer: str) -> Decimal:
    percent = decimal_of(value, pointer, places=6)
    return percent if percent <= 100 else _refuse(f"{percent:f} is more than everything", pointer, "a percentage from 0 to 100")


def _name(value: object, pointer: str) -> str:
    return _text(value, pointer, 200) or _refuse("the name is empty", pointer, "a name")


def _text(value: object, pointer: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.replace("\n", " ").isprintable():
        _refuse("this is no text", pointer, f"at most {most} printable characters")
    return value


def _price_document(price: Price) -> dict[str, Any]:
    if isinstance(price, Flat):
        return {"model": price.model, "unit_price": _plain(price.unit_price)}
    if isinstance(price, Package):
        return {"model": price.model, "size": _plain(price.size), "package_price": _plain(price.package_price)}
    brackets = [
        {"up_to": None if it.up_to is None else _plain(it.up_to), "unit_price": _plain(it.unit_price)} for it in price.brackets
    ]
    return {"model": price.model, "brackets": brackets}


def _tax_document(tax: TaxRate) -> dict[str, Any]:
    return {"name": tax.name, "percent": _plain(tax.percent), "category": tax.category, "reason": tax.reason}


def _plain(value: Decimal | date) -> str:
    return format(value, "f")


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")


def _refuse(message: str, pointer: str, expected: str) -> NoReturn:
    raise InvalidRateCard(message, pointer=pointer, expected=expected)
