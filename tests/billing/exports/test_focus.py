"""FOCUS 1.2: every file holds to the specification, and what is billed in it adds up to the document's total."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings

from billing import notes
from billing.errors import NoRateCard
from billing.exports.focus import COLUMNS, invoice, report
from billing.pricing import price
from billing.ratecard import CardHistory
from tests.billing.documents import priced_periods, restated_periods
from tests.billing.exports import reports
from tests.billing.exports.focus_rules import COMMITMENT, PRICED, RULES, TABLE, check, read
from tests.billing.rate_cards import card as priced_at
from tests.samples import OCTOBER, PLAN, SAMPLES, card, credit_note, invoiced, issued, japanese, plain, rich, usage


def payable(document: dict[str, Any]) -> dict[str, Decimal]:
    """What is to be paid, by InvoiceId; a credit gives it back."""
    sign = -1 if document["kind"] == "credit_note" else 1
    return {document["number"] or document["id"]: sign * Decimal(document["total"])}


def broken(document: dict[str, Any]) -> list[str]:
    return check(invoice(document), payable(document))


def rows(content: bytes) -> list[dict[str, str]]:
    return read(content)[1]


def test_all_columns_of_the_specification_come_first_and_in_its_order() -> None:
    assert COLUMNS[: len(TABLE)] == tuple(TABLE)
    assert {name[:2] for name in COLUMNS[len(TABLE) :]} == {"x_"}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_holds_to_the_rules(name: str) -> None:
    assert broken(SAMPLES[name]()) == []
    assert invoice(SAMPLES[name]()) == invoice(SAMPLES[name]())


@settings(max_examples=50)
@given(priced_periods())
def test_every_invoice_holds_to_the_rules(priced) -> None:
    assert broken(invoiced(priced)) == []


@settings(max_examples=50)
@given(priced_periods())
def test_an_invoice_and_the_credit_of_all_of_it_come_to_nothing(priced) -> None:
    document = invoiced(priced)
    assume(Decimal(document["total"]))
    note = issued(notes.credit(document, [], None, None, "All of it."), "RECK-2026-00002", "inv_2")
    assert broken(note) == []
    charged, back = rows(invoice(document)), rows(invoice(note))
    assert {row["ChargeClass"] for row in charged} <= {""}
    assert {row["ChargeClass"] for row in back} == {"Correction"}
    for name in ("BilledCost", "EffectiveCost", "ConsumedQuantity", "PricingQuantity"):
        assert sum(Decimal(row[name] or 0) for row in (*charged, *back)) == 0, name


@settings(max_examples=50)
@given(restated_periods(times=2))
def test_an_invoice_and_its_restatement_come_to_what_is_owed_now(priced) -> None:
    document, now = (invoiced(it) for it in priced)
    change = notes.restate(document, [], priced[1], [], "The vendor restated a day.")
    assume(change is not None)
    note = issued(change, "RECK-2026-00002", "inv_2")
    assert broken(note) == []
    assert sum(Decimal(row["BilledCost"]) for it in (document, note) for row in rows(invoice(it))) == Decimal(now["total"])


def test_a_discount_stands_in_the_rows_that_it_applies_to() -> None:
    """Discount Handling. 24.07 off 190.70 in six lines: each gives its part, and none is a row of its own."""
    document = rich()
    lines = [row for row in rows(invoice(document)) if row["ChargeCategory"] == "Usage"]
    assert sum(Decimal(row["x_DiscountAmount"]) for row in lines) == Decimal(document["discount"]) == Decimal("24.07")
    for row in lines:
        assert Decimal(row["BilledCost"]) == Decimal(row["x_LineAmount"]) - Decimal(row["x_DiscountAmount"])
    assert [row["ChargeCategory"] for row in rows(invoice(document))] == [*["Usage"] * 6, "Adjustment", "Tax"]


def test_free_minutes_are_consumed_and_not_priced() -> None:
    row = rows(invoice(rich()))[0]
    assert (row["ConsumedQuantity"], row["PricingQuantity"], row["x_AllowanceUsed"]) == ("10000.00", "8000.00", "2000.00")
    assert (row["ContractedCost"], row["ContractedUnitPrice"]) == ("28.000000", "0.0035")


def test_packages_are_priced_by_the_package_and_consumed_by_the_minute() -> None:
    (row,) = (it for it in rows(invoice(rich())) if it["PricingUnit"] == "Packages")
    assert (row["PricingQuantity"], row["ConsumedQuantity"], row["ConsumedUnit"]) == ("3.0", "2400.50", "Minutes")


def test_whole_figures_are_decimals_to_whoever_guesses_types() -> None:
    """Of JPY, which has no minor unit: pandas took such a column for integers."""
    decimals = [name for name, (_, kind, _) in TABLE.items() if kind in ("Decimal", "Price")]
    for row in rows(invoice(japanese())):
        assert all("." in row[name] for name in decimals if row[name])


def test_a_bracket_is_a_price_of_its_own_and_not_a_thing_of_its_own() -> None:
    found = [it for it in rows(invoice(rich())) if it["SkuId"] == PLAN[1]]
    assert [it["SkuPriceId"] for it in found] == [
        "rc_standard/from3To6Publishers/graduated/0-10000",
        "rc_standard/from3To6Publishers/graduated/10000-",
    ]
    assert found[1]["SkuPriceDetails"] == '{"x_PricingModel": "graduated", "x_BracketFrom": "10000", "x_BracketUpTo": null}'


def test_a_charge_lasts_from_midnight_to_midnight_in_california() -> None:
    """The clocks go back on 1 November: October ends at 07:00 UTC, November begins there."""
    row = rows(invoice(plain()))[0]
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-10-01T07:00:00Z", "2026-11-01T07:00:00Z")
    days = [row["ChargePeriodEnd"] for row in rows(report(reports.report(), reports.CARDS))]
    assert set(days) == {"2026-11-03T08:00:00Z"}


def test_a_credit_is_negative_in_cost_and_quantity_and_names_what_it_corrects() -> None:
    first, lump, true_up, tax = rows(invoice(credit_note()))
    assert (first["BilledCost"], first["ConsumedQuantity"]) == ("-24.46", "-10000.00")
    assert (lump["BilledCost"], lump["ConsumedQuantity"], lump["PricingQuantity"]) == ("-10.79", "", "")
    assert (true_up["ChargeCategory"], true_up["BilledCost"]) == ("Adjustment", "-50.00")
    assert (tax["ChargeCategory"], tax["BilledCost"]) == ("Tax", "-16.20")
    assert {row["x_CorrectsInvoiceId"] for row in (first, lump, true_up, tax)} == {"RECK-2026-00001"}


def test_a_discount_that_no_line_is_left_for_is_an_adjustment() -> None:
    document = credit_note()
    document["lines"] = []
    adjustment, true_up, tax = rows(invoice(document))[:1], *rows(invoice(document))[2:]
    assert [(it["ChargeCategory"], it["BilledCost"]) for it in (*adjustment, true_up, tax)] == [
        ("Adjustment", "4.03"),
        ("Adjustment", "-50.00"),
        ("Tax", "-16.20"),
    ]


def test_the_usage_of_a_report_costs_what_its_bridge_says() -> None:
    document = reports.report()
    content = report(document, reports.CARDS)
    assert check(content) == []
    assert report(document, reports.CARDS) == content
    charged = rows(content)
    invoiced_at = {line["step"]: Decimal(line["amount"]) for line in document["bridge"]}
    tiers = [row for row in charged if row["SkuId"] in document["tier_plan"]]
    assert sum(Decimal(row["BilledCost"]) for row in tiers) == invoiced_at["project_level"]
    assert {row["SkuId"]: row["BilledCost"] for row in charged if row not in tiers} == {"sipUserMinutes": "0.06"}
    assert {row["ChargeCategory"] for row in charged} == {"Usage"}
    assert {(row["InvoiceId"], row["ProviderName"], row["BillingAccountId"]) for row in charged} == {("", "Vonage", "100")}


def test_a_report_without_prices_is_refused_with_the_reason() -> None:
    with pytest.raises(NoRateCard, match="was made without a rate card"):
        report(reports.report(None), CardHistory(()))
    other = CardHistory([priced_at({}, plan=["from1PlusPublishers"])])
    with pytest.raises(NoRateCard, match="has another tier plan than the project"):
        report(reports.report(other), other)


def test_text_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    document = plain()
    document["customer"]["name"] = "=HYPERLINK(1)"
    assert {row["BillingAccountName"] for row in rows(invoice(document))} == {"'=HYPERLINK(1)"}


_NO_PRICE = dict.fromkeys(("ListUnitPrice", "ContractedUnitPrice", "PricingUnit", "PricingQuantity"), "")
SPOILT: list[tuple[dict[str, str], str]] = [
    ({"BilledCost": ""}, "BilledCost: MUST NOT be null"),
    ({"ListCost": "1,50"}, "ListCost: Numeric Format"),
    ({"ListCost": "+1.50"}, "ListCost: Numeric Format"),
    ({"x_LineAmount": "1.50", "ListCost": "-0.00"}, "ListCost: Numeric Format: a negative sign"),
    ({"BilledCost": "17.00"}, "BilledCost: the sum for RECK-2026-00001"),
    ({"BillingAccountId": "other"}, "InvoiceId: MUST be associated with one BillingAccountId"),
    ({"BillingAccountType": ""}, "BillingAccountType: goes with BillingAccountId"),
    ({"BillingCurrency": "EURO"}, "BillingCurrency: Currency Format"),
    ({"BillingPeriodStart": "2026-10-01T00:00:00-07:00"}, "BillingPeriodStart: Date/Time Format"),
    ({"BillingPeriodEnd": "2026-10-01T07:00:00Z"}, "BillingPeriodEnd: is the exclusive end"),
    ({"ChargePeriodEnd": "2026-09-01T07:00:00Z"}, "ChargePeriodEnd: is the exclusive end"),
    ({"CapacityReservationStatus": "Used"}, "CapacityReservationStatus: MUST be null without CapacityReservationId"),
    ({"ChargeCategory": "Discount"}, "ChargeCategory: 'Discount' is not one of the allowed values"),
    ({"ChargeCategory": "Adjustment"}, "ConsumedQuantity: MUST be null where nothing is used"),
    ({"ChargeCategory": "Adjustment", "EffectiveCost": "9.99"}, "EffectiveCost: is BilledCost of a charge unrelated to others"),
    ({"ChargeCategory": "Purchase"}, "ChargeFrequency: MUST NOT be Usage-Based for a Purchase"),
    ({"ChargeClass": "Refund"}, "ChargeClass: 'Refund' is not one of the allowed values"),
    ({"ChargeFrequency": "Monthly"}, "ChargeFrequency: 'Monthly' is not one of the allowed values"),
    ({"ConsumedQuantity": ""}, "ConsumedQuantity: MUST NOT be null for Usage that is no Correction"),
    ({"ConsumedUnit": ""}, "ConsumedUnit: goes with ConsumedQuantity"),
    ({"ConsumedUnit": "minutes"}, "ConsumedUnit: Unit Format"),
    ({"ContractedCost": "1.00"}, "ContractedCost: is ContractedUnitPrice times PricingQuantity"),
    ({"ListCost": "1.00"}, "ListCost: is ListUnitPrice times PricingQuantity"),
    (_NO_PRICE | {"ContractedCost": "1.00"}, "ContractedCost: is BilledCost without a unit price"),
    (_NO_PRICE | {"ListCost": "1.00"}, "ListCost: is BilledCost without a unit price"),
    ({"ContractedUnitPrice": "-0.0035"}, "ContractedUnitPrice: MUST be a non-negative decimal value"),
    ({"InvoiceIssuerName": "Not applicable"}, "InvoiceIssuerName: Null Handling"),
    ({"PricingCategory": "Committed"}, "PricingCategory: MUST be Committed with a commitment discount"),
    ({"PricingUnit": ""}, "PricingUnit: goes with PricingQuantity"),
    ({"RegionName": "Frankfurt"}, "RegionName: goes with RegionId"),
    ({"ResourceName": "Room"}, "ResourceName: MUST be null without ResourceId"),
    ({"ResourceType": "Room"}, "ResourceType: goes with ResourceId"),
    ({"ServiceCategory": "Video"}, "ServiceCategory: 'Video' is not one of the allowed values"),
    ({"ServiceCategory": "Web"}, "ServiceName: MUST have one and only one ServiceCategory"),
    ({"ServiceSubcategory": "Streaming"}, "ServiceSubcategory: has its one parent"),
    ({"SkuId": ""}, "SkuMeter: MUST be null without SkuId"),
    ({"SkuId": "another"}, "SkuPriceId: MUST have one and only one parent SkuId"),
    ({"SkuPriceDetails": "{'a': 1}"}, "SkuPriceDetails: Key-Value Format"),
    ({"SkuPriceDetails": '{"x_A": {"b": 1}}'}, "SkuPriceDetails: Key-Value Format"),
    ({"SkuPriceDetails": '{"x_A": 1, "x_A": 2}'}, "SkuPriceDetails: Key-Value Format"),
    ({"SkuPriceDetails": '{"Model": "flat"}'}, "SkuPriceDetails: SKU Price Details"),
    ({"SkuPriceDetails": "{}"}, "SkuPriceDetails: MUST be the same for one SkuPriceId"),
    ({"SkuPriceId": ""}, "SkuPriceDetails: MUST be null without SkuPriceId"),
    ({"SubAccountName": ""}, "SubAccountName: goes with SubAccountId"),
    ({"SubAccountType": ""}, "SubAccountType: goes with SubAccountId"),
    *(({f"CommitmentDiscount{it}": "1"}, f"CommitmentDiscount{it}: MUST be null") for it in COMMITMENT),
    *(({it: ""}, f"{it}: MUST NOT be null for Usage") for it in PRICED),
    *(({"ChargeCategory": "Tax"}, f"{it}: MUST be null when ChargeCategory is Tax") for it in PRICED),
]
"""What is changed in a good row, and what must be said of it."""


@pytest.mark.parametrize(("changes", "said"), SPOILT, ids=[it[1] for it in SPOILT])
def test_the_rules_find_what_is_planted(changes: dict[str, str], said: str) -> None:
    """Of two rows for one tier, so that a rule over several rows sees one of them spoilt."""
    document = invoiced(price([usage(PLAN[0], 100), usage(PLAN[0], 50, project="200")], card(), OCTOBER))
    names, (first, *others) = read(invoice(document))
    out = io.StringIO()
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows([first | changes, *others])
    found = check(out.getvalue().encode(), payable(document))
    assert any(said in it for it in found), found


def test_something_is_planted_for_every_rule() -> None:
    assert [rule for rule in RULES if not any(rule.startswith(said) for _, said in SPOILT)] == []


def test_the_rules_find_a_column_that_is_missing_misplaced_or_misnamed() -> None:
    names = ",".join(COLUMNS)
    for instead, said in (
        (names.replace("BilledCost,", "Billed_Cost,"), "BilledCost: MUST be present"),
        (names.replace("x_LineKind,", "LineKind,"), "LineKind lacks the prefix x_"),
        (names.replace("BilledCost,BillingAccountId,", "BillingAccountId,BilledCost,"), "not in alphabetical order"),
        (names.replace("x_LineKind,", "x_line_kind,"), "x_line_kind is not in Pascal case"),
        (f"x_First,{names}", "SHOULD be listed after all FOCUS columns"),
        (f"{names},Tags", "Tags: comes twice"),
    ):
        assert any(said in it for it in check(f"{instead}\r\n".encode())), said
