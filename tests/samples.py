"""Invoice documents to try exports on, as they are stored: priced by `billing.pricing`, written by `billing.invoice`.

`SAMPLES` names functions that give one document each.
"""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from billing import invoice, notes
from billing.invoice import Envelope, Override, ReportRef, Status
from billing.notes import CreditLine
from billing.period import BillingPeriod
from billing.pricing import Priced, Usage, price
from billing.ratecard import CardHistory
from billing.ratecard_file import parse

OCTOBER = BillingPeriod(date(2026, 10, 1), date(2026, 10, 31))
ISSUED = date(2026, 11, 3)
PLAN = [f"from{tier}Publishers" for tier in ("1To2", "3To6", "7To8", "9To10", "11To35", "36Plus")]
MINUTE = 1_000_000
GERMAN_VAT = {"name": "DE VAT", "percent": "19", "category": "S"}
ENTITY = {
    "id": "ent_1",
    "name": "Reckoner Video GmbH",
    "address": {
        "line1": "Torstraße 1",
        "line2": "",
        "city": "Berlin",
        "postal_code": "10119",
        "region": "",
        "country": "DE",
    },
    "tax_number": "DE123456789",
    "registration": "HRB 1234, Amtsgericht Charlottenburg",
    "email": "billing@reckoner.example",
    "phone": "+49 30 1234567",
    "bank": {"name": "Beispielbank", "iban": "DE89370400440532013000", "bic": "COBADEFFXXX"},
    "timezone": "Europe/Berlin",
    "logo": None,
    "legal_note": "Managing director: Ada Beispiel",
}
CUSTOMER = {
    "id": "cus_1",
    "name": "Acme Learning SE",
    "address": {
        "line1": "Hafenstraße 12",
        "line2": "Gebäude C",
        "city": "Hamburg",
        "postal_code": "20457",
        "region": "",
        "country": "DE",
    },
    "tax_number": "DE987654321",
    "email": "accounts@acme.example",
    "reference": "04011000-12345-67",
    "purchase_order": "PO-2026-0815",
    "electronic_address": {"scheme": "EM", "value": "accounts@acme.example"},
    "currency": "EUR",
    "terms": {"days": 30, "text": "Payable within 30 days, without deduction."},
    "formats": ["pdf", "facturx"],
}


def card(*, currency="EUR", prices=None, tax=GERMAN_VAT, **more) -> CardHistory:
    """A rate card of one version: unless said otherwise, each tier flat and dearer than the one before."""
    flat = {tier: {"model": "flat", "unit_price": f"0.00{place}5"} for place, tier in enumerate(PLAN, 3)}
    document = {
        "name": f"Standard {currency}",
        "currency": currency,
        "effective_from": "2026-01-01",
        "tier_plan": PLAN,
        "prices": flat | (prices or {}),
        "tax": tax,
    }
    return CardHistory([parse(document | more, card_id="rc_standard", version=1)])


def usage(tier: str, *minutes: int, project="100", kind="usage") -> Usage:
    """So many minutes on the 1st, the 2nd and so on."""
    days = {OCTOBER.first_day + timedelta(days=place): int(it * MINUTE) for place, it in enumerate(minutes)}
    observations = {day: f"obs_{project}_{day}" for day in days}
    return Usage(project, tier, days, f"rpt_{project}", observations, kind)


def report(project="100", *, name="Acme classrooms", verdict="balanced", version=1) -> ReportRef:
    """The report of a project."""
    return ReportRef(f"rpt_{project}", version, "5" * 64, verdict, project, name, "project_level")


def issued(core, number="RECK-2026-00001", name="inv_1", status=Status.FINALIZED) -> dict:
    """The document that a core is issued as."""
    return json.loads(invoice.document(invoice.finalize(core, ISSUED), Envelope(name, number, status, 3)))


def invoiced(priced: Priced, *reports: ReportRef, customer=None, override=None, text="") -> dict:
    """The finalized invoice of what was priced."""
    paying = CUSTOMER | {"currency": priced.currency.code} | (customer or {})
    core = invoice.draft(paying, ENTITY, OCTOBER, priced, reports or [report()], override=override, notes=text)
    return issued(core)


def plain() -> dict:
    """EUR, three tiers at flat prices, 19 % of VAT."""
    usages = [usage(PLAN[0], 12_000, 3_456), usage(PLAN[1], 8_000.25), usage(PLAN[4], 1_234.5)]
    return invoiced(price(usages, card(), OCTOBER))


def draft() -> dict:
    """The same before anybody has approved it: no number, no date."""
    core = invoice.core_of(plain()) | {"issued_on": None, "due_on": None}
    return json.loads(invoice.document(core, Envelope("inv_0", None, Status.DRAFT, 1)))


