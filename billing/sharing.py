"""Sharing a project among its customers: what each one's sessions used, by billing day and tier, from the meeting level.

The shares of all customers, and of the sessions that nobody owns, add up to the meeting level to the micro-minute: a meeting
belongs to one session, and a day's minutes are the sum of its meetings.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from billing.facts import Ints, MeetingDay, MeetingDetail, Observation
from billing.meetings import attribute
from billing.period import BillingPeriod
from billing.tiers import TierPlan

Window = tuple[Observation, MeetingDay]


def shares(
    windows: Iterable[Window],
    details: Sequence[MeetingDetail],
    period: BillingPeriod,
    plan: TierPlan,
    owner_of: Callable[[str], str | None],
) -> dict[str | None, Ints]:
    """The meeting level by owner, each (day, tier) in micro-minutes; None is what nobody owns. The order does not matter.

    `owner_of` is asked once for each session.
    """
    owners: dict[str, str | None] = {}
    by_owner: dict[str | None, list[Window]] = {}
    for observation, day in windows:
        for session_id in day.session_ids:
            if session_id not in owners:
                owners[session_id] = owner_of(session_id)
        here = {owner: code for code, owner in enumerate(dict.fromkeys(owners[it] for it in day.session_ids))}
        codes = np.array([here[owners[it]] for it in day.session_ids], np.int64)
        for owner, code in here.items():
            by_owner.setdefault(owner, []).append((observation, _of(day, codes == code)))
    return {owner: attribute(held, details, period, plan).days for owner, held in by_owner.items()}


def matches(pattern: str, session_id: str) -> bool:
    """Whether a glob, in which `*` stands for any text and nothing else is special, holds a session id.

    >>> matches("school-*-2026", "school-berlin-2026"), matches("school-*", "1_school")
    (True, False)
    """
    head, *middle = pattern.split("*")
    if not middle:
        return session_id == pattern
    tail = middle.pop()
    if len(session_id) < len(head) + len(tail) or not (session_id.startswith(head) and session_id.endswith(tail)):
        return False
    # The first place is always the best, so nothing is tried twice however many stars there are.
    place, end = len(head), len(session_id) - len(tail)
    for part in middle:
        found = session_id.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _of(day: MeetingDay, mine: NDArray[np.bool_]) -> MeetingDay:
    """The part of a window that belongs to these of its sessions."""
    rows = mine[np.searchsorted(day.sessions, day.meeting_sessions)]
    return replace(
        day,
        sessions=day.sessions[mine],
        session_ids=[day.session_ids[place] for place in np.flatnonzero(mine).tolist()],
        statements={name: column[mine] for name, column in day.statements.items()},
        meeting_sessions=day.meeting_sessions[rows],
        meeting_keys=day.meeting_keys[rows],
        created=day.created[rows],
        destroyed=day.destroyed[rows],
        max_connections=day.max_connections[rows],
        minutes={name: column[rows] for name, column in day.minutes.items()},
        conflicts=(),
    )
