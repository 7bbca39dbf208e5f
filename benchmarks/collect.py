"""Collecting: recorded pages of 200,000 meetings made into a payload, beside what others make of the same bytes.

Each way runs in a process of its own, because only that has a peak of memory of its own. Pages are made from a seed, one at a
time and outside of the measured time, as they would come from the network.
"""

import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measure import contender, peak_mb
from billing.tiers import KNOWN_FIELDS, Tier

MEETINGS = 200_000
SESSIONS_PER_PAGE, MEETINGS_PER_SESSION = 500, 4
FIRST_INSTANT = 1_790_838_000  # 2026-10-01T07:00:00Z


def pages(meetings: int, seed: int = 1) -> Iterator[bytes]:
    """Answers to `sessionSummaries` with so many meetings in all, as upstream would write them."""
    rng = random.Random(seed)
    sessions = meetings // MEETINGS_PER_SESSION
    for start in range(0, sessions, SESSIONS_PER_PAGE):
        end = min(start + SESSIONS_PER_PAGE, sessions)
        page_info = {"hasNextPage": end < sessions, "endCursor": f"c2Vzc2lvbjo{end}" if end < sessions else None}
        listed = {"pageInfo": page_info, "totalCount": sessions, "resources": [_session(rng) for _ in range(start, end)]}
        yield msgspec.json.encode({"data": {"project": {"sessionData": {"sessionSummaries": listed}}}})


def _session(rng: random.Random) -> dict[str, Any]:
    found = [_meeting(rng) for _ in range(MEETINGS_PER_SESSION)]
    return {
        "sessionId": f"1_MX4xMDB-fn4{rng.getrandbits(240):060x}-fg",
        "mediaMode": "routed",
        "publisherMinutes": sum(meeting["publisherMinutes"] for meeting in found),
        "subscriberMinutes": sum(meeting["subscriberMinutes"] for meeting in found),
        "participantMinutes": {tier: sum(meeting["participantMinutes"][tier] for meeting in found) for tier in KNOWN_FIELDS},
        "meetings": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "totalCount": len(found), "resources": found},
    }


def _meeting(rng: random.Random) -> dict[str, Any]:
    start, length = FIRST_INSTANT + rng.randrange(86_400), rng.randrange(60, 5_400)
    publishers, milliseconds = rng.choices((1, 2, 4, 8, 20), (30, 50, 12, 6, 2))[0], rng.randrange(1000)
    participants = publishers + rng.randrange(3)
    person = f"{rng.getrandbits(128):032x}"
    return {
        "meetingId": f"{person[:8]}-{person[8:12]}-{person[12:16]}-{person[16:20]}-{person[20:]}",
        "createdAt": f"{_iso(start)}.{milliseconds:03d}Z",
        "destroyedAt": f"{_iso(start + length)}.{milliseconds:03d}Z",
        "maxConcurrentConnections": participants,
        "publisherMinutes": publishers * length / 60,
        "subscriberMinutes": publishers * (participants - 1) * length / 60,
        "participantMinutes": {tier: participants * length / 60 if tier in _fields(publishers) else 0 for tier in KNOWN_FIELDS},
    }


@cache
def _fields(publishers: int) -> frozenset[str]:
    return frozenset(tier for tier in KNOWN_FIELDS if Tier.parse(tier).holds(publishers))


