"""The money of the demonstration: what the vendor charges, what the company's customer pays, and the invoice of the month."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console

from app.demo import tables
from app.demo.month import DROPPED, PROJECT
from app.demo.programs import Programs
from app.demo.rest import Rest
from app.demo.story import MONTH
from billing.money import rounded
from billing.tiers import KNOWN_PLANS

TIERS = KNOWN_PLANS[0].fields
REASON = f"The vendor confirmed by mail that it will not bill {DROPPED}."

Json = Mapping[str, Any]


def _flat(*prices: str) -> dict[str, Any]:
    return {tier: {"model": "flat", "unit_price": price} for tier, price in zip(TIERS, prices, strict=True)}


VENDOR_CARD: Json = {
    "id": "vendor-2026",
    "name": "What the vendor charges (made up)",
    "currency": "EUR",
    "effective_from": "2026-01-01",
    "tier_plan": TIERS,
    "prices": _flat("0.0036", "0.0038", "0.0044", "0.0052", "0.0068", "0.0100"),
}
CUSTOMER_CARD: Json = {
    "id": "acme-2026",
    "name": "Acme 2026",
    "currency": "EUR",
    "effective_from": "2026-01-01",
    "tier_plan": TIERS,
    "prices": _flat("0.0060", "0.0066", "0.0072", "0.0084", "0.0110", "0.0150")
    | {
        TIERS[1]: {
            "model": "graduated",
            "brackets": [{"up_to": "100000", "unit_price": "0.0066"}, {"up_to": None, "unit_price": "0.0058"}],
        }
    },
    "allowance": {"scope": "tier", "minutes": {TIERS[0]: "10000"}},
    "discounts": [{"kind": "percentage", "value": "5"}],
    "tax": {"name": "DE VAT", "percent": "19", "category": "S"},
}
ENTITY: Json = {
    "name": "Example Meetings GmbH",
    "prefix": "EXM",
    "address": {"line1": "Torstr. 1", "city": "Berlin", "postal_code": "10119", "country": "DE"},
    "tax_number": "DE123456788",
    "registration": "HRB 12345 B, Amtsgericht Charlottenburg",
    "email": "billing@example-meetings.example",
    "phone": "+49 30 1234567",
    "bank": {"name": "Example Bank", "iban": "DE89370400440532013000", "bic": "COBADEFFXXX"},
    "timezone": "Europe/Berlin",
}
CUSTOMER: Json = {
    "name": "Acme GmbH",
    "currency": "EUR",
    "address": {"line1": "Hafenstr. 12", "city": "Hamburg", "postal_code": "20457", "country": "DE"},
    "tax_number": "DE987654321",
    "email": "ap@acme.example",
    "electronic_address": {"scheme": "EM", "value": "ap@acme.example"},
    "purchase_order": "PO-2026-0815",
    "terms": {"days": 30, "text": "Payable within 30 days without deduction."},
    "formats": ["pdf", "facturx"],
    "four_eyes": True,
}


def agree(rest: Rest) -> str:
    """Publish both rate cards, and make the project a customer's; the customer's id."""
    for card in (VENDOR_CARD, CUSTOMER_CARD):
        rest.post("/v1/rate-cards", card)
    entity = rest.post("/v1/entities", ENTITY)
    customer: str = rest.post("/v1/customers", {**CUSTOMER, "entity_id": entity["id"], "rate_card_id": CUSTOMER_CARD["id"]})[
        "id"
    ]
    rest.patch(f"/v1/projects/{PROJECT}", {"rate_card_id": VENDOR_CARD["id"], "customer_id": customer})
    return customer


def invoice(console: Console, rest: Rest, programs: Programs, customer: str) -> Json:
    """Draft the month's invoice, have it approved by somebody else, and issue it; the document."""
    wanted = {"customer_id": customer, "period": MONTH}
    without_a_word = rest.refused("/v1/invoices", wanted)
    draft = rest.post("/v1/invoices", {**wanted, "override": {"reason": REASON}})
    step = f"/v1/invoices/{draft['id']}"
    by_its_maker = rest.refused(f"{step}/approve", {"version": draft["version"]})
    second = programs.run("keys", "create", "second pair of eyes", "--scope", "invoice").strip()
    approved = rest.post(f"{step}/approve", {"version": draft["version"]}, Authorization=f"Bearer {second}")
    issued: Json = rest.post(f"{step}/finalize", {"version": approved["version"]})
    steps = reversed(rest.get("/v1/audit-log", subject=issued["id"])["items"])
    tables.say(
        console,
        "The invoice",
        f"Drafted without a word, it is refused: {without_a_word}",
        f"Drafted with a reason: {REASON}",
        f"Approved by whoever drafted it, it is refused: {by_its_maker}",
        f"Approved with another key and finalized: {issued['number']} of {issued['issued_on']}, due on {issued['due_on']}.",
        "",
        tables.invoice(issued),
        "",
        "The audit log of it:",
        tables.audit(steps),
    )
    return issued


def wrong(issued: Json, report: Json) -> Iterator[str]:
    """What is wrong with the invoice of a report: it must bill each tier's minutes, rounded once, and add up."""
    billed: dict[str, Decimal] = {}
    for line in issued["lines"]:
        billed[line["usage"]] = billed.get(line["usage"], Decimal(0)) + Decimal(line["quantity"])
    for tier, minutes in report["totals"]["project_level"].items():
        if billed.get(tier, Decimal(0)) != rounded(Decimal(minutes), 2):
            yield f"The invoice bills {billed.get(tier)} minutes of {tier}, where the report has {minutes}."
    money = {key: Decimal(issued[key]) for key in ("subtotal", "discount", "commitment", "tax", "total")}
    if money["subtotal"] != sum(Decimal(line["amount"]) for line in issued["lines"]):
        yield "The subtotal of the invoice is not the sum of its lines."
    if money["total"] != money["subtotal"] - money["discount"] + money["commitment"] + money["tax"]:
        yield "The total of the invoice is not what its sums come to."
