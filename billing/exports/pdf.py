"""PDFs by Typst: invoices and their notes, the reconciliation report, the dispute letter.

The layouts are `templates/*.typ`. A document comes to them as data and is laid out as text, so no name in it is ever run as
markup. Every PDF is a PDF/A-3b, tagged, with its fonts inside: it can be archived, and an e-invoice can be attached to it. The
same document gives the same bytes: fonts come from a package, never from the machine, and the file's date is the document's.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import rendercv_fonts
import typst

from billing.discrepancy import Severity
from billing.errors import TooLargeToPrint
from billing.invoice import describe

MAX_ROWS = 3_000
"""More rows than this are refused: so many lines take 3 s, 500 MB and a hundred pages or two."""

_SHOWN = 100
_GRAVEST_FIRST = tuple(reversed(Severity))
_TEMPLATES = Path(__file__).parent / "templates"
_FAMILIES = ("Source Sans 3", "Noto Sans", "Open Sans")
_UNPRINTABLE = re.compile(r'the text `"(.+?)"` could not be displayed')
_BLANK = "□"
_CONTROLS = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)), _BLANK),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), _BLANK),  # would reorder the text around them
    ord("\t"): " ",
    ord("\r"): None,
    ord("\n"): "\n",
}


def invoice(document: Mapping[str, Any]) -> bytes:
    """An invoice, credit or debit note as it is sent; a draft and a void one bear their mark on every page.

    Raises TooLargeToPrint for more than MAX_ROWS lines.
    """
    _bounded(document["lines"], "/lines")
    return _pdf("invoice", document, _midnight(document["issued_on"] or document["period"]["last_day"]))


def report(document: Mapping[str, Any]) -> bytes:
    """A reconciliation report: verdict, period, the bridge as a chart and in figures, discrepancies, days, observations.

    Discrepancies past the first hundred are summed up by code. Raises TooLargeToPrint for more than MAX_ROWS days or
    observations.
    """
    check_report(document)
    usage = {describe(kind): minutes for kind, minutes in document.get("usage", {}).items()}
    shown = {**document, **_gravest(document["discrepancies"]), "usage": usage}
    return _pdf("report", shown, datetime.fromisoformat(document["created_at"]))


def check_report(document: Mapping[str, Any]) -> None:
    """Raise TooLargeToPrint where `report` would; it needs no more of the report than its days and observations."""
    _bounded(document["days"], "/days")
    _bounded(document["observations"], "/observations")


def letter(document: Mapping[str, Any]) -> bytes:
    """A letter that disputes a vendor's invoice, as `billing.vendor` words it, with every row that is claimed.

    Raises TooLargeToPrint for more than MAX_ROWS claims.
    """
    _bounded(document["claims"], "/claims")
    return _pdf("letter", document, _midnight(document["date"]))


def _bounded(rows: Sequence[object], pointer: str) -> None:
    if len(rows) > MAX_ROWS:
        raise TooLargeToPrint(
            f"{len(rows)} rows are too many for a PDF", pointer=pointer, expected=f"at most {MAX_ROWS} rows; take CSV or XLSX"
        )


def _gravest(discrepancies: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a page can hold of the discrepancies, since the compiler takes 15 times the memory of what it is given: the gravest,
    of the others the number and the minutes by code, and whether any comes to money."""
    ordered = sorted(discrepancies, key=lambda found: _GRAVEST_FIRST.index(found["severity"]))
    others: dict[str, tuple[int, Decimal]] = {}
    for found in ordered[_SHOWN:]:
        count, total = others.get(found["code"], (0, Decimal()))
        others[found["code"]] = count + 1, total + Decimal(found["total"])
    return {
        "discrepancies": ordered[:_SHOWN],
        "others": [(code, count, format(total, "f")) for code, (count, total) in others.items()],
        "priced": any(found["amount"] is not None for found in discrepancies),
    }


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(), UTC)


def _pdf(template: str, document: Mapping[str, Any], moment: datetime) -> bytes:
    """The document in its template. A character that no font has is printed as □: PDF/A allows no gap.

    Which those are only the compiler knows, and it names them all at once. Marks go first, since one that fits its letter in no
    font makes the letter unprintable too. ASCII stays as it is whatever is named, so no figure can be lost to this.
    """
    compiler = typst.Compiler(_TEMPLATES / f"{template}.typ", root=_TEMPLATES, font_paths=_fonts())
    content = _translated(document, _CONTROLS)
    while True:
        try:
            pdf = compiler.compile(
                format="pdf",
                pdf_standards="a-3b",
                timestamp=int(moment.timestamp()),
                sys_inputs={"document": msgspec.json.encode(content).decode()},
            )
        except typst.TypstError as error:
            missing = _missing(error.diagnostic)
            if not missing:
                raise
            content = _translated(content, dict.fromkeys(map(ord, missing), _BLANK))
        else:
            assert isinstance(pdf, bytes)
            return pdf


@cache
def _fonts() -> typst.Fonts:
    """The fonts of the templates; finding them takes 50 ms, once."""
    folders = [rendercv_fonts.package_folder_path / family for family in _FAMILIES]
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=folders)


def _missing(diagnostic: str) -> set[str]:
    texts = "".join(_UNPRINTABLE.findall(diagnostic))
    named = {it for it in re.sub(r"\\u\{([0-9a-f]+)\}", lambda code: chr(int(code[1], 16)), texts) if ord(it) > 0x7F} - {_BLANK}
    return {it for it in named if unicodedata.category(it).startswith("M")} or named


def _translated(value: Any, table: Mapping[int, str | None]) -> Any:
    match value:
        case str():
            return value.translate(table)
        case Mapping():
            return {key: _translated(item, table) for key, item in value.items()}
        case list() | tuple():
            return [_translated(item, table) for item in value]
        case _:
            return value
