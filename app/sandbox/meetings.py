"""What follows from who was connected and publishing when: the meetings of a session, and their figures.

All instants are microseconds since the epoch (UTC), all amounts of use participant or stream microseconds: whole numbers, so
that sums are exact whatever their order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from typing import NamedTuple

from app.sandbox.datafile import Connection, Session, Stream, instants
from app.sandbox.plausible import identifier
from billing import period
from billing.sweep import Segment, sweep
from billing.tiers import KNOWN_FIELDS, Tier

MINUTE = 60_000_000
HOUR = 60 * MINUTE
REJOIN = 10 * MINUTE
"""Whoever comes back sooner than this begins a new meeting with the same id (guide); exactly this much later, a new id."""

_TIERS = {name: Tier.parse(name) for name in KNOWN_FIELDS}


@cache
def _fields_of(publishers: int) -> tuple[str, ...]:
    """The tier fields that hold a number of publishing connections."""
    return tuple(name for name, tier in _TIERS.items() if tier.holds(publishers))


def day_of(instant: int) -> date:
    """The billing day that holds an instant in microseconds."""
    return _day_of_hour(instant // HOUR)


@cache
def _day_of_hour(hour: int) -> date:
    """Pacific midnights are on whole UTC hours, so a day is looked up by its hours: a time-zone call for each would be slow."""
    return period.day_of(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour))


@cache
def day_start(day: date) -> int:
    """The first instant of a billing day, in microseconds."""
    return period.microseconds(period.day_start(day))


def by_day(start: int, end: int) -> Iterator[tuple[date, int]]:
    """The billing days that `[start, end)` touches, each with how many of its microseconds."""
    while start < end:
        day = day_of(start)
        until = min(end, day_start(period.next_day(day)))
        yield day, until - start
        start = until


@dataclass
class Use:
    """Amounts of use, in microseconds.

    `participants` says by number of publishing connections for how long participants were there, so every overlapping tier
    follows from it; `alone` is what a fault adds to one tier field and to no other.
    """

    participants: Counter[int] = field(default_factory=Counter)
    published: int = 0
    subscribed: int = 0
    alone: Counter[str] = field(default_factory=Counter)

    @classmethod
    def sum(cls, uses: Iterable["Use"]) -> "Use":
        """What several uses come to together."""
        result = cls()
        for use in uses:
            result.add(use)
        return result

    def add(self, other: "Use") -> None:
        """Add other use to this."""
        for publishers, amount in other.participants.items():
            self.participants[publishers] += amount
        for tier, amount in other.alone.items():
            self.alone[tier] += amount
        self.published += other.published
        self.subscribed += other.subscribed

    def adjust(self, tier: str, amount: int, alone: bool = False) -> int:
        """Add an amount to a tier, or take it away where negative; returns how much of that was not there to be taken.

        Adding counts for the tier's lowest number of publishers; taking away takes from the numbers inside the tier that
        have minutes, lowest first. So every overlapping tier follows, unless `alone`.
        """
        if alone:
            taken = max(amount, -self.tiers()[tier])
            self.alone[tier] += taken
            return taken - amount
        if amount >= 0:
            self.participants[_TIERS[tier].low] += amount
            return 0
        missing = -amount
        for publishers in sorted(self.participants):
            if _TIERS[tier].holds(publishers):
                part = min(missing, self.participants[publishers])
                self.participants[publishers] -= part
                missing -= part
        return missing

    def tiers(self, filled: Iterable[str] = KNOWN_FIELDS) -> dict[str, int]:
        """The amount in every tier field; those that are not `filled` are 0 whoever was there."""
        amounts = dict.fromkeys(KNOWN_FIELDS, 0)
        for publishers, amount in self.participants.items():
            for name in _fields_of(publishers):
                amounts[name] += amount
        if filled is not KNOWN_FIELDS:
            amounts = {name: amount if name in filled else 0 for name, amount in amounts.items()}
        for name, amount in self.alone.items():
            amounts[name] += amount
        return amounts

    def __bool__(self) -> bool:
        return bool(self.published or self.subscribed or any(self.participants.values()) or any(self.alone.values()))


class Publication(NamedTuple):
    """One connection, by its index in the meeting, publishes a stream during `[start, end)`."""

    publisher: int
    stream: Stream
    start: int
    end: int


class Subscription(NamedTuple):
    """One connection, by its index in the meeting, receives another's stream during `[start, end)`."""

    subscriber: int
    publication: Publication
    start: int
    end: int


