"""The mapping of a vendor's files: how its CSV or JSON becomes the invoice of `billing.vendor`.

A file is a table: the rows of a CSV below its header, or a JSON array of flat objects. The mapping says which column is which
field, what its values mean, and how numbers and dates are written. What it does not account for is refused with its row and
column: nothing is guessed, and no number that cannot be read becomes 0. Rows are counted as a spreadsheet shows them, with the
header.

    >>> mapping = VendorMapping(
    ...     columns={"usage": "Produkt", "quantity": "Minuten", "amount": "Betrag", "kind": "Art"},
    ...     kinds={"Verbrauch": "usage", "Gutschrift": "credit"}, usages={"Video 1-2": "from1To2Publishers"},
    ...     delimiter=";", numbers=Numbers(decimal=",", thousands=".", negative="trailing_minus"), currency="EUR")
    >>> text = 'Art;Produkt;Minuten;Betrag\\r\\nVerbrauch;"Video 1-2";1.000,5;3,95\\r\\nGutschrift;;;1,00-\\r\\n'
    >>> document = mapping.read(text, {"vendor": "v", "number": "1", "period": {"month": "2026-10"}}).document
    >>> [(it["line"], it["kind"], it["quantity"], it["amount"]) for it in document["lines"]]
    [(2, 'usage', '1000.5', '3.95'), (3, 'credit', None, '-1.00')]
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, NoReturn

from billing.errors import BillingError, InvalidVendorInvoice
from billing.money import decimal_of
from billing.vendor import MAX_LINES, BilledInvoice, is_usage, parse, period_of

LINE_FIELDS = ("usage", "quantity", "unit_price", "amount", "kind", "text", "project_id")
INVOICE_FIELDS = ("number", "currency", "first_day", "last_day")
FIELDS = (*LINE_FIELDS, *INVOICE_FIELDS)
"""The fields that a column can be. Those of the invoice say the same in every row, but for the days: a row may be of some."""

KINDS = ("usage", "credit", "tax", "other", "total", "skip")
"""What a value of the `kind` column can mean: a line's kind, the row with the total, or a row that bills nothing."""

NEGATIVES = ("minus", "trailing_minus", "parentheses")
MAX_CELL = 2_000
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u2009\u202f", " "))
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DATE_PARTS = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{2})", "DD": r"(?P<day>\d{2})"}


@dataclass(frozen=True)
class Numbers:
    """How numbers are written: `negative` is one of NEGATIVES, `symbol` stands before or after an amount, such as "$".

    >>> american = Numbers(thousands=",", negative="parentheses", symbol="$")
    >>> american.plain("($1,234.50)"), american.plain("$(1,234.50)"), american.plain("1234.5 $")
    ('-1234.50', '-1234.50', '1234.5')
    >>> Numbers().plain("1,2") is None
    True
    """

    decimal: str = "."
    thousands: str = ""
    negative: str = "minus"
    symbol: str = ""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        between = re.escape(self.thousands.translate(_SPACES))
        grouped = rf"\d{{1,3}}(?:{between}\d{{3}})+|" if between else ""
        return re.compile(rf"(?P<whole>{grouped}\d+)(?:{re.escape(self.decimal)}(?P<part>\d+))?", re.ASCII)

    def plain(self, text: str) -> str | None:
        """The number as a plain decimal text; None where it is none in this form. The symbol may be within the sign."""
        text, sign = text.translate(_SPACES).strip(), ""
        if self.symbol and text.count(self.symbol) > 1:
            return None
        text = self._without_symbol(text)
        before, after = {"minus": ("-", ""), "trailing_minus": ("", "-"), "parentheses": ("(", ")")}[self.negative]
        if len(text) > 1 and text.startswith(before) and text.endswith(after):
            text, sign = self._without_symbol(text[len(before) : len(text) - len(after)].strip()), "-"
        match = self._pattern.fullmatch(text)
        if not match:
            return None
        whole = re.sub(r"\D", "", match["whole"]).lstrip("0") or "0"
        return f"{sign}{whole}.{match['part']}" if match["part"] else sign + whole

    def _without_symbol(self, text: str) -> str:
        symbol = self.symbol.translate(_SPACES)
        return text.removeprefix(symbol).strip() if text.startswith(symbol) else text.removesuffix(symbol).strip()


