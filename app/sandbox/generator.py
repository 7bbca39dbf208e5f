"""A believable company, drawn from a seed: the same seed gives the same dataset.

Every instant is a multiple of 3 ms, so every figure is a whole number of micro-minutes (1 micro-minute of one participant is
60 µs, and any number of participants during 3 ms is a multiple of it).
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from billing.period import day_start

TICK = 3
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
"""Durations are in milliseconds here."""
EDGE_OF_REJOIN = (10 * MINUTE - TICK, 10 * MINUTE, 10 * MINUTE + TICK)

DEVICES = (
    ("JS", "2.30.1", "CHROME", "141.0"),
    ("JS", "2.30.1", "CHROME", "141.0"),
    ("JS", "2.29.4", "FIREFOX", "143.0"),
    ("JS", "2.30.1", "SAFARI", "18.6"),
    ("IOS", "2.31.0", "", ""),
    ("ANDROID", "2.31.1", "", ""),
)
PLACES = (("US", "CA"), ("US", "CA"), ("US", "NY"), ("US", "TX"), ("DE", "BE"), ("GB", "LND"), ("BR", "SP"), ("IN", "KA"))


def generate(seed: int, first_day: date, days: int, scale: float = 1.0, project_id: str = "100") -> dict[str, Any]:
    """The dataset of one project over so many billing days, as JSON: about 300 sessions on a working day at scale 1.

    Holds one-to-one calls, team meetings, lessons, webinars, a weekly all-hands of 40 publishers and one over the last
    midnight, rooms that are used every working day (two of them for more than ten meetings), calls over midnight, silence, and
    returns after just under, exactly and just over 10 minutes.
    """
    company = _Company(Random(seed), project_id)
    rooms = [company.room(day_start(first_day)) for _ in range(6)]
    for offset in range(days):
        day = first_day + timedelta(days=offset)
        company.live_through(day, scale, rooms)
    company.all_hands(_milliseconds(day_start(first_day + timedelta(days=days))) - 25 * MINUTE)
    return {
        "account": {"key": "9000", "secret": f"account-secret-of-seed-{seed}-0123456789abcdef"},
        "projects": [
            {
                "id": project_id,
                "secret": f"project-secret-of-seed-{seed}-0123456789abcdef",
                "name": "Acme",
                "status": "ACTIVE",
                "advanced_insights": True,
                "tiers": "all",
                "created_at": _iso(_milliseconds(day_start(first_day))),
            }
        ],
        "sessions": [session for session in company.sessions if session["connections"]],
        "faults": [],
    }


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND


def _iso(milliseconds: int) -> str:
    seconds, part = divmod(milliseconds, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{part:03d}Z"


class _Company:
    """Draws calls. Every method that holds one takes its start in milliseconds since the epoch."""

    def __init__(self, random: Random, project_id: str) -> None:
        self.random = random
        self.project_id = project_id
        self.sessions: list[dict[str, Any]] = []

    def live_through(self, day: date, scale: float, rooms: list[dict[str, Any]]) -> None:
        """A day: its calls, a quarter as many on a weekend, and whatever goes on in the rooms, at any scale."""
        midnight, busy = _milliseconds(day_start(day)), 1.0 if day.weekday() < 5 else 0.25
        share = scale * busy
        programme: tuple[tuple[int, Callable[..., object]], ...] = (
            (185, self.one_to_one),
            (50, self.team),
            (35, self.lesson),
            (8, self.waiting),
            (8, self.returning),
            (5, self.webinar),
        )
        for number, hold in programme:
            for _ in range(self.often(number * share)):
                hold(midnight + self.working_time())
        for _ in range(self.often(6 * share)):
            self.one_to_one(midnight + 23 * HOUR + self.between(35 * MINUTE, 58 * MINUTE), least=10 * MINUTE)
        if day.weekday() == 3:
            self.all_hands(midnight + 17 * HOUR)
        self.desk(rooms[0], midnight + 8 * HOUR, self.often(18 * busy))
        self.desk(rooms[1], midnight + 9 * HOUR, self.often(14 * busy))
        for room in rooms[2:]:
            if self.random.random() < busy:
                self.team(midnight + 9 * HOUR + self.between(0, 90 * MINUTE), room)

    def one_to_one(self, start: int, room: dict[str, Any] | None = None, least: int = 2 * MINUTE) -> int:
        """Two people who both publish, one of whom may drop out for a moment; returns when the last has left."""
        room, end = room or self.room(start), start + self.between(least, 50 * MINUTE)
        self.join(room, start, end)
        late = start + self.between(0, 90 * SECOND)
        leaves = end - self.between(0, 25 * SECOND)
        if self.random.random() < 0.08:
            dropped = self.between(late + 10 * SECOND, leaves - 20 * SECOND)
            self.join(room, late, dropped)
            self.join(room, self.between(dropped + TICK, leaves - 5 * SECOND), leaves)
        else:
            self.join(room, late, leaves)
        return end

    def team(self, start: int, room: dict[str, Any] | None = None) -> None:
        """Three to nine people who all publish, and one who shows a screen for a while."""
        room, end = room or self.room(start), start + self.between(15 * MINUTE, 60 * MINUTE)
        for number in range(self.random.randint(3, 9)):
            late, early = self.between(0, 4 * MINUTE), self.between(0, 2 * MINUTE)
            self.join(room, start + late, end - early, screen=number == 0)

    def lesson(self, start: int) -> None:
        """A teacher, and pupils of whom a quarter publish."""
        room, end = self.room(start), start + self.between(30 * MINUTE, 55 * MINUTE)
        self.join(room, start, end, screen=True)
        for _ in range(self.random.randint(6, 22)):
            arrives = start + self.between(0, 8 * MINUTE)
            self.join(room, arrives, end - self.between(0, MINUTE), silent=self.random.random() < 0.75)

    def webinar(self, start: int) -> None:
        """A panel of ten to 34 publishers before listeners."""
        room, end = self.room(start), start + self.between(20 * MINUTE, 45 * MINUTE)
        for number in range(self.random.randint(20, 45)):
            if number < self.random.randint(10, 34):
                self.join(room, start + self.between(0, 3 * MINUTE), end)
            else:
                self.join(room, start + self.between(0, 6 * MINUTE), end, silent=True)

    def all_hands(self, start: int) -> None:
        """Forty publishers at once, and ten who only watch, for 40 to 50 minutes."""
        room, end = self.room(start), start + self.between(40 * MINUTE, 50 * MINUTE)
        for number in range(50):
            self.join(room, start + self.between(0, 5 * MINUTE), end - self.between(0, 3 * MINUTE), silent=number >= 40)

    def waiting(self, start: int) -> None:
        """Somebody who waits, and is heard by nobody."""
        self.join(self.room(start), start, start + self.between(MINUTE, 60 * MINUTE), silent=True)

    def returning(self, start: int) -> None:
        """A call whose people come back in about 10 minutes: the same meeting id, or a new one."""
        room = self.room(start)
        end = self.one_to_one(start, room)
        gap = self.random.choice((*EDGE_OF_REJOIN, self.between(MINUTE, 9 * MINUTE), self.between(11 * MINUTE, 20 * MINUTE)))
        self.one_to_one(end + gap, room)

    def desk(self, room: dict[str, Any], start: int, calls: int) -> None:
        """One call after the other in the same room."""
        for _ in range(calls):
            end = start + self.between(3 * MINUTE, 20 * MINUTE)
            self.join(room, start, end)
            self.join(room, start + self.between(0, 40 * SECOND), end - self.between(0, 20 * SECOND))
            start = end + self.between(2 * MINUTE, 25 * MINUTE)

    def room(self, start: int | datetime) -> dict[str, Any]:
        """A new session."""
        at = _milliseconds(start) if isinstance(start, datetime) else start
        name = f"~{self.project_id}~~{at}~{self.random.getrandbits(64):016x}~fg~"
        session_id = f"1_{urlsafe_b64encode(name.encode()).decode().rstrip('=')}"
        session = {"project_id": self.project_id, "session_id": session_id, "media_mode": "routed", "connections": []}
        self.sessions.append(session)
        return session

    def join(self, room: dict[str, Any], start: int, end: int, *, screen: bool = False, silent: bool = False) -> None:
        """Somebody connects, and publishes a camera unless `silent`, and perhaps a screen for a while."""
        sdk_type, sdk_version, browser, browser_version = self.random.choice(DEVICES)
        country, region = self.random.choice(PLACES)
        streams = []
        if not silent:
            streams.append(self.stream(start + self.between(0, 3 * SECOND), end, "camera"))
        if screen:
            shown = self.between(start + MINUTE, (start + end) // 2)
            streams.append(self.stream(shown, self.between(shown + MINUTE, end), "screen"))
        room["connections"].append(
            {
                "connection_id": self.name(),
                "created_at": _iso(start),
                "destroyed_at": _iso(end),
                "sdk_type": sdk_type,
                "sdk_version": sdk_version,
                "browser": browser,
                "browser_version": browser_version,
                "country": country,
                "region": region,
                "streams": streams,
            }
        )

    def stream(self, start: int, end: int, video_type: str) -> dict[str, str]:
        """A stream with a new id."""
        return {"stream_id": self.name(), "created_at": _iso(start), "destroyed_at": _iso(end), "video_type": video_type}

    def name(self) -> str:
        """A UUID."""
        digits = f"{self.random.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def working_time(self) -> int:
        """A time of day: mostly Pacific working hours, some from the other side of the world."""
        middle = self.random.choice((10, 11, 14, 15, 15, 3))
        return self.whole(max(0, min(int(self.random.gauss(middle, 2) * HOUR), 22 * HOUR)))

    def often(self, number: float) -> int:
        """About so many times."""
        return max(0, round(self.random.gauss(number, number**0.5 / 2)))

    def between(self, least: int, most: int) -> int:
        """A duration or an instant between two, a multiple of 3 ms."""
        return self.whole(self.random.randint(least, most))

    def whole(self, milliseconds: int) -> int:
        """The next multiple of 3 ms."""
        return -(-milliseconds // TICK) * TICK
