"""A list that cannot be trusted to have been read whole is refused."""

import json
from copy import deepcopy

import pytest

from app.insights import queries
from app.insights.errors import MalformedAnswer
from tests.app.insights.spoiling import DAILY, SUMMARIES, daily, daily_usage, meetings, refused, summaries


def test_a_next_page_without_a_cursor_is_refused():
    for cursor in (None, ""):
        refused(
            meetings,
            lambda a, c=cursor: summaries(a)["pageInfo"].update(hasNextPage=True, endCursor=c),
            f"{SUMMARIES}/pageInfo/endCursor",
        )
        refused(
            meetings,
            lambda a, c=cursor: summaries(a)["resources"][0]["meetings"]["pageInfo"].update(hasNextPage=True, endCursor=c),
            SUMMARIES,
        )
        refused(daily_usage, lambda a, c=cursor: daily(a)["pageInfo"].update(hasNextPage=True, endCursor=c), DAILY)


def test_a_page_that_repeats_is_refused(monkeypatch):
    monkeypatch.setattr(queries, "_SUMMARIES", 2)
    first = {}

    def spoil(answer, call):
        if call == 1:
            first.update(deepcopy(answer))
        elif call == 2:
            again = deepcopy(first)
            summaries(again)["pageInfo"]["endCursor"] = "another"
            return again
        return None

    with pytest.raises(MalformedAnswer, match="came twice"):
        meetings(spoil)


@pytest.mark.parametrize(("read", "part", "size"), [(meetings, summaries, "_SUMMARIES"), (daily_usage, daily, "_DAYS")])
def test_a_cursor_that_loops_is_refused(monkeypatch, read, part, size):
    monkeypatch.setattr(queries, size, 1)
    calls = []

    def spoil(answer, call):
        calls.append(call)
        assert call < 9
        part(answer)["pageInfo"].update(
            hasNextPage=True, endCursor="MQ==" if call == 2 else part(answer)["pageInfo"]["endCursor"]
        )
        if call == 1:
            calls.append(part(answer)["pageInfo"]["endCursor"])
        if call == 2:
            part(answer)["pageInfo"]["endCursor"] = calls[1]

    with pytest.raises(MalformedAnswer, match="cursor comes again"):
        read(spoil)


def test_a_loop_of_a_nested_cursor_is_refused():
    def spoil(answer, call):
        assert call < 9
        if call > 1:
            for part in answer["data"]["project"]["sessionData"].values():
                part["resources"][0]["meetings"]["pageInfo"].update(hasNextPage=True, endCursor="bWVldGluZ3M6MTA=")

    with pytest.raises(MalformedAnswer, match="cursor comes again"):
        meetings(spoil)


def test_an_empty_page_before_the_last_is_refused():
    refused(
        meetings,
        lambda a: summaries(a).update(resources=[], pageInfo={"hasNextPage": True, "endCursor": "x"}),
        f"{SUMMARIES}/resources",
    )


def test_a_total_that_was_not_reached_is_refused():
    refused(meetings, lambda a: summaries(a).update(totalCount=7), f"{SUMMARIES}/totalCount")
    refused(meetings, lambda a: summaries(a)["resources"][-1]["meetings"].update(totalCount=0), SUMMARIES)
    refused(daily_usage, lambda a: daily(a).update(totalCount=1), f"{DAILY}/totalCount")


def test_a_total_that_is_not_given_is_not_missed():
    def spoil(answer, call):
        text = json.dumps(answer)
        for count in range(60):
            text = text.replace(f'"totalCount": {count},', "")
        return text.encode()

    assert meetings(spoil).payload == meetings(None).payload


def test_a_session_stated_twice_differently_is_refused_and_a_repetition_is_dropped(monkeypatch):
    monkeypatch.setattr(queries, "_SUMMARIES", 3)
    repeated = {}

    def spoil(answer, call, **changed):
        if call == 1:
            repeated.update(deepcopy(summaries(answer)["resources"][0]))
        if call == 2:
            summaries(answer)["resources"].append(repeated | changed)
            summaries(answer)["totalCount"] += 1

    whole = meetings(None)
    assert meetings(spoil).payload == whole.payload
    with pytest.raises(MalformedAnswer, match="stated twice"):
        meetings(lambda answer, call: spoil(answer, call, publisherMinutes=0.001))


def test_the_answer_to_an_alias_must_be_the_session_asked_for():
    def wrong_session(answer, call):
        if call > 1:
            answer["data"]["project"]["sessionData"]["s0"]["resources"][0]["sessionId"] = "another"

    def wrong_alias(answer, call):
        if call > 1:
            answer["data"]["project"]["sessionData"]["s7"] = answer["data"]["project"]["sessionData"].pop("s0")

    def no_session(answer, call):
        if call > 1:
            answer["data"]["project"]["sessionData"]["s0"]["resources"] = []

    for spoil in (wrong_session, wrong_alias, no_session):
        with pytest.raises(MalformedAnswer) as caught:
            meetings(spoil)
        assert caught.value.path.startswith("/data/project/sessionData")
