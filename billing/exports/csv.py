"""CSV of reports and invoices (RFC 4180, UTF-8, CRLF). Columns are never renamed or moved; new ones come at the end."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

REPORT_COLUMNS = tuple(
    "report_id version project_id first_day last_day section item day session_id tier minutes text amount currency".split()
)
"""The columns of a report. `minutes` has six decimals, `amount` those of the currency; both carry their sign."""

INVOICE_COLUMNS = tuple(
    "invoice_id number kind status version customer_id customer entity_id entity currency first_day last_day issued_on due_on "
    "corrects section position item project_id project usage text line_first_day line_last_day quantity allowance_used units "
    "unit model bracket_from bracket_up_to unit_price amount tax tax_percent tax_category tax_base rate_card_id "
    "rate_card_version report_id observations corrects_position".split()
)
"""The columns of an invoice or a note."""

_FIGURE = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]| *[\t\r\n]")


def report(document: Mapping[str, Any]) -> bytes:
    """A report as CSV: one row for each tier of each bridge step, day figure and discrepancy.

    `section` is `report`, `bridge`, `day` or `discrepancy`. An amount of money is of a whole step or discrepancy: it stands in
    a row of its own, without a tier. A discrepancy of several days or sessions names them all in one cell. So every minute and
    every amount stands in one row only.
    """
    period = document["period"]["aligned"]
    same = {name: document[name] for name in ("version", "project_id")}
    same |= {"report_id": document["id"], "first_day": period["first_day"], "last_day": period["last_day"]}
    return table(REPORT_COLUMNS, (same | row for row in _report_rows(document)))


def invoice(document: Mapping[str, Any]) -> bytes:
    """An invoice, a credit note or a debit note as CSV: its lines, then what makes a total of them.

    `section` is `line`, `discount` (negative), `commitment`, `tax` or `total`; the amounts above the total add up to it.
    """
    names = ("number", "kind", "status", "version", "currency", "issued_on", "due_on")
    same = {name: document[name] for name in names} | {"invoice_id": document["id"]}
    same |= {name: document["period"][name] for name in ("first_day", "last_day")}
    for party in ("customer", "entity"):
        same |= {f"{party}_id": document[party]["id"], party: document[party]["name"]}
    if document["corrects"]:
        same["corrects"] = document["corrects"]["number"]
    return table(INVOICE_COLUMNS, (same | row for row in _invoice_rows(document)))


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A CSV with a header. None and what a row lacks are empty; text that a spreadsheet would run is made harmless."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows({name: safe("" if cell is None else str(cell)) for name, cell in row.items()} for row in rows)
    return out.getvalue().encode()


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula: such text begins with an apostrophe. A plain number stays one.

    >>> safe("=1+1"), safe("-1.50"), safe("-1.50+1")
    ("'=1+1", '-1.50', "'-1.50+1")
    """
    return f"'{text}" if _FORMULA.match(text) and not _FIGURE.fullmatch(text) else text


def negated(amount: str) -> str:
    """The amount with the other sign.

    >>> negated("5.00"), negated("-5.00"), negated("0.00")
    ('-5.00', '5.00', '0.00')
    """
    return format(-Decimal(amount), "f")


def _report_rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"section": "report", "item": "verdict", "text": report["verdict"]}
    for line in report["bridge"]:
        same = {"section": "bridge", "item": line["step"]}
        yield from _figures(same, line["minutes"], line["amount"], report)
    for day in report["days"]:
        for level, status in (("project_level", "project_status"), ("meeting_level", "meeting_coverage"), ("difference", "")):
            same = {"section": "day", "item": level, "day": day["day"], "text": day.get(status)}
            yield from _figures(same, day[level], None, report)
        yield from _figures({"section": "day", "item": "usage", "day": day["day"]}, day.get("usage", {}), None, report)
    for found in report["discrepancies"]:
        same = {"section": "discrepancy", "item": found["code"], "text": found["summary"]}
        same |= {"day": " ".join(found["days"]), "session_id": " ".join(found["sessions"])}
        yield from _figures(same, found["minutes"] or {"": None}, found["amount"], report)


def _figures(
    same: Mapping[str, Any], minutes: Mapping[str, Any], amount: str | None, report: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A row for each tier or kind of usage, and one for the money where there is any."""
    for tier, value in minutes.items():
        yield {**same, "tier": tier, "minutes": value}
    if amount is not None:
        yield {**same, "amount": amount, "currency": report["currency"]}


def _invoice_rows(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    same = "position project_id usage text quantity allowance_used units unit model unit_price amount tax report_id".split()
    for line in document["lines"]:
        bracket, card = line["bracket"] or {}, line["rate_card"]
        yield {
            **{name: line[name] for name in (*same, "corrects_position")},
            "section": "line",
            "item": line["kind"],
            "project": line["project_name"],
            "line_first_day": line["first_day"],
            "line_last_day": line["last_day"],
            "bracket_from": bracket.get("from"),
            "bracket_up_to": bracket.get("up_to"),
            "rate_card_id": card["id"],
            "rate_card_version": card["version"],
            "observations": " ".join(line["observations"]),
        }
    for discount in document["discounts"]:
        off = negated(discount["amount"])
        yield {"section": "discount", "item": discount["kind"], "text": discount["text"], "amount": off, "tax": discount["tax"]}
    yield {"section": "commitment", "amount": document["commitment"], "tax": document["commitment_tax"]}
    for tax in document["taxes"]:
        named = {"tax": tax["name"], "tax_percent": tax["percent"], "tax_category": tax["category"], "tax_base": tax["base"]}
        yield {"section": "tax", "text": tax["reason"], "amount": tax["amount"], **named}
    yield {"section": "total", "amount": document["total"]}
