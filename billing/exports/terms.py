"""What an e-invoice says, in the terms of EN 16931 (BT a business term, BG a group of them), before it is put in a syntax.

Both syntaxes, CII and UBL, are written from this one reading of the invoice document, so they always say the same. Amounts in a
credit note are positive, as in the document: its type code says that money is given back.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from billing.exports import codes
from billing.money import EXACT, Currency

Json = Mapping[str, Any]

SPECIFICATION = "urn:cen.eu:en16931:2017"
"""BT-24: the core standard, without a country's additions."""

TYPE_CODES = {"invoice": "380", "credit_note": "381", "debit_note": "383"}
"""BT-3, of UNTDID 1001."""

UNITS = {"minute": "MIN", "package": "XPK", "lump": "C62"}
"""BT-130, of UN/ECE Recommendations 20 and 21."""

UNTAXED = {"Z": "", "E": "", "AE": "VATEX-EU-AE", "K": "VATEX-EU-IC", "G": "VATEX-EU-G", "O": "VATEX-EU-O"}
"""The VAT categories without tax, each with its exemption reason code (BT-121) where one says all there is to say."""

CREDIT_TRANSFER = "30"
"""BT-81, of UNTDID 4461."""

TRUE_UP = "True-up to the minimum commitment"
"""BT-104: why there is a charge."""


@dataclass(frozen=True)
class Tax:
    """A VAT category (BT-151, BT-95, BT-102, BT-118) and its rate (BT-152, …), which "not subject to VAT" has none of."""

    category: str
    percent: Decimal | None


@dataclass(frozen=True)
class Party:
    """The seller (BG-4) or the buyer (BG-7)."""

    id: str  # BT-46, the buyer's
    name: str  # BT-27, BT-44
    registration: str  # BT-30, BT-47
    vat_number: str  # BT-31, BT-48: begins with the code of a country
    tax_number: str  # BT-32: another number of the tax authority
    electronic_address: tuple[str, str]  # BT-34, BT-49: its scheme and itself
    line1: str  # BT-35, BT-50
    line2: str  # BT-36, BT-51
    city: str  # BT-37, BT-52
    postal_code: str  # BT-38, BT-53
    region: str  # BT-39, BT-54
    country: str  # BT-40, BT-55
    phone: str  # BT-42
    email: str  # BT-43, BT-58


@dataclass(frozen=True)
class Line:
    """An invoice line (BG-25)."""

    id: str  # BT-126
    note: str  # BT-127
    quantity: Decimal  # BT-129
    unit: str  # BT-130
    amount: Decimal  # BT-131
    first_day: date  # BT-134
    last_day: date  # BT-135
    price: Decimal  # BT-146, never negative
    tax: Tax
    name: str  # BT-153
    item: str  # BT-155
    attributes: Sequence[tuple[str, str]]  # BG-32


@dataclass(frozen=True)
class Adjustment:
    """An allowance (BG-20) or a charge (BG-21) on the whole document."""

    charge: bool
    amount: Decimal  # BT-92, BT-99
    tax: Tax
    reason: str  # BT-97, BT-104


@dataclass(frozen=True)
class Breakdown:
    """The VAT of one category and rate (BG-23)."""

    base: Decimal  # BT-116
    amount: Decimal  # BT-117
    tax: Tax
    reason: str  # BT-120
    reason_code: str  # BT-121


