"""The project level: usage by intervals of whole Pacific days, as published at an instant."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from app.sandbox import plausible
from app.sandbox.datafile import USAGE_KINDS, iso
from app.sandbox.dataset import ProjectRecord
from app.sandbox.meetings import HOUR, MINUTE, Use, day_of, day_start
from app.sandbox.paging import page
from app.sandbox.refusals import Refusal
from app.sandbox.sessions import participant_minutes
from billing.period import next_day

DAILY_RETENTION = 90 * 24 * HOUR
"""How long days and weeks are kept after their first instant, in microseconds (guide: 90 days of daily aggregates)."""
MONTHS_KEPT = 12
LATENCY = 36 * HOUR
"""A day appears so long after its end, and up to 12 hours more (guide: updated nightly, 36-48 hours)."""
AUTO = ((31, "DAILY"), (90, "WEEKLY"))

_GROUPS = {
    "SDK_TYPE": ("sdk_type", "sdkType"),
    "SDK_VERSION": ("sdk_version", "sdkVersion"),
    "COUNTRY": ("country", "country"),
    "REGION": ("region", "region"),
    "BROWSER": ("browser", "browser"),
    "BROWSER_NAME": ("browser", "browser"),
    "BROWSER_VERSION": ("browser_version", "browserVersion"),
}
"""By the name in `groupBy`: the attribute of a connection, and the field of a metric."""
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Filters:
    """Which connections' streams to count: for each attribute the values wanted, all of them where it is not there."""

    wanted: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, values: Mapping[str, Sequence[object]]) -> "Filters":
        """Filters from the arguments. Raises Refusal 1007 for an SDK version that is not like 0.0.0."""
        wanted = {name: [str(value) for value in these] for name, these in values.items() if these}
        for version in wanted.get("sdk_version", ()):
            if not _VERSION.fullmatch(version):
                raise Refusal(1007, version)
        return cls(wanted)

    def let_pass(self, attributes: Mapping[str, str]) -> bool:
        """Whether streams of a connection with these attributes are counted."""
        return all(attributes[name] in values for name, values in self.wanted.items())


def project_data(
    record: ProjectRecord,
    now: int,
    start: int | None,
    end: int | None,
    interval: str,
    groups: Sequence[str],
    filters: Filters,
    first: object,
    cursor: object,
) -> dict[str, Any]:
    """The metrics of every interval that `[start, end)` touches, as published at `now` (microseconds).

    None is the earliest record, and now. Intervals are whole, also where the range holds them in part: the guide's extra day,
    and the same for weeks (from Monday) and months. Those without usage are left out. Raises Refusal 1002 for an empty range.
    """
    start, end = now - 366 * 24 * HOUR if start is None else start, now if end is None else end
    if end <= start:
        raise Refusal(1002, "end is not after start")
    first_day, last_day = day_of(start), day_of(end - 1)
    if interval == "AUTO":
        days = (last_day - first_day).days + 1
        interval = next((name for most, name in AUTO if days <= most), "MONTHLY")
    intervals: dict[date, list[date]] = defaultdict(list)
    for day in sorted(record.days):
        begins = _first_day(interval, day)
        touched = _first_day(interval, first_day) <= begins <= last_day
        if touched and _is_kept(interval, begins, now) and _is_published(record, day, now):
            intervals[begins].append(day)
    rows = [row for begins, days in intervals.items() for row in _rows(record, now, interval, begins, days, groups, filters)]
    return {
        "start": iso(start),
        "end": iso(end),
        "interval": interval,
        **page("projectData", rows, first, cursor, lambda row: row),
    }


def published_at(project_id: str, day: date) -> int:
    """When a day's usage appears, in microseconds: 36 to 48 hours after its end, always the same for the same day."""
    return day_start(next_day(day)) + LATENCY + plausible.between(0, 12 * HOUR - 1, project_id, day.isoformat())


def _is_published(record: ProjectRecord, day: date, now: int) -> bool:
    return not record.days[day].dropped and published_at(record.project.id, day) <= now


def _is_kept(interval: str, begins: date, now: int) -> bool:
    if interval != "MONTHLY":
        return day_start(begins) >= now - DAILY_RETENTION
    today = day_of(now)
    return (today.year - begins.year) * 12 + today.month - begins.month <= MONTHS_KEPT


def _first_day(interval: str, day: date) -> date:
    """The first day of the interval that holds a day."""
    if interval == "MONTHLY":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if interval == "WEEKLY" else day


def _last_day(interval: str, begins: date) -> date:
    if interval == "MONTHLY":
        return (begins + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return begins + timedelta(days=6 if interval == "WEEKLY" else 0)


def _rows(
    record: ProjectRecord, now: int, interval: str, begins: date, days: Sequence[date], groups: Sequence[str], filters: Filters
) -> Iterator[dict[str, Any]]:
    """The metrics of one interval: one, or one a group; none where nothing was used.

    Filters and groups do not apply to participant and archive minutes (guide), so every row repeats the whole interval's.
    """
    use = Use.sum(record.days[day].known_at(now) for day in days)
    other = sum((record.days[day].other for day in days), Counter[str]())
    if not use and not other:
        return
    streamed: dict[tuple[str, ...], Counter[str]] = {} if groups else {(): Counter()}
    for day in days:
        for attributes, amounts in record.streams_by_attributes.get(day, {}).items():
            named = attributes._asdict()
            if filters.let_pass(named):
                streamed.setdefault(tuple(named[_GROUPS[group][0]] for group in groups), Counter()).update(amounts)
    for values, amounts in sorted(streamed.items()):
        about = (record.project.id, begins.isoformat(), values)
        yield {
            "intervalStart": iso(day_start(begins)),
            "intervalEnd": iso(day_start(_last_day(interval, begins))),
            **{_GROUPS[group][1]: value for group, value in zip(groups, values, strict=True)},
            "usage": {
                "streamedPublishedMinutes": amounts["published"] / MINUTE,
                "streamedSubscribedMinutes": amounts["subscribed"] / MINUTE,
                "participantMinutes": participant_minutes(use, record.filled),
                **{kind: other[kind] / MINUTE for kind in USAGE_KINDS},
            },
            # Made up only where it is asked for: it costs more than all the rest of a row.
            "quality": lambda _info, about=about: {
                side: plausible.quality(side, *about) for side in ("publisher", "subscriber")
            },
            "errors": {what: plausible.attempts(amounts[what]) for what in ("connect", "publish", "subscribe")},
        }
