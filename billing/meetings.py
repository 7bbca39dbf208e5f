"""The meeting level: every meeting's minutes attributed to billing days, and what each session holds outside the period.

A meeting inside one day belongs to it; one that crosses midnights is split by `billing.attribution`.

Nearly all meetings of a month are plain: one session, one window, one day. Those are summed a column at a time; only the
odd ones, of reused sessions or over a midnight, are looked at row by row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from billing.attribution import Split, Tiers, split
from billing.coverage import MEETING_LATENCY
from billing.errors import InvalidMinutes
from billing.facts import LIVE, Conflict, Ints, MeetingDay, MeetingDetail, Observation
from billing.period import BillingPeriod, day_at, day_start, microseconds, next_day
from billing.tiers import TierPlan


@dataclass(frozen=True)
class Crossing:
    """A meeting that reaches over the start or the end of the period: what lies on each side of it, by tier."""

    session_id: str
    created: int
    end: int
    exact: bool
    before: Tiers
    inside: Tiers
    after: Tiers
    error: Tiers
    """The largest possible error of what is inside."""
    counted: Tiers
    """What of it the bridge moves: E, S, or the head and tail of a session in N."""


@dataclass(frozen=True)
class Reuse:
    """The minutes of a session's other meetings, outside the period."""

    session_id: str
    before: Tiers
    after: Tiers
    days: tuple[date, ...]


@dataclass(frozen=True)
class Change:
    """A difference found in what upstream said of one session or meeting, by tier and signed.

    `window` is the billing day of the answer that said it last.
    """

    session_id: str
    minutes: Tiers
    window: date


@dataclass
class MeetingLevel:
    """The meeting level of a period; arrays are (day, tier) or (tier), in micro-minutes."""

    days: Ints
    error: Ints
    mismatch: Ints
    before: Ints
    after: Ints
    straddles_end: Ints
    straddles_start: Ints
    crossings: list[Crossing] = field(default_factory=list)
    reuses: list[Reuse] = field(default_factory=list)
    mismatches: list[Change] = field(default_factory=list)
    restated: list[Change] = field(default_factory=list)
    conflicts: dict[tuple[str, int], Conflict] = field(default_factory=dict)
    """By session and creation: a reused session's meeting comes with every window that the session stands in."""

    @property
    def total(self) -> Ints:
        """M: what all meetings used inside the period."""
        return np.asarray(self.days.sum(axis=0))

    @property
    def session_level(self) -> Ints:
        """N: what upstream states for every session with a meeting created in the period."""
        return self.total - self.straddles_start + self.mismatch + self.before + self.after + self.straddles_end


@dataclass
class _Rows:
    """Meetings that are looked at one by one, in columns."""

    session: Ints
    key: Ints
    created: Ints
    end: Ints
    connections: Ints
    minutes: Ints
    source: Ints
    live: NDArray[np.bool_]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "_Rows":
        return _Rows(*(column[index] for column in self.__dict__.values()))


def attribute(
    windows: Iterable[tuple[Observation, MeetingDay]],
    details: Iterable[MeetingDetail],
    period: BillingPeriod,
    plan: TierPlan,
    superseded: Iterable[tuple[Observation, MeetingDay]] = (),
) -> MeetingLevel:
    """The meeting level of `period` from the windows of its days and of the day before, in any order.

    Where two windows hold the same meeting or session, the one observed later counts. `superseded` are earlier complete
    readings of some of the windows, to find what was restated since.
    """
    ordered = sorted(windows, key=lambda window: (window[0].observed_at, window[0].day))
    bounds = np.array([microseconds(day_start(day)) for day in [*period.days, next_day(period.last_day)]], dtype=np.int64)
    shape = (len(period), len(plan))
    zeros = [np.zeros(len(plan), np.int64) for _ in range(5)]
    level = MeetingLevel(np.zeros(shape, np.int64), np.zeros(shape, np.int64), zeros[0], zeros[1], zeros[2], zeros[3], zeros[4])
    reused = _reused_sessions(ordered)
    odd: list[_Rows] = []
    for source, (observation, day) in enumerate(ordered):
        level.conflicts |= {(conflict.session_id, conflict.created): conflict for conflict in day.conflicts}
        rows = _add_plain(level, observation, day, reused, period, plan)
        odd.append(_rows(observation, day, rows, source, plan))
    _add_statements(level, ordered, reused, period, plan)
    level.restated = _restated_since(superseded, ordered, plan)
    if odd:
        _add_odd(level, _concatenate(odd), ordered, details, bounds, plan)
    return level