@dataclass(eq=False)
class Meeting:
    """One meeting: connections of a session between which there is no instant without any.

    Of a meeting that was `live` when last looked at, nothing after `destroyed` is known.
    """

    session: Session
    meeting_id: str
    connections: Sequence[Connection]
    created: int
    destroyed: int
    live: bool = False
    hidden: bool = False
    conflict: Use | None = None
    """A second, contradicting statement of the same meeting."""

    def known_at(self, as_of: int) -> "Meeting":
        """The meeting as known at an instant after its beginning; faults touch only a meeting that has ended."""
        if self.destroyed <= as_of:
            return self
        return Meeting(self.session, self.meeting_id, self.connections, self.created, as_of, live=True, hidden=self.hidden)

    @cached_property
    def use(self) -> Use:
        """What the meeting states. A fault may change it; its session's total follows, the project's days do not."""
        return self._use_within(self.created, self.destroyed)

    @property
    def use_by_day(self) -> Iterator[tuple[date, Use]]:
        """What the sweep gives for each billing day that the meeting touches."""
        for day, _ in by_day(self.created, self.destroyed):
            yield day, self._use_within(day_start(day), day_start(period.next_day(day)))

    def _use_within(self, start: int, end: int) -> Use:
        use = Use()
        for segment in self._segments:
            length = min(segment.end, end) - max(segment.start, start)
            if segment.publishers and length > 0:
                use.participants[segment.publishers] += length * segment.participants
        use.published = sum(max(0, min(p.end, end) - max(p.start, start)) for p in self.publications)
        use.subscribed = sum(max(0, min(s.end, end) - max(s.start, start)) for s in self.subscriptions)
        return use

    @cached_property
    def _segments(self) -> list[Segment]:
        return sweep(self.intervals, ((p.publisher, p.start, p.end) for p in self.publications))

    @cached_property
    def intervals(self) -> list[tuple[int, int]]:
        """The interval of each connection as known, in order; a connection yet to come has an empty one."""
        return self._known(instants(self.connections))

    @cached_property
    def publications(self) -> list[Publication]:
        """What was published, as known."""
        return [
            Publication(index, stream, start, end)
            for index, connection in enumerate(self.connections)
            for stream, (start, end) in zip(connection.streams, self._known(instants(connection.streams)), strict=True)
            if start < end
        ]

    @cached_property
    def subscriptions(self) -> list[Subscription]:
        """Who received what, as known: what a connection states, or else all the others' streams while it is there."""
        found = []
        for index, (connection, present) in enumerate(zip(self.connections, self.intervals, strict=True)):
            stated = connection.subscriptions
            times = None if stated is None else list(zip((s.stream_id for s in stated), instants(stated), strict=True))
            for publication in self.publications:
                if publication.publisher == index:
                    continue
                wanted = (
                    [present] if times is None else [during for name, during in times if name == publication.stream.stream_id]
                )
                for start, end in wanted:
                    if max(start, publication.start) < min(end, publication.end):
                        found.append(Subscription(index, publication, max(start, publication.start), min(end, publication.end)))
        return found

    def _known(self, intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(min(start, self.destroyed), min(end, self.destroyed)) for start, end in intervals]


def peak(intervals: Iterable[tuple[int, int]]) -> int:
    """How many half-open intervals hold the same instant, at most."""
    changes = sorted(change for start, end in intervals if start < end for change in ((start, 1), (end, -1)))
    most = current = 0
    for _, change in changes:
        current += change
        most = max(most, current)
    return most


def meetings_of(session: Session) -> list[Meeting]:
    """The meetings of a session by the 10-minute rule, in order.

    A meeting lasts while anybody is connected. Who comes back within 10 minutes begins a new meeting with the same id (guide).
    """
    meetings: list[Meeting] = []
    members: list[Connection] = []
    for connection in sorted(session.connections, key=lambda connection: connection.created_at):
        (created, destroyed), *_ = instants([connection])
        last = meetings[-1] if meetings else None
        if last and created <= last.destroyed:
            members.append(connection)
            last.destroyed = max(last.destroyed, destroyed)
            continue
        rejoined = last and created - last.destroyed < REJOIN
        members = [connection]
        meeting_id = last.meeting_id if last and rejoined else identifier(session.session_id, created)
        meetings.append(Meeting(session, meeting_id, members, created, destroyed))
    return meetings
