"""Billing days and billing periods: civil days in Pacific time, each boundary resolved by itself.

A billing day is `[00:00, next 00:00)` in `America/Los_Angeles`, so 23 hours long in March and 25 in November. A billing
period is a whole number of billing days. Instants leave this module as UTC; nothing here adds 24 hours to get the next day.
"""

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from reprlib import Repr
from typing import Any

import pytz
from dateutil.parser import isoparse

from billing.errors import InvalidPeriod

ZONE = pytz.timezone("America/Los_Angeles")
FIRST_DAY, LAST_DAY = date(2007, 1, 1), date(2037, 12, 31)
"""The days whose zone rules are known: `pytz` ends in 2037, and a guessed offset would move minutes to another day."""
MAX_DAYS = 400

_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = re.compile(r"[0-9]{1,16}")
_INSTANT = "an ISO-8601 instant with an offset, such as '2026-10-01T07:00:00Z', or epoch seconds or milliseconds"

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 64
_SHORT.maxlevel = _SHORT.maxlist = _SHORT.maxdict = 2
_short = _SHORT.repr
"""A value as a refusal names it, however long it is."""


class Alignment(StrEnum):
    """What becomes of an instant that is no Pacific midnight."""

    COVER = "cover"
    WITHIN = "within"
    NEAREST = "nearest"
    STRICT = "strict"


@lru_cache(maxsize=4096)  # resolving the offset takes 10 µs, and a plan asks for the same few hundred days again and again
def day_start(day: date) -> datetime:
    """The first instant of a billing day, in UTC.

    >>> day_start(date(2026, 11, 2)) - day_start(date(2026, 11, 1))
    datetime.timedelta(days=1, seconds=3600)
    """
    naive = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - localize resolves the offset at this very midnight
    return ZONE.localize(naive, is_dst=None).astimezone(UTC)


def day_of(instant: datetime) -> date:
    """The billing day that holds a zone-aware instant.

    >>> day_of(datetime(2023, 12, 30, 7, tzinfo=UTC))
    datetime.date(2023, 12, 29)
    """
    return instant.astimezone(ZONE).date()


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch of an aware instant, exactly."""
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def day_at(instant: int) -> date:
    """The billing day that holds an instant in microseconds since the epoch."""
    return day_of(datetime.fromtimestamp(instant // 1_000_000, UTC))


def next_day(day: date) -> date:
    """The name of the following billing day."""
    return day + timedelta(days=1)


def hours_of(day: date) -> int:
    """How long the billing day is: 23, 24 or 25 hours."""
    return int((day_start(next_day(day)) - day_start(day)).total_seconds()) // 3600


@dataclass(frozen=True, order=True)
class BillingPeriod:
    """The billing days from `first_day` to `last_day`, both inclusive: at most 400, between 2007 and 2037."""

    first_day: date
    last_day: date

    def __post_init__(self) -> None:
        if self.last_day < self.first_day:
            raise InvalidPeriod(
                f"the last day {self.last_day} is before the first day {self.first_day}",
                pointer="/last_day",
                expected=f"a day from {self.first_day} on",
            )
        if self.first_day < FIRST_DAY or self.last_day > LAST_DAY:
            raise InvalidPeriod(
                f"{self.first_day} to {self.last_day} is outside the days whose time-zone rules are known",
                pointer="/first_day" if self.first_day < FIRST_DAY else "/last_day",
                expected=f"days from {FIRST_DAY} to {LAST_DAY}",
            )
        if len(self) > MAX_DAYS:
            raise InvalidPeriod(f"{len(self)} days are too many", expected=f"at most {MAX_DAYS} days")

    @property
    def start(self) -> datetime:
        """The first instant, in UTC."""
        return day_start(self.first_day)

    @property
    def end(self) -> datetime:
        """The first instant after it, in UTC."""
        return day_start(next_day(self.last_day))

    @property
    def days(self) -> list[date]:
        """Its billing days, in order."""
        return [self.first_day + timedelta(days=offset) for offset in range(len(self))]

    def __len__(self) -> int:
        return (self.last_day - self.first_day).days + 1

    def __contains__(self, day: date) -> bool:
        return self.first_day <= day <= self.last_day


@dataclass(frozen=True)
class AlignedPeriod:
    """A request and the billing period that it became.

    `requested` is the request as it was put; `partial_days` are the days of the period that the request holds only in part.
    """

    requested: Mapping[str, Any]
    period: BillingPeriod
    explanation: str
    partial_days: Sequence[date] = ()
    on_midnights: bool = True

    @property
    def added_days(self) -> int:
        """How many days `cover` added to what `within` would have given."""
        return len(self.partial_days)

    @property
    def short_days(self) -> list[date]:
        """The days of 23 hours."""
        return [day for day in self.period.days if hours_of(day) == 23]

    @property
    def long_days(self) -> list[date]:
        """The days of 25 hours."""
        return [day for day in self.period.days if hours_of(day) == 25]


def parse_day(value: object, pointer: str = "") -> date:
    """A billing day from `2026-10-31`. Raises InvalidPeriod at `pointer`."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidPeriod(f"{_short(value)} is no day", pointer=pointer, expected="a day such as '2026-10-31'")