def _reused_sessions(ordered: Sequence[tuple[Observation, MeetingDay]]) -> Ints:
    """Sessions that stand in several windows, or have a meeting created outside the window they stand in; ascending."""
    if not ordered:
        return np.empty(0, np.int64)
    foreign = []
    for observation, day in ordered:
        start, end = _window(observation)
        foreign.append(day.meeting_sessions[(day.created < start) | (day.created >= end)])
    sessions = np.sort(np.concatenate([day.sessions for _, day in ordered]), kind="stable")
    return np.unique(np.concatenate([*foreign, sessions[1:][sessions[1:] == sessions[:-1]]]))


def _window(observation: Observation) -> tuple[int, int]:
    return microseconds(day_start(observation.day)), microseconds(day_start(next_day(observation.day)))


def _add_plain(
    level: MeetingLevel, observation: Observation, day: MeetingDay, reused: Ints, period: BillingPeriod, plan: TierPlan
) -> NDArray[np.intp]:
    """Add the window's plain meetings to their day; the indexes of the odd ones come back."""
    _, midnight = _window(observation)
    is_odd = _holds(reused, day.meeting_sessions)
    is_odd |= day.destroyed > midnight
    odd = np.flatnonzero(is_odd)
    if observation.day in period:
        index = (observation.day - period.first_day).days
        for tier, name in enumerate(plan.fields):
            column = day.minutes[name]
            level.days[index, tier] += _sum(column) - _sum(column[odd])
    return odd


def _holds(sorted_keys: Ints, values: Ints) -> NDArray[np.bool_]:
    if not sorted_keys.size:
        return np.zeros(values.shape, np.bool_)
    found = np.minimum(np.searchsorted(sorted_keys, values), sorted_keys.size - 1)
    return np.asarray(sorted_keys[found] == values)


def _sum(column: Ints) -> int:
    """The exact sum. Raises InvalidMinutes where it leaves 64 bits (17 million years), which would come out as nonsense."""
    if column.size and int(column.max()) > LIVE // column.size and float(column.sum(dtype=np.float64)) > LIVE / 2:
        raise InvalidMinutes("the meetings of a day add up to absurd minutes", expected="less than 4 × 10¹² minutes a day")
    return int(column.sum())


def _rows(observation: Observation, day: MeetingDay, index: NDArray[np.intp], source: int, plan: TierPlan) -> _Rows:
    destroyed, created = day.destroyed[index], day.created[index]
    live = destroyed == LIVE
    # A meeting that had not ended has its minutes up to what upstream knew then; past that, its detail is no measure.
    end = np.maximum(np.where(live, microseconds(observation.observed_at - MEETING_LATENCY), destroyed), created)
    minutes = np.stack([day.minutes[name][index] for name in plan.fields], axis=1)
    return _Rows(
        day.meeting_sessions[index],
        day.meeting_keys[index],
        created,
        end,
        day.max_connections[index],
        minutes,
        np.full(index.size, source),
        live,
    )


def _concatenate(parts: Sequence[_Rows]) -> _Rows:
    return _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].__dict__))


