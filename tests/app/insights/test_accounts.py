"""The project list of an account."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from app.insights.accounts import list_projects
from app.insights.errors import (
    InsightsError,
    InvalidCredentials,
    InvalidQuery,
    MalformedAnswer,
    NotAuthorised,
    RateLimited,
    UpstreamError,
)
from app.insights.limits import ClientLimits
from app.sandbox.server import running
from app.sandbox.transport import SandboxTransport
from tests.app.insights.support import CountingLimiter, upstream

GOOD = {
    "id": 100,
    "secret": "s",
    "name": "Acme",
    "status": "ACTIVE",
    "environment": "standard",
    "createdAt": 1768435200000,
}


def ask(transport, secret="account-secret", url="http://sandbox/v2/project", **more):
    return list_projects(
        "9000",
        secret,
        url=url,
        clock=upstream().clock,
        transport=transport,
        sleep=lambda seconds: None,
        **more,
    )


def answering(content, status=200):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.MockTransport(
        lambda request: httpx.Response(status, headers={"Content-Type": "application/json"}, content=body)
    )


def test_the_sandbox_lists_its_projects():
    limiter = CountingLimiter()
    (project,) = ask(SandboxTransport(upstream(name="Acme & Sons")), limiter=limiter)
    assert (project.id, project.secret, project.name) == ("100", "project-secret", "Acme & Sons")
    assert (project.status, project.created_at) == ("ACTIVE", datetime(2026, 1, 15, tzinfo=UTC))
    assert "project-secret" not in repr(project)
    assert limiter.keys == ["9000"]


@pytest.mark.parametrize(
    "way", [{"status": 500}, {"status": 503, "retry_after": 2}, {"status": 429}, {"timeout": 1.5}], ids=str
)
def test_a_fault_that_passes_is_tried_again(way):
    limiter = CountingLimiter()
    with running(upstream({"kind": "http", "operation": "projects", "calls": [1], **way})) as address:
        assert len(ask(None, url=f"{address}/v2/project", limits=ClientLimits(read=1), limiter=limiter)) == 1
    assert len(limiter.keys) == 2


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ({"truncated": True}, MalformedAnswer),
        ({"html": True}, MalformedAnswer),
        ({"error_code": 1000}, MalformedAnswer),
        ({"status": 400}, InvalidQuery),
        ({"status": 401}, InvalidCredentials),
        ({"status": 403}, NotAuthorised),
    ],
    ids=str,
)
def test_a_fault_that_stays_is_final_and_typed(way, error):
    limiter = CountingLimiter()
    with (
        running(upstream({"kind": "http", "operation": "projects", "calls": [1], **way})) as address,
        pytest.raises(error),
    ):
        ask(None, url=f"{address}/v2/project", limiter=limiter)
    assert len(limiter.keys) == 1


def test_ids_may_be_numbers_and_names_may_be_missing():
    (project,) = ask(answering([GOOD | {"name": None}]))
    assert (project.id, project.name) == ("100", "100")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"<html>",
        {},
        [None],
        [GOOD | {"status": "PENDING"}],
        [GOOD | {"environment": "moon"}],
        [GOOD | {"secret": None}],
        [GOOD | {"id": ""}],
        [GOOD | {"id": "../100"}],
        [GOOD | {"id": "1" * 65}],
        [GOOD | {"createdAt": "2026"}],
        [GOOD | {"createdAt": 10**17}],
        [{name: value for name, value in GOOD.items() if name != "secret"}],
        [GOOD, GOOD | {"id": "100"}],
    ],
)
def test_a_list_that_is_not_as_documented_is_refused_whole(content):
    with pytest.raises(MalformedAnswer):
        ask(answering(content))


@pytest.mark.parametrize(
    ("status", "error"), [(401, InvalidCredentials), (403, NotAuthorised), (404, UpstreamError), (429, RateLimited)]
)
def test_refusals_are_typed_by_their_status(status, error):
    with pytest.raises(error):
        ask(answering({"code": 1, "message": "no"}, status))


def test_a_wrong_secret_is_refused():
    with pytest.raises(InsightsError):
        ask(SandboxTransport(upstream()), secret="another")
