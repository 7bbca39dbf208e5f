"""FOCUS 1.2 cost and usage rows, as CSV: the FinOps Foundation's form in which spending tools read anybody's bill.

All 57 columns of the specification stand in every file, in its order, then ours (`x_…`). Null is an empty field, instants are
in UTC with exclusive ends, figures are plain decimals. `docs/exports.md` says what each column holds here, and why.

    Usage        a line of the invoice. BilledCost is what is billed for it, its part of the discounts taken off; ListCost and
                 ContractedCost are PricingQuantity × unit price, not rounded, as the specification asks
    Adjustment   the true-up to a minimum commitment; a discount that no line is there for
    Tax          each rate's tax

The BilledCost of an invoice's rows adds up to its total, exactly. A credit note's rows are negative, and the rows of both kinds
of note are marked Correction.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from billing.errors import NoRateCard
from billing.exports.csv import table
from billing.invoice import Json, Kind, body, describe, plain
from billing.money import EXACT, Currency
from billing.notes import LUMP
from billing.period import BillingPeriod
from billing.pricing import price
from billing.ratecard import CardHistory
from billing.report import instant
from billing.usage import usages_of

COLUMNS = tuple(
    "AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency BillingPeriodEnd "
    "BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory ChargeClass ChargeDescription "
    "ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName "
    "CommitmentDiscountQuantity CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity "
    "ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice "
    "PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost "
    "PricingCurrencyListUnitPrice PricingQuantity PricingUnit ProviderName PublisherName RegionId RegionName ResourceId "
    "ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId "
    "SubAccountId SubAccountName SubAccountType Tags "
    "x_DocumentId x_DocumentKind x_DocumentStatus x_CorrectsInvoiceId x_LinePosition x_LineKind x_LineAmount x_DiscountAmount "
    "x_AllowanceUsed x_TaxName x_TaxPercent x_TaxCategory x_RateCardId x_RateCardVersion x_ReportId".split()
)

VENDOR = "Vonage"
"""Whose service the minutes are."""

_UNITS = {"minute": "Minutes", "package": "Packages"}
_UNIT_PRICES = ("ListUnitPrice", "ContractedUnitPrice", "PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice")
_Row = dict[str, Any]
"""Cells by column: decimals turn negative in a credit note, all others stay as they are."""


def invoice(document: Json) -> bytes:
    """The charges of an invoice, a credit note or a debit note. A draft's InvoiceId is its id, until it has a number."""
    customer, entity, corrects = document["customer"], document["entity"], document["corrects"]
    same = {
        **_account("Customer", customer["id"], customer["name"]),
        **_billed(document["period"], document["currency"]),
        "ChargeClass": corrects and "Correction",
        "InvoiceId": document["number"] or document["id"],
        "InvoiceIssuerName": entity["name"],
        "ProviderName": entity["name"],
        "x_DocumentId": document["id"],
        "x_DocumentKind": document["kind"],
        "x_DocumentStatus": document["status"],
        "x_CorrectsInvoiceId": corrects and corrects["number"],
    }
    sign = -1 if document["kind"] == Kind.CREDIT_NOTE else 1
    with localcontext(EXACT):
        return table(COLUMNS, [same | _written(row, sign) for row in _charges(document)])


def report(document: Json, cards: CardHistory) -> bytes:
    """A report's usage at the prices of its project's rate card: what the vendor charges, before discounts, commitment and tax.

    `cards` holds the versions that the report names. Raises NoRateCard for a report that could not be priced.
    """
    named = document.get("rate_card")
    if document.get("currency") is None:
        raise NoRateCard(
            (named and named["problem"])
            or f"The report {document['id']} was made without a rate card, so its usage has no cost",
            pointer="/rate_card",
            expected="a report of a project whose rate card prices the whole period",
        )
    period = document["period"]["aligned"]
    days = BillingPeriod(date.fromisoformat(period["first_day"]), date.fromisoformat(period["last_day"]))
    priced = replace(price(usages_of(document), cards, days), discounts=(), taxes=())
    same = {
        **_account("Project", document["project_id"], document["project_id"]),
        **_billed(period, document["currency"]),
        "InvoiceIssuerName": VENDOR,
        "ProviderName": VENDOR,
        "x_DocumentId": document["id"],
        "x_DocumentKind": "report",
        "x_DocumentStatus": document["verdict"],
    }
    name = {"project_name": document["project_id"], "tax": None}
    with localcontext(EXACT):
        lines = [_line(line | name, Decimal(), document["currency"]) for line in body(priced, [])["lines"]]
        return table(COLUMNS, [same | _written(row, 1) for row in lines])


def _account(kind: str, name: str, title: str) -> _Row:
    return {"BillingAccountType": kind, "BillingAccountId": name, "BillingAccountName": title}


def _billed(period: Json, currency: str) -> _Row:
    """What all rows of a document say alike; a charge that has no days of its own is one of the whole period."""
    return {
        **{f"{name}PeriodStart": period["start"] for name in ("Billing", "Charge")},
        **{f"{name}PeriodEnd": period["end"] for name in ("Billing", "Charge")},
        "BillingCurrency": currency,
        "PricingCurrency": currency,
        "PublisherName": VENDOR,
        "ServiceCategory": "Media",
        "ServiceSubcategory": "Media Streaming",
        "ServiceName": "Video",
    }


