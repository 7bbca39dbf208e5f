"""XLSX: cells of the right type that read back as the same decimals, and the same bytes for the same document."""

import io
import time
import zipfile
from datetime import datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

from billing.errors import TooLargeToPrint
from billing.exports import xlsx
from tests.billing.documents import priced_periods
from tests.billing.exports import reports
from tests.samples import SAMPLES, credit_note, invoiced, japanese, kuwaiti, plain, rich


def book(content: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(content))


def records(sheet: Worksheet) -> list[dict[str, Cell]]:
    """The rows below the head, by column."""
    head, *others = sheet.iter_rows()
    return [dict(zip([cell.value for cell in head], row, strict=True)) for row in others]


def facts(content: bytes) -> dict[str, Cell]:
    """The sheet Summary."""
    return {row["field"].value: row["value"] for row in records(book(content)["Summary"])}


def exact(cell: Cell) -> Decimal:
    """A figure as its cell holds it: a number that a spreadsheet keeps every digit of, or text."""
    assert cell.data_type in ("n", "s"), cell
    return Decimal(repr(cell.value)) if cell.data_type == "n" else Decimal(cell.value)


def test_the_sheets_of_a_report_and_of_an_invoice() -> None:
    report, invoice = book(xlsx.report(reports.report())), book(xlsx.invoice(rich()))
    assert report.sheetnames == ["Summary", "Bridge", "Days", "Discrepancies", "Evidence"]
    assert invoice.sheetnames == ["Summary", "Lines", "Evidence"]
    for sheet in (*report, *invoice):
        assert sheet.freeze_panes == "B2"
        assert sheet.print_title_rows == "$1:$1"
        assert sheet.auto_filter.ref == sheet.dimensions
        widths = [it.width for it in sheet.column_dimensions.values() for _ in range(it.min, it.max + 1)]
        assert all(len(cell.value) < width < 64 for cell, width in zip(sheet[1], widths, strict=True))


def test_a_report_reads_back_as_it_was_written() -> None:
    document = reports.report()
    sheets = book(xlsx.report(document))
    for row, line in zip(records(sheets["Bridge"]), document["bridge"], strict=True):
        assert exact(row["total minutes"]) == Decimal(line["total"])
        assert exact(row["amount"]) == Decimal(line["amount"])
        assert exact(row["1-2"]) == Decimal(line["minutes"]["from1To2Publishers"])
        assert row["step"].font.b == line["subtotal"]
        assert (row["total minutes"].number_format, row["amount"].number_format) == ("#,##0.000000", '#,##0.00 "EUR"')
    for row, day in zip(records(sheets["Days"]), document["days"], strict=True):
        assert row["day"].value == datetime.fromisoformat(day["day"])
        assert exact(row["project level 3-6"]) == Decimal(day["project_level"]["from3To6Publishers"])
        used = row["sipUserMinutes"]
        assert (None if used.value is None else exact(used)) == (Decimal("12.5") if day["usage"] else None)
    for row, found in zip(records(sheets["Discrepancies"]), document["discrepancies"], strict=True):
        assert (row["code"].value, row["summary"].value) == (found["code"], found["summary"])
        assert exact(row["amount"]) == Decimal(found["amount"])
    for row, it in zip(records(sheets["Evidence"]), document["observations"], strict=True):
        assert [row[name].value for name in ("observation", "kind", "sha256")] == [it["id"], it["kind"], it["sha256"]]
        assert row["day"].value == datetime.fromisoformat(it["day"])
        assert row["observed at (UTC)"].value.isoformat() + "Z" == it["observed_at"]
        assert (row["day"].number_format, row["observed at (UTC)"].is_date) == ("yyyy-mm-dd", True)


def test_a_report_without_money_has_empty_amounts() -> None:
    assert {row["amount"].value for row in records(book(xlsx.report(reports.report(None)))["Bridge"])} == {None}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_invoice_reads_back_as_it_was_written(name: str) -> None:
    document = SAMPLES[name]()
    lines = records(book(xlsx.invoice(document))["Lines"])
    assert len(lines) == len(document["lines"])
    for row, line in zip(lines, document["lines"], strict=True):
        for field, cell in (
            ("quantity", "quantity"),
            ("allowance_used", "free"),
            ("units", "units"),
            ("unit_price", "unit price"),
        ):
            assert exact(row[cell]) == Decimal(line[field])
        assert exact(row["amount"]) == Decimal(line["amount"])
        assert row["first day"].value == datetime.fromisoformat(line["first_day"])
    told = facts(xlsx.invoice(document))
    assert exact(told["Total"]) == Decimal(document["total"])
    assert exact(told["Subtotal"]) == Decimal(document["subtotal"])


@pytest.mark.parametrize(("make", "form"), [(plain, '#,##0.00 "EUR"'), (japanese, '#,##0 "JPY"'), (kuwaiti, '#,##0.000 "KWD"')])
def test_money_is_shown_in_the_decimals_of_its_currency(make: Any, form: str) -> None:
    content = xlsx.invoice(make())
    assert facts(content)["Total"].number_format == form
    assert {row["amount"].number_format for row in records(book(content)["Lines"])} == {form}


