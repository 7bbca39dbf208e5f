"""Requests in any 30 seconds, for each key and each address, and nodes as asked for."""

import json
from datetime import timedelta

import pytest

from app.sandbox.paging import COLLECTIONS, page_size
from app.sandbox.resolvers import schema
from tests.app.sandbox.asking import DAYS_LATER, SECRET, Asker, dataset, person, room, signed

QUERY = "{ project(projectId: 100) { projectId } }"


def ask(asker, address="10.0.0.1", **claims):
    body = json.dumps({"query": QUERY}).encode()
    return asker.upstream.handle("POST", "/graphql", asker.headers(**claims), body, address)


def test_the_hundredth_request_in_30_seconds_is_refused_until_the_first_is_that_old():
    asker = Asker(dataset())
    assert [ask(asker).status for _ in range(99)] == [200] * 99
    refused = ask(asker)
    assert refused.status == 429
    assert 28 <= int(refused.headers["Retry-After"]) <= 30
    asker.upstream.clock.move(DAYS_LATER + timedelta(seconds=28))
    assert ask(asker).status == 429
    asker.upstream.clock.move(DAYS_LATER + timedelta(seconds=int(refused.headers["Retry-After"]) + 1))
    assert ask(asker).status == 200


def test_a_key_is_limited_over_all_addresses():
    other = {"id": "200", "secret": SECRET}
    asker = Asker(dataset(projects=[other]))
    assert all(ask(asker, f"10.0.0.{number}").status == 200 for number in range(99))
    assert ask(asker, "10.0.1.1").status == 429
    assert ask(asker, "10.0.1.1", iss="200").status == 200


def test_an_address_is_limited_over_all_keys_and_the_project_list_counts_too():
    asker = Asker(dataset(projects=[{"id": str(200 + number), "secret": SECRET} for number in range(100)]))
    assert all(ask(asker, iss=str(200 + number)).status == 200 for number in range(98))
    assert asker.upstream.handle("GET", "/v2/project", {}, b"", "10.0.0.1").status == 403
    assert ask(asker, iss="299").status == 429
    assert ask(asker, "10.0.0.2", iss="299").status == 200


def test_moving_the_clock_back_does_not_lock_anybody_out():
    asker = Asker(dataset())
    assert all(ask(asker).status == 200 for _ in range(99))
    asker.upstream.clock.move(DAYS_LATER - timedelta(days=1))
    assert ask(asker).status == 200


PEOPLE = "sessions(sessionIds: $ids) { resources { meetings { resources { connections(first: %d) { totalCount } } } } }"


@pytest.mark.parametrize(
    ("ids", "wanted", "allowed"),
    [
        (50, PEOPLE % 998, True),  # 50 + 500 + 500 × 998 = 499,550
        (50, PEOPLE % 999, False),  # 500,050
        (50, PEOPLE % 100_000, False),
        (49, PEOPLE % 1000, True),
        (24, f"a: {PEOPLE % 1000} b: {PEOPLE % 1000}", True),
        (25, f"a: {PEOPLE % 1000} b: {PEOPLE % 1000}", False),
    ],
)
def test_nodes_are_counted_as_asked_for_and_too_many_get_the_misleading_1014(ids, wanted, allowed):
    asker = Asker(dataset(room("s", person("a", 0, 10))))
    query = f"query($ids: [String]) {{ project(projectId: 100) {{ sessionData {{ {wanted} }} }} }}"
    content = asker.ask(query, {"ids": ["s"] * ids})
    assert ("errors" not in content) == allowed
    if not allowed:
        assert content["errors"][0]["errorCode"] == 1014
        assert "Advanced Insights" in content["errors"][0]["message"]


def test_a_page_size_counts_after_clamping_and_may_be_a_variable_with_a_default():
    asker = Asker(dataset(room("s", person("a", 0, 10))))
    for declared in ("$first: Int = 100000", "$first: Int = 5"):
        wanted = "sessionSummaries(start: 0, first: $first) { resources { meetings(first: $first) { totalCount } } }"
        assert asker.project(f"query({declared}) {{ project(projectId: 100) {{ sessionData {{ {wanted} }} }} }}", first=100_000)


def test_every_collection_has_the_stated_default_and_limit_and_says_so_in_the_schema():
    thousand = ("projectData", "sessionSummaries", "connections", "publishers", "subscribers", "streamStatsCollection")
    stated = {"meetings": (10, 10), "sessions": (50, 50), **dict.fromkeys(thousand, (50, 1000))}
    assert {name: (page_size(name, None), page_size(name, 100_000)) for name in COLLECTIONS} == stated
    paged = {
        (name, int(field.args["first"].ast_node.default_value.value))
        for kind in schema().type_map.values()
        for name, field in getattr(kind, "fields", {}).items()
        if "first" in getattr(field, "args", {})
    }
    assert paged == {(name, default) for name, (default, _) in stated.items()}


def test_nodes_in_fragments_are_counted_too():
    asker = Asker(dataset(room("s", person("a", 0, 10))))
    query = """query($ids: [String]) { project(projectId: 100) { sessionData { ...All } } }
        fragment All on SessionData { sessions(sessionIds: $ids) { resources { ... on Session { meetings { ...People } } } } }
        fragment People on Meetings { resources { connections(first: 1000) { totalCount } } }"""
    assert "errors" not in asker.ask(query, {"ids": ["s"] * 49})
    assert asker.code(query, {"ids": ["s"] * 50}) == 1014


def test_calls_are_counted_by_operation_once_a_request():
    asker = Asker(dataset(room("s", person("a", 0, 10))))
    asker.summaries()
    asker.ask("""{ project(projectId: 100) { projectData(start: 0) { totalCount } sessionData {
        a: sessions(sessionIds: ["s"]) { totalCount } b: sessions(sessionIds: ["s"]) { totalCount } } } }""")
    assert asker.upstream.calls == {"sessionSummaries": 1, "projectData": 1, "sessions": 1}
    assert asker.code("{ project(projectId: 100) { sessionData { sessions { totalCount } } } }", headers={"X": "y"}) == 1001
    assert asker.upstream.calls["sessions"] == 1


def test_a_long_life_is_signed_for_but_no_longer():
    asker = Asker(dataset())
    assert "errors" not in asker.ask(QUERY, headers={"X-OPENTOK-AUTH": signed(claims(asker, 3600))})
    assert asker.code(QUERY, headers={"X-OPENTOK-AUTH": signed(claims(asker, 3601))}) == 1011


def claims(asker, life):
    now = int(asker.upstream.clock.now().timestamp())
    return {"iss": "100", "ist": "project", "iat": now, "exp": now + life}
