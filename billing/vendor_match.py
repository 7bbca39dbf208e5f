"""The three-way match: the vendor's invoice beside the project level and the meeting level, line by line, as canonical JSON.

A line of the match is one usage of one project, or of the account's projects together, with every row of the invoice that bills
it; or all credits, all taxes, everything else; or the `total`, where it is not the sum of the rows. Each row is in one line.
Its state:

- `matched`: minutes within the project's tolerance and the rounding of how they were written, money within that of the rows;
- `differs`: anything else that both sides have;
- `not_in_usage`: billed, and nothing of it was used, or the rate card has no such thing;
- `not_billed`: due by the rate card, and not billed.

`amount` and `our_amount` of a line are before discounts and tax; the variance and its parts are what they come to after both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from billing.discrepancy import Code, Discrepancy, words
from billing.invoice import describe, plain
from billing.minutes import format_minutes
from billing.model import Tolerance
from billing.money import Currency
from billing.vendor import BilledInvoice, BilledLine
from billing.vendor_minutes import Cause
from billing.vendor_variance import Group, Other, Variance

_encoder = msgspec.json.Encoder(order="sorted")
_MOST_ROWS = 100
"""Rows that a discrepancy names; the match has them all."""


@dataclass(frozen=True)
class Basis:
    """What a match rests on, as its JSON has it: reports (id, version, sha256, project_id, verdict), the rate card, and notes
    of what a reader has to know about them."""

    reports: Sequence[Mapping[str, Any]]
    rate_card: Mapping[str, Any]
    notes: Sequence[str]


def match(invoice: BilledInvoice, variance: Variance, basis: Basis, tolerance: Tolerance) -> bytes:
    """The answer of a match: the same input always gives the same bytes."""
    text = invoice.currency.text
    groups = [_group(group, invoice.currency, tolerance) for group in variance.groups]
    others = [_other(other, invoice.currency) for other in variance.others]
    return _encoder.encode(
        {
            "currency": invoice.currency.code,
            "reports": list(basis.reports),
            "rate_card": dict(basis.rate_card),
            "lines": groups + others,
            "variance": {
                "billed": text(variance.billed),
                "expected": text(variance.expected),
                "minutes": format_minutes(sum(variance.minutes.values())),
                "amount": text(variance.billed - variance.expected),
                "parts": {cause: text(variance.parts[cause]) for cause in Cause},
                "minutes_by_part": {cause: format_minutes(variance.minutes[cause]) for cause in Cause},
            },
            "notes": [*variance.findings, *basis.notes],
        }
    )


def mismatches(invoice: BilledInvoice, matched: Mapping[str, Any], invoice_id: str) -> Iterator[tuple[str, Discrepancy, str]]:
    """Every line of a match that does not agree, as a discrepancy of a project, with its amount in the invoice's currency.

    A line of several projects together is told of the first of them; its evidence names all.
    """
    projects = [report["project_id"] for report in matched["reports"]]
    for line in matched["lines"]:
        if line["state"] != "matched":
            subject = (
                str(invoice.period.first_day),
                str(invoice.period.last_day),
                invoice_id,
                line["kind"],
                line["usage"] or "",
            )
            minutes = {line["usage"]: _micro(line["minutes"])} if line["usage"] else {}
            evidence = {
                "vendor_invoice": invoice_id,
                "vendor": invoice.vendor,
                "number": invoice.number,
                "projects": [line["project_id"]] if line["project_id"] else projects,
                "currency": matched["currency"],
                **{key: line[key] for key in _EVIDENCE},
                "rows": line["rows"][:_MOST_ROWS],
            }
            summary = f"Invoice {invoice.number} of {invoice.vendor}, {line['label']}: {line['explanation']}"
            found = Discrepancy(Code.VENDOR_INVOICE_MISMATCH, minutes, summary, evidence=evidence, subject=" ".join(subject))
            yield line["project_id"] or projects[0], found, line["difference"]


_EVIDENCE = (
    "kind usage state quantity unit_price amount our_quantity our_unit_price our_amount meeting_quantity parts"
).split()


def _group(group: Group, currency: Currency, tolerance: Tolerance) -> dict[str, Any]:
    more = group.billed - group.used
    rounding = group.minutes.get(Cause.ROUNDING, 0)
    within = abs(more - rounding) <= tolerance.of(group.billed, group.used)
    agrees = within and not group.money.keys() & {Cause.PRICE, Cause.UNEXPLAINED}
    if agrees or not (group.rows or group.our_amount):
        state = "matched"
    elif not group.rows:
        state = "not_billed"
    else:
        state = "differs" if group.used else "not_in_usage"
    prices = {row.unit_price for row in group.rows}
    return {
        "kind": "usage",
        "rows": [row.line for row in group.rows],
        "project_id": group.project_id or None,
        "usage": group.usage,
        "label": describe(group.usage),
        "state": state,
        "quantity": format_minutes(group.billed) if group.rows else None,
        "unit_price": _one(prices),
        "amount": currency.text(group.amount),
        "our_quantity": format_minutes(group.used),
        "our_unit_price": _one(group.our_prices),
        "our_amount": currency.text(group.our_amount),
        "meeting_quantity": None if group.meeting_level is None else format_minutes(group.meeting_level),
        "minutes": format_minutes(more),
        "difference": currency.text(group.amount - group.our_amount),
        "parts": {
            cause: {
                "minutes": format_minutes(group.minutes.get(cause, 0)),
                "amount": currency.text(group.money.get(cause, Decimal(0))),
            }
            for cause in Cause
            if cause in group.minutes or cause in group.money
        },
        "explanation": _explain(group, currency, state != "matched"),
    }


def _other(other: Other, currency: Currency) -> dict[str, Any]:
    more = other.amount - other.our_amount
    state = "matched" if not more or other.cause is Cause.ROUNDING else "differs"
    if state == "differs" and not other.rows and other.kind != "total":
        state = "not_billed"
    elif state == "differs" and not other.our_amount:
        state = "not_in_usage"
    said = f"Billed {currency.text(other.amount)}, and {currency.text(other.our_amount)} is right."
    return {
        "kind": other.kind,
        "rows": [row.line for row in other.rows],
        "project_id": None,
        "usage": None,
        "label": _OTHERS[other.kind],
        "state": state,
        "quantity": None,
        "unit_price": None,
        "amount": currency.text(other.amount),
        "our_quantity": None,
        "our_unit_price": None,
        "our_amount": currency.text(other.our_amount),
        "meeting_quantity": None,
        "minutes": format_minutes(0),
        "difference": currency.text(more),
        "parts": {other.cause: {"minutes": format_minutes(0), "amount": currency.text(more)}} if more else {},
        "explanation": said,
    }


_OTHERS = {
    "credit": "Credits and discounts",
    "tax": "Tax on what is billed",
    "other": "Other charges",
    "total": "Total, against the sum of the rows",
}


def _explain(group: Group, currency: Currency, differs: bool) -> str:
    """Sentences for a finance person; the reasons only where they matter."""
    billed = f"Billed {words(group.billed)} minutes for {currency.text(group.amount)}" if group.rows else "Not billed"
    used = f"used {words(group.used)} for {currency.text(group.our_amount)}."
    reasons = [_reason(cause, group, currency) for cause in Cause if cause in group.minutes or cause in group.money]
    return " ".join([f"{billed}, {used}", *(reasons if differs else ())])


def _reason(cause: Cause, group: Group, currency: Currency) -> str:
    minutes, amount = group.minutes.get(cause, 0), group.money.get(cause, Decimal(0))
    many = f"{words(abs(minutes))} minutes"
    money = f"({_signed(amount, currency)})"
    match cause:
        case Cause.VOLUME:
            said = f"{many} {'more' if minutes > 0 else 'fewer'} than the project level has"
        case Cause.PRICE:
            theirs, ours = _one({row.unit_price for row in group.rows}), _one(group.our_prices)
            said = (
                f"At {theirs} a minute instead of {ours}"
                if theirs and ours and theirs != ours
                else "Not priced as the card has it"
            )
        case Cause.TIER_MIX:
            said = f"{many} {'that are another tier’s' if minutes > 0 else 'are billed in another tier'}"
        case Cause.PERIOD:
            said = f"{many} {'more' if minutes > 0 else 'fewer'}, because other days are billed"
        case Cause.SPILLOVER:
            where = "hold outside of it" if minutes > 0 else "hold in it, and the session level does not have"
            said = f"{many} that reused sessions and meetings over the period's edges {where}"
        case Cause.ROUNDING:
            said = "Rounding"
        case _:
            said = _miscounted(group.rows, currency)
    return f"{said} {money}."


def _miscounted(rows: Sequence[BilledLine], currency: Currency) -> str:
    """The first row whose amount is not its quantity times its price."""
    for row in rows:
        if row.quantity is not None and row.unit_price is not None:
            product = row.quantity * row.unit_price
            if abs(row.amount - product) >= currency.minor:
                sides = f"{plain(row.quantity)} × {plain(row.unit_price)}"
                return f"In row {row.line}, {sides} is {currency.text(currency.round(product))} and not {plain(row.amount)}"
    return "Nothing explains it"


def _signed(amount: Decimal, currency: Currency) -> str:
    return f"{'+' if amount >= 0 else ''}{currency.text(amount)} {currency.code}"


def _one(prices: frozenset[Decimal] | set[Decimal | None]) -> str | None:
    """The price, where there is one and only one."""
    found = list(prices)
    return plain(found[0]) if len(found) == 1 and found[0] is not None else None


def _micro(minutes: str) -> int:
    return int(Decimal(minutes).scaleb(6))
