"""Everything that the look-alike answers, as one function of a request: `Upstream.handle`. `server` and `transport` wrap it."""

import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from html import escape
from importlib.resources import files
from math import ceil
from threading import Lock
from typing import Any, TypeVar

import msgspec
from graphql import GraphQLError, execute_sync

from app.clock import MovableClock
from app.sandbox.datafile import Http, Project
from app.sandbox.dataset import Dataset
from app.sandbox.paging import Asked, asked
from app.sandbox.refusals import Refusal
from app.sandbox.resolvers import SCHEMA, Context, document, schema
from app.sandbox.tokens import REST_LIFE, verify
from billing.errors import InvalidPeriod
from billing.period import ZONE, microseconds, parse_instant

MOST_REQUESTS = 99
"""Fewer than 100 requests in any 30 s, for each API key and for each address (support article)."""
WINDOW = timedelta(seconds=30)
MOST_NODES = 500_000
LARGEST_BODY = 1_000_000
LATE = 60.0
"""Seconds that a call takes where a fault says only that it times out."""

_log = logging.getLogger(__name__)
# The libraries say what is wrong only in words; a test holds each of these.
_SIGNS = (
    ("Int cannot represent", 1006),
    ("ID cannot represent", 1008),
    ("not provided", 1013),
    ("to be provided", 1013),
    ("cannot represent", 1022),
    ("does not exist in", 1022),
    ("has invalid value", 1022),
)


@dataclass
class Answer:
    """An HTTP answer; `delay` is how many seconds it takes to come."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay: float = 0.0


class Upstream:
    """The vendor, played by a dataset and a clock. Safe to share between threads.

    `calls` counts the calls of each operation (`projectData`, `sessionSummaries`, `sessions`, `projects`) that were let in.
    """

    def __init__(self, dataset: Dataset, clock: MovableClock) -> None:
        self.dataset = dataset
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self._calls_by_project: Counter[tuple[str, str]] = Counter()
        self._requests: dict[str, deque[datetime]] = {}
        self._lock = Lock()

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", address: str = "127.0.0.1"
    ) -> Answer:
        """The answer to one request; never raises. `path` is without the query string."""
        headers = {name.lower(): value for name, value in headers.items()}
        if path == "/graphql" and method == "POST":
            return self._graphql(headers, body, address)
        if method == "GET" and (path == "/v2/project" or path.startswith("/v2/project/")):
            return self._projects(headers, path.removeprefix("/v2/project").strip("/"), address)
        if path == "/sandbox/clock" and method in ("GET", "POST"):
            return self._clock(body if method == "POST" else None)
        if path == "/" and method == "GET":
            return Answer(200, _explorer(), {"Content-Type": "text/html; charset=utf-8"})
        if path in ("/", "/graphql", "/sandbox/clock") or path.startswith("/v2/project"):
            return _json(405, {"message": f"{method} is not allowed here"})
        return _json(404, {"message": "Not found"})

    def _graphql(self, headers: Mapping[str, str], body: bytes, address: str) -> Answer:
        now = self.clock.now()
        if refused := self._limited(f"address {address}", now):
            return refused
        request = _read(body, _QUERY)
        if isinstance(request, Answer):
            return request
        try:
            caller = verify(headers, self.dataset, now.timestamp())
            if refused := self._limited(f"{caller.kind} {caller.key}", now):
                return refused
            parsed = document(request.query)
            wanted = asked(parsed, request.operation_name, request.variables or {})
            fault = self._count(wanted.operations)
            answer = _maintenance(wanted, now)
            if answer is None:
                if wanted.nodes > MOST_NODES:
                    raise Refusal(1014)
                context = Context(self.dataset, caller, microseconds(now))
                result = execute_sync(
                    schema(),
                    parsed,
                    context_value=context,
                    variable_values=request.variables,
                    operation_name=request.operation_name,
                )
                answer = _answer(result.data, result.errors or [])
        except GraphQLError as error:
            return _answer(None, [error])
        return _fail(answer, fault) if fault else answer

    def _projects(self, headers: Mapping[str, str], project_id: str, address: str) -> Answer:
        """The account's projects, or one of them. Refused with HTTP 403 and the error's code."""
        now = self.clock.now()
        if refused := self._limited(f"address {address}", now):
            return refused
        try:
            caller = verify(headers, self.dataset, now.timestamp(), life=REST_LIFE)
            if caller.kind != "account":
                raise Refusal(1021, "the account's token was expected")
        except Refusal as refusal:
            return _json(403, {"code": refusal.code, "message": refusal.message})
        if refused := self._limited(f"{caller.kind} {caller.key}", now):
            return refused
        fault = self._count({("", "projects")})
        listed = [_listed(record.project) for record in self.dataset.projects.values()]
        if project_id:
            one = next((project for project in listed if project["id"] == project_id), None)
            answer = _json(200, one) if one else _json(404, {"message": "Project not found"})
        else:
            answer = _json(200, listed)
        return _fail(answer, fault) if fault else answer

    def _clock(self, body: bytes | None) -> Answer:
        """What time it is, after moving the clock where a body says so."""
        if body is not None:
            moment = _read(body, _MOMENT)
            if isinstance(moment, Answer):
                return moment
            try:
                self.clock.move(parse_instant(moment.now, "/now"))
            except InvalidPeriod as error:
                return _json(400, {"message": f"/now: {error.message}; expected {error.expected}"})
        return _json(200, {"now": self.clock.now().isoformat().replace("+00:00", "Z")})

    def _limited(self, scope: str, now: datetime) -> Answer | None:
        """The refusal of one request too many; a refused request does not count. The time is the sandbox's own."""
        with self._lock:
            stamps = self._requests.setdefault(scope, deque())
            while stamps and not now - WINDOW < stamps[0] <= now:
                stamps.popleft()
            if len(stamps) < MOST_REQUESTS:
                stamps.append(now)
                return None
            wait = ceil((stamps[0] + WINDOW - now).total_seconds())
        return _json(429, {"message": "Too many requests"}, {"Retry-After": str(wait)})

    def _count(self, operations: set[tuple[str, str]]) -> Http | None:
        """Count these calls, each (project id, operation); returns the fault planted for one of them."""
        found = None
        with self._lock:
            for project_id, operation in operations:
                self.calls[operation] += 1
                self._calls_by_project[project_id, operation] += 1
                for record in self.dataset.projects.values():
                    for fault in record.http_faults:
                        meant = fault.operation == operation and project_id in ("", fault.project_id)
                        if meant and self._calls_by_project[project_id, operation] in fault.calls:
                            found = fault
        return found


