"""XLSX of reports and invoices: typed cells, heads that stay in sight, and the evidence on a sheet of its own.

Figures are handed on as decimals. A spreadsheet keeps only 15 digits of a number, so what has more is written as text, and no
digit is lost without a word. Instants are in UTC. The same document gives the same bytes: the file's date is the document's.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter

from billing.errors import InvalidTier, TooLargeToPrint
from billing.exports.csv import negated
from billing.tiers import Tier

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_DIGITS = 15
_LONGEST = 32_767
_WIDEST = 60
_MOST = 1_048_575
_Row = Sequence[tuple[str, Any]]
"""The cells of a row, each with its kind: text, whole, figure, money, day or instant, and the same in bold after a `*`."""


def report(document: Mapping[str, Any]) -> bytes:
    """A report as a workbook: Summary, Bridge, Days, Discrepancies, Evidence. Raises TooLargeToPrint, as `invoice` does."""
    book = _Book(f"Reconciliation report {document['id']}", document["created_at"], document.get("currency"))
    found = [it["minutes"] for it in document["discrepancies"]]
    tiers = [*dict.fromkeys([*document["tier_plan"], *(tier for minutes in found for tier in minutes)])]
    book.sheet("Summary", ["field", "value"], _report_summary(document))
    book.sheet("Bridge", ["step", *map(_label, document["tier_plan"]), "total minutes", "amount"], _bridge(document))
    book.sheet("Days", _day_heads(document), _days(document))
    heads = ["code", "severity", "days", "sessions", *map(_label, tiers), "total minutes", "amount", "summary", "id"]
    book.sheet("Discrepancies", heads, _discrepancies(document, tiers))
    heads = ["observation", "kind", "day", "sha256", "observed at (UTC)", "complete"]
    book.sheet("Evidence", heads, _observations(document))
    return book.close()


def invoice(document: Mapping[str, Any]) -> bytes:
    """An invoice, a credit note or a debit note as a workbook: Summary, Lines, Evidence.

    Raises TooLargeToPrint for more rows than a sheet has: none may be left out in silence.
    """
    name = f"{document['kind'].replace('_', ' ').capitalize()} {document['number'] or document['id']}"
    book = _Book(name, f"{document['issued_on'] or document['period']['last_day']}T00:00:00Z", document["currency"])
    book.sheet("Summary", ["field", "value"], _invoice_summary(document))
    book.sheet("Lines", list(_LINE), _lines(document))
    heads = ["line", "report", "report version", "report sha256", "verdict", "basis", "observation"]
    book.sheet("Evidence", heads, _line_evidence(document))
    return book.close()


class _Book:
    """A workbook in memory."""

    def __init__(self, title: str, created: str, currency: str | None) -> None:
        self._out = io.BytesIO()
        plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
        self._book = xlsxwriter.Workbook(self._out, {"in_memory": True, **plain})
        self._book.set_properties({"title": title, "author": "Reckoner", "created": _moment(created)})
        self._currency = f' "{currency}"' if currency else ""
        self._formats: dict[tuple[str, bool], Any] = {}
        self._head = self._book.add_format(
            {"bold": True, "bottom": 1, "bg_color": "#E8ECF1", "valign": "top", "text_wrap": True}
        )

    def sheet(self, name: str, heads: Sequence[str], rows: Iterable[_Row]) -> None:
        """Add a sheet, whose heads stay in sight, repeat in print and filter."""
        sheet = self._book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&L&A&R&P / &N")
        sheet.freeze_panes(1, 1)
        sheet.repeat_rows(0)
        sheet.write_row(0, 0, heads, self._head)
        widths, last = [len(head) for head in heads], 1
        for last, row in enumerate(rows, 1):
            for column, (kind, value) in enumerate(row):
                if value not in (None, ""):
                    shown = self._write(sheet, last, column, kind, value)
                    widths[column] = max(widths[column], min(shown, _WIDEST))
        if last > _MOST:
            raise TooLargeToPrint(
                f"{last} rows are too many for the sheet {name}", expected=f"at most {_MOST} rows; take CSV or JSON"
            )
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width + 2)
        sheet.autofilter(0, 0, last, len(heads) - 1)

    def close(self) -> bytes:
        """The file."""
        self._book.close()
        return self._out.getvalue()

    def _write(self, sheet: Any, row: int, column: int, kind: str, value: Any) -> int:
        """Write a cell that is not empty, and say how wide it is."""
        bold, kind = kind.startswith("*"), kind.removeprefix("*")
        text = str(value)
        match kind:
            case "figure" | "money" | "whole":
                if len(Decimal(text).normalize().as_tuple().digits) > _DIGITS:
                    sheet.write_string(row, column, text, self._format("@", bold))
                    return len(text)
                form = _places(text) + (self._currency if kind == "money" else "")
                sheet.write_number(row, column, Decimal(text), self._format(form, bold))
                return len(text) + len(text) // 3 + 4
            case "day":
                sheet.write_datetime(row, column, date.fromisoformat(text), self._format("yyyy-mm-dd", bold))
                return 10
            case "instant":
                sheet.write_datetime(row, column, _moment(text), self._format("yyyy-mm-dd hh:mm:ss", bold))
                return 19
            case _:
                sheet.write_string(row, column, _fitted(text), self._format("", bold))
                return len(text)

    def _format(self, number: str, bold: bool) -> Any:
        if (number, bold) not in self._formats:
            align = {"align": "right"} if number == "@" else {}
            properties = {"num_format": number or "General", "valign": "top", "bold": bold, **align}
            self._formats[number, bold] = self._book.add_format(properties)
        return self._formats[number, bold]


def _moment(instant: str) -> datetime:
    """An instant as a spreadsheet keeps it: in UTC, and without saying so."""
    return datetime.fromisoformat(instant).astimezone(UTC).replace(tzinfo=None)


def _places(text: str) -> str:
    """The number format with the decimals that the text has.

    >>> _places("1234.50"), _places("7")
    ('#,##0.00', '#,##0')
    """
    decimals = len(text.partition(".")[2])
    return "#,##0" + ("." + "0" * decimals if decimals else "")


def _fitted(text: str) -> str:
    """As much of a text as a cell can hold; it says what it leaves out."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 100]} … and {len(text) - _LONGEST + 100} characters more, which the JSON has"