def _add_statements(
    level: MeetingLevel,
    ordered: Sequence[tuple[Observation, MeetingDay]],
    reused: Ints,
    period: BillingPeriod,
    plan: TierPlan,
) -> None:
    """X: what the latest statement of each session in N holds beyond the meetings listed under that statement."""
    in_period = np.unique(
        np.concatenate([np.empty(0, np.int64), *(_created_inside(window, reused, period) for window in ordered)])
    )
    latest: dict[int, tuple[int, Tiers]] = {}
    for source, (observation, day) in enumerate(ordered):
        ends = np.searchsorted(day.meeting_sessions, day.sessions, side="right")
        starts = np.searchsorted(day.meeting_sessions, day.sessions, side="left")
        excess = np.stack([_excess(day, name, starts, ends) for name in plan.fields], axis=1)
        differs = excess.any(axis=1)
        again = _holds(reused, day.sessions)
        wanted = np.where(again, _holds(in_period, day.sessions), differs & (observation.day in period))
        for index in np.flatnonzero(wanted):
            latest[int(day.sessions[index])] = (source, tuple(int(value) for value in excess[index]))
    for session, (source, minutes) in latest.items():
        if any(minutes):
            level.mismatch += np.array(minutes, np.int64)
            observation, day = ordered[source]
            level.mismatches.append(Change(_name(day, session), minutes, observation.day))


def _created_inside(window: tuple[Observation, MeetingDay], reused: Ints, period: BillingPeriod) -> Ints:
    """The reused sessions of a window that have a meeting created in the period."""
    _, day = window
    inside = (day.created >= microseconds(period.start)) & (day.created < microseconds(period.end))
    return day.meeting_sessions[inside & _holds(reused, day.meeting_sessions)]


def _excess(day: MeetingDay, name: str, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Ints:
    # Differences of a running sum stay right even if it wraps around 64 bits.
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(day.minutes[name])])
    return np.asarray(day.statements[name] - (running[ends] - running[starts]))


def _name(day: MeetingDay, session: int) -> str:
    return day.session_ids[int(np.searchsorted(day.sessions, session))]


def _add_odd(
    level: MeetingLevel,
    rows: _Rows,
    ordered: Sequence[tuple[Observation, MeetingDay]],
    details: Iterable[MeetingDetail],
    bounds: Ints,
    plan: TierPlan,
) -> None:
    rows = _latest(level, rows, ordered)
    days = len(bounds) - 1
    first = np.searchsorted(bounds, rows.created, side="right") - 1
    last = np.searchsorted(bounds, np.maximum(rows.end - 1, rows.created), side="right") - 1
    created_inside = (first >= 0) & (first < days)
    member = _holds(np.unique(rows.session[created_inside]), rows.session)
    whole = first == last
    inside = whole & created_inside
    np.add.at(level.days, first[inside], rows.minutes[inside])
    outside = whole & ~created_inside & member
    level.before += rows.minutes[outside & (first < 0)].sum(axis=0)
    level.after += rows.minutes[outside & (first >= days)].sum(axis=0)
    level.reuses = _reuses(rows.take(outside), first[outside] < 0, ordered)
    held = {(detail.session, detail.meeting_key, detail.created): detail for detail in details}
    for index in np.flatnonzero(~whole).tolist():
        key = (int(rows.session[index]), int(rows.key[index]), int(rows.created[index]))
        detail = held.get(key)
        if detail is not None and detail.live and not rows.live[index]:
            detail = None
        edges = [key[2], *bounds[first[index] + 1 : last[index] + 1].tolist(), int(rows.end[index])]
        parts = split(tuple(rows.minutes[index].tolist()), edges, plan, detail, int(rows.connections[index]))
        name = partial(_name, ordered[int(rows.source[index])][1], key[0])
        _add_crossing(level, name, edges, int(first[index]), parts, bool(member[index]))


def _latest(level: MeetingLevel, rows: _Rows, ordered: Sequence[tuple[Observation, MeetingDay]]) -> _Rows:
    """Each meeting once, as it was observed last; a change after it had ended is noted."""
    rows, again = _by_meeting(rows)
    level.restated += _changes(rows, again, ordered)
    return rows.take(np.append(~again, True)) if rows.session.size else rows


def _by_meeting(rows: _Rows) -> tuple[_Rows, NDArray[np.bool_]]:
    """The rows with those of one meeting side by side, in order of source; and where the next row is the same meeting."""
    rows = rows.take(np.lexsort((rows.source, rows.created, rows.key, rows.session)))
    identity = (rows.session, rows.key, rows.created)
    return rows, np.logical_and.reduce([column[1:] == column[:-1] for column in identity])


