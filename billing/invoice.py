"""Invoices: a priced period as a document with its parties, in canonical JSON. `billing.notes` makes credit and debit notes.

A document is a JSON object of texts, whole numbers and nothing else; money has its currency's own decimals. Its **core** is all
but the envelope (id, number, status, version, sha256); `sha256` is of the core with sorted keys, no white space, in UTF-8. So
approving, numbering, voiding and crediting leave the hash as it is, and anybody can compute it again from the document alone.

    total = subtotal − discount + commitment + tax
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from billing.errors import InvalidTier, InvalidTransition, NotInvoiceable
from billing.model import Verdict
from billing.money import Currency
from billing.period import BillingPeriod
from billing.pricing import DiscountLine, Line, Priced, TaxLine
from billing.ratecard import Package, TaxRate
from billing.ratecard import describe as describe_card
from billing.report import days_of, instant
from billing.tiers import Tier

Json = Mapping[str, Any]

ENVELOPE = ("id", "number", "status", "version", "sha256")
_encoder = msgspec.json.Encoder(order="sorted")


class Kind(StrEnum):
    """An invoice and a debit note ask for money; a credit note gives some back, and its amounts are positive too."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"


class Status(StrEnum):
    """Where a document is in its life."""

    DRAFT = "draft"
    APPROVED = "approved"
    FINALIZED = "finalized"
    VOID = "void"
    CREDITED = "credited"


TRANSITIONS: Mapping[Status, Collection[Status]] = {
    Status.DRAFT: (Status.APPROVED, Status.VOID),
    Status.APPROVED: (Status.FINALIZED, Status.DRAFT, Status.VOID),
    Status.FINALIZED: (Status.CREDITED, Status.VOID),
    Status.VOID: (),
    Status.CREDITED: (),
}
"""What may follow. A new draft takes an approval back; a finalized one is voided only while no note corrects it."""

INVOICEABLE = frozenset({Verdict.BALANCED, Verdict.EXPLAINED, Verdict.UNCHECKED})

_USAGE = {
    "streamedPublishedMinutes": "Streamed minutes, published",
    "streamedSubscribedMinutes": "Streamed minutes, subscribed",
    "individualArchiveMinutes": "Archive, individual streams",
    "sdArchiveComposedMinutes": "Archive, composed, SD",
    "hdArchiveComposedMinutes": "Archive, composed, HD",
    "sdBroadcastComposedMinutes": "Broadcast, composed, SD",
    "hdBroadcastComposedMinutes": "Broadcast, composed, HD",
    "hlsMinutes": "HLS broadcast",
    "sipUserMinutes": "SIP interconnect",
    "experienceComposer": "Experience Composer",
    "experienceComposerArchive": "Experience Composer, archive",
    "experienceComposerBroadcast": "Experience Composer, broadcast",
}
_KIND_WORDS = {
    "usage": "",
    "unowned": "of sessions that no customer owns",
    "level_difference": "billed by the vendor beyond the meetings it lists",
}
_CUSTOMER: Json = {
    "id": "",
    "name": "",
    "address": None,
    "tax_number": "",
    "email": "",
    "reference": "",
    "purchase_order": "",
    "electronic_address": None,
}
_ENTITY: Json = {
    "id": "",
    "name": "",
    "address": None,
    "tax_number": "",
    "registration": "",
    "email": "",
    "phone": "",
    "bank": None,
    "timezone": "UTC",
    "logo": None,
    "legal_note": "",
}


@dataclass(frozen=True)
class Envelope:
    """What changes around a core: its name, its number once it is finalized, where it is in its life, and the row's version."""

    id: str
    number: str | None
    status: Status
    version: int


@dataclass(frozen=True)
class ReportRef:
    """A report that an invoice rests on, and the name of its project."""

    id: str
    version: int
    sha256: str
    verdict: str
    project_id: str
    project_name: str
    basis: str


@dataclass(frozen=True)
class Override:
    """Why a report that may not be invoiced is invoiced all the same, and on whose word."""

    reason: str
    by: str
    at: datetime

    def json(self) -> dict[str, str]:
        """As it stands in a document."""
        return {"reason": self.reason, "by": self.by, "at": instant(self.at)}


