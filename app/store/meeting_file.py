"""A file of meetings, read: Parquet whose first row groups hold the statements and whose others hold the meetings."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, overload

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.store.meeting_rows import TEXTS, PayloadError
from billing.facts import Conflict, Ints

META = b"reckoner"
"""The key under which a file says what is in it."""
STATED = ("publisher_minutes", "subscriber_minutes")
MEETING = ("meeting_key", "created", "destroyed", "max_connections")


class MeetingsFile:
    """A meetings payload opened for one reader in one thread."""

    def __init__(self, content: bytes) -> None:
        with _readable():
            self.reader = pq.ParquetFile(pa.BufferReader(content))
            self.meta = (self.reader.metadata.metadata or {})[META]
            self._said = _MEETINGS_META.decode(self.meta)
            if not self.reader.schema_arrow.equals(schema_of(self._said.tiers)):
                raise PayloadError("the blob has other columns than it says")
        self.tiers = self._said.tiers
        sizes = [self.reader.metadata.row_group(group).num_rows for group in range(self.reader.num_row_groups)]
        split = bisect_left(list(accumulate(sizes, initial=0)), self._said.statements)
        self.statement_groups, self.meeting_groups = range(split), range(split, len(sizes))

    def rows(self, groups: Sequence[int], columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of these groups; without `columns`, all of them."""
        with _readable():
            return self.reader.read_row_groups(groups, columns=columns, use_threads=False)

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> dict[str, Ints]:
        """The integers of these columns."""
        rows = self.rows(groups, columns)
        return {name: rows[name].to_numpy() for name in columns}

    def rows_of(self, key: int, groups: Sequence[int]) -> list[dict[str, Any]]:
        """All that is said of the session with this key."""
        found: list[dict[str, Any]] = []
        for group in groups:
            keys = self.read([group], ["session_key"])["session_key"]
            start, end = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
            if start < end:
                found += self.rows([group]).slice(start, end - start).to_pylist()
        return found

    def conflicts(self, sessions: Ints, ids: Sequence[str], tiers: Sequence[str]) -> list[Conflict]:
        """The conflicts in these tiers."""
        found = []
        for session, created, before, after in self._said.conflicts:
            first, second = ({tier: by[self.tiers.index(tier)] for tier in tiers} for by in (before, after))
            if first != second:
                found.append(Conflict(ids[int(np.searchsorted(sessions, session))], created, first, second))
        return found


def schema_of(tiers: Sequence[str]) -> pa.Schema:
    """The columns of a file with these tiers."""
    integers = ("session_key", *MEETING, *STATED, *tiers)
    return pa.schema(
        [pa.field(name, pa.int64(), nullable=False) for name in integers]
        + [pa.field(name, pa.string(), nullable=False) for name in TEXTS]
    )


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, msgspec.MsgspecError, OSError, KeyError, ValueError) as error:
        raise PayloadError(f"the blob is no payload of meetings: {error}") from error


class LazyIds(Sequence[str]):
    """The session ids of a payload, read when the first is asked for: a month has too many to make texts of in vain."""

    def __init__(self, load: Callable[[], bytes], length: int) -> None:
        self._load = load
        self._length = length

    @cached_property
    def _ids(self) -> pa.ChunkedArray:
        file = MeetingsFile(self._load())
        return file.rows(file.statement_groups, ["session_id"])["session_id"]

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        found: str | Sequence[str] = self._ids[index].to_pylist() if isinstance(index, slice) else self._ids[index].as_py()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids.to_pylist())


class _MeetingsMeta(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["meetings"]
    version: Literal[1]
    tiers: tuple[str, ...]
    statements: int
    conflicts: list[tuple[int, int, list[int], list[int]]]


_MEETINGS_META = msgspec.json.Decoder(_MeetingsMeta)
"""Made once, here: msgspec crashes the process if two threads make a type's first decoder at once."""
