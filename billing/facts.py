"""What upstream said, as values: daily usage, the meetings of a billing day, session details.

Minutes are integers of micro-minutes, instants integers of microseconds since the epoch (UTC). A meeting day is held in
columns, because a month may have a million meetings; the day's few crossers have their details beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from billing.errors import TierNotObserved

Ints = NDArray[np.int64]

LIVE = np.iinfo(np.int64).max
"""The `destroyed` of a meeting that had not ended when it was observed."""


USAGE_KINDS = (
    "streamedPublishedMinutes",
    "streamedSubscribedMinutes",
    "individualArchiveMinutes",
    "sdArchiveComposedMinutes",
    "hdArchiveComposedMinutes",
    "sdBroadcastComposedMinutes",
    "hdBroadcastComposedMinutes",
    "hlsMinutes",
    "sipUserMinutes",
    "experienceComposer",
    "experienceComposerArchive",
    "experienceComposerBroadcast",
)
"""Every kind of usage beside the participant minutes, all in minutes (guide: `Usage`)."""


class Kind(StrEnum):
    """The kinds of observation."""

    DAILY_USAGE = "daily_usage"
    MEETINGS = "meetings"
    SESSION_DETAIL = "session_detail"


@dataclass(frozen=True)
class Observation:
    """One answer of upstream about one project's one billing day: what was said is in the payload of that hash.

    `complete` is false where the answer may not be the whole truth of the day yet, and `reason` says why (meetings still live,
    observed before the day ended or within the latency).
    """

    id: str
    project_id: str
    kind: Kind
    day: date
    observed_at: datetime
    sha256: str
    requests: int
    complete: bool
    reason: str = ""


@dataclass(frozen=True)
class DailyUsage:
    """The project level of one billing day: micro-minutes by tier field, and by every other kind of usage.

    None in place of a DailyUsage stands for a day that upstream was asked for and left out.
    """

    tiers: Mapping[str, int]
    usage: Mapping[str, int] = field(default_factory=dict)

    def of(self, fields: Sequence[str]) -> tuple[int, ...]:
        """The micro-minutes of these tiers, in their order. Raises TierNotObserved where one was not asked for."""
        require_tiers(fields, self.tiers, "The daily usage")
        return tuple(self.tiers[name] for name in fields)


@dataclass(frozen=True)
class MeetingDay:
    """What upstream answered for the sessions with a meeting created on one billing day.

    A session's statement covers all its meetings, so `meetings` also holds those created on other days. Statements and
    meetings are each sorted by session key; the meetings of one session are adjacent.
    """

    sessions: Ints
    """Key of each session, ascending, once each (`key64` of its id)."""
    session_ids: Sequence[str]
    """The id of each session, in the same order."""
    statements: Mapping[str, Ints]
    """By tier field: what upstream states for each whole session."""
    meeting_sessions: Ints
    """Key of each meeting's session, ascending."""
    meeting_keys: Ints
    """`key64` of each meeting's id. A meeting is `(session, meeting key, created)`."""
    created: Ints
    destroyed: Ints
    """LIVE where the meeting had not ended."""
    max_connections: Ints
    minutes: Mapping[str, Ints]
    """By tier field: the minutes of each meeting."""
    conflicts: Sequence["Conflict"] = ()
    """Meetings that this one collection answered twice with different minutes; the later answer is in the columns."""

    def only(self, fields: Sequence[str]) -> "MeetingDay":
        """The same with the columns of these tiers alone: a month's other columns are most of its memory.

        Raises TierNotObserved where it lacks one.
        """
        require_tiers(fields, self.minutes, "The meetings")
        return replace(
            self,
            statements={name: self.statements[name] for name in fields},
            minutes={name: self.minutes[name] for name in fields},
        )


@dataclass(frozen=True)
class Conflict:
    """One meeting answered twice in one collection with different minutes."""

    session_id: str
    created: int
    first: Mapping[str, int]
    second: Mapping[str, int]


@dataclass(frozen=True)
class MeetingDetail:
    """Who was connected and publishing in one meeting: half-open intervals in microseconds.

    `publishing` names the connection by its index in `connections`.
    """

    session: int
    meeting_key: int
    created: int
    connections: Sequence[tuple[int, int]]
    publishing: Sequence[tuple[int, int, int]]

    @property
    def live(self) -> bool:
        """Whether the meeting had not ended when its detail was read, so that the detail does not tell the rest."""
        return any(end == LIVE for _, end in self.connections)


def require_tiers(fields: Sequence[str], held: Mapping[str, object], what: str) -> None:
    """Raise TierNotObserved unless all of these tiers are held."""
    for name in fields:
        if name not in held:
            raise TierNotObserved(
                f"{what} collected so far hold nothing of {name}",
                pointer="/tier_plan",
                expected="a collection with this tier plan",
            )


def key64(text: str) -> int:
    """A signed 64-bit key of an id: a million ids share one with odds of 1 in 37 million, and a payload is refused if its do.

    Integer keys are what makes a month of a million meetings reconcile in half a second.
    """
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
