"""The GraphQL that we send, each query far below upstream's 500,000 nodes.

Nodes are counted as asked for, `first × first × …`, not as found (support article). Every `first` is therefore written out,
also where only one thing can be found.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import USAGE_KINDS

SESSIONS_PER_QUERY = 50
"""`sessions` answers details for the first 50 ids only (a client's note); we ask for as many by alias."""

_SUMMARIES = 500
_DAYS = 1000
_MEETINGS = 10
_PEOPLE = 200

_PAGE = "pageInfo { hasNextPage endCursor } totalCount"


@dataclass(frozen=True)
class More:
    """The place at which a session's list of meetings goes on."""

    session_id: str
    cursor: str


@dataclass(frozen=True)
class DetailAsk:
    """A part of the detail of the meetings that share an id: a page of their connections, of their publishers, or of both.

    A cursor of None means that this collection is not asked for. `created` (microseconds since the epoch) is not sent: it says
    which of the meetings this page goes on with, None all of them.
    """

    session_id: str
    meeting_id: str
    meetings: str = ""
    connections: str | None = ""
    publishers: str | None = ""
    created: int | None = None


def daily_usage(project_id: str, start: datetime, end: datetime, tiers: Sequence[str], cursor: str) -> str:
    """The project level by the day, over `[start, end)`."""
    return _project(
        project_id,
        f"projectData(start: {_instant(start)}, end: {_instant(end)}, interval: DAILY, {_first(_DAYS, cursor)}) "
        f"{{ {_PAGE} resources {{ intervalStart usage {{ {' '.join(USAGE_KINDS)} {_minutes(tiers)} }} }} }}",
    )


def summaries(project_id: str, start: datetime, end: datetime, tiers: Sequence[str], cursor: str) -> str:
    """Every session with a meeting created in `[start, end)`, each with the first of its meetings. 5,500 nodes."""
    return _project(
        project_id,
        f"sessionData {{ sessionSummaries(start: {_instant(start)}, end: {_instant(end)}, {_first(_SUMMARIES, cursor)}) "
        f"{{ {_PAGE} resources {{ sessionId mediaMode publisherMinutes subscriberMinutes {_minutes(tiers)} "
        f"{_meetings(tiers, '')} }} }} }}",
    )


def more_meetings(project_id: str, asks: Sequence[More], tiers: Sequence[str]) -> str:
    """The next ten meetings of each of up to 50 sessions, as `s0`, `s1`, …: one query where there would be 50. 550 nodes."""
    return _by_alias(project_id, ((ask.session_id, _meetings(tiers, ask.cursor)) for ask in asks))


def details(project_id: str, asks: Sequence[DetailAsk]) -> str:
    """Who was connected and publishing, for up to 50 meeting ids, as `s0`, `s1`, …. At most 200,550 nodes."""

    def one(ask: DetailAsk) -> str:
        parts = [
            f"{name}({_first(_PEOPLE, cursor)}) {{ {_PAGE} resources {{ connectionId createdAt destroyedAt }} }}"
            for name, cursor in (("connections", ask.connections), ("publishers", ask.publishers))
            if cursor is not None
        ]
        which = f"{_first(_MEETINGS, ask.meetings)}, meetingId: {_text(ask.meeting_id)}"
        return f"meetings({which}) {{ {_PAGE} resources {{ meetingId createdAt {' '.join(parts)} }} }}"

    return _by_alias(project_id, ((ask.session_id, one(ask)) for ask in asks))


def _by_alias(project_id: str, asks: Iterable[tuple[str, str]]) -> str:
    sessions = (
        f"s{index}: sessions(sessionIds: [{_text(session_id)}], first: 1) {{ resources {{ sessionId {wanted} }} }}"
        for index, (session_id, wanted) in enumerate(asks)
    )
    return _project(project_id, f"sessionData {{ {' '.join(sessions)} }}")


def _project(project_id: str, wanted: str) -> str:
    return f"{{ project(projectId: {_text(project_id)}) {{ {wanted} }} }}"


def _meetings(tiers: Sequence[str], cursor: str) -> str:
    return (
        f"meetings({_first(_MEETINGS, cursor)}) {{ {_PAGE} resources {{ meetingId createdAt destroyedAt "
        f"maxConcurrentConnections publisherMinutes subscriberMinutes {_minutes(tiers)} }} }}"
    )


def _minutes(tiers: Sequence[str]) -> str:
    return f"participantMinutes {{ {' '.join(tiers)} }}"


def _first(first: int, cursor: str) -> str:
    return f"first: {first}, endCursor: {_text(cursor)}"


def _instant(instant: datetime) -> str:
    return f'"{instant:%Y-%m-%dT%H:%M:%SZ}"'


def _text(text: str) -> str:
    """A GraphQL string literal: JSON's escapes are all its own too."""
    return json.dumps(text)