class _Query(msgspec.Struct, rename="camel"):
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


class _Moment(msgspec.Struct):
    now: str | int


_Body = TypeVar("_Body", _Query, _Moment)
_QUERY = msgspec.json.Decoder(_Query)
_MOMENT = msgspec.json.Decoder(_Moment)


def _read(body: bytes, decoder: msgspec.json.Decoder[_Body]) -> _Body | Answer:
    """The body of a request, or the answer to one that cannot be read."""
    if len(body) > LARGEST_BODY:
        return _json(413, {"message": f"at most {LARGEST_BODY} bytes were expected"})
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        refusal = Refusal(1004, str(error))
        return _json(400, {"errors": [{"message": refusal.message, "errorCode": refusal.code}]})


def _answer(data: object, errors: list[GraphQLError]) -> Answer:
    """The GraphQL answer, HTTP 200 with its errors in it; data may be partial."""
    content: dict[str, object] = {"data": data}
    if errors:
        content["errors"] = [
            {
                "message": error.message,
                "locations": [{"line": place.line, "column": place.column} for place in error.locations or ()],
                "path": error.path,
                "errorCode": _code(error),
            }
            for error in errors
        ]
    return _json(200, content)


def _code(error: GraphQLError) -> int:
    """Upstream's number of an error: our refusals carry it; the library's own follow from what they say."""
    if code := (error.extensions or {}).get("errorCode"):
        return int(code)
    if error.original_error and not isinstance(error.original_error, GraphQLError):
        _log.error("a resolver of the sandbox failed", exc_info=error.original_error)
        return 1012
    return next((code for sign, code in _SIGNS if sign in error.message), 1004)


def _maintenance(wanted: Asked, now: datetime) -> Answer | None:
    """HTTP 503 for the session level during maintenance: every day 21:00-23:00 and Sundays 04:00-07:00, Pacific (guide)."""
    pacific = now.astimezone(ZONE)
    until = 23 if 21 <= pacific.hour < 23 else 7 if pacific.weekday() == 6 and 4 <= pacific.hour < 7 else None
    if until is None or all(operation == "projectData" for _, operation in wanted.operations):
        return None
    # No window holds a change of the clocks, so wall time is as good as elapsed time here.
    seconds = (pacific.replace(hour=until, minute=0, second=0, microsecond=0) - pacific).total_seconds()
    return _json(503, {"message": "Down for maintenance"}, {"Retry-After": str(ceil(seconds))})


def _fail(answer: Answer, fault: Http) -> Answer:
    """What becomes of an answer by a planted fault."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.status:
        return _json(fault.status, {"message": "Planted"}, headers)
    if fault.error_code:
        failed = _answer(None, [Refusal(fault.error_code)])
    elif fault.html:
        failed = Answer(200, b"<!doctype html><title>Sorry</title><p>Something went wrong.</p>", {"Content-Type": "text/html"})
    elif fault.truncated:
        failed = Answer(answer.status, answer.body[: len(answer.body) // 2])
    else:
        failed = replace(answer, delay=LATE if fault.timeout is True else fault.timeout or 0.0)
    return replace(failed, headers={**failed.headers, **headers})


def _listed(project: Project) -> dict[str, object]:
    """A project as the account's list has it."""
    return {
        "id": project.id,
        "secret": project.secret,
        "status": project.status,
        "name": project.name,
        "environment": project.environment,
        "createdAt": microseconds(project.created_at) // 1000,
    }


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, msgspec.json.encode(content), {"Content-Type": "application/json", **(headers or {})})


@cache
def _explorer() -> bytes:
    page = files("app.sandbox").joinpath("explorer.html").read_text()
    return page.replace("<!-- schema -->", escape(SCHEMA)).encode()
