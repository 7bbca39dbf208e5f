"""A dataset that cannot be served is refused by the JSON pointer of what is wrong with it."""

from copy import deepcopy

import pytest

from app.sandbox.datafile import DatasetError
from app.sandbox.dataset import Dataset
from tests.app.sandbox.asking import WORKED, dataset, instant, person, room


@pytest.mark.parametrize(
    ("pointer", "change"),
    [
        ("", lambda d: d.pop("projects")),
        ("/projects", lambda d: d.update(projects=[])),
        ("/projects/0", lambda d: d["projects"][0].pop("secret")),
        ("/projects/0", lambda d: d["projects"][0].update(nonsense=1)),
        ("/projects/0/id", lambda d: d["projects"][0].update(id="abc")),
        ("/projects/0/status", lambda d: d["projects"][0].update(status="GONE")),
        ("/projects/0/tiers/1", lambda d: d["projects"][0].update(tiers=["from1To2Publishers", "from1To3Publishers"])),
        ("/projects/0", lambda d: d["projects"][0].update(application_id="x")),
        ("/projects/0/public_key", lambda d: d["projects"][0].update(application_id="x", public_key="no key")),
        ("/projects/1/id", lambda d: d["projects"].append(d["projects"][0])),
        ("/projects/0/usage/2026-10-05/teleports", lambda d: d["projects"][0].update(usage={"2026-10-05": {"teleports": 1}})),
        (
            "/projects/0/usage/2026-10-05/hlsMinutes",
            lambda d: d["projects"][0].update(usage={"2026-10-05": {"hlsMinutes": -1}}),
        ),
        ("/projects/0/usage", lambda d: d["projects"][0].update(usage={"5 October": {"hlsMinutes": 1}})),
        ("/account", lambda d: d["account"].pop("secret")),
        ("/sessions/0/project_id", lambda d: d["sessions"][0].update(project_id="7")),
        ("/sessions/0/media_mode", lambda d: d["sessions"][0].update(media_mode="magic")),
        ("/sessions/1/session_id", lambda d: d["sessions"][1].update(session_id=d["sessions"][0]["session_id"])),
        ("/sessions/0/connections/1/connection_id", lambda d: people(d)[1].update(connection_id="A1")),
        ("/sessions/0/connections/0/created_at", lambda d: people(d)[0].update(created_at="2026-10-31T20:05:00")),
        ("/sessions/0/connections/0/destroyed_at", lambda d: people(d)[0].update(destroyed_at=people(d)[0]["created_at"])),
        ("/sessions/0/connections/0/streams/0/created_at", lambda d: stream(d).update(created_at="2026-10-31T20:04:59.999Z")),
        (
            "/sessions/0/connections/0/streams/0/destroyed_at",
            lambda d: stream(d).update(destroyed_at="2026-10-31T20:15:00.001Z"),
        ),
        ("/sessions/0/connections/1/streams/0/stream_id", lambda d: people(d)[1]["streams"][0].update(stream_id="A1-s0")),
    ],
)
def test_what_is_wrong_is_named(pointer, change):
    content = deepcopy(WORKED)
    change(content)
    with pytest.raises(DatasetError) as refused:
        Dataset.load(content)
    assert refused.value.pointer == pointer


def used(content, usage):
    content["projects"][0]["usage"] = usage


def people(content):
    return content["sessions"][0]["connections"]


def stream(content):
    return people(content)[0]["streams"][0]


@pytest.mark.parametrize(
    ("pointer", "subscription"),
    [
        ("/stream_id", {"stream_id": "nothing"}),
        ("/stream_id", {"stream_id": "b-0"}),
        ("/created_at", {"created_at": instant(1)}),
        ("/destroyed_at", {"destroyed_at": instant(9)}),
        ("/destroyed_at", {"destroyed_at": instant(3)}),
    ],
)
def test_a_subscription_is_to_anothers_stream_while_both_are_there(pointer, subscription):
    stated = {"stream_id": "a-0", "created_at": instant(3), "destroyed_at": instant(5)} | subscription
    session = room("s", person("a", 0, 8), person("b", 2, 10, subscriptions=[stated]))
    with pytest.raises(DatasetError) as refused:
        Dataset.load(dataset(session))
    assert refused.value.pointer == f"/sessions/0/connections/1/subscriptions/0{pointer}"


def test_content_that_is_no_object_is_refused():
    for content in (None, [], "x", 5):
        with pytest.raises(DatasetError):
            Dataset.load(content)