def rich() -> dict:
    """Graduated, volume and package prices, an allowance, two discounts, a commitment that is not reached, an override."""
    cards = card(
        prices={
            PLAN[1]: {
                "model": "graduated",
                "brackets": [{"up_to": "10000", "unit_price": "0.0045"}, {"up_to": None, "unit_price": "0.0040"}],
            },
            PLAN[2]: {
                "model": "volume",
                "brackets": [{"up_to": "5000", "unit_price": "0.006"}, {"up_to": None, "unit_price": "0.005"}],
            },
            PLAN[3]: {"model": "package", "size": "1000", "package_price": "7.00"},
        },
        usage_prices={"sipUserMinutes": {"model": "flat", "unit_price": "0.005"}},
        allowance={"scope": "tier", "minutes": {PLAN[0]: "2000"}},
        discounts=[{"kind": "percentage", "value": "10"}, {"kind": "fixed", "value": "5.00"}],
        commitment={"amount": "500.00"},
    )
    usages = [
        usage(PLAN[0], 9_000, 1_000),
        usage(PLAN[1], 9_000, 15_000),
        usage(PLAN[2], 7_500),
        usage(PLAN[3], 2_400.5, project="200"),
        usage("sipUserMinutes", 640, project="200"),
    ]
    reports = [report(), report("200", name="Acme meetings", verdict="incomplete")]
    override = Override("The vendor confirmed the missing day by mail.", "finance", datetime(2026, 11, 3, 9, tzinfo=UTC))
    return invoiced(price(usages, cards, OCTOBER), *reports, override=override, text="Thank you for your trust.")


def long() -> dict:
    """200 lines of 100 projects with long names, for a customer with long ones too."""
    projects = [str(1000 + number) for number in range(100)]
    usages = [usage(tier, 100 + place, 7.125, project=it) for place, it in enumerate(projects) for tier in PLAN[:2]]
    name = "The Department of Remarkably Long Names and Even Longer Explanations, Section {}, Unabridged <&> Edition"
    reports = [report(it, name=name.format(it)) for it in projects]
    customer = {"name": "Gesellschaft für außerordentlich ausführliche Firmenbezeichnungen und Übersetzungen mbH & Co. KGaA"}
    return invoiced(price(usages, card(), OCTOBER), *reports, customer=customer)


def japanese() -> dict:
    """JPY: no decimals, 10 % of tax."""
    prices = {tier: {"model": "flat", "unit_price": "0.63"} for tier in PLAN}
    cards = card(currency="JPY", prices=prices, tax={"name": "JP consumption tax", "percent": "10"})
    address = {"line1": "千代田1-1", "line2": "", "city": "東京", "postal_code": "100-0001", "region": "", "country": "JP"}
    customer = {"name": "アクメ株式会社", "address": address, "tax_number": "T1234567890123", "formats": ["pdf"]}
    return invoiced(price([usage(PLAN[0], 1_234_567.89), usage(PLAN[1], 90_000)], cards, OCTOBER), customer=customer)


def kuwaiti() -> dict:
    """KWD: three decimals, outside the scope of tax."""
    cards = card(currency="KWD", tax={"name": "No tax", "percent": "0", "category": "O", "reason": "Outside the scope of tax"})
    address = {
        "line1": "Block 3, Street 7",
        "line2": "",
        "city": "Kuwait City",
        "postal_code": "",
        "region": "",
        "country": "KW",
    }
    customer = {"name": "Acme Gulf W.L.L.", "address": address, "tax_number": "", "formats": ["pdf"]}
    return invoiced(price([usage(PLAN[0], 45_678.9), usage(PLAN[3], 1_000)], cards, OCTOBER), customer=customer)


def shared() -> dict:
    """The owner of a shared project: minutes that no customer owns, and a negative difference between the levels."""
    usages = [
        usage(PLAN[0], 20_000),
        usage(PLAN[0], 150.5, kind="unowned"),
        usage(PLAN[0], -90, kind="level_difference"),
        usage(PLAN[1], 90, kind="level_difference"),
    ]
    return invoiced(price(usages, card(), OCTOBER), report(verdict="explained"))


def reverse_charge() -> dict:
    """A customer in France: no VAT is charged, and the invoice says why."""
    tax = {
        "name": "Reverse charge",
        "percent": "0",
        "category": "AE",
        "reason": "Reverse charge, article 196 of directive 2006/112/EC",
    }
    address = {"line1": "1 rue de la Paix", "line2": "", "city": "Paris", "postal_code": "75002", "region": "", "country": "FR"}
    customer = {"name": "Acme SARL", "address": address, "tax_number": "FR12345678901"}
    return invoiced(price([usage(PLAN[0], 5_000)], card(tax=tax), OCTOBER), customer=customer)


def credit_note() -> dict:
    """Of `rich`: one line whole, a part of another, and a part of the commitment's true-up."""
    core = notes.credit(
        rich(),
        [],
        [CreditLine(1), CreditLine(3, Decimal("12.34"))],
        Decimal("50.00"),
        "Lessons of 5 October were counted twice.",
    )
    return issued(core, "RECK-2026-00002", "inv_2")


def debit_note() -> dict:
    """Of `plain`: the vendor's figures grew after the invoice."""
    usages = [usage(PLAN[0], 12_000, 3_600), usage(PLAN[1], 8_000.25), usage(PLAN[4], 1_200), usage(PLAN[5], 50)]
    again = price(usages, card(), OCTOBER)
    core = notes.restate(plain(), [], again, [report(version=2)], "The vendor restated 2 October.")
    assert core is not None
    return issued(core, "RECK-2026-00003", "inv_3")


SAMPLES = {
    it.__name__: it
    for it in (
        plain,
        draft,
        rich,
        long,
        japanese,
        kuwaiti,
        shared,
        reverse_charge,
        credit_note,
        debit_note,
    )
}
