"""A small company for the client's tests, the sandbox that plays it, and ways to spoil its answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from app.clock import MovableClock
from app.insights.client import InsightsClient, OpenTokCredentials
from app.insights.limits import ClientLimits
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from billing.tiers import KNOWN_FIELDS

NOW = datetime(2026, 10, 7, 20, tzinfo=UTC)
DAY_START = datetime(2026, 10, 4, 7, tzinfo=UTC)
CREDENTIALS = OpenTokCredentials("100", "project-secret")
TIERS = KNOWN_FIELDS


class CountingLimiter:
    """Lets everything pass and remembers the keys."""

    def __init__(self):
        self.keys = []

    def acquire(self, key):
        self.keys.append(key)


def connection(name, start, end, published=True):
    """Somebody connected, and publishing, from one instant to another."""
    times = {"created_at": start.isoformat(), "destroyed_at": end.isoformat()}
    streams = [{"stream_id": f"{name}-stream", "video_type": "camera", **times}] if published else []
    return {
        "connection_id": name,
        "sdk_type": "JS",
        "sdk_version": "2.30.1",
        "browser": "CHROME",
        "browser_version": "141.0",
        "country": "US",
        "region": "CA",
        "streams": streams,
        **times,
    }


def session(name, *calls, people=2):
    """A room: `calls` are (hours after 00:00 of 4 October, Pacific, and minutes long)."""
    connections = []
    for number, (hours, minutes) in enumerate(calls):
        start = DAY_START + timedelta(hours=hours)
        end = start + timedelta(minutes=minutes)
        connections += [connection(f"{name}-{number}-{person}", start, end, published=person < 3) for person in range(people)]
    return {"project_id": "100", "session_id": name, "media_mode": "routed", "connections": connections}


def company(*faults, sessions=None, **project):
    """The dataset: two rooms used for more than ten meetings, some ordinary calls, some over a midnight."""
    if sessions is None:
        sessions = [
            session("busy", *[(number * 1.0, 10) for number in range(22)], (30, 5)),
            session("busier", *[(number * 0.75 + 0.1, 7) for number in range(31)]),
            session("ordinary", (9, 45)),
            session("crossing", (23.5, 60), people=7),
            session("crossing twice", (-0.25, 30), (23.75, 90)),
            session("silent", (12, 30), people=1),
            session("earlier", (-3, 30)),
        ]
    return {
        "account": {"key": "9000", "secret": "account-secret"},
        "projects": [
            {
                "id": "100",
                "secret": "project-secret",
                "name": "Acme",
                "status": "ACTIVE",
                "advanced_insights": True,
                "tiers": "all",
                "created_at": "2026-01-15T00:00:00Z",
            }
            | project
        ],
        "sessions": sessions,
        "faults": [{"project_id": "100", **fault} for fault in faults],
    }


def upstream(*faults, now=NOW, **changes):
    return Upstream(Dataset.load(company(*faults, **changes)), MovableClock(now))


class Spoiled(httpx.BaseTransport):
    """The sandbox, with every answer passed through `spoil(answer as JSON, number of the call from 1)`, which returns what to
    answer: JSON, bytes, or a whole response."""

    def __init__(self, inner, spoil: Callable):
        self._inner = SandboxTransport(inner)
        self._spoil = spoil
        self.calls = 0

    def handle_request(self, request):
        self.calls += 1
        answer = json.loads(self._inner.handle_request(request).read())
        spoiled = self._spoil(answer, self.calls)
        if isinstance(spoiled, httpx.Response):
            return spoiled
        body = spoiled if isinstance(spoiled, bytes) else json.dumps(answer if spoiled is None else spoiled).encode()
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=body)


def client(inner, *, spoil=None, transport=None, url="http://sandbox/graphql", sleep=None, limiter=None, limits=None, **more):
    """A client of a sandbox without sockets; pauses are not made."""
    if transport is None and url == "http://sandbox/graphql":
        transport = Spoiled(inner, spoil) if spoil else SandboxTransport(inner)
    return InsightsClient(
        more.pop("credentials", CREDENTIALS),
        url=url,
        clock=inner.clock,
        limiter=limiter or CountingLimiter(),
        transport=transport,
        limits=limits or ClientLimits(),
        sleep=sleep or (lambda seconds: None),
    )
