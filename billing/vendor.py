"""The vendor's invoice: what was billed, line by line, in the form of the contract.

A line is one row of what the vendor sent. `usage` lines bill minutes of a tier or another kind of usage, `credit` lines take
something off, `tax` lines add tax, and `other` lines bill anything else. Amounts are of the invoice's currency; those of lines
may have more decimals than it has, since some vendors round the total alone.

`billing.vendor_mapping` makes this form of a vendor's own file, `billing.vendor_match` holds it against what was used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any, NoReturn

import msgspec

from billing.errors import BillingError, InvalidTier, InvalidVendorInvoice
from billing.facts import USAGE_KINDS
from billing.money import Currency, decimal_of, rounded
from billing.period import BillingPeriod, resolve
from billing.tiers import Tier

MAX_LINES = 50_000
_encoder = msgspec.json.Encoder(order="sorted")


class Kind(StrEnum):
    """What a line bills."""

    USAGE = "usage"
    CREDIT = "credit"
    TAX = "tax"
    OTHER = "other"


@dataclass(frozen=True)
class BilledLine:
    """One row. `quantity` is in minutes and as precise as it was written, None where there is none; credits are negative.

    `usage` is empty but for usage lines; `project_id` is None where the row is for all the invoice's projects together.
    """

    line: int
    kind: Kind
    usage: str
    project_id: str | None
    quantity: Decimal | None
    unit_price: Decimal | None
    amount: Decimal
    text: str

    @property
    def micro(self) -> int:
        """The quantity in micro-minutes."""
        return int((self.quantity or Decimal(0)).scaleb(6))

    @property
    def step(self) -> int:
        """One unit of the last decimal that the quantity was written with, in micro-minutes: so much can rounding hide."""
        return int(10 ** (6 + int((self.quantity or Decimal(0)).as_tuple().exponent)))


@dataclass(frozen=True)
class BilledInvoice:
    """An invoice of the vendor's for a period. `project_ids` are the projects that it is for, none for the whole account."""

    vendor: str
    number: str
    currency: Currency
    period: BillingPeriod
    project_ids: tuple[str, ...]
    lines: tuple[BilledLine, ...]
    total: Decimal

    @property
    def by_project(self) -> bool:
        """Whether each usage line names its project: it is matched with that project's usage then, else with all together."""
        return any(line.project_id for line in self.of(Kind.USAGE))

    @property
    def projects(self) -> tuple[str, ...]:
        """The projects that it is for: those given, or else those that its usage lines name."""
        return self.project_ids or tuple(sorted({line.project_id for line in self.of(Kind.USAGE) if line.project_id}))

    def of(self, kind: Kind) -> list[BilledLine]:
        """The lines of one kind, in their order."""
        return [line for line in self.lines if line.kind is kind]


def parse(document: Mapping[str, Any]) -> BilledInvoice:
    """The invoice of a document whose fields are those of the contract; its numbers are texts of plain decimals.

    `total` may be left out: it is then the sum of the lines. Raises InvalidVendorInvoice, InvalidMoney or InvalidPeriod with
    the pointer of what is wrong; an amount is never guessed.

    >>> line = {"line": 1, "kind": "usage", "usage": "hlsMinutes", "quantity": "10.5", "unit_price": "0.01", "amount": "0.11"}
    >>> it = parse({"vendor": "v", "number": "1", "currency": "USD", "period": {"month": "2026-10"}, "lines": [line]})
    >>> it.lines[0].micro, it.lines[0].step, str(it.total)
    (10500000, 100000, '0.11')
    """
    currency = Currency.of(document["currency"], "/currency")
    lines = document["lines"]
    if not 1 <= len(lines) <= MAX_LINES:
        _refuse(f"the invoice has {len(lines)} lines", "/lines", f"1 to {MAX_LINES} lines")
    parsed = tuple(_line(line, f"/lines/{place}") for place, line in enumerate(lines))
    project_ids = tuple(sorted(set(document.get("project_ids") or ())))
    _require_order(parsed, project_ids)
    total = document.get("total")
    return BilledInvoice(
        vendor=document["vendor"],
        number=document["number"],
        currency=currency,
        period=period_of(document["period"]),
        project_ids=project_ids,
        lines=parsed,
        total=currency.round(sum((line.amount for line in parsed), Decimal(0)))
        if total is None
        else currency.parse(total, "/total", negative=True),
    )


