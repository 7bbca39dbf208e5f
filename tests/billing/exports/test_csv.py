"""CSV: stable columns, every minute and every amount once, and nothing that a spreadsheet would run."""

import csv
import io
import re
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.exports.csv import INVOICE_COLUMNS, REPORT_COLUMNS, invoice, report, safe
from tests.billing.documents import priced_periods
from tests.billing.exports import reports
from tests.samples import SAMPLES, invoiced, rich

TIER = "from1To2Publishers"


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


def small(**changes: Any) -> dict[str, Any]:
    """A report with one discrepancy."""
    found = {"code": "residual", "days": ["2026-10-31"], "sessions": [], "minutes": {TIER: "-1.500000"}, "summary": "Too few."}
    return {
        "id": "rpt_1",
        "version": 1,
        "project_id": "100",
        "period": {"aligned": {"first_day": "2026-10-31", "last_day": "2026-10-31"}},
        "verdict": "unexplained",
        "bridge": [{"step": "residual", "minutes": {TIER: "-1.500000"}, "amount": None}],
        "days": [],
        "discrepancies": [{**found, "amount": None, **changes}],
    }


def finding(**changes: Any) -> dict[str, str]:
    """The only row of a report's only discrepancy."""
    (row,) = (it for it in rows(report(small(**changes))) if it["section"] == "discrepancy")
    return row


RELEASED = "report_id,version,project_id,first_day,last_day,section,item,day,session_id,tier,minutes,text"
"""The columns of the first release, on whose places others rely."""


def test_columns_keep_their_places() -> None:
    assert ",".join(REPORT_COLUMNS).startswith(f"{RELEASED},amount,currency")
    for content in (report(small()), report(reports.report()), report(reports.report(None))):
        first, *others = csv.reader(io.StringIO(content.decode(), newline=""))
        assert tuple(first) == REPORT_COLUMNS
        assert {len(row) for row in others} == {len(REPORT_COLUMNS)}
    for make in SAMPLES.values():
        first, *others = csv.reader(io.StringIO(invoice(make()).decode(), newline=""))
        assert tuple(first) == INVOICE_COLUMNS
        assert {len(row) for row in others} == {len(INVOICE_COLUMNS)}


def test_the_minutes_and_the_money_of_a_report_add_up_to_it() -> None:
    content = reports.report()
    minutes: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    money: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows(report(content)):
        key = (row["section"], row["item"])
        minutes[key] += Decimal(row["minutes"] or 0)
        money[key] += Decimal(row["amount"] or 0)
        assert row["currency"] == ("EUR" if row["amount"] else "")
        assert not (row["minutes"] and row["amount"])
    for line in content["bridge"]:
        assert minutes["bridge", line["step"]] == Decimal(line["total"])
        assert money["bridge", line["step"]] == Decimal(line["amount"])
    for level in ("project_level", "meeting_level"):
        assert minutes["day", level] == sum(map(Decimal, content["totals"][level].values()))
    assert minutes["day", "usage"] == sum(map(Decimal, content["usage"].values())) == Decimal("12.5")
    for code in {it["code"] for it in content["discrepancies"]}:
        alike = [it for it in content["discrepancies"] if it["code"] == code]
        assert minutes["discrepancy", code] == sum(Decimal(it["total"]) for it in alike)
        assert money["discrepancy", code] == sum(Decimal(it["amount"]) for it in alike)


def test_a_report_without_a_rate_card_has_no_money() -> None:
    assert {row["amount"] + row["currency"] for row in rows(report(reports.report(None)))} == {""}


@settings(max_examples=50)
@given(priced_periods())
def test_the_rows_of_an_invoice_add_up_to_its_total(priced) -> None:
    document = invoiced(priced)
    *above, total = rows(invoice(document))
    assert total["section"] == "total"
    assert Decimal(total["amount"]) == sum(Decimal(row["amount"]) for row in above) == Decimal(document["total"])


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_adds_up(name: str) -> None:
    document = SAMPLES[name]()
    *above, total = rows(invoice(document))
    assert Decimal(total["amount"]) == sum(Decimal(row["amount"]) for row in above)
    assert invoice(SAMPLES[name]()) == invoice(document)


