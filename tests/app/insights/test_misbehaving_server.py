"""A server that misbehaves below HTTP: every call is bounded in time and size."""

import gzip
import socket
import threading
import time
from contextlib import contextmanager
from datetime import date

import httpx
import pytest

from app.insights.errors import (
    AnswerTooLarge,
    InvalidQuery,
    MalformedAnswer,
    TimedOut,
    Unreachable,
)
from app.insights.limits import ClientLimits
from billing.period import BillingPeriod
from tests.app.insights.support import TIERS, client, upstream

DAY = date(2026, 10, 4)
PERIOD = BillingPeriod(date(2026, 10, 3), date(2026, 10, 7))


@contextmanager
def raw_server(*answers):
    """A server that gives each connection the next of these answers: pieces of bytes, and pauses in seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for answer in answers:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as request:
                    # All of it: closing a socket with bytes unread resets it, and the answer is lost on its way.
                    head = list(iter(request.readline, b"\r\n"))
                    request.read(next(int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length")))
                    for piece in answer:
                        try:
                            time.sleep(piece) if isinstance(piece, float) else connection.sendall(piece)
                        except OSError:
                            break

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


def ask(url, limits):
    with client(upstream(), url=url, limits=limits) as it:
        it.daily_usage(PERIOD, TIERS)


@pytest.mark.parametrize(
    ("before", "drip"),
    [
        ([HEAD, b"Content-Length: 100\r\n\r\n"], b" "),
        ([HEAD], b"X: y\r\n"),
        ([HEAD, b"Transfer-Encoding: chunked\r\n\r\n"], b"0"),
        # A gzip file may begin with its name: bytes without end that unpack to nothing.
        ([HEAD, b"Content-Encoding: gzip\r\n\r\n", b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"], b"a"),
    ],
    ids=["body", "headers", "chunk", "packing"],
)
def test_an_answer_that_drips_is_cut_at_the_deadline_of_the_whole_call(before, drip):
    started = time.monotonic()
    with raw_server([*before, *[drip, 0.05] * 60]) as url, pytest.raises(TimedOut, match="whole call"):
        ask(url, ClientLimits(read=2, call=0.4, attempts=1))
    assert time.monotonic() - started < 2


def test_the_deadline_holds_through_a_proxy_and_on_a_connection_used_before(monkeypatch):
    """`http_proxy` is the operator's way out of a closed network."""
    good = b'{"data":{"project":{"projectData":{"pageInfo":{"hasNextPage":false},"resources":[]}}}}'
    first = HEAD.replace(b"Connection: close\r\n", b"") + b"Content-Length: %d\r\n\r\n" % len(good) + good
    with raw_server([first, 0.1, HEAD, *[b"X: y\r\n", 0.05] * 60]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/graphql"))
        limits = ClientLimits(read=2, call=0.4, attempts=1)
        with client(upstream(), url="http://upstream.invalid/graphql", limits=limits) as it:
            it.daily_usage(PERIOD, TIERS)
            with pytest.raises(TimedOut, match="whole call"):
                it.daily_usage(PERIOD, TIERS)


def test_silence_is_cut_at_the_read_time_out():
    for before in ([], [HEAD], [HEAD, b"Content-Length: 100\r\n\r\n {"]):
        with raw_server([*before, 0.5]) as url, pytest.raises(TimedOut, match="ReadTimeout"):
            ask(url, ClientLimits(read=0.1, attempts=1))


def test_a_connection_that_breaks_is_tried_again():
    for broken in ([], [HEAD], [HEAD, b"Content-Length: 100\r\n\r\n{}"]):
        good = httpx.Response(
            200, json={"data": {"project": {"projectData": {"pageInfo": {"hasNextPage": False}, "resources": []}}}}
        )
        answer = [HEAD, b"Content-Length: %d\r\n\r\n" % len(good.content), good.content]
        with raw_server(broken, answer) as url:
            ask(url, ClientLimits(attempts=2))
        with raw_server(broken, broken) as url, pytest.raises(Unreachable):
            ask(url, ClientLimits(attempts=2))


def test_nobody_there_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    with pytest.raises(Unreachable):
        ask(url, ClientLimits(attempts=2))


@pytest.mark.parametrize("url", ["ftp://example.invalid/graphql", "http://", "not a url", "http://[::1/x"])
def test_an_address_that_cannot_be_called_is_final(url):
    with pytest.raises(InvalidQuery):
        ask(url, ClientLimits())


def test_an_answer_is_bounded_after_it_is_unpacked():
    bomb = gzip.compress(b" " * 50_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with raw_server([head, bomb]) as url, pytest.raises(AnswerTooLarge):
        ask(url, ClientLimits(answer=1_000_000, attempts=1))


@pytest.mark.parametrize("encoding", [b"gzip, gzip", b"br", b"deflate", b"zstd"])
def test_an_answer_packed_otherwise_than_asked_for_is_refused(encoding):
    answer = HEAD + b"Content-Encoding: " + encoding + b"\r\nContent-Length: 2\r\n\r\n{}"
    with raw_server([answer]) as url, pytest.raises(MalformedAnswer, match="packed"):
        ask(url, ClientLimits(attempts=1))


def test_a_damaged_packing_is_refused():
    answer = HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    with raw_server([answer]) as url, pytest.raises(MalformedAnswer, match="unpacked"):
        ask(url, ClientLimits(attempts=1))


def test_a_packed_answer_is_read():
    inner = upstream()

    def packed(request):
        answer = inner.handle("POST", "/graphql", request.headers, request.read())
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return httpx.Response(200, headers=headers, content=gzip.compress(answer.body))

    with client(inner, transport=httpx.MockTransport(packed)) as it:
        assert it.meetings(DAY, TIERS).payload == client(inner).meetings(DAY, TIERS).payload


def test_a_redirect_is_not_followed():
    moved = httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": "http://elsewhere/graphql"}))
    with client(upstream(), transport=moved) as it, pytest.raises(InvalidQuery, match="302"):
        it.daily_usage(PERIOD, TIERS)
