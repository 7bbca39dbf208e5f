"""What an observation points to: upstream's answer about one billing day, as one blob named by the hash of its content.

Daily usage and session details are canonical JSON. Meetings are Parquet (zstd, integer columns): first the statements, one row
a session, sorted by session key, then the meetings, sorted by (session key, created, meeting key), in row groups that hold only
one of the two. The hash is over the values in that order and not over the file, so the same day has the same hash whatever the
order of pages and rows in the answer, and whatever the version of the Parquet library.

A Parquet reader shared between threads crashes (measured), so every call here opens its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.store.meeting_file import MEETING, META, STATED, LazyIds, MeetingsFile, schema_of
from app.store.meeting_rows import (
    TEXTS,
    Digest,
    PayloadError,
    Rows,
    keys_of,
    one_meeting_each,
    one_statement_each,
    require_statements,
    widen,
)
from billing.facts import LIVE, DailyUsage, Ints, Kind, MeetingDay, MeetingDetail, key64
from billing.tiers import Tier

_VERSION = 1
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Payload:
    """A blob and the hex SHA-256 of what it says."""

    sha256: str
    content: bytes


@dataclass(frozen=True)
class MeetingPage:
    """Sessions and their meetings as one page of an answer holds them, in columns; minutes are micro-minutes.

    The meetings of the first session come first, and so on. `statements` is None on a page with further meetings of sessions
    that another page has stated.
    """

    session_ids: Sequence[str]
    media_modes: Sequence[str]
    statements: Ints | None
    """Shape (2 + tiers, sessions): publisher minutes, subscriber minutes, then the tiers."""
    meeting_counts: Ints
    """How many of the meetings are each session's."""
    meeting_ids: Sequence[str]
    meetings: Ints
    """Shape (5 + tiers, meetings): created, destroyed (LIVE where it has not ended), max connections, publisher minutes,
    subscriber minutes, then the tiers."""


def tier_order(tiers: Iterable[str]) -> tuple[str, ...]:
    """Tier fields in the order in which a payload holds them: the lowest first, the narrower of two that start alike first."""
    return tuple(sorted(tiers, key=lambda field: (Tier.parse(field).low, Tier.parse(field).high or float("inf"))))


class MeetingsBuilder:
    """Collects the pages of one billing day, in any order, into one payload.

    Memory stays flat: past 65,536 rows they are kept compressed, in sixteen ranges of session key, finished range by range.
    """

    def __init__(self, tiers: Sequence[str]) -> None:
        """`tiers` are the tier fields in the order of the pages' columns."""
        self._fields = tuple(tiers)
        self._tiers = tier_order(tiers)
        self._statements = Rows()
        self._meetings = Rows()

    def add_page(self, page: MeetingPage) -> None:
        """Take in a page. Nothing is compared yet: contradictions show in `finish`."""
        keys = keys_of(page.session_ids)
        if page.statements is not None:
            columns: dict[str, Any] = {"session_key": keys}
            columns |= zip((*STATED, *self._fields), page.statements, strict=True)
            columns["session_id"] = pa.array(page.session_ids, pa.string())
            columns["media_mode"] = pa.array(page.media_modes, pa.string())
            self._statements.add(pa.table(columns))
        columns = {"session_key": np.repeat(keys, page.meeting_counts), "meeting_key": keys_of(page.meeting_ids)}
        columns |= zip((*MEETING[1:], *STATED, *self._fields), page.meetings, strict=True)
        columns["meeting_id"] = pa.array(page.meeting_ids, pa.string())
        self._meetings.add(pa.table(columns))

    def finish(self) -> Payload:
        """The payload of everything taken in; the builder is used up.

        Raises PayloadError where a session is stated twice in different words, where a meeting has no statement, or where two
        ids share a key.
        """
        schema = schema_of(self._tiers)
        sink, digest, conflicts = BytesIO(), Digest(), []
        stated: list[Ints] = []
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            use_dictionary=["media_mode"],
            use_byte_stream_split=[name for name in schema.names if name not in TEXTS],
            write_statistics=False,
            store_schema=False,
        ) as writer:
            for rows in self._statements.ranges():
                rows = one_statement_each(rows)
                stated.append(rows["session_key"].to_numpy())
                digest.add("statement", rows)
                writer.write_table(widen(rows, schema), row_group_size=max(rows.num_rows, 1))
            known = np.concatenate(stated) if stated else np.zeros(0, np.int64)
            for rows in self._meetings.ranges():
                rows, found = one_meeting_each(rows, self._tiers)
                require_statements(rows, known)
                conflicts += found
                digest.add("meeting", rows)
                writer.write_table(widen(rows, schema), row_group_size=max(rows.num_rows, 1))
            meta = _canonical(
                {
                    "kind": Kind.MEETINGS,
                    "version": _VERSION,
                    "tiers": self._tiers,
                    "statements": len(known),
                    "conflicts": sorted(conflicts),
                }
            )
            writer.add_key_value_metadata({META: meta})
        return Payload(digest.hexdigest(meta), sink.getvalue())


