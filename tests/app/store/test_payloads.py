"""A payload says what went in, and its hash depends on nothing else."""

import random
from contextlib import suppress
from dataclasses import replace
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store import meeting_rows as rows_module
from app.store.payloads import (
    MeetingPage,
    PayloadError,
    content_hash,
    decode_daily,
    decode_details,
    decode_meetings,
    encode_daily,
    encode_details,
    encode_meetings,
    meeting_rows,
    tier_order,
)
from billing.facts import LIVE, DailyUsage, MeetingDetail, key64
from billing.tiers import KNOWN_FIELDS

TIERS = ("from1To2Publishers", "from3To6Publishers", "from1To10Publishers")

micro = st.integers(0, 10**15)
instants = st.integers(1_700_000_000_000_000, 1_800_000_000_000_000)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def meetings(draw):
    created = draw(instants)
    destroyed = draw(st.one_of(st.just(LIVE), st.integers(created, created + 10**12)))
    return (draw(ids), created, destroyed, draw(st.integers(0, 5000)), *(draw(micro) for _ in range(2 + len(TIERS))))


sessions = st.dictionaries(
    ids,
    st.tuples(
        st.sampled_from(["routed", "relayed"]),
        st.tuples(*[micro] * (2 + len(TIERS))),
        st.lists(meetings(), max_size=5, unique_by=lambda meeting: meeting[:2]),
    ),
    max_size=6,
)


def page(told, tiers=TIERS, *, stated=True):
    """A page of `{session id: (media mode, statement, meetings)}`; a meeting begins with its id."""
    rows = [meeting for _, _, found in told.values() for meeting in found]
    return MeetingPage(
        session_ids=list(told),
        media_modes=[mode for mode, _, _ in told.values()],
        statements=np.array([statement for _, statement, _ in told.values()], np.int64).reshape(-1, 2 + len(tiers)).T
        if stated
        else None,
        meeting_counts=np.array([len(found) for _, _, found in told.values()], np.int64),
        meeting_ids=[row[0] for row in rows],
        meetings=np.array([row[1:] for row in rows], np.int64).reshape(-1, 5 + len(tiers)).T,
    )


def told_back(content):
    """What a payload says, in the form that `page` takes."""
    day = decode_meetings(content, TIERS)
    back = {}
    for session_id in day.session_ids:
        said = meeting_rows(content, session_id)
        back[session_id] = (
            said.media_mode,
            (said.publisher_minutes, said.subscriber_minutes, *(said.statement[tier] for tier in TIERS)),
            [
                (
                    row.meeting_id,
                    row.created,
                    LIVE if row.destroyed is None else row.destroyed,
                    row.max_connections,
                    row.publisher_minutes,
                    row.subscriber_minutes,
                    *(row.minutes[tier] for tier in TIERS),
                )
                for row in said.meetings
            ],
        )
    return back


def in_order(told):
    return {
        session: (mode, statement, sorted(found, key=lambda row: (row[1], key64(row[0]))))
        for session, (mode, statement, found) in sorted(told.items(), key=lambda item: key64(item[0]))
    }


@given(sessions)
def test_meetings_come_back_as_they_went_in(told):
    payload = encode_meetings(TIERS, [page(told)])
    assert told_back(payload.content) == in_order(told)
    assert content_hash(payload.content) == payload.sha256


@given(sessions, st.randoms(use_true_random=False), st.booleans())
def test_the_hash_does_not_depend_on_the_order_of_pages_rows_or_tiers_nor_on_spilling(told, rng, spill):
    """Each session's meetings come in pieces, later pieces on pages without a statement, all shuffled."""
    pages = []
    for session in rng.sample(list(told), len(told)):
        mode, statement, found = told[session]
        found = rng.sample(found, len(found))
        cut = rng.randint(0, len(found))
        pages.append(page({session: (mode, statement, found[:cut])}))
        pages.append(page({session: (mode, statement, found[cut:])}, stated=False))
        if rng.random() < 0.3:
            pages.append(pages[-2])
    rng.shuffle(pages)
    with mock.patch.object(rows_module, "_SPILL_ROWS", 2 if spill else 1 << 16):
        shuffled = encode_meetings(TIERS, pages)
    assert shuffled.sha256 == encode_meetings(TIERS, [page(told)]).sha256 == content_hash(shuffled.content)

    order = rng.sample(range(len(TIERS)), len(TIERS))
    whole = page(told)
    moved = replace(
        whole,
        statements=whole.statements[[0, 1, *(2 + place for place in order)]],
        meetings=whole.meetings[[0, 1, 2, 3, 4, *(5 + place for place in order)]],
    )
    assert encode_meetings([TIERS[place] for place in order], [moved]).sha256 == shuffled.sha256