@dataclass(frozen=True)
class Invoice:
    """The whole document."""

    number: str  # BT-1
    issued_on: date | None  # BT-2; a draft has none
    type_code: str  # BT-3
    currency: str  # BT-5
    due_on: date | None  # BT-9
    buyer_reference: str  # BT-10
    purchase_order: str  # BT-13
    terms: str  # BT-20
    notes: Sequence[str]  # BT-22
    corrects: Sequence[tuple[str, date]]  # BG-3: BT-25, BT-26
    seller: Party
    buyer: Party
    deliver_to: str  # BT-80, which a supply within the EU must say
    first_day: date  # BT-73
    last_day: date  # BT-74, and BT-72: the supply is complete when the period is
    accounts: Sequence[tuple[str, str, str]]  # BG-17: BT-84, BT-85, BT-86
    supporting: Sequence[str]  # BT-122
    lines: Sequence[Line]
    adjustments: Sequence[Adjustment]
    breakdown: Sequence[Breakdown]
    vat: Decimal  # BT-110
    total: Decimal  # BT-112 and, as nothing is paid in advance, BT-115

    @property
    def line_total(self) -> Decimal:
        """BT-106."""
        return sum((line.amount for line in self.lines), Decimal(0))

    def adjusted(self, *, charge: bool) -> Decimal | None:
        """BT-108, or BT-107; None where there is none to add up."""
        amounts = [it.amount for it in self.adjustments if it.charge == charge]
        return sum(amounts, Decimal(0)) if amounts else None

    @property
    def without_vat(self) -> Decimal:
        """BT-109."""
        return self.line_total - (self.adjusted(charge=False) or 0) + (self.adjusted(charge=True) or 0)


def of(document: Json) -> Invoice:
    """Read an invoice document. What no e-invoice can say, `billing.exports.einvoice` refuses before it comes here."""
    with localcontext(EXACT):
        rates = {it["name"]: tax_of(it) for it in document["taxes"]}
        categories = {it.category for it in rates.values()}
        identified = "O" not in categories  # BR-O-02: what is not subject to VAT names no VAT number
        entity, customer = document["entity"], document["customer"]
        lines = [_line(it, rates[it["tax"]], document) for it in document["lines"]]
        adjustments = _adjustments(document, rates)
        if not lines:  # BR-16: there is always a line, so a commitment without usage is one itself
            lines = [_true_up(it, place, document) for place, it in enumerate(adjustments, 1) if it.charge]
            adjustments = [it for it in adjustments if not it.charge]
        return Invoice(
            number=document["number"] or "",
            issued_on=_day(document["issued_on"]),
            type_code=TYPE_CODES[document["kind"]],
            currency=document["currency"],
            due_on=_day(document["due_on"]),
            buyer_reference=customer["reference"],
            purchase_order=customer["purchase_order"],
            terms=document["terms"]["text"],
            notes=[it for it in (document["reason"], document["notes"], entity["legal_note"]) if it],
            corrects=[(it["number"], date.fromisoformat(it["issued_on"])) for it in [document["corrects"]] if it],
            seller=_party(entity, identified=identified),
            buyer=_party(customer, identified=identified),
            deliver_to=(customer["address"] or {}).get("country", "") if "K" in categories else "",
            first_day=date.fromisoformat(document["period"]["first_day"]),
            last_day=date.fromisoformat(document["period"]["last_day"]),
            accounts=[
                (it["iban"], it["name"], it["bic"]) for it in [entity["bank"]] if it and document["kind"] != "credit_note"
            ],
            supporting=[f"{it['id']}, SHA-256 {it['sha256']}" for it in document["reports"]],
            lines=lines,
            adjustments=adjustments,
            breakdown=_breakdown(document["taxes"], {*(it.tax for it in lines), *(it.tax for it in adjustments)}),
            vat=Decimal(document["tax"]),
            total=Decimal(document["total"]),
        )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def tax_of(rate: Json) -> Tax:
    """The category and rate of one of the document's taxes."""
    return Tax(rate["category"], None if rate["category"] == "O" else Decimal(rate["percent"]))


def _party(party: Json, *, identified: bool) -> Party:
    """The seller from the entity, the buyer from the customer.

    Only the entity has a registration, and only the customer an electronic address; who has none is reached by e-mail, the
    scheme EM. A tax number that does not begin with the code of a country is no VAT number: it is the seller's tax
    registration, or the buyer's registration, for which EN 16931 has no other place.
    """
    address, number = party["address"] or {}, party["tax_number"]
    vat = number if number[:2] in codes.vat_prefixes() else ""
    other = "" if vat else number
    electronic = party.get("electronic_address") or {"scheme": "EM", "value": party["email"]}
    return Party(
        id=party["id"],
        name=party["name"],
        registration=party.get("registration", other),
        vat_number=vat if identified else "",
        tax_number=other if "registration" in party else "",
        electronic_address=(electronic["scheme"], electronic["value"]),
        line1=address.get("line1", ""),
        line2=address.get("line2", ""),
        city=address.get("city", ""),
        postal_code=address.get("postal_code", ""),
        region=address.get("region", ""),
        country=address.get("country", ""),
        phone=party.get("phone", ""),
        email=party["email"],
    )