def _iso(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


# --- the ways: each takes a page, and gives what `finish` returns ---


def reckoner() -> tuple[Callable[[bytes], object], Callable[[], int]]:
    """What the product does: decode, check, turn into integer columns, sort, hash, write Parquet."""
    # An installation has no pandas; here, where tests bring it, pyarrow would load it without using it: 40 MB and 0.2 s.
    sys.meta_path.insert(0, _NoPandas())
    from app.insights import wire
    from app.store.payloads import MeetingsBuilder

    builder = MeetingsBuilder(KNOWN_FIELDS)
    return (
        lambda body: builder.add_page(wire.summaries(body, KNOWN_FIELDS).columns),
        lambda: len(builder.finish().content),
    )


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ImportError(name)


def typed_msgspec() -> tuple[Callable[[bytes], object], Callable[[], int]]:
    """The floor: the same bytes into the same typed objects, which are then dropped."""
    from app.insights import wire

    decoder = msgspec.json.Decoder(wire.summaries_type(KNOWN_FIELDS))
    return decoder.decode, lambda: 0


def untyped_msgspec() -> tuple[Callable[[bytes], object], Callable[[], int]]:
    """The same bytes into dicts and lists by `msgspec.json.decode`, which are then dropped."""
    return msgspec.json.decode, lambda: 0


def orm_rows() -> tuple[Callable[[bytes], object], Callable[[], int]]:
    """The usual way: the standard library's JSON, as httpx decodes it, into rows of SQLModel objects in SQLite."""
    from sqlmodel import Field, Session, SQLModel, create_engine

    names = {"session_id": (str, Field(primary_key=True)), "meeting_id": (str, Field(primary_key=True))}
    names |= {"created_at": (datetime, Field(primary_key=True)), "destroyed_at": (datetime, ...), "max_connections": (int, ...)}
    names |= dict.fromkeys(("publisher_minutes", "subscriber_minutes", *KNOWN_FIELDS), (float, ...))
    row = type(
        "Row",
        (SQLModel,),
        {"__annotations__": {k: v[0] for k, v in names.items()}} | {k: v[1] for k, v in names.items() if v[1] is not ...},
        table=True,
    )
    path = Path(tempfile.mkdtemp()) / "rows.db"
    engine = create_engine(f"sqlite:///{path}")
    SQLModel.metadata.create_all(engine)

    def add(body: bytes) -> None:
        with Session(engine) as session:
            for found in json.loads(body)["data"]["project"]["sessionData"]["sessionSummaries"]["resources"]:
                for meeting in found["meetings"]["resources"]:
                    session.add(
                        row(
                            session_id=found["sessionId"],
                            meeting_id=meeting["meetingId"],
                            created_at=datetime.fromisoformat(meeting["createdAt"]),
                            destroyed_at=datetime.fromisoformat(meeting["destroyedAt"]),
                            max_connections=meeting["maxConcurrentConnections"],
                            publisher_minutes=meeting["publisherMinutes"],
                            subscriber_minutes=meeting["subscriberMinutes"],
                            **meeting["participantMinutes"],
                        )
                    )
            session.commit()

    return add, lambda: path.stat().st_size


PRODUCT, TYPED, UNTYPED, ROWS = (
    "Reckoner: decode to payload",
    "msgspec decode alone, typed",
    "msgspec decode alone, untyped",
    "json, SQLModel rows in SQLite",
)
WAYS: dict[str, Callable[[], tuple[Callable[[bytes], object], Callable[[], int]]]] = {
    PRODUCT: reckoner,
    TYPED: typed_msgspec,
    UNTYPED: untyped_msgspec,
    ROWS: orm_rows,
}


def measure(way: str, meetings: int) -> dict[str, Any]:
    """Run one way in this process. Seconds are the process's own (CPU), so that a busy machine does not blur the ratios."""
    add, finish = WAYS[way]()
    wall = cpu = 0.0
    read = 0
    for body in pages(meetings):
        read += len(body)
        gc.collect()
        before, before_cpu = time.perf_counter(), time.process_time()
        add(body)
        wall, cpu = wall + time.perf_counter() - before, cpu + time.process_time() - before_cpu
    before, before_cpu = time.perf_counter(), time.process_time()
    stored = finish()
    wall, cpu = wall + time.perf_counter() - before, cpu + time.process_time() - before_cpu
    return {"way": way, "meetings": meetings, "wall": wall, "cpu": cpu, "peak_mb": peak_mb(), "read": read, "stored": stored}


def rows(meetings: int = MEETINGS) -> list[dict[str, Any]]:
    """One row for each way, each measured in a process of its own.

    `ratio` compares its CPU time a meeting with that of the floor: `msgspec.json.decode` of the same bytes and nothing more.
    """
    plan = [(way, meetings if way != ROWS else meetings // 10) for way in WAYS]
    plan.append((PRODUCT, meetings * 5))
    measured = [contender("benchmarks.collect", way, str(size)) for way, size in plan]
    floors = {row["way"]: row["cpu"] / row["meetings"] for row in measured}
    return [
        {
            "benchmark": f"collect {row['meetings']:,} meetings",
            "contender": row["way"],
            "seconds": row["wall"],
            "ratio": row["cpu"] / row["meetings"] / floors[UNTYPED],
            "peak_mb": row["peak_mb"],
            "notes": {
                "meetings per second": round(row["meetings"] / row["wall"]),
                "CPU seconds": round(row["cpu"], 2),
                "times the typed decoding": round(row["cpu"] / row["meetings"] / floors[TYPED], 2),
                "bytes stored a meeting": round(row["stored"] / row["meetings"]),
            },
        }
        for row in measured
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        for line in rows():
            print(line)
