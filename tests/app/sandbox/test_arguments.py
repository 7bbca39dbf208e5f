"""Every form of argument that real clients send, and the numbered errors for those that are wrong."""

from datetime import UTC, datetime

import pytest

from tests.app.sandbox.asking import SECRET, Asker, dataset, instant, person, room, signed

DAY = datetime(2026, 10, 5, 7, tzinfo=UTC)
SECONDS = int(DAY.timestamp())
ROWS = "{ interval totalCount resources { intervalStart } }"


@pytest.fixture(scope="module")
def asker():
    return Asker(dataset(room("s", person("a", 0, 10))))


@pytest.mark.parametrize("project_id", ["100", '"100"'])
@pytest.mark.parametrize(
    "start",
    ['"2026-10-05T07:00:00Z"', '"2026-10-05T00:00:00-07:00"', str(SECONDS), f"{SECONDS}000", f'"{SECONDS}000"', "0", '"0"'],
)
def test_literals(asker, project_id, start):
    content = asker.ask(f"{{ project(projectId: {project_id}) {{ projectData(start: {start}, interval: DAILY) {ROWS} }} }}")
    assert "errors" not in content
    assert content["data"]["project"]["projectData"]["totalCount"] == 1


@pytest.mark.parametrize(
    ("declared", "variables"),
    [
        ("$p: Int!, $s: Date!, $i: Interval!", {"p": 100, "s": SECONDS * 1000, "i": "DAILY"}),
        ("$p: String!, $s: String!, $i: [Interval!]", {"p": "100", "s": "2026-10-05T07:00:00Z", "i": ["DAILY"]}),
        ("$p: ID!, $s: Date, $i: Interval", {"p": 100, "s": str(SECONDS), "i": "DAILY"}),
        ("$p: Int!, $s: Int!, $i: Interval = DAILY", {"p": 100, "s": SECONDS}),
    ],
)
def test_variables(asker, declared, variables):
    query = f"query({declared}) {{ project(projectId: $p) {{ projectData(start: $s, interval: $i) {ROWS} }} }}"
    content = asker.ask(query, variables)
    assert "errors" not in content
    assert content["data"]["project"]["projectData"]["interval"] == "DAILY"


def test_filters_come_as_words_strings_and_variables(asker):
    for values in ("JS", "[JS, ANDROID]", '"JS"', '["JS"]'):
        assert asker.days(f"start: 0, interval: DAILY, sdkType: {values}")
    query = f"query($t: [String!]) {{ project(projectId: 100) {{ projectData(start: 0, sdkType: $t, country: [US]) {ROWS} }} }}"
    assert asker.project(query, t=["JS"])["projectData"]["totalCount"] == 1


APOLLO = """
        query Usage($p: Int!) { __typename project(projectId: $p) { __typename projectData(start: 0, interval: DAILY) {
            __typename resources { __typename usage { __typename participantMinutes { __typename } } } }
            sessionData { __typename sessionSummaries(start: 0) { __typename resources { __typename
                meetings { __typename resources { __typename } } } }
            sessions(sessionIds: ["s"]) { __typename resources { __typename meetings { __typename resources { __typename
                connections { __typename resources { __typename } }
                publishers { __typename resources { __typename streamStatsCollection { __typename resources { __typename } } } }
                subscribers { __typename }
            } } } } } } }
        query Other { __typename }"""


def test_typename_and_operation_name_as_apollo_sends_them(asker):
    content = asker.ask(APOLLO, {"p": 100}, operationName="Usage")
    assert "errors" not in content
    assert content["data"]["project"]["projectData"]["resources"][0] == {
        "__typename": "Metric",
        "usage": {"__typename": "Usage", "participantMinutes": {"__typename": "ParticipantMinutes"}},
    }
    sessions = content["data"]["project"]["sessionData"]
    assert sessions["sessionSummaries"]["resources"][0] == {
        "__typename": "SessionSummary",
        "meetings": {"__typename": "MeetingSummaries", "resources": [{"__typename": "MeetingSummary"}]},
    }
    (meeting,) = sessions["sessions"]["resources"][0]["meetings"]["resources"]
    assert meeting["publishers"]["__typename"] == "MeetingPublishers"
    assert meeting["publishers"]["resources"][0]["streamStatsCollection"]["resources"][0] == {"__typename": "PublisherStats"}
    assert meeting["connections"]["resources"] == [{"__typename": "Connection"}]


def data(arguments, wanted="{ totalCount }"):
    return f"{{ project(projectId: 100) {{ projectData({arguments}) {wanted} }} }}"


def sessions(wanted):
    return f"{{ project(projectId: 100) {{ sessionData {{ {wanted} }} }} }}"