@given(sessions.filter(bool), st.data())
def test_the_hash_changes_with_any_figure(told, data):
    session = data.draw(st.sampled_from(sorted(told)))
    mode, statement, found = told[session]
    place = data.draw(st.integers(0, len(statement) - 1))
    changed = told | {session: (mode, (*statement[:place], statement[place] + 1, *statement[place + 1 :]), found)}
    assert encode_meetings(TIERS, [page(told)]).sha256 != encode_meetings(TIERS, [page(changed)]).sha256


def test_only_the_tiers_asked_for_are_read_and_statements_are_beside_meetings():
    told = {
        "b": ("routed", (9, 8, 7, 6, 5), [("m", 20, 30, 2, 1, 2, 3, 4, 5)]),
        "a": ("relayed", (0, 0, 1, 2, 3), [("m", 11, LIVE, 2, 1, 2, 30, 40, 50), ("l", 10, 11, 2, 1, 2, 3, 4, 5)]),
    }
    day = decode_meetings(encode_meetings(TIERS, [page(told)]).content, TIERS[1:2])
    order = sorted(told, key=key64)
    assert list(day.session_ids) == order == [day.session_ids[0], day.session_ids[1]] == list(day.session_ids[:])
    assert day.session_ids[-1] == order[1]
    with pytest.raises(IndexError):
        day.session_ids[2]
    assert day.sessions.tolist() == [key64(session) for session in order]
    assert list(day.statements) == list(day.minutes) == [TIERS[1]]
    assert day.statements[TIERS[1]].tolist() == [told[session][1][3] for session in order]
    meetings = [meeting for session in order for meeting in sorted(told[session][2], key=lambda row: row[1])]
    assert day.created.tolist() == [row[1] for row in meetings]
    assert day.destroyed.tolist() == [row[2] for row in meetings]
    assert day.meeting_keys.tolist() == [key64(row[0]) for row in meetings]
    assert day.max_connections.tolist() == [2, 2, 2]
    assert day.minutes[TIERS[1]].tolist() == [row[7] for row in meetings]


def test_an_empty_day_is_a_payload_too():
    payload = encode_meetings(TIERS, [])
    day = decode_meetings(payload.content, TIERS)
    assert len(day.sessions) == len(day.created) == len(day.session_ids) == 0
    assert day.sessions.dtype == np.int64
    assert content_hash(payload.content) == payload.sha256
    assert meeting_rows(payload.content, "a") is None


def test_a_tier_that_was_not_asked_for_is_refused():
    with pytest.raises(PayloadError, match="from36PlusPublishers"):
        decode_meetings(encode_meetings(TIERS, []).content, ["from36PlusPublishers"])


ONE = ("m", 10, 20, 2, 1, 2, 100, 200, 300)


def test_a_meeting_answered_twice_keeps_the_later_row_and_is_a_conflict():
    again = (*ONE[:-1], 301)
    payload = encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, [ONE, ONE, again])})])
    day = decode_meetings(payload.content, TIERS)
    assert day.minutes[TIERS[2]].tolist() == [301]
    (conflict,) = day.conflicts
    assert (conflict.session_id, conflict.created) == ("s", 10)
    assert conflict.first == dict(zip(TIERS, (100, 200, 300), strict=True))
    assert conflict.second == dict(zip(TIERS, (100, 200, 301), strict=True))
    assert content_hash(payload.content) == payload.sha256
    assert payload.sha256 != encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, [again])})]).sha256
    assert decode_meetings(payload.content, TIERS[:1]).conflicts == []


def test_a_meeting_that_went_on_between_two_pages_is_no_conflict():
    live = (*ONE[:2], LIVE, 2, 1, 2, 50, 60, 70)
    day = decode_meetings(encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, [live, ONE])})]).content, TIERS)
    assert day.conflicts == []
    assert day.destroyed.tolist() == [20]


def test_a_session_stated_twice_differently_is_refused():
    with pytest.raises(PayloadError, match="'s' is stated twice"):
        encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, [])}), page({"s": ("routed", (0, 0, 0, 0, 1), [])})])


def test_a_meeting_without_a_statement_is_refused():
    with pytest.raises(PayloadError, match="without a statement"):
        encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, [ONE])}, stated=False)])


def test_ids_that_share_a_key_are_refused():
    same = mock.patch.object(rows_module, "keys_of", lambda ids: np.zeros(len(ids), np.int64))
    with mock.patch("app.store.payloads.keys_of", same.new), pytest.raises(PayloadError, match="share a key"):
        encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, []), "t": ("routed", (0,) * 5, [])})])
    with mock.patch("app.store.payloads.keys_of", same.new), pytest.raises(PayloadError, match="share a key"):
        encode_meetings(TIERS, [page({"s": ("routed", (0,) * 5, [ONE, ("n", *ONE[1:])])})])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and then nothing of the kind PAR1", b"{}", b'{"kind":"meetings"}'])
