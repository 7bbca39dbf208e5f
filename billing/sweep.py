"""Who was there, and how many published: the vendor's way of counting, instant by instant.

Each instant is looked at by itself: all connected participants count, in the tier of the number of connections that
publish then; several streams of one connection are one publisher; nothing counts while nobody publishes
(the vendor's Participant Pricing Model).
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Segment:
    """A stretch `[start, end)`, in microseconds since the epoch, during which nobody came, left, began or ended."""

    start: int
    end: int
    participants: int
    publishers: int


def sweep(connections: Iterable[tuple[int, int]], publishing: Iterable[tuple[T, int, int]]) -> list[Segment]:
    """The segments of a meeting, in order of time, without the stretches when nobody was connected.

    `connections` are half-open intervals; `publishing` are `(connection, start, end)`, where the intervals of one
    connection may overlap.

    >>> minute = 60_000_000
    >>> talk = sweep([(5*minute, 15*minute), (10*minute, 30*minute), (10*minute, 25*minute)],
    ...              [(1, 5*minute, 15*minute), (2, 10*minute, 30*minute), (3, 10*minute, 25*minute)])
    >>> sum((s.end - s.start) * s.participants for s in talk if s.publishers) // minute
    45
    """
    events: list[tuple[int, int, T | None]] = []
    for start, end in connections:
        if start < end:
            events += [(start, 1, None), (end, -1, None)]
    for who, start, end in publishing:
        if start < end:
            events += [(start, 1, who), (end, -1, who)]
    events.sort(key=lambda event: event[0])
    segments: list[Segment] = []
    participants, streams, previous = 0, Counter[T](), 0
    for instant, change, connection in events:
        if instant > previous:
            if participants:
                segments.append(Segment(previous, instant, participants, len(streams)))
            previous = instant
        if connection is None:
            participants += change
        else:
            streams[connection] += change
            if not streams[connection]:
                del streams[connection]
    return segments
