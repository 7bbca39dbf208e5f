"""Small datasets, and somebody who asks the sandbox about them as a real client would."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt

from app.clock import MovableClock
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Upstream

WORKED = json.loads((Path(__file__).parents[2] / "scenarios" / "worked-period.json").read_text())
SECRET = "project-secret-0123456789abcdef0123456789abcdef"
ACCOUNT_SECRET = "account-secret-0123456789abcdef0123456789abcdef"
NOON = datetime(2026, 10, 5, 19, tzinfo=UTC)
"""Noon of a Monday in Pacific time."""
DAYS_LATER = NOON + timedelta(days=4)
"""When every figure of that day is out."""


def instant(minutes, origin=NOON):
    return (origin + timedelta(minutes=minutes)).isoformat()


def person(name, start, end, publishes=True, *, origin=NOON, **more):
    """Somebody connected from one minute after noon to another, and publishing all the while, not at all, or when listed."""
    times = [(start, end)] if publishes is True else publishes or []
    streams = [
        {"stream_id": f"{name}-{number}", "created_at": instant(since, origin), "destroyed_at": instant(until, origin)}
        for number, (since, until) in enumerate(times)
    ]
    return {
        "connection_id": name,
        "created_at": instant(start, origin),
        "destroyed_at": instant(end, origin),
        "streams": streams,
        **more,
    }


def room(session_id, *people, project_id="100"):
    return {"project_id": project_id, "session_id": session_id, "connections": list(people)}


def dataset(*sessions, faults=(), projects=(), **project):
    return {
        "account": {"key": "9000", "secret": ACCOUNT_SECRET},
        "projects": [{"id": "100", "secret": SECRET, **project}, *projects],
        "sessions": list(sessions),
        "faults": [{"project_id": "100", **fault} for fault in faults],
    }


def signed(claims, key=SECRET, algorithm="HS256"):
    return jwt.encode(claims, key, algorithm=algorithm)


class Asker:
    """Somebody with the secret of project 100."""

    def __init__(self, content, now=DAYS_LATER):
        self.upstream = Upstream(Dataset.load(content), MovableClock(now))

    def headers(self, life=180, **claims):
        now = int(self.upstream.clock.now().timestamp())
        return {"X-OPENTOK-AUTH": signed({"iss": "100", "ist": "project", "iat": now, "exp": now + life} | claims)}

    def post(self, query, variables=None, headers=None, **more):
        """The answer to a query, HTTP and all."""
        body = {"query": query, "variables": variables} | more
        return self.upstream.handle("POST", "/graphql", headers or self.headers(), json.dumps(body).encode())

    def ask(self, query, variables=None, **more):
        """The whole content of the answer."""
        answer = self.post(query, variables, **more)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def project(self, query, **variables):
        """What is answered for project 100, without any error."""
        content = self.ask(f"{{ project(projectId: 100) {{ {query} }} }}" if not variables else query, variables)
        assert "errors" not in content, content["errors"]
        return content["data"]["project"]

    def code(self, query, variables=None, **more):
        """The number of the only error."""
        (error,) = self.ask(query, variables, **more)["errors"]
        return error["errorCode"]

    def days(self, arguments, wanted="intervalStart usage { participantMinutes { from1To2Publishers } }"):
        """The rows of projectData."""
        return self.project(f"projectData({arguments}) {{ resources {{ {wanted} }} }}")["projectData"]["resources"]

    def summaries(self, arguments="start: 0", wanted="sessionId participantMinutes { from1To2Publishers }"):
        """A page of session summaries."""
        page = f"pageInfo {{ hasNextPage endCursor }} totalCount resources {{ {wanted} }}"
        return self.project(f"sessionData {{ sessionSummaries({arguments}) {{ {page} }} }}")["sessionData"]["sessionSummaries"]

    def session(self, session_id, wanted):
        """One session in detail."""
        query = f'sessionData {{ sessions(sessionIds: ["{session_id}"]) {{ resources {{ {wanted} }} }} }}'
        return self.project(query)["sessionData"]["sessions"]["resources"][0]