def test_a_blob_of_another_kind_is_refused(content):
    for decode in (lambda blob: decode_meetings(blob, TIERS), decode_daily, decode_details):
        with pytest.raises(PayloadError):
            decode(content)


def test_a_parquet_file_of_something_else_is_refused():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"session_key": [1]}), sink)
    with pytest.raises(PayloadError):
        content_hash(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_file_never_verifies(seed):
    told = {f"s{n}": ("routed", (n,) * 5, [(f"m{n}", 10 + n, 20 + n, 2, 1, 2, 100, 200, 300)]) for n in range(50)}
    payload = encode_meetings(TIERS, [page(told)])
    rng = random.Random(seed)
    for _ in range(30):
        damaged = bytearray(payload.content)
        place = rng.randrange(4, len(damaged) * 2 // 3)
        damaged[place] ^= 1 << rng.randrange(8)
        with suppress(PayloadError):
            assert content_hash(bytes(damaged)) != payload.sha256 or told_back(bytes(damaged)) == in_order(told)


usages = st.builds(
    DailyUsage,
    tiers=st.dictionaries(st.sampled_from(KNOWN_FIELDS), micro),
    usage=st.dictionaries(st.sampled_from(["sipUserMinutes", "hlsMinutes"]), micro),
)


@given(st.none() | usages)
def test_daily_usage_comes_back(usage):
    payload = encode_daily(usage)
    assert decode_daily(payload.content) == usage
    assert content_hash(payload.content) == payload.sha256
    if usage:
        backwards = DailyUsage(dict(reversed(usage.tiers.items())), dict(reversed(usage.usage.items())))
        assert encode_daily(backwards) == payload


@st.composite
def details(draw):
    connections = draw(st.lists(st.tuples(instants, instants), max_size=4))
    publishing = (
        draw(st.lists(st.tuples(st.integers(0, len(connections) - 1), instants, instants), max_size=5)) if connections else []
    )
    key = st.integers(-(2**63), 2**63 - 1)
    return MeetingDetail(draw(key), draw(key), draw(instants), connections, publishing)


def _as_set(detail):
    """A detail without its order: each connection with what it published."""
    return (detail.session, detail.meeting_key, detail.created), sorted(
        (start, end, sorted((s, e) for index, s, e in detail.publishing if index == place))
        for place, (start, end) in enumerate(detail.connections)
    )


@given(st.lists(details(), max_size=4, unique_by=lambda one: (one.session, one.meeting_key, one.created)), st.randoms())
def test_details_come_back_and_their_order_does_not_matter(found, rng):
    payload = encode_details(found)
    assert sorted(map(_as_set, decode_details(payload.content))) == sorted(map(_as_set, found))
    assert content_hash(payload.content) == payload.sha256
    shuffled = []
    for one in rng.sample(found, len(found)):
        order = rng.sample(range(len(one.connections)), len(one.connections))
        shuffled.append(
            replace(
                one,
                connections=[one.connections[place] for place in order],
                publishing=rng.sample([(order.index(place), s, e) for place, s, e in one.publishing], len(one.publishing)),
            )
        )
    assert encode_details(shuffled + shuffled) == payload
    assert encode_details(decode_details(payload.content)) == payload


def test_a_detail_told_twice_differently_is_refused():
    one = MeetingDetail(1, 2, 3, [(3, 4)], [])
    with pytest.raises(PayloadError, match="told twice"):
        encode_details([one, replace(one, connections=[(3, 5)])])


def test_tiers_are_held_lowest_first():
    assert tier_order(KNOWN_FIELDS)[:3] == ("from1To2Publishers", "from1To4Publishers", "from1To8Publishers")
    assert tier_order(KNOWN_FIELDS)[-1] == "from41PlusPublishers"


def test_a_payload_has_a_fixed_hash():
    """Stored hashes must outlive every new version of the libraries and of this code."""
    told = {"s": ("routed", (1, 2, 3, 4, 5), [ONE])}
    assert encode_meetings(TIERS, [page(told)]).sha256 == "a5ac37998bb0fa7dba2970e3ede492b430be17ea003e1c8724bb6258003c7e5d"
    assert encode_daily(None).sha256 == "98b773ffc45369a642b94c5aafde72d56de6f82f24709629d5b3023ffe19ff9d"
    assert (
        encode_details([MeetingDetail(1, 2, 3, [(3, 4)], [(0, 3, 4)])]).sha256
        == "d6728c0a01130b44dfd7adade9271a35e9e389cf0039dcc3469c5debe4d1bc81"
    )
