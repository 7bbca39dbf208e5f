"""The rules of FOCUS 1.2 (Cost and Usage) that a file can be held against: `check` says what it breaks.

Each rule names the section of the specification that it is from, a column or an attribute. They are written from its text and
not from our export, so that the two can disagree.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, localcontext

import iso4217

from billing.money import EXACT

Row = Mapping[str, str]

DEFINED = """
AvailabilityZone                   Recommended String   null
BilledCost                         Mandatory   Decimal  required
BillingAccountId                   Mandatory   String   required
BillingAccountName                 Mandatory   String   null
BillingAccountType                 Conditional String   null
BillingCurrency                    Mandatory   Currency required
BillingPeriodEnd                   Mandatory   DateTime required
BillingPeriodStart                 Mandatory   DateTime required
CapacityReservationId              Conditional String   null
CapacityReservationStatus          Conditional String   null
ChargeCategory                     Mandatory   String   required
ChargeClass                        Mandatory   String   null
ChargeDescription                  Mandatory   String   null
ChargeFrequency                    Recommended String   required
ChargePeriodEnd                    Mandatory   DateTime required
ChargePeriodStart                  Mandatory   DateTime required
CommitmentDiscountCategory         Conditional String   null
CommitmentDiscountId               Conditional String   null
CommitmentDiscountName             Conditional String   null
CommitmentDiscountQuantity         Conditional Decimal  null
CommitmentDiscountStatus           Conditional String   null
CommitmentDiscountType             Conditional String   null
CommitmentDiscountUnit             Conditional Unit     null
ConsumedQuantity                   Conditional Decimal  null
ConsumedUnit                       Conditional Unit     null
ContractedCost                     Mandatory   Decimal  required
ContractedUnitPrice                Conditional Price    null
EffectiveCost                      Mandatory   Decimal  required
InvoiceId                          Recommended String   null
InvoiceIssuerName                  Mandatory   String   required
ListCost                           Mandatory   Decimal  required
ListUnitPrice                      Conditional Price    null
PricingCategory                    Conditional String   null
PricingCurrency                    Conditional Currency required
PricingCurrencyContractedUnitPrice Conditional Price    null
PricingCurrencyEffectiveCost       Conditional Decimal  required
PricingCurrencyListUnitPrice       Conditional Price    null
PricingQuantity                    Mandatory   Decimal  null
PricingUnit                        Mandatory   Unit     null
ProviderName                       Mandatory   String   required
PublisherName                      Mandatory   String   required
RegionId                           Conditional String   null
RegionName                         Conditional String   null
ResourceId                         Conditional String   null
ResourceName                       Conditional String   null
ResourceType                       Conditional String   null
ServiceCategory                    Mandatory   String   required
ServiceName                        Mandatory   String   required
ServiceSubcategory                 Recommended String   required
SkuId                              Conditional String   null
SkuMeter                           Conditional String   null
SkuPriceDetails                    Conditional KeyValue null
SkuPriceId                         Conditional String   null
SubAccountId                       Conditional String   null
SubAccountName                     Conditional String   null
SubAccountType                     Conditional String   null
Tags                               Conditional KeyValue null
"""
"""Column ID, feature level, data type and value format, nullability: the table Content Constraints of each column's section."""

TABLE = {
    name: (level, kind, null == "null") for name, level, kind, null in (line.split() for line in DEFINED.split("\n")[1:-1])
}
MANDATORY = {name for name, (level, _, _) in TABLE.items() if level == "Mandatory"}

ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "CommitmentDiscountCategory": {"Spend", "Usage"},
    "CommitmentDiscountStatus": {"Used", "Unused"},
    "CapacityReservationStatus": {"Used", "Unused"},
    "ServiceCategory": {
        "AI and Machine Learning",
        "Analytics",
        "Business Applications",
        "Compute",
        "Databases",
        "Developer Tools",
        "Multicloud",
        "Identity",
        "Integration",
        "Internet of Things",
        "Management and Governance",
        "Media",
        "Migration",
        "Mobile",
        "Networking",
        "Security",
        "Storage",
        "Web",
        "Other",
    },
}
SUBCATEGORIES = {"Media": {"Content Creation", "Gaming", "Media Streaming", "Mixed Reality", "Other (Media)"}}
"""Service Subcategory: the values of the one category that minutes of video belong to."""