@dataclass(frozen=True)
class VendorMapping:
    """How one vendor's files are read. Raises InvalidVendorInvoice, with the field, for one that contradicts itself.

    `columns` leads from fields to the names of columns, `kinds` and `usages` from values to what they mean; a usage that is
    named as upstream names it needs no entry. Without a `kind` column every row is usage. `header_row` is the row of a CSV's
    header; `rows` the JSON pointer of the array in a JSON file. `dates` is made of YYYY, MM and DD.
    """

    columns: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    usages: Mapping[str, str] = field(default_factory=dict)
    format: str = "csv"
    delimiter: str = ","
    header_row: int = 1
    rows: str = ""
    numbers: Numbers = field(default_factory=Numbers)
    dates: str = "YYYY-MM-DD"
    currency: str | None = None
    positive_credits: bool = False

    def __post_init__(self) -> None:
        for name in ("amount", "usage", "quantity"):
            if name not in self.columns:
                _refuse(f"no column is the {name}", "/columns", f"the name of the column with the {name}")
        for name in self.columns:
            if name not in FIELDS:
                _refuse(f"{name!r} is no field", f"/columns/{name}", f"one of {', '.join(FIELDS)}")
        for value, kind in self.kinds.items():
            if kind not in KINDS:
                _refuse(f"{kind!r} is no kind", f"/kinds/{value}", f"one of {', '.join(KINDS)}")
        for value, usage in self.usages.items():
            if not is_usage(usage):
                _refuse(f"{usage!r} is no usage", f"/usages/{value}", "a tier such as 'from3To6Publishers', or 'hlsMinutes'")
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n ':
            _refuse(f"{self.delimiter!r} cannot part cells", "/delimiter", "one character, such as ';'")
        if self.kinds and "kind" not in self.columns:
            _refuse("the kinds of no column", "/kinds", "a column 'kind' among the columns")
        if self.numbers.decimal == self.numbers.thousands:
            _refuse("one sign for two things", "/numbers/thousands", "another than the decimal separator")
        if sorted(re.findall(r"YYYY|MM|DD", self.dates)) != ["DD", "MM", "YYYY"]:
            _refuse(f"{self.dates!r} is no form of a date", "/dates", "YYYY, MM and DD once each, such as 'DD.MM.YYYY'")

    def read(self, content: str, given: Mapping[str, Any]) -> "Read":
        """What a file says, with what is `given` beside it: the vendor, and the number, currency, period, total and projects.

        What stands in the file and is given must agree. Raises InvalidVendorInvoice with row and column.
        """
        return _Reader(self, self._table(content)).document(given)

    def _table(self, content: str) -> "Iterator[tuple[int, Mapping[str, str]]]":
        if self.format == "json":
            return _json_rows(content, self.rows, self.columns)
        return _csv_rows(content, self.delimiter, self.header_row, self.columns)


@dataclass(frozen=True)
class Read:
    """A document for `billing.vendor.parse`, and where in the file each of its lines stands."""

    document: Mapping[str, Any]
    columns: Mapping[str, str]

    def invoice(self) -> BilledInvoice:
        """The invoice. What is wrong with a line is told with the row and column of the file."""
        try:
            return parse(self.document)
        except BillingError as error:
            match = re.fullmatch(r"/lines/(\d+)/(\w+)", error.pointer)
            if not match:
                raise
            row = self.document["lines"][int(match[1])]["line"]
            column = self.columns.get(match[2], match[2])
            raise InvalidVendorInvoice(
                f"row {row}, column {column!r}: {error.message}", pointer="/content", expected=error.expected
            ) from None


