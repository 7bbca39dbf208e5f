"""An answer that is not as documented is refused whole, with the place of what is wrong. Each case spoils a good answer."""

import json
from copy import deepcopy

import httpx
import pytest

from app.insights.errors import (
    AnswerTooLarge,
    InvalidQuery,
    MalformedAnswer,
    NeedsAdvancedInsights,
    ServerFailed,
    UpstreamError,
)
from app.insights.limits import ClientLimits
from app.store.payloads import content_hash, decode_details, decode_meetings, meeting_rows
from tests.app.insights.spoiling import DAILY, DAY, SUMMARIES, daily, daily_usage, details, meetings, refused, summaries
from tests.app.insights.support import TIERS

ABSURD = [-0.5, 1e10, 1e300, None, "5", True, [], {}]


# --- minutes, numbers and times ---


@pytest.mark.parametrize("value", ABSURD)
def test_absurd_minutes_are_refused_with_their_place(value):
    def in_meeting(answer):
        summaries(answer)["resources"][1]["meetings"]["resources"][3]["participantMinutes"]["from9To10Publishers"] = value

    def in_statement(answer):
        summaries(answer)["resources"][2]["publisherMinutes"] = value

    def in_daily(answer):
        daily(answer)["resources"][1]["usage"]["participantMinutes"]["from1To4Publishers"] = value

    def in_other_usage(answer):
        daily(answer)["resources"][0]["usage"]["sipUserMinutes"] = value

    exact = isinstance(value, float)
    place = f"{SUMMARIES}/resources/1/meetings/resources/3/participantMinutes/from9To10Publishers"
    refused(meetings, in_meeting, place if exact else SUMMARIES)
    refused(meetings, in_statement, f"{SUMMARIES}/resources/2/publisherMinutes" if exact else SUMMARIES)
    refused(daily_usage, in_daily, f"{DAILY}/resources/1/usage/participantMinutes/from1To4Publishers" if exact else DAILY)
    refused(daily_usage, in_other_usage, f"{DAILY}/resources/0/usage/sipUserMinutes" if exact else DAILY)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_minutes_that_are_not_finite_are_refused(literal):
    def spoil(answer):
        summaries(answer)["resources"][0]["subscriberMinutes"] = "HERE"
        return json.dumps(answer).replace('"HERE"', literal).encode()

    refused(meetings, spoil, "")


def test_minutes_become_integers_by_rounding_the_decimal_not_the_float():
    names = []

    def spoil(answer, call):
        if call == 1:
            summaries(answer)["resources"][0]["subscriberMinutes"] = 56554.83333333332
            summaries(answer)["resources"][0]["publisherMinutes"] = 2
            names.append(summaries(answer)["resources"][0]["sessionId"])

    rows = meeting_rows(meetings(spoil).payload.content, names[0])
    assert (rows.subscriber_minutes, rows.publisher_minutes) == (56554833333, 2_000_000)


@pytest.mark.parametrize(
    "value",
    ["2026-10-04", "2026-10-04T09:00:00", "yesterday", "", "2051-01-01T00:00:00Z", "1999-01-01T00:00:00Z", 1791104400, None],
)
def test_what_is_no_instant_is_refused(value):
    def spoil(answer):
        summaries(answer)["resources"][1]["meetings"]["resources"][2]["createdAt"] = value

    place = f"{SUMMARIES}/resources/1/meetings/resources/2/createdAt"
    refused(meetings, spoil, place if isinstance(value, str) else SUMMARIES)


def test_a_meeting_that_ends_before_it_starts_is_refused():
    def spoil(answer):
        meeting = summaries(answer)["resources"][0]["meetings"]["resources"][1]
        meeting["createdAt"], meeting["destroyedAt"] = meeting["destroyedAt"], meeting["createdAt"]

    refused(meetings, spoil, f"{SUMMARIES}/resources/0/meetings/resources/1/destroyedAt")


def test_a_negative_number_of_connections_is_refused():
    def spoil(answer):
        summaries(answer)["resources"][0]["meetings"]["resources"][1]["maxConcurrentConnections"] = -1

    refused(meetings, spoil, f"{SUMMARIES}/resources/0/meetings/resources/1/maxConcurrentConnections")


# --- tiers ---


def every_minutes(value, change):
    """Change every set of minutes in an answer."""
    if isinstance(value, list):
        for item in value:
            every_minutes(item, change)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "participantMinutes":
                change(item)
            else:
                every_minutes(item, change)


@pytest.mark.parametrize(("read", "part"), [(meetings, summaries), (daily_usage, daily)])
def test_a_missing_tier_is_refused(read, part):
    for number in (0, 1):
        refused(
            read, lambda a, n=number: every_minutes(part(a)["resources"][n], lambda m: m.pop("from3To6Publishers")), "/data"
        )
    refused(read, lambda a: every_minutes(a, lambda m: m.pop("from3To6Publishers")), "/data")


@pytest.mark.parametrize("name", ["total", "from0To2Publishers", "from6To3Publishers", "__typename"])
def test_an_unknown_field_among_the_minutes_is_refused(name):
    refused(meetings, lambda answer: every_minutes(answer, lambda minutes: minutes.update({name: 1})), "/data")
    refused(daily_usage, lambda answer: every_minutes(answer, lambda minutes: minutes.update({name: 1})), "/data")


