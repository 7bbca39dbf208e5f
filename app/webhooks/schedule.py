"""When a delivery is tried again."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_HOUR = 3600
DELAYS = (5, 300, 1800, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR, 24 * _HOUR, 24 * _HOUR)
"""Seconds from one attempt to the next: together more than `PATIENCE`, so whoever gives up for good has failed that long."""
JITTER = 0.2
"""A delay is longer by up to this part, so that what failed together does not come back together."""
LONGEST_WAIT = timedelta(hours=24)
"""A receiver's Retry-After counts up to this."""
PATIENCE = timedelta(days=5)
"""An endpoint that has failed for so long is disabled."""


def next_attempt(tries: int, now: datetime, retry_after: str, draw: float) -> datetime | None:
    """The instant of the next attempt after `tries` that failed; None if there is none. `draw` is from 0 to 1.

    >>> next_attempt(1, datetime(2026, 11, 1, tzinfo=UTC), "120", 0.0).isoformat()
    '2026-11-01T00:02:00+00:00'
    """
    if tries > len(DELAYS):
        return None
    ours = timedelta(seconds=DELAYS[tries - 1] * (1 + JITTER * draw))
    return now + max(ours, min(_asked(retry_after, now), LONGEST_WAIT))


def _asked(retry_after: str, now: datetime) -> timedelta:
    """What a Retry-After of seconds or a date asks for; nothing if it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(timedelta(seconds=int(retry_after[:9])), LONGEST_WAIT)
    try:
        asked = parsedate_to_datetime(retry_after)
    except ValueError:
        return timedelta(0)
    return (asked if asked.tzinfo else asked.replace(tzinfo=UTC)) - now