def draft(
    customer: Json,
    entity: Json,
    period: BillingPeriod,
    priced: Priced,
    reports: Sequence[ReportRef],
    *,
    override: Override | None = None,
    notes: str = "",
) -> dict[str, Any]:
    """The core of an invoice for one customer and period.

    `customer` and `entity` are their details in JSON, the customer's with `currency`, `terms` and `formats`. Raises
    NotInvoiceable for a verdict that needs an override, or another currency.
    """
    check_verdicts(reports, override)
    check_currency(priced, customer["currency"])
    return {
        "kind": Kind.INVOICE,
        "customer_id": customer["id"],
        "customer": {key: customer.get(key, default) for key, default in _CUSTOMER.items()},
        "entity": {key: entity.get(key, default) for key, default in _ENTITY.items()},
        "currency": priced.currency.code,
        "period": days_of(period),
        **body(priced, reports),
        "terms": dict(customer["terms"]),
        "issued_on": None,
        "due_on": None,
        "corrects": None,
        "restatement": False,
        "reason": None,
        "override": None if override is None else override.json(),
        "notes": notes,
        "formats": list(customer["formats"]),
    }


def body(priced: Priced, reports: Sequence[ReportRef]) -> dict[str, Any]:
    """What the prices decide: the lines, the sums, and the reports beneath them."""
    currency = priced.currency
    names = {it.project_id: it.project_name for it in reports}
    return {
        "report_ids": [it.id for it in reports],
        "reports": [{key: value for key, value in asdict(it).items() if key != "project_name"} for it in reports],
        "lines": [_line(line, currency, names.get(line.project_id, "")) for line in priced.lines],
        "subtotal": currency.text(priced.subtotal),
        "discounts": [_discount(it, currency) for it in priced.discounts],
        "discount": currency.text(priced.discount),
        "commitment": currency.text(priced.commitment),
        "commitment_tax": _name(priced.commitment_tax),
        "taxes": named_once([_tax(it, currency) for it in priced.taxes]),
        "tax": currency.text(priced.tax),
        "total": currency.text(priced.total),
    }


def check_verdicts(reports: Sequence[ReportRef], override: Override | None) -> None:
    """Raises NotInvoiceable, naming each report whose verdict needs an override, where none is given."""
    doubtful = [it for it in reports if not may_invoice([it.verdict])]
    if doubtful and override is None:
        named = ", ".join(f"{it.id} of project {it.project_id} is {it.verdict}" for it in doubtful)
        raise NotInvoiceable(
            f"This may be invoiced only with an override: {named}", pointer="/override", expected="a reason and a name"
        )


def check_currency(priced: Priced, currency: str) -> None:
    """Raises NotInvoiceable where the prices are in another currency than the document."""
    if priced.currency.code != currency:
        raise NotInvoiceable(
            f"The rate card is in {priced.currency.code}, but this is invoiced in {currency}",
            pointer="/currency",
            expected=f"a rate card in {currency}",
        )