_NUMERIC = re.compile(r"-?[0-9]+(\.[0-9]+)?(E-?[0-9]+)?")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_UNIT = re.compile(r"([1-9][0-9]* )?[A-Z][A-Za-z]*(-[A-Z][a-z]+)?(/([1-9][0-9]* )?[A-Z][a-z]+)?")
_PLACEHOLDERS = {"null", "none", "n/a", "na", "not applicable", "nan", "-", "unassigned"}


def read(content: bytes) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a file."""
    reader = csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True)
    rows = list(reader)
    return list(reader.fieldnames or ()), rows


def check(content: bytes, payable: Mapping[str, Decimal] | None = None) -> list[str]:
    """What the file breaks. `payable` says what is to be paid by InvoiceId."""
    names, rows = read(content)
    return [
        *_columns(names),
        *(f"row {place}: {it}" for place, row in enumerate(rows, 1) for it in _row(row)),
        *_whole(rows, payable),
    ]


def _columns(names: Sequence[str]) -> Iterator[str]:
    custom = [name for name in names if name not in TABLE]
    for name in sorted(MANDATORY - set(names)):
        yield f"{name}: MUST be present in a FOCUS dataset"
    for name in names:
        if names.count(name) > 1:
            yield f"{name}: comes twice"
        if not re.fullmatch(r"(x_)?([A-Z][a-z0-9]+)+", name):
            yield f"Column Naming and Ordering: {name} is not in Pascal case"
        if len(name) > 50:
            yield f"Column Naming and Ordering: {name} is longer than 50 characters"
    for name in custom:
        if not name.startswith("x_"):
            yield f"Column Naming and Ordering: the custom column {name} lacks the prefix x_"
    if custom and names[-len(custom) :] != custom:
        yield "Column Naming and Ordering: custom columns SHOULD be listed after all FOCUS columns"
    if [name for name in names if name in TABLE] != sorted(set(names) & set(TABLE)):
        yield "Column Naming and Ordering: FOCUS columns are not in alphabetical order"


def _row(row: Row) -> Iterator[str]:
    for name, (_, kind, nullable) in TABLE.items():
        value = row.get(name, "")
        if value:
            yield from (f"{name}: {said}" for said in FORMATS[kind](value))
            if value not in ALLOWED.get(name, {value}):
                yield f"{name}: {value!r} is not one of the allowed values"
        elif not nullable and name in row:
            yield f"{name}: MUST NOT be null"
    with localcontext(EXACT):
        for said, holds in RULES.items():
            try:
                good = holds(row)
            except (ArithmeticError, TypeError, ValueError):
                good = False
            if not good:
                yield said


def _string(value: str) -> Iterator[str]:
    if value != value.strip() or value.strip().lower() in _PLACEHOLDERS:
        yield f"Null Handling, String Handling: {value!r} stands for no value"


def _decimal(value: str) -> Iterator[str]:
    if not _NUMERIC.fullmatch(value):
        yield f"Numeric Format: {value!r}"
    elif value.startswith("-") and not Decimal(value):
        yield "Numeric Format: a negative sign MUST indicate a negative value"


def _price(value: str) -> Iterator[str]:
    yield from _decimal(value)
    if value.startswith("-"):
        yield "MUST be a non-negative decimal value"


def _instant(value: str) -> Iterator[str]:
    if not _INSTANT.fullmatch(value) or not datetime.fromisoformat(value):
        yield f"Date/Time Format: {value!r} is not in UTC, as YYYY-MM-DDTHH:mm:ssZ"


def _currency(value: str) -> Iterator[str]:
    if value not in {it.code for it in iso4217.Currency}:
        yield f"Currency Format: {value!r} is no code of ISO 4217"


def _unit(value: str) -> Iterator[str]:
    if not _UNIT.fullmatch(value):
        yield f"Unit Format: {value!r}"


def _key_value(value: str) -> Iterator[str]:
    pairs: list[tuple[str, object]] = []
    try:
        found = json.loads(value, object_pairs_hook=lambda it: pairs.extend(it) or dict(it))
    except ValueError:
        found = None
    keys = [key for key, _ in pairs]
    if not isinstance(found, dict) or len(set(keys)) < len(keys) or any(isinstance(it, (dict, list)) for _, it in pairs):
        yield f"Key-Value Format: {value!r} is no flat JSON object with unique keys"
    if any(not key.startswith("x_") for key in keys):
        yield "SKU Price Details: a key that FOCUS does not define MUST begin with x_"


FORMATS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "String": _string,
    "Decimal": _decimal,
    "Price": _price,
    "DateTime": _instant,
    "Currency": _currency,
    "Unit": _unit,
    "KeyValue": _key_value,
}


def _charged(row: Row) -> bool:
    """What is used or bought, and no correction: prices, quantities and SKUs are needed then."""
    return row["ChargeCategory"] in ("Usage", "Purchase") and row["ChargeClass"] != "Correction"


def _together(one: str, other: str) -> Callable[[Row], bool]:
    return lambda row: bool(row[one]) == bool(row[other])


def _only_with(one: str, other: str) -> Callable[[Row], bool]:
    return lambda row: not row[one] or bool(row[other])


def _needed(name: str) -> Callable[[Row], bool]:
    return lambda row: bool(row[name]) or not _charged(row)


def _not_of_tax(name: str) -> Callable[[Row], bool]:
    return lambda row: not row[name] or row["ChargeCategory"] != "Tax"


def _product(price: str, cost: str) -> Callable[[Row], bool]:
    def holds(row: Row) -> bool:
        if not row[price] or not row["PricingQuantity"] or row["ChargeClass"] == "Correction":
            return True
        return Decimal(row[price]) * Decimal(row["PricingQuantity"]) == Decimal(row[cost])

    return holds


def _as_billed(price: str, cost: str) -> Callable[[Row], bool]:
    """A cost without a unit price is that of the charges that it is worked out from (Tax), or what is billed."""
    return lambda row: bool(row[price]) or row["ChargeCategory"] == "Tax" or Decimal(row[cost]) == Decimal(row["BilledCost"])


def _only_for_usage(row: Row) -> bool:
    return not row["ConsumedQuantity"] or (row["ChargeCategory"] == "Usage" and row["CommitmentDiscountStatus"] != "Unused")


def _before(start: str, end: str) -> Callable[[Row], bool]:
    return lambda row: datetime.fromisoformat(row[start]) < datetime.fromisoformat(row[end])


PRICED = ("ContractedUnitPrice", "ListUnitPrice", "PricingCategory", "PricingQuantity", "SkuId", "SkuPriceId")
PRICED += ("PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice")

COMMITMENT = ("Category", "Name", "Quantity", "Status", "Type", "Unit")

RULES: Mapping[str, Callable[[Row], bool]] = {
    **{f"{it}: MUST be null when ChargeCategory is Tax": _not_of_tax(it) for it in PRICED},
    **{f"{it}: MUST NOT be null for Usage or Purchase that is no Correction": _needed(it) for it in PRICED},
    "BillingAccountType: goes with BillingAccountId": _together("BillingAccountType", "BillingAccountId"),
    "BillingPeriodEnd: is the exclusive end": _before("BillingPeriodStart", "BillingPeriodEnd"),
    "ChargePeriodEnd: is the exclusive end": _before("ChargePeriodStart", "ChargePeriodEnd"),
    "CapacityReservationStatus: MUST be null without CapacityReservationId": _only_with(
        "CapacityReservationStatus", "CapacityReservationId"
    ),
    "ChargeFrequency: MUST NOT be Usage-Based for a Purchase": lambda row: (
        row["ChargeCategory"] != "Purchase" or row["ChargeFrequency"] != "Usage-Based"
    ),
    **{
        f"CommitmentDiscount{it}: MUST be null without CommitmentDiscountId": _only_with(
            f"CommitmentDiscount{it}", "CommitmentDiscountId"
        )
        for it in COMMITMENT
    },
    "ConsumedQuantity: MUST be null where nothing is used": _only_for_usage,
    "ConsumedQuantity: MUST NOT be null for Usage that is no Correction": lambda row: (
        row["ChargeCategory"] != "Usage" or row["ChargeClass"] == "Correction" or bool(row["ConsumedQuantity"])
    ),
    "ConsumedUnit: goes with ConsumedQuantity": _together("ConsumedUnit", "ConsumedQuantity"),
    "ContractedCost: is ContractedUnitPrice times PricingQuantity": _product("ContractedUnitPrice", "ContractedCost"),
    "ContractedCost: is BilledCost without a unit price": _as_billed("ContractedUnitPrice", "ContractedCost"),
    "EffectiveCost: is BilledCost of a charge unrelated to others": lambda row: (
        row["ChargeCategory"] in ("Usage", "Purchase", "Tax") or Decimal(row["EffectiveCost"]) == Decimal(row["BilledCost"])
    ),
    "ListCost: is ListUnitPrice times PricingQuantity": _product("ListUnitPrice", "ListCost"),
    "ListCost: is BilledCost without a unit price": _as_billed("ListUnitPrice", "ListCost"),
    "PricingCategory: MUST be Committed with a commitment discount": lambda row: (
        row["PricingCategory"] != "Committed" or bool(row["CommitmentDiscountId"])
    ),
    "PricingUnit: goes with PricingQuantity": _together("PricingUnit", "PricingQuantity"),
    "RegionName: goes with RegionId": _together("RegionName", "RegionId"),
    "ResourceName: MUST be null without ResourceId": _only_with("ResourceName", "ResourceId"),
    "ResourceType: goes with ResourceId": _together("ResourceType", "ResourceId"),
    "ServiceSubcategory: has its one parent": lambda row: (
        row["ServiceSubcategory"] in SUBCATEGORIES.get(row["ServiceCategory"], ())
    ),
    "SkuMeter: MUST be null without SkuId": _only_with("SkuMeter", "SkuId"),
    "SkuPriceDetails: MUST be null without SkuPriceId": _only_with("SkuPriceDetails", "SkuPriceId"),
    "SubAccountName: goes with SubAccountId": _together("SubAccountName", "SubAccountId"),
    "SubAccountType: goes with SubAccountId": _together("SubAccountType", "SubAccountId"),
}
"""By column's section, what a row must hold to."""


def _whole(rows: Sequence[Row], payable: Mapping[str, Decimal] | None) -> Iterator[str]:
    for one, many, said in (
        ("SkuPriceId", "SkuId", "SkuPriceId: MUST have one and only one parent SkuId"),
        ("InvoiceId", "BillingAccountId", "InvoiceId: MUST be associated with one BillingAccountId"),
        ("ServiceName", "ServiceCategory", "ServiceName: MUST have one and only one ServiceCategory"),
        ("SkuPriceId", "SkuPriceDetails", "SkuPriceDetails: MUST be the same for one SkuPriceId"),
    ):
        found: dict[str, set[str]] = {}
        for row in rows:
            if row[one]:
                found.setdefault(row[one], set()).add(row[many])
        yield from (f"{said}, not {sorted(values)}" for values in found.values() if len(values) > 1)
    for name, amount in (payable or {}).items():
        costs = [row["BilledCost"] for row in rows if row["InvoiceId"] == name]
        billed = sum((Decimal(cost) for cost in costs if _NUMERIC.fullmatch(cost)), Decimal(0))
        if billed != amount:
            yield f"BilledCost: the sum for {name} is {billed}, but {amount} is payable"
