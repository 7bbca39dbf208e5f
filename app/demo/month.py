"""The month of the demonstration: a generated company, and in it what the report must find."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app.sandbox.generator import generate
from billing.discrepancy import Code
from billing.period import BillingPeriod, day_start, month, next_day

PERIOD = month("2026-10")
DAYS = BillingPeriod(date(2026, 9, 28), date(2026, 11, 2))
"""The company is alive some days before and after the month, so that its calls and rooms reach over both ends."""
SEED = 2026
PROJECT = "100"

DROPPED, SHIFTED, RESTATED = date(2026, 10, 7), date(2026, 10, 21), date(2026, 10, 5)
RESTATED_AT = datetime(2026, 10, 26, 10, tzinfo=UTC)
CLASSROOM, ALL_HANDS = "1_MX4xMDB-classroom", "1_MX4xMDB-all-hands-at-midnight"
TERM = date(2026, 9, 14)
"""The first day of lessons: upstream still knows of it when the month's first day is collected."""


@dataclass(frozen=True)
class Planted:
    """A fault, and the finding that it must become: its code and its day or session, and where it is known, its minutes."""

    words: str
    code: Code
    subject: str
    minutes: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Month:
    """What the sandbox serves, what is planted in it, and which sessions really have minutes outside the period."""

    dataset: Mapping[str, Any]
    planted: list[Planted] = field(default_factory=list)

    @property
    def reaching_out(self) -> frozenset[str]:
        """The sessions that somebody was connected to before or after the period."""
        start, end = _text(PERIOD.start), _text(PERIOD.end)
        return frozenset(
            session["session_id"]
            for session in self.dataset["sessions"]
            if any(it["created_at"] < start or it["destroyed_at"] > end for it in session["connections"])
        )


def planted_month(scale: float) -> Month:
    """The month at about 300 × `scale` sessions a working day."""
    dataset = generate(SEED, DAYS.first_day, len(DAYS), scale, PROJECT)
    lessons = max(1, round(8 * scale))
    classroom, lessons_outside = _classroom(lessons)
    all_hands, all_hands_after = _all_hands()
    dataset["sessions"] += [classroom, all_hands]
    minute, small, team, crowd = 1_000_000, "from1To2Publishers", "from3To6Publishers", "from36PlusPublishers"
    dataset["faults"] = [
        {"kind": "project_day_dropped", "day": str(DROPPED)},
        {"kind": "tier_shifted", "day": str(SHIFTED), "from": team, "to": small, "minutes": "90"},
        {"kind": "restated", "day": str(RESTATED), "tier": small, "minutes": "137.5", "at": _text(RESTATED_AT)},
    ]
    for fault in dataset["faults"]:
        fault["project_id"] = PROJECT
    return Month(
        dataset,
        [
            Planted(f"Upstream drops {DROPPED} from its daily usage.", Code.PROJECT_DAY_MISSING, str(DROPPED)),
            Planted(
                f"On {SHIFTED}, upstream's daily usage has 90 minutes of tier 3-6 in tier 1-2.",
                Code.TIER_SHIFT,
                str(SHIFTED),
                {small: 90 * minute, team: -90 * minute},
            ),
            Planted(
                f"Upstream adds 137.5 minutes to {RESTATED} three weeks later, when the day has long been final.",
                Code.RESTATED,
                str(RESTATED),
                {small: 137 * minute + minute // 2},
            ),
            Planted(
                f"One room holds every lesson of a school, {lessons} a day since {TERM}, in and after the month too.",
                Code.SESSION_REUSE_SPILLOVER,
                CLASSROOM,
                {team: lessons_outside * minute},
            ),
            Planted(
                "An all-hands of 40 begins on the month's last evening and ends after midnight.",
                Code.BOUNDARY_STRADDLE,
                ALL_HANDS,
                {crowd: all_hands_after * minute},
            ),
        ],
    )


def _classroom(lessons: int) -> tuple[dict[str, Any], int]:
    """Six people, 40 minutes, so many times a day; and the minutes outside the period that are known when it is reconciled."""
    days = BillingPeriod(TERM, DAYS.last_day).days
    connections = [
        _publisher(f"lesson-{day}-{lesson}-{seat}", day_start(day) + timedelta(hours=9 + lesson), minutes=40)
        for day in days
        for lesson in range(lessons)
        for seat in range(6)
    ]
    # The last collection is of 1 November: what upstream then states of the room holds that day, but not the next.
    outside = sum(day not in PERIOD and day <= next_day(PERIOD.last_day) for day in days)
    return _session(CLASSROOM, connections), outside * lessons * 6 * 40


def _all_hands() -> tuple[dict[str, Any], int]:
    """Forty people from 23:15 to 00:45; and their minutes after midnight."""
    start = PERIOD.end - timedelta(minutes=45)
    return _session(ALL_HANDS, [_publisher(f"hand-{number}", start, minutes=90) for number in range(40)]), 40 * 45


def _session(session_id: str, connections: list[dict[str, Any]]) -> dict[str, Any]:
    return {"project_id": PROJECT, "session_id": session_id, "connections": connections}


def _publisher(name: str, start: datetime, *, minutes: int) -> dict[str, Any]:
    during = {"created_at": _text(start), "destroyed_at": _text(start + timedelta(minutes=minutes))}
    return {"connection_id": name, **during, "streams": [{"stream_id": f"{name}-camera", **during}]}


def _text(instant: datetime) -> str:
    """As the generator writes instants, so that they sort as text."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def nights() -> Iterator[tuple[date, datetime]]:
    """Each day to collect, and when: half an hour after it ended, between upstream's hours of maintenance.

    The day after the month is among them: its night is the first to know how the calls over the month's end went on.
    """
    for day in (*PERIOD.days, next_day(PERIOD.last_day)):
        yield day, day_start(next_day(day)) + timedelta(minutes=30)