def encode_meetings(tiers: Sequence[str], pages: Iterable[MeetingPage]) -> Payload:
    """The payload of a billing day's pages; see `MeetingsBuilder`."""
    builder = MeetingsBuilder(tiers)
    for page in pages:
        builder.add_page(page)
    return builder.finish()


def decode_meetings(
    content: bytes, tiers: Sequence[str] | None = None, *, again: Callable[[], bytes] | None = None
) -> MeetingDay:
    """The meetings of a payload with the columns of these tiers, or of all it holds.

    Session ids are read only when asked for; `again` gets the blob anew for that, so that a month's blobs need not be kept in
    memory. Raises PayloadError where the payload lacks a tier.
    """
    file = MeetingsFile(content)
    tiers = file.tiers if tiers is None else tiers
    for tier in tiers:
        if tier not in file.tiers:
            raise PayloadError(f"the payload holds no column {tier!r}; upstream was not asked for it")
    statements = file.read(file.statement_groups, ["session_key", *tiers])
    meetings = file.read(file.meeting_groups, ["session_key", "meeting_key", "created", "destroyed", "max_connections", *tiers])
    sessions = statements.pop("session_key")
    session_ids = LazyIds(again or (lambda: content), len(sessions))
    return MeetingDay(
        sessions=sessions,
        session_ids=session_ids,
        statements=statements,
        meeting_sessions=meetings.pop("session_key"),
        meeting_keys=meetings.pop("meeting_key"),
        created=meetings.pop("created"),
        destroyed=meetings.pop("destroyed"),
        max_connections=meetings.pop("max_connections"),
        minutes=meetings,
        conflicts=file.conflicts(sessions, session_ids, tiers),
    )


@dataclass(frozen=True)
class MeetingRow:
    """One meeting as upstream answered it: microseconds since the epoch (`destroyed` None while live), micro-minutes."""

    meeting_id: str
    created: int
    destroyed: int | None
    max_connections: int
    publisher_minutes: int
    subscriber_minutes: int
    minutes: Mapping[str, int]


@dataclass(frozen=True)
class SessionRows:
    """Everything that one payload says of one session; minutes are micro-minutes, by tier field all that upstream filled."""

    session_id: str
    media_mode: str
    publisher_minutes: int
    subscriber_minutes: int
    statement: Mapping[str, int]
    meetings: Sequence[MeetingRow]


def meeting_rows(content: bytes, session_id: str) -> SessionRows | None:
    """What a meetings payload says of one session, its meetings in order of creation; None where it does not name it."""
    file, key = MeetingsFile(content), key64(session_id)
    stated = file.rows_of(key, file.statement_groups)
    if not stated or stated[0]["session_id"] != session_id:
        return None
    return SessionRows(
        session_id=session_id,
        media_mode=stated[0]["media_mode"],
        publisher_minutes=stated[0]["publisher_minutes"],
        subscriber_minutes=stated[0]["subscriber_minutes"],
        statement={tier: stated[0][tier] for tier in file.tiers},
        meetings=[
            MeetingRow(
                meeting_id=row["meeting_id"],
                created=row["created"],
                destroyed=None if row["destroyed"] == LIVE else row["destroyed"],
                max_connections=row["max_connections"],
                publisher_minutes=row["publisher_minutes"],
                subscriber_minutes=row["subscriber_minutes"],
                minutes={tier: row[tier] for tier in file.tiers},
            )
            for row in file.rows_of(key, file.meeting_groups)
        ],
    )


