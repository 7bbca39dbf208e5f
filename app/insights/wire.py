"""Upstream's JSON, typed, and made into columns and facts: figures become integers here and nowhere else.

What is not as documented is refused with the JSON pointer of the field. Tier fields that were not asked for but came are read
like the others, as long as their names are tiers; any other unknown field among the minutes is refused, because its minutes
would be lost in silence.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from itertools import chain
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from app.insights.errors import InsightsError, MalformedAnswer, UpstreamUnavailable, from_code
from app.insights.schema import (
    Answer,
    DailyProject,
    Detail,
    Error,
    Errors,
    Found,
    FoundList,
    Meeting,
    PageInfo,
    Row,
    SessionsProject,
    SummariesProject,
    Summary,
)
from app.store.payloads import MeetingPage
from billing.errors import InvalidMinutes, InvalidTier
from billing.facts import LIVE, USAGE_KINDS, DailyUsage, Ints
from billing.minutes import micro_minutes, micro_minutes_array
from billing.period import FIRST_DAY, LAST_DAY, BillingPeriod, day_of, day_start, microseconds
from billing.tiers import Tier

_EARLIEST, _LATEST = microseconds(day_start(FIRST_DAY)), microseconds(day_start(LAST_DAY))


@dataclass(frozen=True)
class MeetingsAnswered:
    """A page of sessions with meetings: as rows for paging, and as columns for the payload."""

    tiers: tuple[str, ...]
    """The tier fields in the order of the columns: those asked for, then any that came beside them."""
    sessions: Sequence["Summary[Any] | Found[Any]"]
    info: PageInfo
    total: int | None
    columns: MeetingPage


@dataclass(frozen=True)
class DailyAnswered:
    """A page of the project level by the day."""

    days: Sequence[tuple[date, DailyUsage]]
    info: PageInfo
    total: int | None


def refusal(body: bytes) -> InsightsError | None:
    """What upstream says is wrong, as an error; None where the body names nothing. A final error goes before a passing one."""
    try:
        return _refusal(_ERRORS.decode(body).errors)
    except msgspec.DecodeError:
        return None


def summaries(body: bytes, tiers: Sequence[str]) -> MeetingsAnswered:
    """A page of `sessionSummaries`. Raises InsightsError."""
    project, fields = _decode(body, tuple(tiers), summaries_type)
    listed = project.session_data.session_summaries
    columns = _columns(listed.resources, fields, "/data/project/sessionData/sessionSummaries/resources/{}", stated=True)
    return MeetingsAnswered(fields, listed.resources, listed.page_info, listed.total_count, columns)


def more_meetings(body: bytes, tiers: Sequence[str], session_ids: Sequence[str]) -> MeetingsAnswered:
    """Further meetings of these sessions, in the same order. Raises InsightsError."""
    project, fields = _decode(body, tuple(tiers), _more_type)
    sessions = _in_order(project.session_data, session_ids)
    columns = _columns(sessions, fields, "/data/project/sessionData/s{}/resources/0", stated=False)
    return MeetingsAnswered(fields, sessions, PageInfo(has_next_page=False), None, columns)


def details(body: bytes, session_ids: Sequence[str]) -> Sequence[Found[Detail]]:
    """What was asked of these sessions' meetings, in the same order. Raises InsightsError."""
    project, _ = _decode(body, (), _details_type)
    return _in_order(project.session_data, session_ids)


