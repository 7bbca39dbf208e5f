"""The one place that asks what time it is. Everybody else is handed a Clock, so that a month can pass in a test or a demo."""

from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present instant, zone-aware, in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return datetime.now(UTC)


class MovableClock:
    """Starts at a given instant, ticks in real time from there, and can be set. Safe to share between threads."""

    def __init__(self, start: datetime) -> None:
        self._lock = Lock()
        self.move(start)

    def now(self) -> datetime:
        """The simulated instant in UTC."""
        with self._lock:
            return self._set_to + timedelta(seconds=monotonic() - self._set_at)

    def move(self, instant: datetime) -> None:
        """Set the clock to a zone-aware instant, forwards or backwards."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant.isoformat()} has no offset from UTC")
        with self._lock:
            self._set_to, self._set_at = instant.astimezone(UTC), monotonic()
