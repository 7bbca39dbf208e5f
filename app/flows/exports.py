"""Exports of a report: the canonical JSON as it is stored, and a flat CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = tuple("report_id version project_id first_day last_day section item day session_id tier minutes text".split())
"""The columns of the CSV, always all of them and in this order. `minutes` has six decimals and carries its sign."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def to_csv(body: bytes) -> bytes:
    """The report as CSV (UTF-8, CRLF): one row for each tier of each bridge step, day figure and discrepancy.

    `section` is `report`, `bridge`, `day` or `discrepancy`. A discrepancy of several days or sessions names them all in one
    cell, so that every minute stands in one row only. Text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    report = json.loads(body)
    period = report["period"]["aligned"]
    same = (report["id"], str(report["version"]), report["project_id"], period["first_day"], period["last_day"])
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for section, item, day, session, tier, minutes, text in _rows(report):
        texts = [_safe(cell) for cell in (*same, section, item, day, session, tier)]
        writer.writerow([*texts, minutes, _safe(text)])
    return out.getvalue().encode()


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str, str, str]]:
    yield "report", "verdict", "", "", "", "", report["verdict"]
    for line in report["bridge"]:
        for tier, minutes in line["minutes"].items():
            yield "bridge", line["step"], "", "", tier, minutes, ""
    for day in report["days"]:
        for level, status in (("project_level", "project_status"), ("meeting_level", "meeting_coverage"), ("difference", "")):
            for tier, minutes in (day[level] or {}).items():
                yield "day", level, day["day"], "", tier, minutes, day.get(status, "")
    for found in report["discrepancies"]:
        days, sessions = " ".join(found["days"]), " ".join(found["sessions"])
        for tier, minutes in (found["minutes"] or {"": ""}).items():
            yield "discrepancy", found["code"], days, sessions, tier, minutes, found["summary"]


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
