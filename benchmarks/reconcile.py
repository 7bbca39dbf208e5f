"""Reconciling a month of 1,000,000 meetings from stored payloads, beside a bare scan of the same columns, pandas and SQL.

Every contender starts from what is stored: the payloads, or for SQL the same rows in an indexed SQLite table. Pandas and SQL do
the plain part only (each meeting once, minutes by day and tier); Reckoner does the whole report.
"""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.store.payloads import MeetingPage, decode_meetings, encode_meetings
from benchmarks.measure import contender, timed
from billing import report
from billing.facts import DailyUsage, Kind, Observation
from billing.model import Basis, DailyReading, Evidence, ProjectTerms, Tolerance
from billing.period import day_start, microseconds, next_day, resolve
from billing.reconcile import reconcile
from billing.tiers import KNOWN_FIELDS, KNOWN_PLANS, Tier

MONTH = resolve({"month": "2026-10"})
DAYS = [MONTH.period.first_day - timedelta(days=1), *MONTH.period.days]
MEETINGS, ROOMS = 1_000_000, 200
PLAN = KNOWN_PLANS[0]
COLUMNS = ["session_key", "meeting_key", "created", "destroyed", *PLAN.fields]
SCANNED = ["session_key", "meeting_key", "created", "destroyed", "max_connections", *KNOWN_FIELDS]
SECOND = 1_000_000