def _line(line: Json, tax: Tax, document: Json) -> Line:
    """Where a note's amount, a difference of two rounded ones, is not its units times their price, it is a lump of money."""
    amount, unit = Decimal(line["amount"]), line["unit"]
    if document["kind"] != "invoice" and off(line) > Currency.of(document["currency"]).minor:
        unit = "lump"
    if unit == "lump":
        quantity, price = Decimal(-1 if amount < 0 else 1), abs(amount)
    else:
        quantity, price = Decimal(line["units"]), Decimal(line["unit_price"])
    card = line["rate_card"]
    return Line(
        id=str(line["position"]),
        note=_note(line, unit),
        quantity=quantity,
        unit=UNITS[unit],
        amount=amount,
        first_day=date.fromisoformat(line["first_day"]),
        last_day=date.fromisoformat(line["last_day"]),
        price=price,
        tax=tax,
        name=line["text"],
        item=line["usage"],
        attributes=[
            ("Project", f"{line['project_name']} ({line['project_id']})".strip()),
            ("Rate card", f"{card['name']}, version {card['version']}"),
        ],
    )


def _true_up(it: Adjustment, place: int, document: Json) -> Line:
    days = document["period"]
    return Line(
        id=str(place),
        note="",
        quantity=Decimal(-1 if it.amount < 0 else 1),
        unit=UNITS["lump"],
        amount=it.amount,
        first_day=date.fromisoformat(days["first_day"]),
        last_day=date.fromisoformat(days["last_day"]),
        price=abs(it.amount),
        tax=it.tax,
        name=it.reason,
        item="",
        attributes=[],
    )


def _note(line: Json, unit: str) -> str:
    """What the quantity that is paid for leaves unsaid."""
    said = []
    if line["corrects_position"]:
        said.append(f"Corrects line {line['corrects_position']}.")
    if unit == "package":
        said.append(f"For {line['quantity']} minutes.")
    if unit != "lump" and Decimal(line["allowance_used"]):
        said.append(f"{line['allowance_used']} of {line['quantity']} minutes are free.")
    return " ".join(said)


def off(line: Json) -> Decimal:
    """How far a line's amount is from its units times their price: less than a minor unit, where it is only rounded."""
    with localcontext(EXACT):
        return abs(Decimal(line["amount"]) - Decimal(line["units"]) * Decimal(line["unit_price"]))


def _breakdown(taxes: Sequence[Json], named: Collection[Tax]) -> list[Breakdown]:
    """One for each category and rate: two names of one rate are one to EN 16931, and what nothing is taxed at is none."""
    groups: dict[Tax, list[Json]] = {}
    for it in taxes:
        if tax_of(it) in named or Decimal(it["base"]):
            groups.setdefault(tax_of(it), []).append(it)
    return [
        Breakdown(
            base=sum((Decimal(it["base"]) for it in group), Decimal(0)),
            amount=sum((Decimal(it["amount"]) for it in group), Decimal(0)),
            tax=tax,
            reason="" if tax.category in ("S", "Z") else "; ".join(dict.fromkeys(it["reason"] for it in group if it["reason"])),
            reason_code=UNTAXED.get(tax.category, ""),
        )
        for tax, group in groups.items()
    ]


def _adjustments(document: Json, rates: Mapping[str, Tax]) -> list[Adjustment]:
    """The discounts as allowances, the commitment's true-up as a charge: each is of one rate of tax, as EN 16931 wants it."""
    rows = [Adjustment(False, Decimal(it["amount"]), rates[it["tax"]], it["text"]) for it in document["discounts"]]
    commitment = Decimal(document["commitment"])
    if commitment:
        rows.append(Adjustment(True, commitment, rates[document["commitment_tax"]], TRUE_UP))
    return rows
