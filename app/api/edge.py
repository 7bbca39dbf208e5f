"""The outermost layer of the service: a request id and a log line for every request, bounded bodies, no error unanswered."""

import re
import time
from asyncio import CancelledError, timeout
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.counters import HTTP_SECONDS
from app.errors import Unavailable

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a request's body; the largest honest one is a vendor's invoice of 50,000 rows."""
BODY_SECONDS = 30
"""How long a client may take to send it."""

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_log = structlog.get_logger()


class Edge:
    """ASGI middleware.

    A client may bring its own `X-Request-Id` of 8-64 letters, digits, `.`, `_` and `-`; every other request gets a new one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _GIVEN_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                body = await _read(scope, receive)
                if body is None:
                    return
                await self.app(scope, _replay(body, receive), send_with_id)
            except (Exception, CancelledError) as error:
                if status:
                    raise
                if isinstance(error, CancelledError):  # nobody does so but a process that ends and has waited long enough
                    error = Unavailable("The service is about to end; ask again.")
                await problems.answer(error, request_id)(scope, receive, send_with_id)
            seconds = time.perf_counter() - started
            HTTP_SECONDS.labels(_method(scope), _operation(scope), status).observe(seconds)
            path = scope["raw_path"].decode("ascii", "replace")  # as it was sent: decoded, it could forge a line of the log
            _log.info("request", method=scope["method"], path=path, status=status, milliseconds=round(seconds * 1000))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _operation(scope: Scope) -> str:
    """The id of the operation that answered: an address as it was sent may be anything."""
    return getattr(scope.get("route"), "name", "none")


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body; None if the client went away before its end. Raises HTTP 413 or 408."""
    body, more = bytearray(), True
    try:
        async with timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > BODY_LIMIT:
                    raise HTTPException(413, headers={"Connection": "close"})
    except TimeoutError:
        raise HTTPException(408, headers={"Connection": "close"}) from None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
