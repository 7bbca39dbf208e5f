"""Every request to upstream is counted once, by what came of it."""

import httpx
import pytest
from prometheus_client import REGISTRY

from app.clock import SystemClock
from app.insights.conversation import Conversation, http_client
from app.insights.errors import InsightsError
from app.insights.limits import ClientLimits, Unlimited
from app.insights.tokens import OpenTokCredentials

OUTCOMES = ("answered", "ServerFailed", "NotAuthorised", "MalformedAnswer")


def counted() -> dict[str, float]:
    found = {it: REGISTRY.get_sample_value("reckoner_upstream_requests_total", {"outcome": it}) or 0 for it in OUTCOMES}
    return {**found, "timed": REGISTRY.get_sample_value("reckoner_upstream_request_duration_seconds_count") or 0}


def test_each_attempt_is_counted_by_what_came_of_it() -> None:
    answers = iter(
        [
            httpx.Response(500),
            httpx.Response(200, json={}),
            httpx.Response(403, json={}),
            httpx.Response(200, text="<html>"),
        ]
    )
    limits = ClientLimits()
    http = http_client(limits, httpx.MockTransport(lambda _: next(answers)))
    clock = SystemClock()
    talk = Conversation(
        http,
        OpenTokCredentials("100", "project-secret"),
        key="100",
        clock=clock,
        limiter=Unlimited(),
        limits=limits,
        sleep=lambda _: None,
    )
    before = counted()
    assert talk.call("POST", "https://example.com/", len) == 2
    for _ in range(2):
        with pytest.raises(InsightsError):
            talk.call("POST", "https://example.com/", len)
    added = {name: value - before[name] for name, value in counted().items()}
    assert added == {"answered": 1, "ServerFailed": 1, "NotAuthorised": 1, "MalformedAnswer": 1, "timed": 4}