def test_a_unit_price_keeps_the_decimals_that_it_was_written_with() -> None:
    (row, *_) = records(book(xlsx.invoice(rich()))["Lines"])
    assert (row["unit price"].value, row["unit price"].number_format) == (0.0035, '#,##0.0000 "EUR"')


def test_the_parts_of_an_invoice_stand_above_its_total() -> None:
    told = {name: cell.value for name, cell in facts(xlsx.invoice(rich())).items()}
    assert [told[name] for name in ("Discount of 10 %", "Discount of 5.00 EUR", "DE VAT, 19 % of 500.00")] == [-19.07, -5, 95]
    assert told["Minimum commitment, what is missing to it"] == 333.37
    assert told["Issued on"] == datetime(2026, 11, 3)
    assert {name: cell.value for name, cell in facts(xlsx.invoice(credit_note())).items()}["Corrects"] == "RECK-2026-00001"


def test_evidence_leads_from_each_line_to_its_report_and_observations() -> None:
    document = rich()
    found = [
        (row["line"].value, row["report"].value, row["report sha256"].value, row["observation"].value)
        for row in records(book(xlsx.invoice(document))["Evidence"])
    ]
    assert found == [
        (line["position"], line["report_id"], "5" * 64, name) for line in document["lines"] for name in line["observations"]
    ]


@given(st.decimals(min_value=-(10**14), max_value=10**14, places=6), st.integers(0, 6))
def test_no_digit_of_a_figure_is_lost(figure: Decimal, places: int) -> None:
    """A spreadsheet keeps 15 digits of a number: what has more is text."""
    amount = format(round(figure, places), "f")
    document = plain()
    document["total"] = amount
    cell = facts(xlsx.invoice(document))["Total"]
    assert exact(cell) == Decimal(amount)
    assert cell.data_type == ("n" if len(Decimal(amount).normalize().as_tuple().digits) <= 15 else "s")


@settings(max_examples=30)
@given(priced_periods())
def test_the_lines_of_every_invoice_add_up_to_its_subtotal(priced) -> None:
    document = invoiced(priced)
    amounts = [exact(row["amount"]) for row in records(book(xlsx.invoice(document))["Lines"])]
    assert sum(amounts) == Decimal(document["subtotal"])


@given(st.text(st.characters(codec="utf-8")))
def test_a_text_is_never_a_formula_or_a_link_and_the_file_stays_readable(text: str) -> None:
    document = plain()
    document["customer"]["name"] = text or "x"
    sheet = book(xlsx.invoice(document))["Summary"]
    cell = next(row["value"] for row in records(sheet) if row["field"].value == "Customer")
    assert cell.data_type == "s" or not (cell.value or "").strip()
    assert cell.hyperlink is None
    if text.isprintable() and "_x" not in text:
        assert cell.value == (text or "x")


@pytest.mark.parametrize(
    "text", ["=1+1", "{=1+1}", "+1", "@A1", "https://example.com", "mailto:a@example.com", "1.5", "internal:A!A1"]
)
def test_text_stays_text(text: str) -> None:
    document = reports.report(room=text)
    assert text in document["discrepancies"][0]["sessions"]
    (row, *_) = records(book(xlsx.report(document))["Discrepancies"])
    assert (row["sessions"].value, row["sessions"].data_type, row["sessions"].hyperlink) == (text, "s", None)


def test_a_text_that_no_cell_can_hold_says_what_it_leaves_out() -> None:
    document = reports.report()
    document["discrepancies"][0]["sessions"] = [f"session-{number:05}" for number in range(3000)]
    (row, *_) = records(book(xlsx.report(document))["Discrepancies"])
    assert len(row["sessions"].value) <= 32_767
    whole = len(" ".join(document["discrepancies"][0]["sessions"]))
    kept = row["sessions"].value.index(" … and ")
    assert row["sessions"].value.endswith(f" … and {whole - kept} characters more, which the JSON has")


def test_more_rows_than_a_sheet_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    document = rich()
    monkeypatch.setattr(xlsx, "_MOST", sum(len(line["observations"]) for line in document["lines"]) - 1)
    with pytest.raises(TooLargeToPrint, match="too many for the sheet"):
        xlsx.invoice(document)


def test_the_same_document_gives_the_same_bytes_at_any_time() -> None:
    before = [xlsx.report(reports.report()), *(xlsx.invoice(make()) for make in (plain, rich))]
    time.sleep(2.1)  # a ZIP file keeps times to two seconds
    assert before == [xlsx.report(reports.report()), *(xlsx.invoice(make()) for make in (plain, rich))]
    with zipfile.ZipFile(io.BytesIO(before[1])) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert book(before[1]).properties.created == book(before[1]).properties.modified == datetime(2026, 11, 3)