def parse_instant(value: object, pointer: str = "") -> datetime:
    """An instant in UTC from ISO-8601 with an offset or from epoch seconds (10 digits or fewer) or milliseconds (more).

    The digits are told apart as upstream does (guide). A naive instant has no meaning here and is refused, as are floats,
    zone names and instants outside the Pacific days from 2007 to 2037, whose last midnight may still end a range.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise InvalidPeriod(f"{_short(value)} is no instant", pointer=pointer, expected=_INSTANT)
    try:
        if _EPOCH.fullmatch(text):
            milliseconds = int(text) * (1000 if len(text) <= 10 else 1)
            instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        else:
            instant = isoparse(text)
        if instant.tzinfo is None:
            raise InvalidPeriod(f"{_short(text)} has no offset, so it names no instant", pointer=pointer, expected=_INSTANT)
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidPeriod):
            raise
        raise InvalidPeriod(f"{_short(text)} is no instant", pointer=pointer, expected=_INSTANT) from None
    if not day_start(FIRST_DAY) <= instant <= day_start(next_day(LAST_DAY)):
        raise InvalidPeriod(
            f"{_short(text)} is outside the days whose time-zone rules are known",
            pointer=pointer,
            expected=f"an instant from {FIRST_DAY} to the end of {LAST_DAY}, Pacific time",
        )
    return instant


def month(text: object, pointer: str = "") -> BillingPeriod:
    """The billing days of a calendar month, from `2026-10`."""
    match = _MONTH.fullmatch(text) if isinstance(text, str) else None
    if not match or not 1 <= int(match[2]) <= 12:
        raise InvalidPeriod(f"{_short(text)} is no month", pointer=pointer, expected="a month such as '2026-10'")
    year, number = int(match[1]), int(match[2])
    if not FIRST_DAY.year <= year <= LAST_DAY.year:
        raise InvalidPeriod(
            f"{_short(text)} is outside the years whose time-zone rules are known",
            pointer=pointer,
            expected=f"a month from {FIRST_DAY:%Y-%m} to {LAST_DAY:%Y-%m}",
        )
    return BillingPeriod(date(year, number, 1), date(year, number, monthrange(year, number)[1]))


def cycle(day: date, anchor_day: int) -> BillingPeriod:
    """The billing cycle that holds `day`, where cycles start on the `anchor_day` of each month.

    A month that lacks that day starts its cycle on its last day (inferred: the vendor says only that an account is invoiced
    on the day of the month it signed up).

    >>> cycle(date(2026, 3, 1), 31)
    BillingPeriod(first_day=datetime.date(2026, 2, 28), last_day=datetime.date(2026, 3, 30))
    """
    if isinstance(anchor_day, bool) or not isinstance(anchor_day, int) or not 1 <= anchor_day <= 31:
        raise InvalidPeriod(
            f"{_short(anchor_day)} is no day of a month", pointer="/anchor_day", expected="a whole number from 1 to 31"
        )
    if not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidPeriod(
            f"{day} is outside the days whose time-zone rules are known",
            pointer="/cycle",
            expected=f"a day from {FIRST_DAY} to {LAST_DAY}",
        )

    def start(months: int) -> date:
        year, number = divmod(day.year * 12 + day.month - 1 + months, 12)
        return date(year, number + 1, min(anchor_day, monthrange(year, number + 1)[1]))

    offset = 0 if day >= start(0) else -1
    return BillingPeriod(start(offset), start(offset + 1) - timedelta(days=1))


def align(start: datetime, end: datetime, alignment: Alignment = Alignment.COVER) -> BillingPeriod:
    """The billing period for the instants `[start, end)`.

    `cover`: every day touched, as upstream itself answers (guide). `within`: only whole days inside. `nearest`: each end to
    the midnight nearest to it, the earlier of two. `strict`: refused unless both are Pacific midnights.
    """
    if end <= start:
        raise InvalidPeriod(
            "the range is empty" if end == start else "the end is before the start",
            pointer="/end",
            expected=f"an instant after {_utc(start)}",
        )
    if alignment is Alignment.STRICT:
        for pointer, instant in (("/start", start), ("/end", end)):
            before, after = _midnights(instant)
            if instant != before:
                raise InvalidPeriod(
                    f"{_utc(instant)} is no Pacific midnight",
                    pointer=pointer,
                    expected=f"one of the two nearest, {_utc(before)} or {_utc(after)}",
                )
    first, after_last = (_boundary(start, alignment, is_end=False), _boundary(end, alignment, is_end=True))
    if first >= after_last:
        raise InvalidPeriod(
            f"no whole billing day remains of {_utc(start)} to {_utc(end)}",
            pointer="/alignment",
            expected="a longer range, or the alignment 'cover'",
        )
    return BillingPeriod(first, after_last - timedelta(days=1))


def _midnights(instant: datetime) -> tuple[datetime, datetime]:
    """The Pacific midnight at or before an instant, and the one after it."""
    day = day_of(instant)
    return day_start(day), day_start(next_day(day))


def _boundary(instant: datetime, alignment: Alignment, *, is_end: bool) -> date:
    """The day that begins at the midnight which an end of the range moves to."""
    day = day_of(instant)
    before, after = _midnights(instant)
    if instant == before:
        return day
    forward = {Alignment.COVER: is_end, Alignment.WITHIN: not is_end, Alignment.NEAREST: after - instant < instant - before}
    return next_day(day) if forward[alignment] else day


def resolve(request: object) -> AlignedPeriod:
    """The aligned period of a request in any form of the contract.

    `{"month"}`, `{"cycle", "anchor_day"}`, `{"first_day", "last_day"}` or `{"start", "end", "alignment"}`. Raises InvalidPeriod
    with the JSON pointer of what is wrong; unknown or mixed keys are refused, nothing is guessed.
    """
    forms = {"month": set(), "cycle": {"anchor_day"}, "first_day": {"last_day"}, "start": {"end", "alignment"}}
    expected = "one of {month}, {cycle, anchor_day}, {first_day, last_day}, {start, end, alignment}"
    if not isinstance(request, Mapping):
        raise InvalidPeriod(f"{_short(request)} is no period", expected=expected)
    form = next((key for key in forms if key in request), None)
    if form is None:
        raise InvalidPeriod("the period is not given", expected=expected)
    for key in request:
        if key != form and key not in forms[form]:
            raise InvalidPeriod(f"{_short(key)} does not go with {form!r}", pointer=f"/{key}", expected=expected)
    for key in forms[form] - {"alignment"}:
        if key not in request:
            raise InvalidPeriod(f"{_short(key)} is missing", pointer=f"/{key}", expected=expected)
    if form == "start":
        return _resolve_instants(request)
    if form == "month":
        period = month(request["month"], "/month")
    elif form == "cycle":
        period = cycle(parse_day(request["cycle"], "/cycle"), request["anchor_day"])
    else:
        period = BillingPeriod(parse_day(request["first_day"], "/first_day"), parse_day(request["last_day"], "/last_day"))
    return AlignedPeriod(dict(request), period, f"{_in_words(period)}: whole billing days were asked for.")


def _resolve_instants(request: Mapping[str, Any]) -> AlignedPeriod:
    start, end = parse_instant(request["start"], "/start"), parse_instant(request["end"], "/end")
    try:
        alignment = Alignment(request.get("alignment", "cover"))
    except ValueError:
        raise InvalidPeriod(
            f"{_short(request['alignment'])} is no alignment", pointer="/alignment", expected="cover, within, nearest or strict"
        ) from None
    period = align(start, end, alignment)
    partly = tuple(day for day in period.days if day_start(day) < start or day_start(next_day(day)) > end)
    on_midnights = period.start == start and period.end == end
    if on_midnights:
        why = "the request is on Pacific midnights."
    elif partly:
        names = ", ".join(str(day) for day in partly)
        why = f"the request is not on Pacific midnights; alignment '{alignment}' took {names} whole, held only in part."
    else:
        why = f"the request is not on Pacific midnights; alignment '{alignment}' kept only whole days."
    return AlignedPeriod(dict(request), period, f"{_in_words(period)}: {why}", partly, on_midnights)


def parse_period(text: str) -> AlignedPeriod:
    """The aligned period of the command line: `2026-10`, `2026-10-01..2026-10-31`, or `START..END` (covering)."""
    first, dots, last = text.partition("..")
    if not dots:
        return resolve({"month": text})
    if _DAY.fullmatch(first) and _DAY.fullmatch(last):
        return resolve({"first_day": first, "last_day": last})
    return resolve({"start": first, "end": last})


def _in_words(period: BillingPeriod) -> str:
    start, end = period.start.astimezone(ZONE), period.end.astimezone(ZONE)
    days = "1 billing day" if len(period) == 1 else f"{len(period)} billing days"
    return f"{days}, {start:%Y-%m-%d %H:%M %Z} to {end:%Y-%m-%d %H:%M %Z} ({_utc(period.start)} to {_utc(period.end)})"


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
