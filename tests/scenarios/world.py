"""What upstream ought to say of a dataset at any instant, worked out by brute force.

Nothing here comes from `billing` or the sandbox: the sweep, the 10-minute rule's meetings, the Pacific midnights and the tiers
are done again in the plainest way, so that a mistake there is not repeated here. Instants are integers of milliseconds since
the epoch, minutes Fractions of micro-minutes until they are stated, as upstream states them, to the micro-minute.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

TIERS: dict[str, tuple[int, float]] = {
    "from1To2Publishers": (1, 2),
    "from3To6Publishers": (3, 6),
    "from7To8Publishers": (7, 8),
    "from1To4Publishers": (1, 4),
    "from5To8Publishers": (5, 8),
    "from1To8Publishers": (1, 8),
    "from1To10Publishers": (1, 10),
    "from9To10Publishers": (9, 10),
    "from11To35Publishers": (11, 35),
    "from11To20Publishers": (11, 20),
    "from36PlusPublishers": (36, inf),
    "from21To35Publishers": (21, 35),
    "from36To40Publishers": (36, 40),
    "from41PlusPublishers": (41, inf),
    "from1To25Publishers": (1, 25),
    "from3To25Publishers": (3, 25),
    "from26To35Publishers": (26, 35),
}

Histogram = Counter[int]
"""Micro-minutes of participants (Fractions), by how many published meanwhile."""
Minutes = dict[str, int]
"""Stated micro-minutes by tier field."""


def instant(text: str) -> int:
    """Milliseconds since the epoch of an ISO-8601 instant."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