def _charges(document: Json) -> Iterator[_Row]:
    """All that makes the total: the lines less their discounts, what is missing to the commitment, the taxes."""
    offs, others = _discounts(document)
    contracted: dict[str, Decimal] = {}
    for line in document["lines"]:
        row = _line(line, offs.get(line["position"], Decimal()), document["currency"])
        contracted[line["tax"]] = contracted.get(line["tax"], Decimal()) + row["ContractedCost"]
        yield row
    true_up = (document["commitment_tax"], Decimal(document["commitment"]), "True-up to the minimum commitment")
    for tax, amount, text in (*others, true_up):
        if amount:
            contracted[tax] = contracted.get(tax, Decimal()) + amount
            yield _flat("Adjustment", amount, amount, text) | {"x_TaxName": tax}
    for it in document["taxes"]:
        cost = contracted.get(it["name"], Decimal()) * Decimal(it["percent"]) / 100
        text = f"{it['name']}, {it['percent']} % of {it['base']} {document['currency']}"
        named = {"x_TaxName": it["name"], "x_TaxPercent": it["percent"], "x_TaxCategory": it["category"]}
        yield _flat("Tax", Decimal(it["amount"]), cost, text) | named


def _discounts(document: Json) -> tuple[dict[int, Decimal], list[tuple[str, Decimal, str]]]:
    """Each line's part of the discounts of its tax rate, by the largest remainder; and discounts that meet no line.

    FOCUS wants a discount in the rows that it applies to, not in one of its own (Discount Handling).
    """
    currency = Currency.of(document["currency"])
    offs: dict[int, Decimal] = {}
    others = []
    for it in document["discounts"]:
        lines = [line for line in document["lines"] if line["tax"] == it["tax"] and Decimal(line["amount"]) > 0]
        if not lines:
            others.append((it["tax"], -Decimal(it["amount"]), it["text"]))
            continue
        parts = currency.share(Decimal(it["amount"]), [Decimal(line["amount"]) for line in lines])
        for line, part in zip(lines, parts, strict=True):
            offs[line["position"]] = offs.get(line["position"], Decimal()) + part
    return offs, others


def _line(line: Json, off: Decimal, currency: str) -> _Row:
    """A line as a charge for usage: at a price, or a lump of money that a note gives back of it."""
    days = BillingPeriod(date.fromisoformat(line["first_day"]), date.fromisoformat(line["last_day"]))
    amount = Decimal(line["amount"])
    flat = _flat("Usage", amount - off, amount - off, line["text"])
    return (
        flat
        | ({} if line["unit"] == LUMP else _metered(line, currency))
        | {
            "ChargeFrequency": "Usage-Based",
            "ChargePeriodStart": instant(days.start),
            "ChargePeriodEnd": instant(days.end),
            "SkuId": line["usage"],
            "SkuMeter": describe(line["usage"]),
            "SubAccountId": line["project_id"],
            "SubAccountName": line["project_name"] or line["project_id"],
            "SubAccountType": "Project",
            "x_LinePosition": line["position"],
            "x_LineKind": line["kind"],
            "x_LineAmount": amount,
            "x_DiscountAmount": off,
            "x_AllowanceUsed": Decimal(line["allowance_used"]),
            "x_TaxName": line["tax"],
            "x_RateCardId": line["rate_card"]["id"],
            "x_RateCardVersion": line["rate_card"]["version"],
            "x_ReportId": line["report_id"],
        }
    )


def _metered(line: Json, currency: str) -> _Row:
    """Quantities, prices, and the price's name, which outlives its changes. What is free is consumed, but not priced."""
    units, price_of_one, unit = line["units"], line["unit_price"], _UNITS[line["unit"]]
    cost = Decimal(units) * Decimal(price_of_one)
    details, place = {"x_PricingModel": line["model"]}, [line["rate_card"]["id"], line["usage"], line["model"]]
    if line["bracket"]:
        start, up_to = line["bracket"]["from"], line["bracket"]["up_to"]
        details |= {"x_BracketFrom": start, "x_BracketUpTo": up_to}
        place.append(f"{start}-{up_to or ''}")
    return {
        "ChargeDescription": f"{line['text']}: {units} {unit.lower()} at {price_of_one} {currency}",
        "ConsumedQuantity": Decimal(line["quantity"]),
        "ConsumedUnit": _UNITS["minute"],
        "PricingCategory": "Standard",
        "PricingQuantity": Decimal(units),
        "PricingUnit": unit,
        **dict.fromkeys(("ListCost", "ContractedCost"), cost),
        **dict.fromkeys(_UNIT_PRICES, _decimal(Decimal(price_of_one))),
        "SkuPriceDetails": json.dumps(details),
        "SkuPriceId": "/".join(place),
    }


def _flat(category: str, billed: Decimal, cost: Decimal, text: str) -> _Row:
    """A charge that has no quantity and no unit price."""
    return {
        "BilledCost": billed,
        "ChargeCategory": category,
        "ChargeDescription": text,
        "ChargeFrequency": "One-Time",
        "ContractedCost": cost,
        "ListCost": cost,
    }


def _written(row: _Row, sign: int) -> _Row:
    """The row as text. What is billed is also its effective cost: nothing is paid for in advance."""
    row |= dict.fromkeys(("EffectiveCost", "PricingCurrencyEffectiveCost"), row["BilledCost"])
    return {name: _decimal(sign * cell or abs(cell)) if isinstance(cell, Decimal) else cell for name, cell in row.items()}


def _decimal(figure: Decimal) -> str:
    """A figure with a point: whoever reads a CSV guesses types, and a column of whole ones would not be decimals.

    >>> _decimal(Decimal("917926")), _decimal(Decimal("0.00395"))
    ('917926.0', '0.00395')
    """
    text = plain(figure)
    return text if "." in text else f"{text}.0"
