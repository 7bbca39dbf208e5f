"""Whether an invoice document can be issued as an e-invoice: the rules of EN 16931, then the schemas of both syntaxes.

Each finding is a sentence that begins with the rule's name in the standard and names the field of the document. What cannot be
checked raises: a check that did not run has found nothing valid.

The standard's own Schematron lets a VAT amount be off by nearly one unit of currency. Here only rounding may make a difference:
less than one minor unit in an invoice, less than four in a note, since an invoice's notes make up for each other's rounding.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, localcontext
from typing import Any

from lxml import etree

from billing.errors import InvalidMoney
from billing.exports import codes, facturx, pdf, terms, ubl
from billing.exports.terms import Breakdown, Invoice, Party
from billing.money import EXACT, Currency

Json = Mapping[str, Any]

FORMATS = frozenset({"facturx", "ubl"})
"""The formats of a customer that make an invoice an e-invoice."""

DECIMALS = 2
"""More decimals no amount may have (BR-DEC-01 and those after it)."""

_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no way to say."""

_RULES = {"S": "S", "Z": "Z", "E": "E", "AE": "AE", "K": "IC", "G": "G", "O": "O"}
"""The VAT categories as the names of their rules have them."""


def validate(document: Json) -> list[str]:
    """What forbids to issue a finalized document as an e-invoice, in sentences; nothing where it may be issued.

    Raises FileNotFoundError or LookupError where a schema or code list that it needs is missing.
    """
    with localcontext(EXACT):
        return list(_unsayable(document)) or list(_broken(document, terms.of(document))) or list(_misformed(document))


def _unsayable(document: Json) -> Iterator[str]:
    """What EN 16931 has no words for."""
    for at, text in _texts(document):
        if _CONTROL.search(text):
            yield f"XML: a control character cannot be written ({at})."
    try:
        currency = Currency.of(document["currency"])
    except InvalidMoney as error:
        yield f"BR-05: {error.message} (/currency)."
        return
    if currency.decimals > DECIMALS:
        yield (
            f"BR-DEC: amounts in {currency.code} have {currency.decimals} decimals, an e-invoice allows {DECIMALS} (/currency)."
            " Take facturx and ubl out of the customer's formats."
        )
    if "facturx" in document["formats"] and len(document["lines"]) > pdf.MAX_ROWS:
        yield f"PDF: a Factur-X holds at most {pdf.MAX_ROWS} lines; take ubl in the customer's formats (/lines)."
    rates = {it["name"] for it in document["taxes"]}
    named = {f"/lines/{place}/tax": it["tax"] for place, it in enumerate(document["lines"])}
    named |= {f"/discounts/{place}/tax": it["tax"] for place, it in enumerate(document["discounts"])}
    if Decimal(document["commitment"]):
        named["/commitment_tax"] = document["commitment_tax"]
    unknown = {name: at for at, name in reversed(named.items()) if name not in rates}
    for name, at in unknown.items():
        yield f"BR-CO-04: {f'{name!r} is none of the taxes' if name else 'no tax is said, not even one of category O'} ({at})."
    if not rates:
        yield "BR-CO-18: there is no tax; what is not subject to VAT needs one of category O (/taxes)."


