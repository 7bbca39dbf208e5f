"""Rows of meetings on their way into a payload: gathered in flat memory, sorted, repetitions dropped, hashed."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b, sha256
from os import SEEK_END
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import pyarrow as pa

from billing.facts import LIVE, Ints

TEXTS = ("session_id", "media_mode", "meeting_id")
"""The columns that hold text; all others are 64-bit integers."""

_SPILL_ROWS = 1 << 16
_RANGE_BITS = 6


class PayloadError(ValueError):
    """Rows that contradict one another, or a blob that is no payload."""


class Rows:
    """Rows in order of arrival: in memory while few, then in a temporary file, in ranges of session key."""

    def __init__(self) -> None:
        self._pending: list[pa.Table] = []
        self._count = 0
        self._file: IO[bytes] | None = None
        self._spilled: list[list[tuple[int, int]]] = [[] for _ in range(1 << _RANGE_BITS)]

    def add(self, rows: pa.Table) -> None:
        self._pending.append(rows)
        self._count += rows.num_rows
        if self._count >= _SPILL_ROWS:
            self._spill()

    def _spill(self) -> None:
        rows = pa.concat_tables(self._pending).combine_chunks()
        ranges = (rows["session_key"].to_numpy() >> (64 - _RANGE_BITS)).astype(np.int8)
        rows = rows.take(np.argsort(ranges, kind="stable"))
        ends = np.cumsum(np.bincount(ranges + (1 << (_RANGE_BITS - 1)), minlength=1 << _RANGE_BITS)).tolist()
        self._file = self._file or TemporaryFile()  # noqa: SIM115 - `ranges` closes it, or whoever drops these rows
        for start, end, spilled in zip([0, *ends], ends, self._spilled, strict=False):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as stream:
                stream.write_table(rows.slice(start, end - start))
            block = sink.getvalue()
            spilled.append((self._file.seek(0, SEEK_END), block.size))
            self._file.write(block)
        self._pending, self._count = [], 0

    def ranges(self) -> Iterator[pa.Table]:
        """All rows, in ascending ranges of session key; within one they are as they came. What is handed out is let go."""
        if self._file is None:
            if self._count:
                yield pa.concat_tables(self._pending)
            self._pending = []
            return
        if self._count:
            self._spill()
        with self._file as file:
            while self._spilled:
                rows = pa.concat_tables([_block(file, *place) for place in self._spilled.pop(0)])
                if rows.num_rows:
                    yield rows


def _block(file: IO[bytes], offset: int, size: int) -> pa.Table:
    file.seek(offset)
    return pa.ipc.open_stream(file.read(size)).read_all()


def one_statement_each(rows: pa.Table) -> pa.Table:
    """The statements sorted by session key, an exact repetition dropped."""
    rows = rows.take(np.argsort(rows["session_key"].to_numpy(), kind="stable")).combine_chunks()
    keys = rows["session_key"].to_numpy()
    repeated = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    if not len(repeated):
        return rows
    for index in repeated.tolist():
        first, second = rows.slice(index - 1, 2).to_pylist()
        if first["session_id"] != second["session_id"]:
            raise PayloadError(f"the sessions {first['session_id']!r} and {second['session_id']!r} share a key")
        if first != second:
            raise PayloadError(f"the session {first['session_id']!r} is stated twice in different words")
    return rows.take(np.delete(np.arange(len(keys)), repeated))


def one_meeting_each(rows: pa.Table, tiers: Sequence[str]) -> tuple[pa.Table, list[Any]]:
    """The meetings sorted by (session key, created, meeting key), each once, and what was answered twice differently.

    The later answer stays. A meeting that was live in one of two answers has merely gone on, so that is no conflict.
    """
    rows = rows.combine_chunks()
    meeting, created, session = keys = [rows[name].to_numpy() for name in ("meeting_key", "created", "session_key")]
    order = np.argsort(session, kind="stable")
    ascending = (session[order][1:] > session[order][:-1]) | (created[order][1:] > created[order][:-1])
    if not ascending.all():  # rare, as upstream answers a session's meetings in order of creation, and five times dearer
        order = np.lexsort((meeting, created, session))
    rows = rows.take(order)
    same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    if not same.any():
        return rows, []
    conflicts: list[Any] = []
    for index in (np.flatnonzero(same) + 1).tolist():
        first, second = rows.slice(index - 1, 2).to_pylist()
        if first["meeting_id"] != second["meeting_id"]:
            raise PayloadError(f"the meetings {first['meeting_id']!r} and {second['meeting_id']!r} share a key")
        before, after = [first[tier] for tier in tiers], [second[tier] for tier in tiers]
        if before != after and LIVE not in (first["destroyed"], second["destroyed"]):
            conflicts.append([first["session_key"], first["created"], before, after])
    return rows.filter(np.append(~same, True)), conflicts


def require_statements(rows: pa.Table, sessions: Ints) -> None:
    """Raise PayloadError unless every meeting's session is among these (ascending)."""
    keys = rows["session_key"].to_numpy()
    places = np.searchsorted(sessions, keys)
    if len(keys) and not (len(sessions) and (sessions[np.minimum(places, len(sessions) - 1)] == keys).all()):
        raise PayloadError("a meeting belongs to a session without a statement")


def widen(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the columns of the other half, empty: one Parquet file has one schema, and zeros cost nothing there."""
    empty = {
        name: pa.repeat(pa.scalar("" if name in TEXTS else 0, schema.field(name).type), rows.num_rows) for name in schema.names
    }
    return pa.table([rows[name] if name in rows.column_names else empty[name] for name in schema.names], schema=schema)


def keys_of(ids: Sequence[str]) -> Ints:
    """`key64` of every id."""
    return np.frombuffer(b"".join([blake2b(text.encode(), digest_size=8).digest() for text in ids]), "<i8")


class Digest:
    """SHA-256 over columns that come in blocks; where a block ends makes no difference."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def add(self, half: str, rows: pa.Table) -> None:
        """Take in the next rows of a half ("statement" or "meeting"): integers as little-endian 64 bits, texts as their UTF-8
        and, apart from it, the length of each."""
        for name in rows.column_names:
            for chunk in rows[name].chunks:
                if name in TEXTS:
                    _, offsets, text = chunk.buffers()
                    ends = np.frombuffer(offsets, "<i4")[chunk.offset : chunk.offset + len(chunk) + 1]
                    self._update(f"{half} {name} lengths", np.diff(ends))
                    self._update(f"{half} {name}", text[int(ends[0]) : int(ends[-1])] if text else b"")
                else:
                    self._update(f"{half} {name}", np.ascontiguousarray(chunk.to_numpy(), "<i8"))

    def _update(self, column: str, data: Any) -> None:
        self._columns.setdefault(column, sha256()).update(data)

    def hexdigest(self, meta: bytes) -> str:
        """The hash of the metadata and of every column, in order of their names."""
        whole = sha256(meta)
        for column in sorted(self._columns):
            whole.update(column.encode() + b"\0" + self._columns[column].digest())
        return whole.hexdigest()