@pytest.mark.parametrize(
    ("code", "query"),
    [
        (1002, data(f'start: "{instant(10)}", end: "{instant(10)}"')),
        (1002, data(f'start: "{instant(10)}", end: "{instant(0)}"')),
        (1002, data('start: "2026-10-05T07:00:00"')),
        (1002, data('start: "yesterday"')),
        (1002, data("start: -5")),
        (1002, sessions(f'sessionSummaries(start: "{instant(10)}", end: "{instant(10)}") {{ totalCount }}')),
        (1003, data("start: 0, interval: [DAILY, WEEKLY]")),
        (1004, "{ project(projectId: 100) { nonsense } }"),
        (1004, "{ project(projectId: 100 "),
        (1004, "query A { __typename } query B { __typename }"),
        (1005, sessions("sessionSummaries(start: 0, first: 0) { totalCount }")),
        (1005, sessions('sessionSummaries(start: 0, endCursor: "x") { totalCount }')),
        (1005, sessions('sessionSummaries(start: 0, endCursor: "bWVldGluZ3M6MTA=") { totalCount }')),
        (1006, sessions('sessionSummaries(start: 0, first: "ten") { totalCount }')),
        (1006, sessions("sessionSummaries(start: 0, first: 1.5) { totalCount }")),
        (1007, data('start: 0, sdkVersion: ["2.30"]')),
        (1008, '{ project(projectId: "abc") { name } }'),
        (1008, '{ project(projectId: "") { name } }'),
        (1008, "{ project(projectId: true) { name } }"),
        (1008, "{ project(projectId: [100, 200]) { name } }"),
        (1010, data("start: [0, 1]")),
        (1013, "{ project { name } }"),
        (1013, data("interval: DAILY")),
        (1013, sessions("sessionSummaries(first: 5) { totalCount }")),
        (1018, sessions("sessions(sessionIds: []) { totalCount }")),
        (1018, sessions("sessions { totalCount }")),
        (1022, data("start: 0, interval: HOURLY")),
    ],
)
def test_wrong_queries_get_their_number(asker, code, query):
    assert asker.code(query) == code


@pytest.mark.parametrize(
    ("code", "declared", "variables"),
    [
        (1006, "$p: Int!", {"p": "a hundred"}),
        (1013, "$p: Int!", {}),
        (1006, "$p: ID!, $f: String", {"p": 100, "f": "ten"}),
        (1022, "$p: ID!, $i: Interval", {"p": 100, "i": "HOURLY"}),
        (1022, "$p: String!", {"p": 100}),
    ],
)
def test_wrong_variables_get_their_number(asker, code, declared, variables):
    more = ", first: $f" if "$f" in declared else ", interval: $i" if "$i" in declared else ""
    query = f"query({declared}) {{ project(projectId: $p) {{ projectData(start: 0{more}) {{ totalCount }} }} }}"
    assert asker.code(query, variables) == code


def test_errors_say_where_and_the_rest_of_the_data_is_there(asker):
    content = asker.ask("{ project(projectId: 100) { name projectData(start: 0, interval: [DAILY, MONTHLY]) { totalCount } } }")
    assert content["data"] == {"project": {"name": "", "projectData": None}}
    assert content["errors"] == [
        {
            "message": "Only one interval is allowed",
            "locations": [{"line": 1, "column": 34}],
            "path": ["project", "projectData"],
            "errorCode": 1003,
        }
    ]


def test_the_session_level_needs_the_add_on_and_the_project_level_does_not():
    asker = Asker(dataset(room("s", person("a", 0, 10)), advanced_insights=False))
    summaries = "sessionData { sessionSummaries(start: 0) { totalCount } }"
    content = asker.ask(f"{{ project(projectId: 100) {{ projectData(start: 0) {{ totalCount }} {summaries} }} }}")
    assert content["data"]["project"] == {"projectData": {"totalCount": 1}, "sessionData": None}
    assert [error["errorCode"] for error in content["errors"]] == [1014]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"query": 5}', b'{"query": "{a}", "variables": []}', b"\xff", b"[" * 100_000]
)
def test_a_body_that_is_no_query_is_refused(asker, body):
    answer = asker.upstream.handle("POST", "/graphql", {"x-opentok-auth": signed({}, SECRET)}, body)
    assert answer.status == 400
    assert b'"errorCode":1004' in answer.body


def test_too_large_a_body_or_query_is_refused(asker):
    assert asker.upstream.handle("POST", "/graphql", {}, b" " * 1_000_001).status == 413
    assert asker.code(f"{{ {'a ' * 10_001} }}") == 1004
    assert asker.code(f"{{ {'a {' * 2000} {'}' * 2000} }}") == 1004