def test_a_line_tells_all_that_it_rests_on() -> None:
    document = rich()
    (line,) = (it for it in rows(invoice(document)) if it["bracket_from"] == "10000")
    shown = {name: cell for name, cell in line.items() if cell}
    assert shown == {
        "invoice_id": "inv_1",
        "number": "RECK-2026-00001",
        "kind": "invoice",
        "status": "finalized",
        "version": "3",
        "customer_id": "cus_1",
        "customer": "Acme Learning SE",
        "entity_id": "ent_1",
        "entity": "Reckoner Video GmbH",
        "currency": "EUR",
        "first_day": "2026-10-01",
        "last_day": "2026-10-31",
        "issued_on": "2026-11-03",
        "due_on": "2026-12-03",
        "section": "line",
        "position": "3",
        "item": "usage",
        "project_id": "100",
        "project": "Acme classrooms",
        "usage": "from3To6Publishers",
        "text": "Participant minutes, 3-6 publishing",
        "line_first_day": "2026-10-01",
        "line_last_day": "2026-10-31",
        "quantity": "14000.00",
        "allowance_used": "0.00",
        "units": "14000.00",
        "unit": "minute",
        "model": "graduated",
        "bracket_from": "10000",
        "unit_price": "0.0040",
        "amount": "56.00",
        "tax": "DE VAT",
        "rate_card_id": "rc_standard",
        "rate_card_version": "1",
        "report_id": "rpt_100",
        "observations": "obs_100_2026-10-01 obs_100_2026-10-02",
    }


def test_negative_figures_stay_numbers() -> None:
    assert {row["minutes"] for row in rows(report(small())) if row["section"] != "report"} == {"-1.500000"}
    assert {row["amount"] for row in rows(invoice(rich())) if row["section"] == "discount"} == {"-19.07", "-5.00"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "  @", "\v=", "\xa0+"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(start: str) -> None:
    row = finding(sessions=[f"{start}HYPERLINK(1)"], summary=f"{start}SUM(1)")
    assert row["session_id"] == f"'{start}HYPERLINK(1)"
    assert row["text"] == f"'{start}SUM(1)"
    document = rich()
    document["customer"]["name"] = f"{start}cmd|'/c calc'!A1"
    assert {row["customer"] for row in rows(invoice(document))} == {f"'{start}cmd|'/c calc'!A1"}


@given(st.text(st.characters(codec="utf-8")))
def test_no_text_begins_as_a_formula_and_none_is_lost(text: str) -> None:
    cell = safe(text)
    assert cell in (text, f"'{text}")
    assert not cell.lstrip().startswith(("=", "+", "-", "@")) or re.fullmatch(r"-[0-9]+(\.[0-9]+)?", cell)
    row = finding(sessions=[text], summary=text)
    assert (row["text"], row["session_id"]) == (cell, cell)


def test_a_discrepancy_of_several_sessions_has_its_figures_once() -> None:
    content = report(small(sessions=["a", "b"], days=["2026-10-30", "2026-10-31"], amount="-0.02") | {"currency": "EUR"})
    found = [it for it in rows(content) if it["section"] == "discrepancy"]
    told = [(it["session_id"], it["day"], it["tier"], it["minutes"], it["amount"], it["currency"]) for it in found]
    days = "2026-10-30 2026-10-31"
    assert told == [("a b", days, TIER, "-1.500000", "", ""), ("a b", days, "", "", "-0.02", "EUR")]


def test_a_discrepancy_without_minutes_is_there_too() -> None:
    found = finding(code="period_misaligned", minutes={})
    assert (found["item"], found["tier"], found["minutes"]) == ("period_misaligned", "", "")