def encode_daily(usage: DailyUsage | None) -> Payload:
    """The payload of a day's project level; None is a day that upstream was asked for and left out."""
    said = None if usage is None else {"tiers": dict(usage.tiers), "usage": dict(usage.usage)}
    return _json_payload({"kind": Kind.DAILY_USAGE, "version": _VERSION, "said": said})


def decode_daily(content: bytes) -> DailyUsage | None:
    """The project level of a day. Raises PayloadError where the blob is of another kind."""
    said = _decode_json(content, _DAILY_FILE).said
    return None if said is None else DailyUsage(tiers=said.tiers, usage=said.usage)


def encode_details(details: Iterable[MeetingDetail]) -> Payload:
    """The payload of a day's session details, in an order of their own: sorted by meeting, connections by their instants.

    Raises PayloadError where one meeting is told twice in different words.
    """
    rows: dict[tuple[int, int, int], tuple[Any, Any]] = {}
    for detail in details:
        key, told = (detail.session, detail.created, detail.meeting_key), _sorted_detail(detail)
        if rows.setdefault(key, told) != told:
            raise PayloadError(f"a meeting of session key {detail.session} is told twice in different words")
    meetings = [[*key, *rows[key]] for key in sorted(rows)]
    return _json_payload({"kind": Kind.SESSION_DETAIL, "version": _VERSION, "meetings": meetings})


def decode_details(content: bytes) -> list[MeetingDetail]:
    """The session details of a day, sorted by meeting. Raises PayloadError where the blob is of another kind."""
    return [
        MeetingDetail(session=session, meeting_key=meeting, created=created, connections=connections, publishing=publishing)
        for session, created, meeting, connections, publishing in _decode_json(content, _DETAIL_FILE).meetings
    ]


def content_hash(content: bytes) -> str:
    """The hash of what a blob says, computed anew: it must be the name under which the blob is stored.

    Raises PayloadError where the blob cannot be read at all.
    """
    if not content.startswith(_PARQUET):
        return sha256(content).hexdigest()
    file, digest = MeetingsFile(content), Digest()
    for half, groups, unused in (
        ("statement", file.statement_groups, {*MEETING, "meeting_id"}),
        ("meeting", file.meeting_groups, {"session_id", "media_mode"}),
    ):
        for group in groups:
            digest.add(half, file.rows([group]).drop_columns(sorted(unused)))
    return digest.hexdigest(file.meta)


# --- daily usage and details: canonical JSON ---


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    tiers: dict[str, int]
    usage: dict[str, int]


class _DailyFile(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["daily_usage"]
    version: Literal[1]
    said: _Said | None


class _DetailFile(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["session_detail"]
    version: Literal[1]
    meetings: list[tuple[int, int, int, list[tuple[int, int]], list[tuple[int, int, int]]]]


_File = TypeVar("_File", _DailyFile, _DetailFile)
_DAILY_FILE = msgspec.json.Decoder(_DailyFile)
_DETAIL_FILE = msgspec.json.Decoder(_DetailFile)


def _decode_json(content: bytes, decoder: msgspec.json.Decoder[_File]) -> _File:
    try:
        return decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise PayloadError(f"the blob is no such payload: {error}") from error


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _json_payload(value: object) -> Payload:
    content = _canonical(value)
    return Payload(sha256(content).hexdigest(), content)


def _sorted_detail(detail: MeetingDetail) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Connections with what each published, in an order that depends on the instants alone."""
    streams: list[list[tuple[int, int]]] = [[] for _ in detail.connections]
    for connection, start, end in detail.publishing:
        streams[connection].append((start, end))
    told = sorted((start, end, sorted(published)) for (start, end), published in zip(detail.connections, streams, strict=True))
    return (
        [(start, end) for start, end, _ in told],
        [(index, start, end) for index, (_, _, published) in enumerate(told) for start, end in published],
    )
