"""Small worlds of sessions and meetings, and the windows that upstream would answer for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np

from billing.facts import LIVE, DailyUsage, Kind, MeetingDay, MeetingDetail, Observation, key64
from billing.model import Basis, DailyReading, ProjectTerms, Tolerance
from billing.period import day_start, microseconds, next_day
from billing.tiers import KNOWN_PLANS

MINUTE = 60_000_000
MILLION = 1_000_000
PLAN = KNOWN_PLANS[0]
TERMS = ProjectTerms("100", Basis.PROJECT_LEVEL, True, PLAN, Tolerance())


@dataclass
class Meeting:
    """`people` are there and publish from `created` to `end` (microseconds), so that any split has one answer."""

    created: int
    end: int
    people: int
    id: str = "m"
    adjusted: int = 0
    live: bool = False

    @property
    def minutes(self) -> dict[str, int]:
        tier = next(tier for tier in PLAN if tier.holds(self.people))
        return {tier.field: self.inside(self.created, self.end) + self.adjusted} if self.people else {}

    def inside(self, start: int, end: int) -> int:
        return max(0, min(end, self.end) - max(start, self.created)) * self.people // 60

    def detail(self, session: str) -> MeetingDetail:
        there = [(self.created, self.end)] * self.people
        publishing = [(who, self.created, self.end) for who in range(self.people)]
        return MeetingDetail(key64(session), key64(self.id), self.created, there, publishing)


@dataclass
class Room:
    """A session, its meetings, and what its statement holds beyond them."""

    id: str
    meetings: list[Meeting]
    excess: dict[str, int] = field(default_factory=dict)


def instant(day: date, hours: float = 0) -> int:
    return microseconds(day_start(day) + timedelta(hours=hours))


def observation(kind: Kind, day: date, hours: float, *, complete: bool = True) -> Observation:
    """Observed so many hours after the day ended."""
    at = day_start(next_day(day)) + timedelta(hours=hours)
    return Observation(
        f"{kind}-{day}-{hours}", "100", kind, day, at, "0" * 64, 1, complete, "" if complete else "meetings still live"
    )


def reading(day: date, tiers: dict[str, int] | None, hours: float = 72) -> DailyReading:
    return DailyReading(
        observation(Kind.DAILY_USAGE, day, hours), None if tiers is None else DailyUsage(dict.fromkeys(PLAN.fields, 0) | tiers)
    )


def window(rooms: Sequence[Room], day: date, hours: float = 5, *, complete: bool = True) -> tuple[Observation, MeetingDay]:
    """What upstream answers for the sessions with a meeting created on `day`."""
    start, end = instant(day), instant(next_day(day))
    listed = [room for room in rooms if any(start <= meeting.created < end for meeting in room.meetings)]
    listed.sort(key=lambda room: key64(room.id))
    rows = [(room, meeting) for room in listed for meeting in room.meetings]

    def column(field: str) -> np.ndarray:
        return np.array([meeting.minutes.get(field, 0) for _, meeting in rows], np.int64)

    def total(room: Room, field: str) -> int:
        return sum(meeting.minutes.get(field, 0) for meeting in room.meetings) + room.excess.get(field, 0)

    fields = sorted({*PLAN.fields, *(field for room in rooms for field in room.excess)})
    return observation(Kind.MEETINGS, day, hours, complete=complete), MeetingDay(
        sessions=np.array([key64(room.id) for room in listed], np.int64),
        session_ids=[room.id for room in listed],
        statements={field: np.array([total(room, field) for room in listed], np.int64) for field in fields},
        meeting_sessions=np.array([key64(room.id) for room, _ in rows], np.int64),
        meeting_keys=np.array([key64(meeting.id) for _, meeting in rows], np.int64),
        created=np.array([meeting.created for _, meeting in rows], np.int64),
        destroyed=np.array([LIVE if meeting.live else meeting.end for _, meeting in rows], np.int64),
        max_connections=np.array([meeting.people for _, meeting in rows], np.int64),
        minutes={field: column(field) for field in fields},
    )


def as_of(day: date, hours: float = 100) -> datetime:
    return day_start(next_day(day)) + timedelta(hours=hours)