def test_a_tier_that_comes_without_being_asked_for_is_kept_beside_the_others():
    def spoil(answer, call):
        every_minutes(answer, lambda minutes: minutes.update({"from41To50Publishers": 0.25}))

    answer = meetings(spoil)
    day = decode_meetings(answer.payload.content, ["from41To50Publishers"])
    assert (
        set(day.minutes["from41To50Publishers"].tolist()) == set(day.statements["from41To50Publishers"].tolist()) == {250_000}
    )
    assert content_hash(answer.payload.content) == answer.payload.sha256
    usage = daily_usage(spoil).days[DAY]
    assert usage.tiers["from41To50Publishers"] == 250_000
    assert len(usage.tiers) == len(TIERS) + 1


def test_a_tier_that_comes_on_some_pages_or_rows_only_is_refused():
    def add(minutes):
        minutes["from41To50Publishers"] = 1

    refused(meetings, lambda a: every_minutes(summaries(a)["resources"][0], add), "/data")
    with pytest.raises(MalformedAnswer, match="differ from page to page"):
        meetings(lambda answer, call: every_minutes(answer, add) if call == 2 else None)


# --- days ---


@pytest.mark.parametrize(
    "start",
    [
        "2026-10-02T07:00:00Z",  # the day before
        "2026-10-08T07:00:00.000Z",  # the day after
        "2026-10-04T00:00:00Z",  # a UTC midnight
        "2026-10-04T07:00:00.001Z",
        "2026-10-04",
        "2026-10-04T08:00:00Z",
    ],
)
def test_a_day_that_was_not_asked_for_is_refused(start):
    refused(daily_usage, lambda a: daily(a)["resources"][0].update(intervalStart=start), f"{DAILY}/resources/0/intervalStart")


def test_a_day_answered_twice_is_refused(monkeypatch):
    def spoil(answer):
        daily(answer)["resources"].append(deepcopy(daily(answer)["resources"][0]))

    refused(daily_usage, spoil, DAILY)


# --- details ---


def first_meeting(answer):
    return answer["data"]["project"]["sessionData"]["s0"]["resources"][0]["meetings"]["resources"][0]


def test_a_meeting_without_detail_is_counted_and_does_not_cost_the_others_theirs():
    whole = details(lambda answer, call: None)
    lacking = details(lambda answer, call: first_meeting(answer).update(createdAt="2026-10-05T06:30:01Z"))
    assert (whole.missing, lacking.missing) == (0, 1)
    assert len(decode_details(lacking.payload.content)) == len(decode_details(whole.payload.content)) - 1


def test_details_that_contradict_themselves_are_refused():
    place = "/data/project/sessionData/s0/resources/0/meetings"
    refused(details, lambda a: first_meeting(a).update(connections=None), f"{place}/resources/0/connections")
    refused(details, lambda a: first_meeting(a).update(meetingId="another"), f"{place}/resources/0/meetingId")
    refused(details, lambda a: first_meeting(a)["publishers"]["resources"][0].update(connectionId="nobody"), "/data")
    refused(details, lambda a: first_meeting(a)["connections"].update(totalCount=6), f"{place}/resources/0/connections")

    def twice(answer):
        people = first_meeting(answer)["connections"]["resources"]
        people[1] = people[0]

    refused(details, twice, f"{place}/resources/0/connections")

    def backwards(answer):
        person = first_meeting(answer)["publishers"]["resources"][2]
        person["createdAt"], person["destroyedAt"] = person["destroyedAt"], person["createdAt"]

    refused(details, backwards, f"{place}/resources/0/publishers/resources/2/destroyedAt")


# --- the body ---


@pytest.mark.parametrize("read", [meetings, daily_usage, details])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"data":null}',
        b'{"data":{"project":null}}',
        b"<html></html>",
        b'{"data":{"project":{}}}',
        b"\xff",
    ],
)
def test_a_body_that_is_not_the_answer_is_refused(read, body):
    refused(read, lambda answer: body, "")


@pytest.mark.parametrize("read", [meetings, daily_usage, details])
def test_json_cut_off_anywhere_is_refused(read):
    for share in (0.01, 0.3, 0.5, 0.9, 0.999):

        def cut(answer, share=share):
            body = json.dumps(answer).encode()
            return body[: int(len(body) * share)]

        refused(read, cut, "")


def test_another_content_type_is_refused():
    for kind in ("text/html", "application/octet-stream", None):
        headers = {"Content-Type": kind} if kind else {}
        refused(meetings, lambda a, h=headers: httpx.Response(200, headers=h, content=json.dumps(a).encode()), "")


def test_a_partial_answer_with_errors_is_refused_as_what_upstream_says():
    error = {"message": "no", "path": ["project"], "errorCode": 1014}
    with pytest.raises(NeedsAdvancedInsights) as caught:
        meetings(lambda answer, call: answer | {"errors": [error]})
    assert caught.value.code == 1014
    with pytest.raises(InvalidQuery):
        meetings(lambda answer, call: {"data": None, "errors": [{"message": None}]})
    with pytest.raises(InvalidQuery):
        meetings(lambda answer, call: {"data": {"project": {"sessionData": None}}, "errors": [{"errorCode": 4711}]})
    assert meetings(lambda answer, call: answer | {"errors": []}).payload == meetings(None).payload


def test_a_final_error_goes_before_one_that_may_pass():
    calls = []

    def spoil(answer, call):
        calls.append(call)
        return {"data": None, "errors": [{"errorCode": 1012}, {"errorCode": "1021", "message": "not yours"}]}

    with pytest.raises(UpstreamError, match="not yours"):
        meetings(spoil)
    assert calls == [1]
    with pytest.raises(ServerFailed):
        meetings(lambda answer, call: {"errors": [{"errorCode": 1012, "message": "x"}]})


def test_an_answer_that_is_too_large_is_refused():
    with pytest.raises(AnswerTooLarge):
        meetings(None, limits=ClientLimits(answer=10_000))