def midnight(day: date) -> int:
    """The first instant of a Pacific day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp()) * 1000


def after(day: date) -> date:
    return day + timedelta(days=1)


def day_of(moment: int) -> date:
    return datetime.fromtimestamp(moment // 1000, PACIFIC).date()


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


@dataclass
class Meeting:
    """A stretch during which a session was never empty; `ended` is None while it goes on."""

    created: int
    ended: int | None
    by_day: dict[date, Histogram] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def histogram(self) -> Histogram:
        return sum(self.by_day.values(), Counter())


@dataclass
class Said:
    """What upstream says of one meeting, and who was there to split it by."""

    created: int
    ended: int | None
    minutes: Minutes
    by_day: dict[date, Histogram]
    first_answer: Minutes | None = None
    """What a conflicting answer in the same listing said first."""


@dataclass
class Statement:
    """What upstream says of one session: its total, and the meetings it lists."""

    total: Minutes
    meetings: list[Said]


def meetings_of(session: dict[str, Any], now: int) -> list[Meeting]:
    """The meetings of a session as they stand at `now`, by looking at each stretch between two changes by itself."""
    connections = [
        (instant(it["created_at"]), _end(it), [(instant(s["created_at"]), _end(s)) for s in it["streams"]])
        for it in session["connections"]
    ]
    going_on = any(start < now < end for start, end, _ in connections)
    moments = {now} if going_on else set[int]()
    for start, end, streams in connections:
        moments |= {start, end, *(edge for stream in streams for edge in stream)}
    cuts = sorted(moment for moment in moments if moment <= now)
    found: list[Meeting] = []
    for low, high in pairwise(_with_midnights(cuts)):
        present = [streams for start, end, streams in connections if start <= low and high <= end]
        if not present:
            continue
        if not found or found[-1].ended != low:
            found.append(Meeting(low, low))
        found[-1].ended = high
        publishing = sum(any(start <= low and high <= end for start, end in streams) for streams in present)
        if publishing:
            found[-1].by_day[day_of(low)][publishing] += micro((high - low) * len(present))
    if going_on:
        found[-1].ended = None
    return found


def _end(thing: dict[str, Any]) -> int:
    return instant(thing["destroyed_at"]) if thing["destroyed_at"] else 10**15


def _with_midnights(cuts: list[int]) -> list[int]:
    if not cuts:
        return []
    inside = (midnight(day) for day in days(day_of(cuts[0]), day_of(cuts[-1])))
    return sorted({*cuts, *(it for it in inside if cuts[0] < it < cuts[-1])})


def micro(milliseconds: int) -> Fraction:
    """Micro-minutes of so many milliseconds."""
    return Fraction(milliseconds * 1_000_000, MINUTE)


def in_tier(histogram: Histogram, name: str) -> Fraction:
    low, high = TIERS[name]
    return sum((minutes for count, minutes in histogram.items() if low <= count <= high), Fraction(0))


@dataclass
class World:
    """One project of a dataset, as upstream would answer for it."""

    dataset: dict[str, Any]
    project_id: str

    def __post_init__(self) -> None:
        self.project = next(it for it in self.dataset["projects"] if it["id"] == self.project_id)
        self.sessions = [it for it in self.dataset["sessions"] if it["project_id"] == self.project_id]
        self.faults = [it for it in self.dataset.get("faults", []) if it["project_id"] == self.project_id]
        self._ends = [max(_end(it) for it in session["connections"]) for session in self.sessions]
        self._known: dict[tuple[int, int], list[Meeting]] = {}

    def meetings(self, now: int) -> Iterator[tuple[str, list[Meeting]]]:
        """Each session's meetings as they stand at `now`."""
        for index, session in enumerate(self.sessions):
            key = (index, min(now, self._ends[index] + 1))
            if key not in self._known:
                self._known[key] = meetings_of(session, key[1])
            yield session["session_id"], self._known[key]

    def states(self, histogram: Histogram, alone: dict[str, Fraction]) -> Minutes:
        """The figures of all tier fields; those that the project does not fill are 0."""
        filled = self.project["tiers"]
        return {
            name: round(in_tier(histogram, name) + alone.get(name, 0)) if filled == "all" or name in filled else 0
            for name in TIERS
        }

    def daily(self, day: date, now: int) -> Minutes | None:
        """The project level of a day, or None where the answer leaves it out."""
        since = now - midnight(after(day))
        if since < 36 * HOUR or now - midnight(day) > 90 * DAY:
            return None
        if since < 48 * HOUR:
            raise ValueError(f"whether {day} is published yet is upstream's secret")
        histogram, alone = self.used(day), dict[str, Fraction]()
        for fault in (it for it in self.faults if it.get("day") == str(day)):
            match fault["kind"]:
                case "project_day_dropped":
                    return None
                case "project_day_adjusted":
                    change(histogram, alone, fault)
                case "tier_shifted":
                    change(histogram, alone, fault, tier=fault["from"], sign=-1)
                    change(histogram, alone, fault, tier=fault["to"])
                case "restated" if now >= instant(fault["at"]):
                    change(histogram, alone, fault)
        return self.states(histogram, alone) if sum(histogram.values()) or alone else None

    def used(self, day: date) -> Histogram:
        """What all sessions used on a day."""
        return sum((it.by_day.get(day, Counter()) for _, found in self.meetings(10**15) for it in found), Counter())

    def window(self, day: date, now: int) -> dict[str, Statement]:
        """The session level of a day: the sessions with a meeting created on it, and all that is told of each."""
        answer = {}
        for session_id, found in self.meetings(now - 5 * MINUTE):
            statement, hidden = self._state(session_id, [it for it in found if it.created >= now - 21 * DAY])
            statement.meetings = [it for it in statement.meetings if it.created not in hidden]
            if any(day_of(it.created) == day for it in statement.meetings):
                answer[session_id] = statement
        return answer

    def _state(self, session_id: str, found: list[Meeting]) -> tuple[Statement, set[int]]:
        """What is said of a session and its meetings, and which of them are hidden from lists."""
        faults = [it for it in self.faults if it.get("session_id") == session_id]
        whole, whole_alone, hidden = Counter[int](), dict[str, Fraction](), set[int]()
        said = []
        for meeting in found:
            histogram, alone, first = meeting.histogram, dict[str, Fraction](), None
            about = [it for it in faults if "meeting_created_at" in it and instant(it["meeting_created_at"]) == meeting.created]
            for fault in about:
                if fault["kind"] == "meeting_adjusted":
                    change(histogram, alone, fault)
                elif fault["kind"] == "meeting_hidden":
                    hidden.add(meeting.created)
            whole.update(histogram)
            for name, minutes in alone.items():
                whole_alone[name] = whole_alone.get(name, Fraction(0)) + minutes
            for fault in (it for it in about if it["kind"] == "meeting_conflict"):
                first = self.states(histogram, alone)
                change(histogram, alone, fault)
            said.append(Said(meeting.created, meeting.ended, self.states(histogram, alone), meeting.by_day, first))
        for fault in (it for it in faults if it["kind"] == "session_total_adjusted"):
            change(whole, whole_alone, fault)
        return Statement(self.states(whole, whole_alone), said), hidden


def change(
    histogram: Histogram, alone: dict[str, Fraction], fault: dict[str, Any], tier: str | None = None, sign: int = 1
) -> None:
    """Plant a fault's minutes: coherently in the histogram, or in one field alone."""
    tier = tier or fault["tier"]
    minutes = sign * Fraction(str(fault["minutes"])) * 1_000_000
    if fault["alone"]:
        alone[tier] = alone.get(tier, Fraction(0)) + minutes
        return
    low, high = TIERS[tier]
    if minutes > 0:
        histogram[low] += minutes
    for count in sorted(histogram):
        if minutes < 0 and low <= count <= high:
            taken = min(histogram[count], -minutes)
            histogram[count] -= taken
            minutes += taken
    if minutes < 0:
        raise ValueError(f"{fault} takes away more than there is")