def daily_usage(body: bytes, tiers: Sequence[str], period: BillingPeriod) -> DailyAnswered:
    """A page of `projectData`. A row's day is the Pacific date of its `intervalStart`, which must be that day's first instant
    and in the period; `intervalEnd` is not reliable (seen), so it is not even asked for. Raises InsightsError."""
    project, fields = _decode(body, tuple(tiers), _daily_type)
    listed, days = project.project_data, []
    rows = "/data/project/projectData/resources/{}"
    starts = instants([metric.interval_start for metric in listed.resources], lambda row: f"{rows.format(row)}/intervalStart")
    for index, metric in enumerate(listed.resources):
        path = rows.format(index)
        start = datetime.fromtimestamp(int(starts[index]) // 10**6, UTC)
        day = day_of(start)
        if day_start(day) != start or int(starts[index]) % 10**6 or day not in period:
            raise MalformedAnswer(
                f"{metric.interval_start!r} starts no day that was asked for.",
                path=f"{path}/intervalStart",
                expected=f"a Pacific midnight from {period.first_day} to {period.last_day}",
            )
        minutes = metric.usage.participant_minutes
        try:
            usage = DailyUsage(
                tiers={name: micro_minutes(getattr(minutes, name), f"participantMinutes/{name}") for name in fields},
                usage={name: micro_minutes(getattr(metric.usage, name), name) for name in USAGE_KINDS},
            )
        except InvalidMinutes as error:
            raise MalformedAnswer(error.message, path=f"{path}/usage/{error.pointer}", expected=error.expected) from None
        days.append((day, usage))
    return DailyAnswered(days, listed.page_info, listed.total_count)


def instants(texts: Sequence[str | None], path_of: Callable[[int], str]) -> Ints:
    """Microseconds since the epoch of ISO-8601 instants; LIVE for None."""
    try:
        parsed = pa.array(texts, pa.string()).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    except pa.ArrowInvalid as error:
        for row, text in enumerate(texts) if len(texts) > 1 else ():
            instants([text], lambda _, row=row: path_of(row))  # type: ignore[misc]  # raises for the one that is wrong
        raise MalformedAnswer(
            f"{texts[0]!r} is no instant.", path=path_of(0), expected="an ISO-8601 instant with an offset"
        ) from error
    micros: Ints = pc.fill_null(parsed, LIVE).to_numpy(zero_copy_only=False)
    wrong = ((micros < _EARLIEST) | (micros >= _LATEST)) & (micros != LIVE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise MalformedAnswer(
            f"{texts[row]!r} is outside the years whose time-zone rules are known.",
            path=path_of(row),
            expected=f"an instant from {FIRST_DAY} to {LAST_DAY}",
        )
    return micros


def malformed(error: Exception) -> MalformedAnswer:
    """What a decoder refused, with the place as a JSON pointer."""
    message, _, place = str(error).partition(" - at `$")
    path = re.sub(r"\.|\[", "/", place.rstrip("`")).replace("]", "")
    return MalformedAnswer(f"The answer is not as documented: {message}", path=path, expected="the documented schema, whole")


# --- decoding ---


@cache
def _minutes_type(tiers: tuple[str, ...]) -> Any:
    """A type whose every tier field must be there, and no other: a schema that changes is noticed by its first answer."""
    return msgspec.defstruct("ParticipantMinutes", [(tier, float) for tier in tiers], forbid_unknown_fields=True, gc=False)


# Types made at run time are invisible to the checker, so they are handed on as Any.


def summaries_type(tiers: tuple[str, ...]) -> Any:
    """The type of an answer to `sessionSummaries` with these tier fields."""
    minutes: Any = _minutes_type(tiers)
    return Answer[SummariesProject[minutes]]


def _more_type(tiers: tuple[str, ...]) -> Any:
    minutes: Any = _minutes_type(tiers)
    return Answer[SessionsProject[Meeting[minutes]]]


def _details_type(_: tuple[str, ...]) -> Any:
    return Answer[SessionsProject[Detail]]


def _daily_type(tiers: tuple[str, ...]) -> Any:
    fields: list[Any] = [(name, float) for name in USAGE_KINDS]
    fields.append(("participant_minutes", _minutes_type(tiers)))
    usage: Any = msgspec.defstruct("Usage", fields, rename="camel")
    return Answer[DailyProject[usage]]


_ERRORS = msgspec.json.Decoder(Errors)
_MAKING = Lock()
"""msgspec crashes the process if two threads make a type's first decoder at once, so one waits for the other."""


@cache
def _decoder(make: Callable[[tuple[str, ...]], Any], tiers: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(make(tiers))


def _decode(body: bytes, tiers: tuple[str, ...], make: Callable[[tuple[str, ...]], Any]) -> tuple[Any, tuple[str, ...]]:
    """The project of an answer, and its tier fields. A partial answer is refused as what upstream says is wrong with it."""
    with _MAKING:
        decoder = _decoder(make, tiers)
    try:
        answer = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if said := refusal(body):
            raise said from None
        more = _extra_tiers(body, tiers)
        if more and "unknown field" in str(error):
            return _decode(body, (*tiers, *more), make)
        raise malformed(error) from None
    if said := _refusal(answer.errors):
        raise said
    return answer.data.project, tiers


def _refusal(errors: Sequence[Error] | None) -> InsightsError | None:
    found = []
    for error in errors or ():
        code = str(error.error_code)
        found.append(from_code(int(code) if code.isdecimal() else None, error.message or "no reason given"))
    return min(found, key=lambda error: isinstance(error, UpstreamUnavailable), default=None)


def _extra_tiers(body: bytes, tiers: Sequence[str]) -> list[str]:
    """The tier fields that came without being asked for, sorted; none where some unknown field is no tier."""
    first = re.search(rb'"participantMinutes"\s*:\s*\{([^{}]*)\}', body)
    names = re.findall(r'"([^"]+)"\s*:', first[1].decode(errors="replace")) if first else []
    extra = sorted(set(names) - set(tiers))
    try:
        return [Tier.parse(name).field for name in extra]
    except InvalidTier:
        return []


def _in_order(found: Mapping[str, FoundList[Row]], session_ids: Sequence[str]) -> list[Found[Row]]:
    """The one session that each alias asked for."""
    if set(found) != {f"s{index}" for index in range(len(session_ids))}:
        raise MalformedAnswer("Other parts came than asked for.", path="/data/project/sessionData", expected="each alias once")
    for index, session_id in enumerate(session_ids):
        if [session.session_id for session in found[f"s{index}"].resources] != [session_id]:
            path = f"/data/project/sessionData/s{index}/resources"
            raise MalformedAnswer("Not the session that was asked for.", path=path, expected=f"the session {session_id!r}")
    return [found[f"s{index}"].resources[0] for index in range(len(session_ids))]


# --- columns ---


def _columns(sessions: Sequence[Any], tiers: tuple[str, ...], prefix: str, *, stated: bool) -> MeetingPage:
    lists = [session.meetings.resources for session in sessions]
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    meetings = list(chain.from_iterable(lists))

    def meeting_path(row: int) -> str:
        ends = np.cumsum(counts)
        session = int(np.searchsorted(ends, row, "right"))
        return f"{prefix.format(session)}/meetings/resources/{row - int(ends[session] - counts[session])}"

    columns = np.empty((5 + len(tiers), len(meetings)), np.int64)
    columns[0] = instants([meeting.created_at for meeting in meetings], lambda row: f"{meeting_path(row)}/createdAt")
    columns[1] = instants([meeting.destroyed_at for meeting in meetings], lambda row: f"{meeting_path(row)}/destroyedAt")
    columns[2] = [meeting.max_concurrent_connections for meeting in meetings]
    columns[3:] = _minutes(meetings, tiers, meeting_path)
    if (backwards := columns[1] < columns[0]).any():
        path = meeting_path(int(np.argmax(backwards)))
        raise MalformedAnswer("A meeting ends before it starts.", path=f"{path}/destroyedAt", expected="not before createdAt")
    if (negative := columns[2] < 0).any():
        path = meeting_path(int(np.argmax(negative)))
        raise MalformedAnswer("A negative number.", path=f"{path}/maxConcurrentConnections", expected="0 or more")
    return MeetingPage(
        session_ids=[session.session_id for session in sessions],
        media_modes=[session.media_mode for session in sessions] if stated else [],
        statements=_minutes(sessions, tiers, prefix.format) if stated else None,
        meeting_counts=counts,
        meeting_ids=[meeting.meeting_id for meeting in meetings],
        meetings=columns,
    )


def _minutes(rows: Sequence[Any], tiers: tuple[str, ...], path_of: Callable[[int], str]) -> Ints:
    """Publisher minutes, subscriber minutes and the tiers of every row, as columns of micro-minutes."""
    figures = np.empty((len(rows), 2 + len(tiers)))
    figures[:, 0] = [row.publisher_minutes for row in rows]
    figures[:, 1] = [row.subscriber_minutes for row in rows]
    by_tier = chain.from_iterable(map(astuple, [row.participant_minutes for row in rows]))
    figures[:, 2:] = np.fromiter(by_tier, np.float64, len(rows) * len(tiers)).reshape(len(rows), len(tiers))
    try:
        return micro_minutes_array(figures).T
    except InvalidMinutes as error:
        row, column = divmod(int(error.pointer[1:]), figures.shape[1])
        field = ("publisherMinutes", "subscriberMinutes", *(f"participantMinutes/{tier}" for tier in tiers))[column]
        raise MalformedAnswer(error.message, path=f"{path_of(row)}/{field}", expected=error.expected) from None