def core(invoice: BilledInvoice) -> bytes:
    """The invoice as canonical JSON: what `parse` reads again to the same invoice, the same bytes for the same content."""
    return _encoder.encode(
        {
            "vendor": invoice.vendor,
            "number": invoice.number,
            "currency": invoice.currency.code,
            "period": {"first_day": str(invoice.period.first_day), "last_day": str(invoice.period.last_day)},
            "project_ids": invoice.project_ids,
            "lines": [_dumped(line) for line in invoice.lines],
            "total": invoice.currency.text(invoice.total),
        }
    )


def digest(content: bytes) -> str:
    """The invoice's sha256, in hexadecimal."""
    return sha256(content).hexdigest()


def _line(line: Mapping[str, Any], pointer: str) -> BilledLine:
    kind, usage = Kind(line["kind"]), line.get("usage") or ""
    quantity, price = line.get("quantity"), line.get("unit_price")
    if kind is not Kind.USAGE and usage:
        _refuse(f"a line of kind '{kind}' has no usage", f"{pointer}/usage", "null, or the kind 'usage'")
    if kind is Kind.USAGE and not is_usage(usage):
        _refuse(
            f"{usage[:60]!r} is no usage",
            f"{pointer}/usage",
            "a tier such as 'from3To6Publishers', or a kind such as 'hlsMinutes'",
        )
    if kind is Kind.USAGE and quantity is None:
        _refuse("a line of kind 'usage' needs its minutes", f"{pointer}/quantity", "a decimal as text, such as '45.00'")
    minutes = None if quantity is None else decimal_of(quantity, f"{pointer}/quantity", negative=kind is not Kind.USAGE)
    amount = decimal_of(line["amount"], f"{pointer}/amount", negative=True)
    if kind is Kind.CREDIT and amount > 0:
        _refuse("a credit that adds to the invoice", f"{pointer}/amount", "an amount that is not positive")
    return BilledLine(
        line=line["line"],
        kind=kind,
        usage=usage,
        project_id=line.get("project_id"),
        quantity=minutes if minutes is None or _places(minutes) <= 6 else rounded(minutes, 6, "half_even"),
        unit_price=None if price is None else decimal_of(price, f"{pointer}/unit_price", negative=True),
        amount=amount,
        text=line.get("text") or "",
    )


def is_usage(name: str) -> bool:
    """Whether upstream knows a tier or another kind of usage by that name.

    >>> is_usage("from3To6Publishers"), is_usage("hlsMinutes"), is_usage("Participants")
    (True, True, False)
    """
    return name in USAGE_KINDS or is_tier(name)


def is_tier(name: str) -> bool:
    """Whether it is the name of a publisher tier."""
    try:
        return bool(Tier.parse(name))
    except InvalidTier:
        return False


def _require_order(lines: Sequence[BilledLine], project_ids: Sequence[str]) -> None:
    """Each row once, and either every usage row says its project or none does: otherwise a minute could be matched twice."""
    seen: set[int] = set()
    usage = [line for line in lines if line.kind is Kind.USAGE]
    for place, line in enumerate(lines):
        if line.line in seen:
            _refuse(f"the line {line.line} comes more than once", f"/lines/{place}/line", "a number of its own for each line")
        seen.add(line.line)
        if line.kind is Kind.USAGE and line.project_id and project_ids and line.project_id not in project_ids:
            _refuse("a project that the invoice is not for", f"/lines/{place}/project_id", "one of its project_ids")
        if line.kind is Kind.USAGE and (line.project_id is None) != (usage[0].project_id is None):
            _refuse(
                "some usage lines name their project and some do not",
                f"/lines/{place}/project_id",
                "it in all of them or in none",
            )


def period_of(period: object) -> BillingPeriod:
    """The billing days of a document's period, in any form of the contract. Raises InvalidPeriod at `/period`."""
    try:
        return resolve(period).period
    except BillingError as error:
        error.pointer = f"/period{error.pointer}"
        raise


def _dumped(line: BilledLine) -> dict[str, Any]:
    return {
        "line": line.line,
        "kind": line.kind,
        "usage": line.usage or None,
        "project_id": line.project_id,
        "quantity": None if line.quantity is None else format(line.quantity, "f"),
        "unit_price": None if line.unit_price is None else format(line.unit_price, "f"),
        "amount": format(line.amount, "f"),
        "text": line.text,
    }


def _places(value: Decimal) -> int:
    return -int(value.as_tuple().exponent)


def _refuse(message: str, pointer: str, expected: str) -> NoReturn:
    raise InvalidVendorInvoice(message, pointer=pointer, expected=expected)