def _label(usage: str) -> str:
    """A tier as people name it; another kind of usage by its own name."""
    try:
        return Tier.parse(usage).label
    except InvalidTier:
        return usage


def _report_summary(report: Mapping[str, Any]) -> Iterator[_Row]:
    period, card = report["period"], report.get("rate_card") or {}
    for name, kind, value in (
        ("Report", "text", report["id"]),
        ("Version", "whole", report["version"]),
        ("Supersedes", "text", report["supersedes"]),
        ("Made at (UTC)", "instant", report["created_at"]),
        ("Project", "text", report["project_id"]),
        ("Basis", "text", report["basis"].replace("_", " ")),
        ("First billing day", "day", period["aligned"]["first_day"]),
        ("Last billing day", "day", period["aligned"]["last_day"]),
        ("From (UTC)", "instant", period["aligned"]["start"]),
        ("Until (UTC)", "instant", period["aligned"]["end"]),
        ("Billing days", "whole", period["aligned"]["days"]),
        ("Period", "text", period["explanation"]),
        ("Verdict", "*text", report["verdict"]),
        ("Explained, of 1", "figure", report["explained_ratio"]),
        ("Tolerance, minutes", "figure", report["tolerance"]["minutes"]),
        ("Tolerance, relative", "figure", report["tolerance"]["relative"]),
        ("Currency", "text", report.get("currency")),
        ("Rate card", "text", card.get("id")),
        ("Rate card versions", "text", ", ".join(str(it) for it in card.get("versions", ()))),
        ("SHA-256", "text", report["sha256"]),
    ):
        yield ("*text", name), (kind, value)


def _bridge(report: Mapping[str, Any]) -> Iterator[_Row]:
    for line in report["bridge"]:
        mark = "*" if line["subtotal"] else ""
        minutes = [(f"{mark}figure", line["minutes"].get(tier)) for tier in report["tier_plan"]]
        yield (
            (f"{mark}text", line["step"].replace("_", " ")),
            *minutes,
            (f"{mark}figure", line["total"]),
            (f"{mark}money", line["amount"]),
        )


_LEVELS = ("project_level", "meeting_level", "difference")


def _usage_kinds(report: Mapping[str, Any]) -> list[str]:
    return [*dict.fromkeys(kind for day in report["days"] for kind in day.get("usage", {}))]


def _day_heads(report: Mapping[str, Any]) -> list[str]:
    levels = [f"{level.replace('_', ' ')} {_label(tier)}" for level in _LEVELS for tier in report["tier_plan"]]
    return ["day", "hours", "project status", "meeting coverage", "gaps", *levels, *_usage_kinds(report), "observation"]


def _days(report: Mapping[str, Any]) -> Iterator[_Row]:
    kinds = _usage_kinds(report)
    for day in report["days"]:
        yield (
            ("day", day["day"]),
            ("whole", day["hours"]),
            ("text", day["project_status"].replace("_", " ")),
            ("text", day["meeting_coverage"].replace("_", " ")),
            ("text", "; ".join(day["gaps"])),
            *(("figure", day[level].get(tier)) for level in _LEVELS for tier in report["tier_plan"]),
            *(("figure", day.get("usage", {}).get(kind)) for kind in kinds),
            ("text", day.get("observation_id")),
        )