def _changes(rows: _Rows, again: NDArray[np.bool_], sources: Sequence[tuple[Observation, MeetingDay]]) -> list[Change]:
    """Where a meeting that had ended was answered with other minutes later."""
    changed = again & ~rows.live[:-1] & (rows.minutes[1:] != rows.minutes[:-1]).any(axis=1)
    return [
        Change(
            _name(sources[int(rows.source[index])][1], int(rows.session[index])),
            tuple((rows.minutes[index + 1] - rows.minutes[index]).tolist()),
            sources[int(rows.source[index + 1])][0].day,
        )
        for index in np.flatnonzero(changed).tolist()
    ]


def _restated_since(
    superseded: Iterable[tuple[Observation, MeetingDay]], ordered: Sequence[tuple[Observation, MeetingDay]], plan: TierPlan
) -> list[Change]:
    """What became of the meetings of windows that were complete when first read, and were read again."""
    latest = {observation.day: (observation, day) for observation, day in ordered}
    changes = []
    for then in superseded:
        readings = [then, latest[then[0].day]]
        rows = _concatenate([_natives(reading, source, plan) for source, reading in enumerate(readings)])
        changes += _changes(*_by_meeting(rows), readings)
    return changes


def _natives(reading: tuple[Observation, MeetingDay], source: int, plan: TierPlan) -> _Rows:
    observation, day = reading
    start, end = _window(observation)
    return _rows(observation, day, np.flatnonzero((day.created >= start) & (day.created < end)), source, plan)


def _reuses(rows: _Rows, is_before: NDArray[np.bool_], ordered: Sequence[tuple[Observation, MeetingDay]]) -> list[Reuse]:
    """The meetings outside the period that used minutes, gathered by session (rows are sorted by session)."""
    used = np.asarray(rows.minutes.any(axis=1))
    rows, is_before = rows.take(used), is_before[used]
    edges = np.append(np.flatnonzero(np.diff(rows.session, prepend=rows.session[:1] - 1)), rows.session.size)
    names = _day_names(rows.created)
    reuses = []
    for start, stop in pairwise(edges.tolist()):
        part, early = rows.minutes[start:stop], is_before[start:stop]
        before, after = part[early].sum(axis=0), part[~early].sum(axis=0)
        # The last window that names the session: reading the names of one window serves many sessions.
        name = _name(ordered[int(rows.source[start:stop].max())][1], int(rows.session[start]))
        reuses.append(Reuse(name, tuple(before.tolist()), tuple(after.tolist()), tuple(sorted(set(names[start:stop])))))
    return reuses


def _day_names(created: Ints) -> list[date]:
    """The billing day of each instant; the boundaries are resolved once, since a zone call per row costs 10 µs."""
    if not created.size:
        return []
    first, last = day_at(int(created.min())), day_at(int(created.max()))
    span = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    starts = np.array([microseconds(day_start(day)) for day in span], dtype=np.int64)
    return [span[index] for index in np.searchsorted(starts, created, side="right") - 1]


def _add_crossing(
    level: MeetingLevel, name: Callable[[], str], edges: Sequence[int], first: int, it: Split, member: bool
) -> None:
    """Add the parts of a meeting of a session in N or not (`member`), which lie on the sides from `first` on.

    Sides are the indexes of the period's days; -1 lies before the period, and the number of days after it.
    """
    before, inside, after, largest = (np.zeros_like(level.mismatch) for _ in range(4))
    for side, (part, error) in enumerate(zip(it.parts, it.errors, strict=True), first):
        if 0 <= side < len(level.days):
            level.days[side] += part
            level.error[side] += error
            inside += part
        else:
            (before if side < 0 else after)[:] = part
            largest = np.maximum(largest, error)
    counted = before + after if member else inside
    if member:
        level.before += before
        if first < 0:
            level.after += after
        else:
            level.straddles_end += after
    else:
        level.straddles_start += inside
    if (first < 0 or first + len(it.parts) > len(level.days)) and counted.any():
        sums = (tuple(value.tolist()) for value in (before, inside, after, largest, counted))
        level.crossings.append(Crossing(name(), edges[0], edges[-1], it.exact, *sums))
