"""When upstream answers for the session level, from the vendor's guide."""

from datetime import UTC, datetime, time

from billing.period import ZONE

_DAILY = time(21), time(23, 30)
_SUNDAY = time(4), time(8)
_SUNDAY_NUMBER = 6


def maintenance_until(instant: datetime) -> datetime | None:
    """The instant (UTC) at which the session level is back, or None where it is not under maintenance at `instant`.

    Pacific time: every day 21:00-23:00, back by 23:30, and on Sundays 04:00-07:00, back by 08:00. The time until "back by"
    counts as maintenance. None of these hours is touched by a change of the clocks, which happens at 02:00.
    """
    local = instant.astimezone(ZONE)
    windows = [_DAILY, _SUNDAY] if local.weekday() == _SUNDAY_NUMBER else [_DAILY]
    for start, back in windows:
        if start <= local.time() < back:
            return ZONE.localize(datetime.combine(local.date(), back)).astimezone(UTC)
    return None
