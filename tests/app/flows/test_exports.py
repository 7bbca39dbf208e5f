"""The CSV of a report: stable columns, every minute once, and nothing that a spreadsheet would run."""

import csv
import io
import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.flows.exports import COLUMNS, to_csv
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"
TIER = "from1To2Publishers"


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(body).decode(), newline="")))


def finding(**changes: Any) -> dict[str, str]:
    """The only row of a report's only discrepancy."""
    (row,) = (it for it in rows(report(**changes)) if it["section"] == "discrepancy")
    return row


def report(**changes: Any) -> bytes:
    """A small report with one discrepancy."""
    found = {"code": "residual", "days": ["2026-10-31"], "sessions": [], "minutes": {TIER: "-1.500000"}, "summary": "Too few."}
    content = {
        "id": "rpt_1",
        "version": 1,
        "project_id": "100",
        "period": {"aligned": {"first_day": "2026-10-31", "last_day": "2026-10-31"}},
        "verdict": "unexplained",
        "bridge": [{"step": "residual", "minutes": {TIER: "-1.500000"}}],
        "days": [],
        "discrepancies": [{**found, **changes}],
    }
    return json.dumps(content).encode()


def test_the_columns_are_always_the_same(worked: Office) -> None:
    empty = worked.reconcile(WORKED)
    worked.collect(WORKED)
    for body in (empty.body, worked.reconcile(WORKED).body, report()):
        first, *others = csv.reader(io.StringIO(to_csv(body).decode(), newline=""))
        assert tuple(first) == COLUMNS
        assert {len(row) for row in others} == {len(COLUMNS)}


def test_its_minutes_add_up_to_the_report(worked: Office) -> None:
    worked.collect(WORKED)
    body = worked.reconcile(WORKED).body
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows(body):
        if row["minutes"]:
            sums[row["section"], row["item"]] += Decimal(row["minutes"])
    content = json.loads(body)
    for line in content["bridge"]:
        assert sums["bridge", line["step"]] == Decimal(line["total"])
    for level in ("project_level", "meeting_level"):
        assert sums["day", level] == sum(map(Decimal, content["totals"][level].values()))
    assert sums["discrepancy", "boundary_straddle"] == 70
    assert sums["discrepancy", "session_reuse_spillover"] == 140


def test_negative_minutes_stay_numbers() -> None:
    assert {row["minutes"] for row in rows(report()) if row["section"] != "report"} == {"-1.500000"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "  @"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(start: str) -> None:
    (row,) = (
        it for it in rows(report(sessions=[f"{start}HYPERLINK(1)"], summary=f"{start}SUM(1)")) if it["section"] == "discrepancy"
    )
    assert row["session_id"] == f"'{start}HYPERLINK(1)"
    assert row["text"] == f"'{start}SUM(1)"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_no_text_begins_as_a_formula_and_none_is_lost(summary: str, session: str) -> None:
    row = finding(sessions=[session], summary=summary)
    for cell, text in ((row["text"], summary), (row["session_id"], session)):
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert cell in (text, f"'{text}")


def test_a_discrepancy_of_several_sessions_has_its_minutes_once() -> None:
    found = [
        it for it in rows(report(sessions=["a", "b"], days=["2026-10-30", "2026-10-31"])) if it["section"] == "discrepancy"
    ]
    assert [(it["session_id"], it["day"], it["minutes"]) for it in found] == [("a b", "2026-10-30 2026-10-31", "-1.500000")]


def test_a_discrepancy_without_minutes_is_there_too() -> None:
    found = finding(code="period_misaligned", minutes={})
    assert (found["item"], found["tier"], found["minutes"]) == ("period_misaligned", "", "")