def make(folder: Path) -> None:
    """A believable month as payloads, one a day: single sessions in business hours, and rooms used twice or more a day."""
    random = np.random.default_rng(2026)
    rooms: dict[str, list[tuple[str, int, int, int]]] = {f"1_MX4xMDB-room-{index:05d}": [] for index in range(ROOMS)}
    for day in DAYS:
        for name, meetings in rooms.items():
            for _ in range(int(random.integers(1, 4))):
                meetings.append((f"{name}-{len(meetings)}", *_hours(random, day), int(random.integers(2, 9))))
        singles = [
            (f"1_MX4xMDB-{random.bytes(20).hex()}", random.bytes(16).hex(), *_hours(random, day), int(random.integers(1, 12)))
            for _ in range(MEETINGS // 31 - 2 * ROOMS)
        ]
        (folder / f"{day}.payload").write_bytes(encode_meetings(KNOWN_FIELDS, [_page(day, singles, rooms)]).content)


def _hours(random: np.random.Generator, day: date) -> tuple[int, int]:
    opening = microseconds(day_start(day))
    created = opening + int(np.clip(random.normal(12.5, 3.2), 0, 22.9) * 3600) * SECOND
    return created, created + int(random.gamma(2, 900) + 6) * SECOND


def _page(day: date, singles: Sequence[Any], rooms: dict[str, list[Any]]) -> MeetingPage:
    """One page that holds the day: rooms are listed with all that upstream still keeps of them."""
    kept = microseconds(day_start(day) - timedelta(days=21))
    listed = [(name, [meeting]) for name, *meeting in singles]
    listed += [(name, [it for it in meetings if it[1] >= kept]) for name, meetings in rooms.items()]
    rows = [meeting for _, meetings in listed for meeting in meetings]
    created, destroyed, people = (np.array([row[index] for row in rows], np.int64) for index in (1, 2, 3))
    minutes = (destroyed - created) // 60 * people
    filled = np.stack([np.where((people >= low) & (people <= high), minutes, 0) for low, high in _ranges()])
    counts = np.array([len(meetings) for _, meetings in listed], np.int64)
    stated = np.add.reduceat(np.vstack([minutes, minutes, filled]), np.cumsum(counts) - counts, axis=1)
    return MeetingPage(
        session_ids=[name for name, _ in listed],
        media_modes=["routed"] * len(listed),
        statements=stated,
        meeting_counts=counts,
        meeting_ids=[row[0] for row in rows],
        meetings=np.vstack([created, destroyed, people, minutes, minutes, filled]),
    )


def _ranges() -> Iterator[tuple[int, int]]:
    for field in KNOWN_FIELDS:
        tier = Tier.parse(field)
        yield tier.low, tier.high or 1 << 30


def ours(folder: Path) -> dict[str, Any]:
    """The report, from the payloads to its bytes."""
    as_of = day_start(DAYS[-1]) + timedelta(days=5)
    terms = ProjectTerms("100", Basis.PROJECT_LEVEL, True, PLAN, Tolerance())
    daily = [
        DailyReading(
            Observation(f"d{day}", "100", Kind.DAILY_USAGE, day, as_of, "", 1, True), DailyUsage(dict.fromkeys(PLAN.fields, 0))
        )
        for day in MONTH.period.days
    ]

    def windows() -> Iterator[tuple[Observation, Any]]:
        for day in DAYS:
            observed = day_start(next_day(day)) + timedelta(hours=9)
            observation = Observation(f"m{day}", "100", Kind.MEETINGS, day, observed, "", 1, True)
            read = (folder / f"{day}.payload").read_bytes
            yield observation, decode_meetings(read(), again=read)

    def work() -> dict[str, Any]:
        answer = reconcile(MONTH, terms, Evidence(daily, windows(), [], [], as_of))
        report.build(answer)
        return {"minutes": sum(answer.totals["meeting_level"]), "discrepancies": len(answer.discrepancies)}

    return timed(work)


def scan(folder: Path) -> dict[str, Any]:
    """The floor: read the same columns of the same payloads and add each up."""

    def work() -> int:
        total = 0
        for day in DAYS:
            total += sum(int(column.to_numpy().sum()) for column in _stored(folder, day, SCANNED).columns)
        return total

    return timed(work)


def _stored(folder: Path, day: date, columns: Sequence[str]) -> pa.Table:
    content = (folder / f"{day}.payload").read_bytes()
    return pq.read_table(pa.BufferReader(content), columns=columns, use_threads=False)


def pandas(folder: Path) -> dict[str, Any]:
    """Each meeting once and its minutes by day and tier, with pandas from the same payloads."""
    import pandas as pd

    def work() -> int:
        frame = pd.concat([_stored(folder, day, COLUMNS).to_pandas() for day in DAYS])
        frame = frame[frame["created"] > 0].drop_duplicates(["session_key", "meeting_key", "created"], keep="last")
        when = pd.to_datetime(frame["created"], unit="us", utc=True).dt.tz_convert("America/Los_Angeles").dt.date
        return int(frame.groupby(when)[list(PLAN.fields)].sum().to_numpy().sum())

    return timed(work)


def sql(folder: Path) -> dict[str, Any]:
    """Each meeting once and its minutes by day and tier, in SQL over rows in SQLite with the index that it wants."""
    rows = sqlite3.connect(folder / "rows.db")
    rows.execute(f"CREATE TABLE meetings (day, {', '.join(f'{name} INTEGER' for name in COLUMNS)})")
    for day in DAYS:
        columns = [column.to_pylist() for column in _stored(folder, day, COLUMNS).columns]
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        rows.executemany(
            f"INSERT INTO meetings VALUES ({marks})", ((str(day), *row) for row in zip(*columns, strict=True) if row[2])
        )
    rows.execute("CREATE INDEX identity ON meetings (session_key, meeting_key, created, day)")
    rows.execute("CREATE TABLE days (name, start INTEGER, stop INTEGER)")
    bounds = [(str(day), microseconds(day_start(day)), microseconds(day_start(next_day(day)))) for day in MONTH.period.days]
    rows.executemany("INSERT INTO days VALUES (?, ?, ?)", bounds)
    rows.commit()
    sums = ", ".join(f"sum({field})" for field in PLAN.fields)

    def work() -> int:
        found = rows.execute(
            f"""SELECT name, {sums} FROM days JOIN (
                    SELECT *, max(day) FROM meetings GROUP BY session_key, meeting_key, created
                ) ON created >= start AND created < stop GROUP BY name"""
        )
        return sum(sum(row[1:]) for row in found)

    return timed(work, repeat=1)


CONTENDERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "Reckoner: payloads to report": ours,
    "bare scan of the same columns": scan,
    "pandas: minutes by day": pandas,
    "SQLite rows: minutes by day": sql,
}


def rows() -> list[dict[str, Any]]:
    """One row for each contender; `ratio` compares its seconds with the bare scan's."""
    with tempfile.TemporaryDirectory() as folder:
        contender("benchmarks.reconcile", "make", folder)
        took = {name: contender("benchmarks.reconcile", name, folder) for name in CONTENDERS}
    floor = took["bare scan of the same columns"]["seconds"]
    return [
        {
            "benchmark": "reconcile a month of 1,000,000 meetings",
            "contender": name,
            "seconds": it["seconds"],
            "ratio": it["seconds"] / floor,
            "peak_mb": it["peak_mb"],
        }
        for name, it in took.items()
    ]


if __name__ == "__main__":
    name, where = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(make(where) if name == "make" else CONTENDERS[name](where)))
