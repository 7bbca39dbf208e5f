"""Sharing a project: nothing is lost, nothing is counted twice, and nobody pays for another's session."""

import random
from fnmatch import fnmatchcase

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from billing.facts import Ints, MeetingDetail
from billing.meetings import attribute
from billing.period import next_day
from billing.sharing import matches, shares
from tests.billing.test_bridge import PERIOD, WINDOWS, brute, instant, known, rooms
from tests.billing.world import PLAN, Room, window

OWNERS = ("ada", "bob", "cyd", None)
owned = rooms.flatmap(
    lambda world: st.tuples(st.just(world), st.fixed_dictionaries({room.id: st.sampled_from(OWNERS) for room in world}))
)


def details_of(world: list[Room]) -> list[MeetingDetail]:
    return [meeting.detail(room.id) for room in world for meeting in room.meetings]


def split(world: list[Room], owners: dict[str, str | None], details: list[MeetingDetail]) -> dict[str | None, Ints]:
    return shares([window(world, day) for day in WINDOWS], details, PERIOD, PLAN, owners.__getitem__)


@given(owned, st.booleans())
def test_the_shares_add_up_to_the_meeting_level_by_day_and_tier(
    it: tuple[list[Room], dict[str, str | None]], detailed: bool
) -> None:
    world, owners = it
    details = details_of(world) if detailed else []
    whole = attribute([window(world, day) for day in WINDOWS], details, PERIOD, PLAN).days
    table = split(world, owners, details)
    assert np.array_equal(sum(table.values(), np.zeros_like(whole)), whole)


@given(owned)
def test_each_share_is_what_the_owners_own_meetings_come_to(it: tuple[list[Room], dict[str, str | None]]) -> None:
    world, owners = it
    table = split(world, owners, details_of(world))
    assert set(table) == {owners[room.id] for room in known(world)}
    for owner, share in table.items():
        mine = [room for room in known(world) if owners[room.id] == owner]
        for index, day in enumerate(PERIOD.days):
            assert share[index].tolist() == brute(mine, instant(day), instant(next_day(day)))


@given(owned, st.randoms(use_true_random=False))
def test_the_order_of_windows_and_details_does_not_matter(
    it: tuple[list[Room], dict[str, str | None]], shuffled: random.Random
) -> None:
    world, owners = it
    windows, details = [window(world, day) for day in WINDOWS], details_of(world)
    shuffled.shuffle(windows)
    shuffled.shuffle(details)
    again = shares(windows, details, PERIOD, PLAN, owners.__getitem__)
    table = split(world, owners, details_of(world))
    assert {owner: share.tolist() for owner, share in again.items()} == {it: share.tolist() for it, share in table.items()}


@given(owned)
def test_each_session_is_asked_for_once(it: tuple[list[Room], dict[str, str | None]]) -> None:
    world, owners = it
    asked: list[str] = []

    def owner_of(session_id: str) -> str | None:
        asked.append(session_id)
        return owners[session_id]

    shares([window(world, day) for day in WINDOWS], [], PERIOD, PLAN, owner_of)
    assert sorted(asked) == sorted(room.id for room in known(world))


names = st.text("ab*", max_size=12)


@given(names, st.text("ab", max_size=12))
def test_a_star_stands_for_any_text(pattern: str, session_id: str) -> None:
    assert matches(pattern, session_id) == fnmatchcase(session_id, pattern)


@given(st.text(max_size=8))
def test_nothing_but_a_star_is_special(text: str) -> None:
    assert matches(text.replace("*", ""), text.replace("*", ""))
    assert not matches(text.replace("*", "") + "?", text.replace("*", "") + "x")


def test_many_stars_are_not_slow() -> None:
    assert not matches("*a" * 500 + "b", "a" * 2000)