class _Reader:
    """One pass over the rows: lines, and what the file says of the invoice as a whole."""

    def __init__(self, mapping: VendorMapping, rows: Iterator[tuple[int, Mapping[str, str]]]) -> None:
        self.mapping = mapping
        self.rows = rows
        self.said: dict[str, Any] = {}
        self.days: list[date] = []

    def document(self, given: Mapping[str, Any]) -> Read:
        lines = [line for number, row in self.rows if (line := self._line(number, row))]
        if self.mapping.currency:
            self._say("currency", self.mapping.currency, "the mapping")
        for name, value in given.items():
            if value is not None:
                self._say(name, value, "what is given beside the file")
        if self.days:
            self._place(min(self.days), max(self.days))
        for name in ("number", "currency", "period"):
            if name not in self.said:
                _refuse(f"the invoice's {name} is not known", f"/{name}", "it beside the file, or a column with it")
        return Read({"lines": lines, **self.said}, self.mapping.columns)

    def _place(self, first: date, last: date) -> None:
        """The period is that of the rows, or one that is given and holds them."""
        if "period" not in self.said:
            self.said["period"] = {"first_day": str(first), "last_day": str(last)}
        else:
            period = period_of(self.said["period"])
            if first not in period or last not in period:
                said, given = f"{first} to {last}", f"{period.first_day} to {period.last_day}"
                _refuse(f"the rows are of {said}, the invoice of {given}", "/period", "the invoice's own period")

    def _line(self, number: int, row: Mapping[str, str]) -> dict[str, Any] | None:
        for name in self.mapping.columns:
            if len(row[name]) > MAX_CELL or _CONTROL.search(row[name]):
                self._at(number, name, row, f"at most {MAX_CELL} characters, and no control characters")
        kind = self._kind(number, row)
        if kind == "skip":
            return None
        amount = self._number(number, "amount", row)
        if amount is None:
            self._at(number, "amount", row, "an amount")
        if kind == "total":
            self._say("total", amount, f"row {number}")
            return None
        for name in ("number", "currency"):
            if row.get(name):
                self._say(name, row[name], f"row {number}")
        self.days += [self._day(number, name, row) for name in ("first_day", "last_day") if row.get(name)]
        if kind == "credit" and self.mapping.positive_credits:
            amount = amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"
        return {
            "line": number,
            "kind": kind,
            "usage": self._usage(number, row) if kind == "usage" else None,
            "quantity": self._number(number, "quantity", row),
            "unit_price": self._number(number, "unit_price", row),
            "amount": amount,
            "project_id": row.get("project_id") or None,
            "text": " ".join(row.get("text", "").split()),
        }

    def _kind(self, number: int, row: Mapping[str, str]) -> str:
        if "kind" not in self.mapping.columns:
            return "usage"
        kind = self.mapping.kinds.get(row["kind"], row["kind"])
        return kind if kind in KINDS else self._at(number, "kind", row, "a value that the mapping's kinds explain")

    def _usage(self, number: int, row: Mapping[str, str]) -> str:
        usage = self.mapping.usages.get(row["usage"], row["usage"])
        return usage if is_usage(usage) else self._at(number, "usage", row, "a value that the mapping's usages explain")

    def _number(self, number: int, name: str, row: Mapping[str, str]) -> str | None:
        """The plain decimal of a cell; None where it is blank."""
        if not row.get(name):
            return None
        plain = self.mapping.numbers.plain(row[name])
        return plain if plain is not None else self._at(number, name, row, "a number as the mapping says they are written")

    def _day(self, number: int, name: str, row: Mapping[str, str]) -> date:
        pattern = re.escape(self.mapping.dates)
        for part, group in _DATE_PARTS.items():
            pattern = pattern.replace(part, group)
        match = re.fullmatch(pattern, row[name], re.ASCII)
        try:
            if match:
                return date(int(match["year"]), int(match["month"]), int(match["day"]))
        except ValueError:
            pass
        return self._at(number, name, row, f"a day as {self.mapping.dates}")

    def _say(self, name: str, value: Any, where: str) -> None:
        known = self.said.setdefault(name, value)
        if known != value and (name != "total" or _amount(known) != _amount(value)):
            _refuse(f"{where} says another {name} than what stands before it", "/content", "one of it in the whole file")

    def _at(self, number: int, name: str, row: Mapping[str, str], expected: str) -> NoReturn:
        shown = repr(row[name][:60])
        _refuse(f"row {number}, column {self.mapping.columns[name]!r}: {shown} cannot be used", "/content", expected)


def _csv_rows(
    content: str, delimiter: str, header_row: int, columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows below the header by field, blank ones left out."""
    reader = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    places: dict[str, int] | None = None
    width = number = 0
    try:
        for number, cells in enumerate(reader, 1):
            cells = [cell.strip() for cell in cells]
            if number < header_row or not any(cells):
                continue
            if places is None:
                places, width = _places(cells, columns, number), len(cells)
                continue
            if len(cells) != width:
                _refuse(f"row {number} has {len(cells)} cells", "/content", f"{width}, as the header has")
            yield _bounded(number), {name: cells[place] for name, place in places.items()}
    except csv.Error as error:
        _refuse(f"row {number + 1} is no CSV: {error}", "/content", f"cells parted by {delimiter!r}, quotes closed")
    if places is None:
        _refuse("the file has no header", "/content", "a CSV with the columns of the mapping")


def _places(header: Sequence[str], columns: Mapping[str, str], number: int) -> dict[str, int]:
    for column in columns.values():
        if header.count(column) != 1:
            times = "no" if column not in header else "more than one"
            _refuse(f"row {number}, the header, has {times} column {column!r}", "/content", "each column of the mapping once")
    return {name: header.index(column) for name, column in columns.items()}


def _json_rows(content: str, pointer: str, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The objects of the array by field; a number is the text that it was written as."""
    try:
        found = json.loads(content.removeprefix("\ufeff"), parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        _refuse("the file is no JSON", "/content", "a JSON array of objects")
    for part in pointer.split("/")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, list):
        _refuse(f"the file has no array at {pointer!r}", "/content", "a JSON array of objects")
    for number, item in enumerate(found, 1):
        if not isinstance(item, dict):
            _refuse(f"row {number} is no object", "/content", "an object for each row")
        row = {name: "" if (value := item.get(column)) is None else value for name, column in columns.items()}
        for name, value in row.items():
            if not isinstance(value, str):
                _refuse(f"row {number}, column {columns[name]!r} is no text and no number", "/content", "a text or a number")
        yield _bounded(number), {name: value.strip() for name, value in row.items()}


def _amount(text: object) -> Decimal:
    return decimal_of(text, "/total", negative=True)


def _bounded(number: int) -> int:
    if number > 2 * MAX_LINES:
        _refuse(f"the file has more than {2 * MAX_LINES} rows", "/content", f"at most {MAX_LINES} lines")
    return number


def _refuse(message: str, pointer: str, expected: str) -> NoReturn:
    raise InvalidVendorInvoice(message, pointer=pointer, expected=expected)