def named_once(taxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These taxes, by whose names alone lines refer to them. Raises NotInvoiceable where one name stands for two rates."""
    names = [it["name"] for it in taxes]
    for name in names:
        if names.count(name) > 1:
            raise NotInvoiceable(
                f"Two tax rates of one document are called {name!r}",
                pointer="/tax",
                expected="rates of different names, such as 'DE VAT 19' and 'DE VAT 7', in the versions of the rate card",
            )
    return taxes


def finalize(core: Json, issued_on: date) -> dict[str, Any]:
    """The core as it is issued and never changes again: dated, and due after the days of its terms, unless it is a credit."""
    due_on = None if core["kind"] == Kind.CREDIT_NOTE else str(issued_on + timedelta(days=core["terms"]["days"]))
    return {**core, "issued_on": str(issued_on), "due_on": due_on}


def digest(core: Json) -> str:
    """The sha256 of a core, in hexadecimal."""
    return sha256(_encoder.encode(core)).hexdigest()


def document(core: Json, envelope: Envelope) -> bytes:
    """The whole document, the envelope before the core: as it is stored, served and exported."""
    head = {**asdict(envelope), "sha256": digest(core)}
    return msgspec.json.encode(head)[:-1] + b"," + _encoder.encode(core)[1:]


def core_of(whole: Json) -> dict[str, Any]:
    """The core of a document, to compute its hash again or to put another envelope around it."""
    return {key: value for key, value in whole.items() if key not in ENVELOPE}


def may_invoice(verdicts: Iterable[str]) -> bool:
    """Whether reports with these verdicts are invoiced without an override.

    >>> may_invoice(["balanced", "unchecked"]), may_invoice(["balanced", "incomplete"])
    (True, False)
    """
    return INVOICEABLE.issuperset(verdicts)


def move(status: Status, to: Status, *, corrected: bool = False) -> Status:
    """The next status, where it may follow; `corrected`: a note corrects the document. Raises InvalidTransition.

    >>> str(move(Status.DRAFT, Status.APPROVED))
    'approved'
    """
    if to not in TRANSITIONS[status]:
        may = " or ".join(TRANSITIONS[status]) or "nothing else"
        raise InvalidTransition(f"It is {status}: it can become {may}, but not {to}", pointer="/status", expected=may)
    if corrected and to is Status.VOID:
        raise InvalidTransition(
            "A note corrects it, so it can no longer be void", pointer="/status", expected="a credit note for what is left"
        )
    return to


def describe(usage: str, kind: str = "usage") -> str:
    """A kind of usage for a person to read.

    >>> describe("from3To6Publishers"), describe("sipUserMinutes", "unowned")
    ('Participant minutes, 3-6 publishing', 'SIP interconnect, of sessions that no customer owns')
    """
    try:
        words = f"Participant minutes, {Tier.parse(usage).label} publishing"
    except InvalidTier:
        words = _USAGE.get(usage, usage)
    return ", ".join(filter(None, (words, _KIND_WORDS[kind])))


def plain(value: Decimal) -> str:
    """A quantity or unit price as it was written, never with an exponent."""
    return format(value, "f")


def _line(line: Line, currency: Currency, project_name: str) -> dict[str, Any]:
    bracket = line.bracket and {
        "from": plain(line.bracket.start),
        "up_to": None if line.bracket.up_to is None else plain(line.bracket.up_to),
    }
    return {
        "position": line.position,
        "kind": line.kind,
        "project_id": line.project_id,
        "project_name": project_name,
        "usage": line.usage,
        "text": describe(line.usage, line.kind),
        "first_day": str(line.first_day),
        "last_day": str(line.last_day),
        "quantity": plain(line.quantity),
        "allowance_used": plain(line.allowance_used),
        "units": plain(line.units),
        "unit": "package" if line.model == Package.model else "minute",
        "model": line.model,
        "bracket": bracket,
        "unit_price": plain(line.unit_price),
        "amount": currency.text(line.amount),
        "tax": _name(line.tax),
        "rate_card": describe_card(line.rate_card),
        "report_id": line.report_id,
        "observations": list(line.observations),
        "corrects_position": None,
    }


def _discount(it: DiscountLine, currency: Currency) -> dict[str, Any]:
    percentage = it.kind == "percentage"
    words = f"Discount of {plain(it.value)} %" if percentage else f"Discount of {plain(it.value)} {currency.code}"
    return {
        "kind": it.kind,
        "value": plain(it.value),
        "amount": currency.text(it.amount),
        "text": words,
        "tax": _name(it.tax),
    }


def _tax(it: TaxLine, currency: Currency) -> dict[str, Any]:
    return {
        "name": it.rate.name,
        "percent": plain(it.rate.percent),
        "category": it.rate.category,
        "reason": it.rate.reason,
        "base": currency.text(it.base),
        "amount": currency.text(it.amount),
    }


def _name(rate: TaxRate | None) -> str:
    return rate.name if rate else ""
