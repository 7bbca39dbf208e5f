"""A small believable company: who was connected and publishing when, drawn from a seed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from tests.scenarios.world import DAY, HOUR, MINUTE, after, days, meetings_of, midnight

Interval = tuple[int, int]


def text(moment: int) -> str:
    """An instant as datasets write it."""
    return datetime.fromtimestamp(moment // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{moment % 1000:03d}Z"


@dataclass
class Company:
    """Draws sessions around a period. Instants are multiples of `grain` ms: of 3, every figure is whole micro-minutes."""

    random: Random
    first: date
    last: date
    grain: int = 3
    sessions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> int:
        return midnight(self.first)

    @property
    def end(self) -> int:
        return midnight(after(self.last))

    def some(self, low: int, high: int) -> int:
        """A number of milliseconds."""
        return self.random.randrange(low, high + 1) // self.grain * self.grain

    def moment(self) -> int:
        """Some time in the period, or just outside of it."""
        return self.some(self.start - 6 * HOUR, self.end + 6 * HOUR)

    def add(self, project_id: str, *meetings: list[dict[str, Any]], relayed: bool = False) -> None:
        """One session of these connections, unless a meeting reaches into the period from too long ago to be known."""
        session = {
            "project_id": project_id,
            "session_id": f"1_MX4{project_id}-{self.random.getrandbits(32):08x}-{len(self.sessions)}",
            "media_mode": "relayed" if relayed else "routed",
            "connections": [connection for meeting in meetings for connection in meeting],
        }
        for number, connection in enumerate(session["connections"]):
            connection["connection_id"] = f"{session['session_id']}-c{number}"
            for index, stream in enumerate(connection["streams"]):
                stream["stream_id"] = f"{connection['connection_id']}-s{index}"
        reach = midnight(self.first - timedelta(days=1))
        if not any(it.created < reach and it.ended > self.start for it in meetings_of(session, 10**14) if it.ended):
            self.sessions.append(session)

    def connection(self, start: int, end: int, *streams: Interval) -> dict[str, Any]:
        return {
            "created_at": text(start),
            "destroyed_at": text(end),
            "sdk_type": self.random.choice(["JS", "ANDROID", "IOS"]),
            "sdk_version": "2.30.1",
            "browser": "CHROME",
            "browser_version": "141.0",
            "country": self.random.choice(["US", "DE", "AR"]),
            "region": "CA",
            "streams": [
                {"created_at": text(low), "destroyed_at": text(high), "video_type": self.random.choice(["camera", "screen"])}
                for low, high in streams
            ],
        }

    def streams(self, start: int, end: int) -> list[Interval]:
        """One to three streams of a connection, overlapping or not."""
        return [
            (start, end) if self.random.random() < 0.5 else self.within(start, end)
            for _ in range(self.random.choice([1, 1, 2, 3]))
        ]

    def within(self, start: int, end: int) -> Interval:
        low = self.some(start, end - self.grain)
        low = max(start, low)
        return low, max(low + self.grain, min(end, self.some(low, end)))

    def call(self, start: int, length: int, people: int = 2, publishing: float = 1.0) -> list[dict[str, Any]]:
        """People who come and go; the first one stays from start to end."""
        connections = []
        for number in range(people):
            here = (start, start + length) if number == 0 or self.random.random() < 0.4 else self.within(start, start + length)
            speaks = number == 0 or self.random.random() < publishing
            connections.append(self.connection(*here, *(self.streams(*here) if speaks else [])))
        return connections

    def gap(self) -> int:
        """How long a session is empty before somebody is back: around the 10 minutes."""
        around = [0, self.grain, 5 * MINUTE, 10 * MINUTE - self.grain, 10 * MINUTE, 10 * MINUTE + self.grain, 15 * MINUTE]
        return self.random.choice(around)

    # The kinds of session.

    def one_to_one(self, project: str) -> None:
        self.add(project, self.call(self.moment(), self.some(MINUTE, HOUR)), relayed=self.random.random() < 0.3)

    def lesson(self, project: str) -> None:
        self.add(
            project,
            self.call(self.moment(), self.some(20 * MINUTE, 90 * MINUTE), self.random.randrange(4, 14), self.random.random()),
        )

    def all_hands(self, project: str) -> None:
        self.add(project, self.call(self.moment(), self.some(5 * MINUTE, 2 * HOUR), self.random.randrange(20, 48), 0.95))

    def silence(self, project: str) -> None:
        start = self.moment()
        self.add(project, [self.connection(start, start + self.some(MINUTE, HOUR)) for _ in range(2)])

    def rejoining(self, project: str) -> None:
        meetings, moment = [], self.moment()
        for _ in range(self.random.randrange(2, 6)):
            length = self.some(MINUTE, 20 * MINUTE)
            meetings.append(self.call(moment, length, self.random.randrange(1, 4)))
            moment += length + self.gap()
        self.add(project, *meetings)

    def room(self, project: str) -> None:
        """Reused before, in and after the period; sometimes so busy that its meetings do not fit one page."""
        meetings = []
        for _ in range(self.random.choice([2, 3, 4, 6, 13, 23])):
            moment = self.random.choice(
                [
                    self.moment(),
                    self.some(self.start - 24 * DAY, self.start),
                    self.some(self.start - DAY, self.start),
                    self.some(self.end, self.end + 6 * DAY),
                ]
            )
            meetings.append(self.call(moment, self.some(MINUTE, 40 * MINUTE), self.random.randrange(1, 5), 0.8))
        self.add(project, *meetings)

    def over_midnight(self, project: str) -> None:
        """Over the start, an inner midnight or the end; or touching it."""
        edge = midnight(self.random.choice(days(self.first, after(self.last))))
        before, later = self.some(MINUTE, 2 * HOUR), self.some(MINUTE, 2 * HOUR)
        start, end = self.random.choice([(edge - before, edge + later)] * 4 + [(edge - before, edge), (edge, edge + later)])
        meeting = self.call(start, end - start, self.random.randrange(1, 7), 0.8)
        again = [self.call(self.moment(), self.some(MINUTE, HOUR)) for _ in range(self.random.choice([0, 0, 1, 3]))]
        self.add(project, meeting, *again)

    def through_the_night(self, project: str, edge: int) -> None:
        """A room in which people stay on over a midnight, and meet again on the next day."""
        start, end = edge - self.some(MINUTE, 2 * HOUR), edge + self.some(HOUR, 6 * HOUR)
        self.add(project, self.call(start, end - start, 3), self.call(end + self.some(HOUR, 9 * HOUR), self.some(MINUTE, HOUR)))

    def long(self, project: str) -> None:
        self.add(project, self.call(self.some(self.start - 20 * HOUR, self.end), self.some(6 * HOUR, 28 * HOUR), 3, 0.7))

    def elsewhere(self, project: str) -> None:
        """Not in the period at all."""
        moment = self.random.choice([self.some(self.start - DAY, self.start - 2 * HOUR), self.some(self.end, self.end + DAY)])
        self.add(project, self.call(moment, self.some(MINUTE, HOUR)))

    def draw(self, project: str, number: int) -> None:
        """So many sessions of every kind."""
        kinds: list[tuple[Callable[[str], None], int]] = [
            (self.one_to_one, 8),
            (self.lesson, 4),
            (self.silence, 2),
            (self.rejoining, 4),
            (self.room, 4),
            (self.over_midnight, 5),
            (self.long, 1),
            (self.elsewhere, 2),
        ]
        for draw in self.random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds], k=number):
            draw(project)
        if self.random.random() < 0.15:
            self.all_hands(project)
