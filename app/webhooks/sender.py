"""One attempt to hand a body to a receiver that may be slow, broken or hostile.

It ends in a given time, wherever that goes. No redirect is followed, no proxy asked, nothing unpacked; of the answer its status
counts, and no more than the first kilobyte is read.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from ipaddress import ip_address
from ssl import SSLContext
from urllib.parse import urlsplit

import httpcore
import httpx

from app.errors import InvalidRequest
from app.insights.deadline import Bounded, within
from app.webhooks.guard import Address, Guard, Lookup, is_loopback, is_public, lookup

SECONDS = 15.0
"""For the whole attempt: lookup, connection, TLS, request and answer."""
KEPT = 1024
"""Bytes of an answer."""


@dataclass(frozen=True)
class Answer:
    """What came of an attempt: a status, or why there is none. `retry_after` is that header, as it came."""

    milliseconds: int
    status: int | None = None
    text: str = ""
    error: str = ""
    retry_after: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Sender:
    """Sends over https to public addresses; in development also to this machine, there over http too. Threads may share it."""

    development: bool
    seconds: float = SECONDS
    look_up: Lookup = lookup
    context: SSLContext | None = field(default=None, repr=False)

    def require(self, url: str) -> None:
        """Raise InvalidRequest for an address that is never called, as far as that can be seen before: what a name stands for
        is judged at each attempt."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not self.development:
            raise InvalidRequest("Webhooks are sent over https only", pointer="/url", expected="https://…")
        try:
            address = ip_address(parts.hostname or "")
        except ValueError:
            return
        if not self._allows(address, parts.scheme):
            raise InvalidRequest("Webhooks are not sent there", pointer="/url", expected="https, and a public address")

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send it once."""
        started = time.monotonic()
        try:
            status, text, retry_after, error = self._post(url, headers, body)
        except httpcore.TimeoutException:
            status, text, retry_after, error = None, "", "", f"There was no answer within {self.seconds:g} seconds."
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as failure:
            status, text, retry_after, error = None, "", "", _sentence(failure)
        milliseconds = round((time.monotonic() - started) * 1000)
        return Answer(milliseconds, status, text, error, retry_after)

    def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, str, str]:
        scheme = urlsplit(url).scheme
        if scheme != "https" and not self.development:
            raise httpcore.UnsupportedProtocol("Only https is called.")
        ours = {"Content-Type": "application/json", "User-Agent": "Reckoner-Webhooks", "Connection": "close"}
        sent = [*ours.items(), *headers.items()]
        backend = Bounded(Guard(partial(self._allows, scheme=scheme), self.look_up))
        with (
            within(self.seconds),
            httpcore.ConnectionPool(ssl_context=self._context if scheme == "https" else None, network_backend=backend) as pool,
            pool.stream(
                "POST", url, headers=sent, content=body, extensions={"timeout": dict.fromkeys(_PHASES, self.seconds)}
            ) as it,
        ):
            said = httpx.Headers(it.headers)
            text, error = _beginning(it)
            moved = 300 <= it.status < 400
            return it.status, text, said.get("retry-after", "")[:100], "Redirects are not followed." if moved else error

    def _allows(self, address: Address, scheme: str) -> bool:
        return (self.development and is_loopback(address)) or (scheme == "https" and is_public(address))

    @cached_property
    def _context(self) -> SSLContext:
        return self.context or httpx.create_ssl_context()


_PHASES = ("connect", "read", "write", "pool")


def _beginning(response: httpcore.Response) -> tuple[str, str]:
    """The first kilobyte of an answer, and what went wrong while it came; its status counts all the same."""
    content, error = b"", ""
    try:
        for chunk in response.iter_stream():
            content += chunk
            if len(content) >= KEPT:
                break
    except httpcore.TimeoutException:
        error = "The answer did not end in time."
    except (httpcore.NetworkError, httpcore.ProtocolError) as failure:
        error = _sentence(failure)
    # PostgreSQL keeps no NUL.
    return content[:KEPT].decode("utf-8", "replace").replace("\0", "\ufffd"), error


def _sentence(failure: Exception) -> str:
    """An error in words, bounded: it may quote the receiver."""
    return " ".join(f"{failure}".replace("\0", " ").split())[:500] or f"It failed: {type(failure).__name__}."