def _texts(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document, with its pointer."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping | list):
        for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(item, f"{at}/{name}")


def _broken(document: Json, it: Invoice) -> Iterator[str]:
    yield from _missing(document, it)
    yield from _lines(document, it)
    yield from _totals(document, it)
    for each in it.breakdown:
        yield from _breakdown(document, it, each)
    if len(it.breakdown) > 1 and any(each.tax.category == "O" for each in it.breakdown):
        yield "BR-O-11: what is not subject to VAT (O) stands beside other categories (/taxes)."


def _missing(document: Json, it: Invoice) -> Iterator[str]:
    """The fields that there must be, and their codes."""
    if not it.number:
        yield "BR-02: the number is missing (/number)."
    if it.issued_on is None:
        yield "BR-03: the day of issue is missing (/issued_on)."
    if it.total > 0 and it.due_on is None and not it.terms:
        yield "BR-CO-25: neither the day it is due nor the terms of payment are said (/due_on)."
    if it.first_day > it.last_day:
        yield "BR-29: the period ends before it begins (/period)."
    if document["kind"] != "invoice" and not (it.corrects and it.corrects[0][0]):
        yield "BR-55: the number of the invoice that it corrects is missing (/corrects/number)."
    yield from _party(it.seller, "seller", "/entity", "BR-06", "BR-08", "BR-09")
    yield from _party(it.buyer, "buyer", "/customer", "BR-07", "BR-10", "BR-11")
    if not (it.seller.registration or it.seller.vat_number):
        yield "BR-CO-26: the seller has neither a registration nor a VAT number (/entity/registration)."
    if any(not iban for iban, _, _ in it.accounts):
        yield "BR-61: the bank account has no IBAN (/entity/bank/iban)."


def _party(party: Party, who: str, at: str, no_name: str, no_address: str, no_country: str) -> Iterator[str]:
    if not party.name:
        yield f"{no_name}: the {who}'s name is missing ({at}/name)."
    if not (party.line1 or party.city or party.country):
        yield f"{no_address}: the {who}'s address is missing ({at}/address)."
    elif not party.country:
        yield f"{no_country}: the country of the {who}'s address is missing ({at}/address/country)."
    elif party.country not in codes.countries():
        yield f"BR-CL-14: {party.country!r} is no country of ISO 3166-1 ({at}/address/country)."
    scheme, address = party.electronic_address
    if address and scheme not in codes.address_schemes():
        yield f"BR-CL-25: {scheme!r} is no scheme of electronic addresses ({at}/electronic_address/scheme)."


def _lines(document: Json, it: Invoice) -> Iterator[str]:
    currency = Currency.of(it.currency)
    if not it.lines:
        yield "BR-16: there is no line (/lines)."
    for place, (line, said) in enumerate(zip(document["lines"], it.lines, strict=False)):
        at = f"the line at position {line['position']}"
        if not said.name:
            yield f"BR-25: {at} has no text (/lines/{place}/text)."
        if said.price < 0:
            yield f"BR-27: {at} has a negative price (/lines/{place}/unit_price)."
        if said.first_day > said.last_day:
            yield f"BR-30: {at} ends before it begins (/lines/{place}/last_day)."
        if document["kind"] == "invoice" and terms.off(line) >= currency.minor:
            yield f"BT-131: {at} is not {line['units']} times {line['unit_price']} (/lines/{place}/amount)."


def _totals(document: Json, it: Invoice) -> Iterator[str]:
    currency = Currency.of(it.currency)
    amounts = {
        "/lines": [line.amount for line in it.lines],
        "/discounts": [Decimal(each["amount"]) for each in document["discounts"]],
        "/taxes": [part for each in it.breakdown for part in (each.base, each.amount)],
        **{f"/{name}": [Decimal(document[name])] for name in ("subtotal", "discount", "commitment", "tax", "total")},
    }
    for at, each in amounts.items():
        if any(amount != currency.round(amount) for amount in each):
            yield f"BR-DEC: an amount has more decimals than {currency.code} ({at})."
    subtotal, discount, commitment, tax, total = (
        Decimal(document[name]) for name in ("subtotal", "discount", "commitment", "tax", "total")
    )
    net = subtotal - discount + commitment
    for rule, at, said, sum_of, what in (
        ("BR-CO-10", "/subtotal", subtotal, sum(Decimal(line["amount"]) for line in document["lines"]), "the lines"),
        ("BR-CO-11", "/discount", discount, sum(amounts["/discounts"]), "the discounts"),
        ("BR-CO-13", "/taxes", sum(each.base for each in it.breakdown), net, "subtotal, discount and commitment"),
        ("BR-CO-14", "/tax", tax, sum(each.amount for each in it.breakdown), "the taxes"),
        ("BR-CO-15", "/total", total, net + tax, "subtotal, discount, commitment and tax"),
    ):
        if said != sum_of:
            yield f"{rule}: {said} is said, but {what} come to {sum_of} ({at})."


def _breakdown(document: Json, it: Invoice, each: Breakdown) -> Iterator[str]:
    """The rules of one category and rate."""
    places = [place for place, one in enumerate(document["taxes"]) if terms.tax_of(one) == each.tax]
    at = f"/taxes/{places[0]}"
    category, percent = each.tax.category, each.tax.percent
    if category not in _RULES:
        yield f"BR-CL-17: {category!r} is no category of VAT that is known here ({at}/category)."
        return
    rule = f"BR-{_RULES[category]}"
    if category == "S" and not percent:
        yield f"{rule}-05: the standard rate is not above 0 % ({at}/percent)."
    if category != "S" and (percent or each.amount):
        yield f"{rule}-09: there is tax, but the category {category} has none ({at}/amount)."
    if category not in ("S", "Z") and not (each.reason or each.reason_code):
        yield f"{rule}-10: the reason why there is no tax is missing ({at}/reason)."
    lines = [line.amount for line in it.lines if line.tax == each.tax]
    base = sum([*lines, *(one.amount if one.charge else -one.amount for one in it.adjustments if one.tax == each.tax)])
    if each.base != base:
        yield f"{rule}-08: the base is {each.base}, but what it is of comes to {base} ({at}/base)."
    exact = each.base * (percent or 0) / 100
    tolerance = min(Currency.of(it.currency).minor * len(places) * (1 if document["kind"] == "invoice" else 4), Decimal(1))
    if abs(each.amount - exact) >= tolerance:
        yield f"BR-CO-17: the tax is {each.amount}, but {percent} % of {each.base} are {exact} ({at}/amount)."
    yield from _numbers(it, category, rule)


def _numbers(it: Invoice, category: str, rule: str) -> Iterator[str]:
    """Who must have which number of the tax authority."""
    seller, buyer = it.seller, it.buyer
    if category in ("K", "G") and not seller.vat_number:
        yield f"{rule}-02: the seller has no VAT number, which the category {category} needs (/entity/tax_number)."
    if category in ("S", "Z", "E", "AE") and not (seller.vat_number or seller.tax_number):
        yield f"{rule}-02: the seller has no tax number, which the category {category} needs (/entity/tax_number)."
    if category == "K" and not buyer.vat_number:
        yield f"{rule}-02: the buyer has no VAT number, which the category K needs (/customer/tax_number)."
    if category == "AE" and not (buyer.vat_number or buyer.registration):
        yield f"{rule}-02: the buyer has no tax number, which reverse charge needs (/customer/tax_number)."


def _misformed(document: Json) -> Iterator[str]:
    """What the schemas say of both syntaxes."""
    for name, schema, xml in (
        ("Factur-X", facturx.XSD, facturx.cii(document)),
        ("UBL", ubl.XSD.format(ubl.kind_of(document)), ubl.ubl(document)),
    ):
        try:
            codes.schema(schema).assertValid(etree.fromstring(xml))
        except etree.DocumentInvalid as error:
            yield f"XSD: the {name} document does not fit its schema: {error}"
