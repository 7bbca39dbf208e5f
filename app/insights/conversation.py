"""Calls over HTTP: under the limiter, bounded in time and size, repeated only where that is worth it."""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import count
from typing import TypeVar

import httpx

from app.clock import Clock
from app.counters import UPSTREAM_REQUESTS, UPSTREAM_SECONDS, UPSTREAM_WAIT
from app.insights import deadline
from app.insights.errors import (
    STALE_TOKEN,
    AnswerTooLarge,
    InsightsError,
    InvalidCredentials,
    InvalidQuery,
    MalformedAnswer,
    NotAuthorised,
    RateLimited,
    ServerFailed,
    TimedOut,
    Unreachable,
    UpstreamError,
    UpstreamUnavailable,
)
from app.insights.limits import ClientLimits, Limiter
from app.insights.tokens import AccountCredentials, Credentials
from app.insights.wire import refusal

Read = TypeVar("Read")


def http_client(limits: ClientLimits, transport: httpx.BaseTransport | None) -> httpx.Client:
    """The HTTP client for calls under these limits; may be shared between threads."""
    return deadline.enforced(
        httpx.Client(
            transport=transport,
            verify=_trusted(),
            timeout=httpx.Timeout(limits.read, connect=limits.connect, pool=limits.call),
            # Only gzip, and only once: how far an answer can swell while it is unpacked is then bounded.
            headers={"Accept-Encoding": "gzip", "User-Agent": "reckoner"},
        )
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates we trust, read once a process: reading them takes as long as a dozen calls."""
    return httpx.create_ssl_context()


class Conversation:
    """The calls that one question to upstream takes, one after the other. Not shared between threads."""

    def __init__(
        self,
        http: httpx.Client,
        credentials: Credentials | AccountCredentials,
        *,
        key: str,
        clock: Clock,
        limiter: Limiter,
        limits: ClientLimits,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`key` is the API key that upstream counts these calls under."""
        self._http = http
        self._credentials = credentials
        self._key = key
        self._clock = clock
        self._limiter = limiter
        self._limits = limits
        self._sleep = sleep
        self.started_at = clock.now()
        """When the question was first asked."""
        self.requests = 0
        """How many requests left, repeated ones too."""

    def call(self, method: str, url: str, read: Callable[[bytes], Read], json: object = None) -> Read:
        """What `read` makes of the body of the answer. Raises InsightsError.

        Repeated, with a fresh token each time: what upstream cannot answer now, after a pause with full jitter, or as long as
        Retry-After asks; and once, at once, where it takes the token for stale. All else is final.
        """
        renewed = False
        for attempt in count(1):
            self._wait_for_turn()
            self.requests += 1
            try:
                return _counted(lambda: read(self._send(method, url, json)))
            except UpstreamUnavailable as error:
                pause = self._pause(attempt, error.retry_after)
                if attempt >= self._limits.attempts or pause > self._limits.longest_pause:
                    raise
                self._sleep(pause)
            except UpstreamError as error:
                if renewed or error.code not in STALE_TOKEN:
                    raise
                renewed = True
        raise AssertionError("count() does not end")

    def _wait_for_turn(self) -> None:
        asked = time.monotonic()
        self._limiter.acquire(self._key)
        UPSTREAM_WAIT.inc(time.monotonic() - asked)

    def _pause(self, attempt: int, retry_after: float | None) -> float:
        jitter = random.uniform(0, min(self._limits.backoff * 2**attempt, self._limits.longest_pause))
        return max(jitter, retry_after or 0)

    def _send(self, method: str, url: str, json: object) -> bytes:
        late = time.monotonic() + self._limits.call
        try:
            headers = self._credentials.headers(self._clock.now())
            request = self._http.build_request(method, url, json=json, headers=headers)
            with deadline.within(self._limits.call), closing(self._http.send(request, stream=True)) as response:
                self._refuse_status(response)
                body = self._body(response)
        except httpx.TimeoutException as error:
            if time.monotonic() >= late:
                raise TimedOut(f"The whole call took more than {self._limits.call:g} s.") from error
            raise TimedOut(f"Upstream took too long ({type(error).__name__}).") from error
        except httpx.DecodingError as error:
            raise MalformedAnswer("The answer cannot be unpacked.", expected="gzip as its header says") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError) as error:
            raise Unreachable(f"Upstream cannot be reached, or the connection broke: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InvalidQuery(f"Upstream cannot be called: {error}") from error
        if response.status_code != httpx.codes.OK:
            raise refusal(body) or _by_status(response.status_code)
        if "json" not in response.headers.get("Content-Type", ""):
            raise MalformedAnswer(
                f"The answer is of type {response.headers.get('Content-Type', 'unknown')!r}.", expected="a JSON body"
            )
        return body

    def _refuse_status(self, response: httpx.Response) -> None:
        retry_after = self._retry_after(response.headers)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise RateLimited("Upstream counts too many requests (HTTP 429).", retry_after=retry_after)
        if response.status_code >= 500:
            raise ServerFailed(f"Upstream failed (HTTP {response.status_code}).", retry_after=retry_after)

    def _body(self, response: httpx.Response) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", "gzip"):
            raise MalformedAnswer("The answer is packed in another way than asked for.", expected="gzip or plain")
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._limits.answer:
                raise AnswerTooLarge("The answer is too large.", expected=f"at most {self._limits.answer} bytes")
        return bytes(body)

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds to wait, from either form that the header has; None where it is absent or senseless."""
        text = headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            instant = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (instant.replace(tzinfo=instant.tzinfo or UTC) - self._clock.now()).total_seconds())


def _counted(ask: Callable[[], Read]) -> Read:
    """What `ask` answers, with how long that took and what came of it added to this process's counters."""
    try:
        with UPSTREAM_SECONDS.time():
            answer = ask()
    except InsightsError as error:
        UPSTREAM_REQUESTS.labels(type(error).__name__).inc()
        raise
    UPSTREAM_REQUESTS.labels("answered").inc()
    return answer


def _kinds(kind: type[InsightsError]) -> Iterator[str]:
    yield kind.__name__
    for it in kind.__subclasses__():
        yield from _kinds(it)


# Told as 0 from the start: Prometheus sees no increase in what appears as 1, so the first refusal would raise no alarm.
for _outcome in ("answered", *_kinds(InsightsError)):
    UPSTREAM_REQUESTS.labels(_outcome)


def _by_status(status: int) -> UpstreamError:
    """The error for a status that comes without a code of upstream's."""
    kind = {401: InvalidCredentials, 403: NotAuthorised}.get(status, InvalidQuery)
    return kind(f"Upstream refused the call (HTTP {status}).")