def _discrepancies(report: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[_Row]:
    for found in report["discrepancies"]:
        yield (
            ("text", found["code"]),
            ("text", found["severity"]),
            ("text", " ".join(found["days"])),
            ("text", " ".join(found["sessions"])),
            *(("figure", found["minutes"].get(tier)) for tier in tiers),
            ("figure", found["total"]),
            ("money", found["amount"]),
            ("text", found["summary"]),
            ("text", found["id"]),
        )


def _observations(report: Mapping[str, Any]) -> Iterator[_Row]:
    for it in report["observations"]:
        yield (
            ("text", it["id"]),
            ("text", it["kind"]),
            ("day", it["day"]),
            ("text", it["sha256"]),
            ("instant", it["observed_at"]),
            ("text", "yes" if it["complete"] else "no"),
        )


def _invoice_summary(document: Mapping[str, Any]) -> Iterator[_Row]:
    customer, entity, period = document["customer"], document["entity"], document["period"]
    corrects = document["corrects"] or {}
    facts = (
        ("Document", "*text", document["kind"].replace("_", " ")),
        ("Number", "*text", document["number"]),
        ("Status", "text", document["status"]),
        ("Corrects", "text", corrects.get("number")),
        ("Reason", "text", document["reason"]),
        ("Customer", "text", customer["name"]),
        ("Customer's tax number", "text", customer["tax_number"]),
        ("Customer's reference", "text", customer["reference"]),
        ("Purchase order", "text", customer["purchase_order"]),
        ("From", "text", entity["name"]),
        ("Tax number", "text", entity["tax_number"]),
        ("First billing day", "day", period["first_day"]),
        ("Last billing day", "day", period["last_day"]),
        ("Issued on", "day", document["issued_on"]),
        ("Due on", "day", document["due_on"]),
        ("Terms", "text", document["terms"]["text"]),
        ("Currency", "text", document["currency"]),
        ("Notes", "text", document["notes"]),
        ("Id", "text", document["id"]),
        ("Version", "whole", document["version"]),
        ("SHA-256", "text", document["sha256"]),
        ("Subtotal", "money", document["subtotal"]),
        *((it["text"], "money", negated(it["amount"])) for it in document["discounts"]),
        ("Minimum commitment, what is missing to it", "money", document["commitment"]),
        *((f"{it['name']}, {it['percent']} % of {it['base']}", "money", it["amount"]) for it in document["taxes"]),
        ("Total", "*money", document["total"]),
    )
    for name, kind, value in facts:
        yield ("*text", name), (kind, value)


_LINE: Mapping[str, tuple[str, str]] = {
    "position": ("whole", "position"),
    "project": ("text", "project_id"),
    "project name": ("text", "project_name"),
    "usage": ("text", "usage"),
    "text": ("text", "text"),
    "first day": ("day", "first_day"),
    "last day": ("day", "last_day"),
    "quantity": ("figure", "quantity"),
    "free": ("figure", "allowance_used"),
    "units": ("figure", "units"),
    "unit": ("text", "unit"),
    "model": ("text", "model"),
    "from": ("figure", "bracket_from"),
    "up to": ("figure", "bracket_up_to"),
    "unit price": ("money", "unit_price"),
    "amount": ("*money", "amount"),
    "tax": ("text", "tax"),
    "rate card": ("text", "rate_card_id"),
    "rate card version": ("whole", "rate_card_version"),
    "report": ("text", "report_id"),
    "corrects line": ("whole", "corrects_position"),
}
"""The columns of the sheet Lines: the kind of cell, and the field."""


def _lines(document: Mapping[str, Any]) -> Iterator[_Row]:
    for line in document["lines"]:
        flat = {**line, **{f"bracket_{key}": value for key, value in (line["bracket"] or {}).items()}}
        flat |= {f"rate_card_{key}": value for key, value in line["rate_card"].items()}
        yield [(kind, flat.get(field)) for kind, field in _LINE.values()]


def _line_evidence(document: Mapping[str, Any]) -> Iterator[_Row]:
    reports = {it["id"]: it for it in document["reports"]}
    for line in document["lines"]:
        report = reports.get(line["report_id"], {})
        for observation in line["observations"] or [None]:
            yield (
                ("whole", line["position"]),
                ("text", line["report_id"]),
                ("whole", report.get("version")),
                ("text", report.get("sha256")),
                ("text", report.get("verdict")),
                ("text", report.get("basis")),
                ("text", observation),
            )
