"""A receiver that misbehaves in every way: the attempt ends in time and says why, and nothing is let in."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest

from app.errors import InvalidRequest
from app.webhooks.guard import Lookup
from app.webhooks.sender import KEPT, Answer, Sender
from tests.app.webhooks.receiver import Behaviour, Call, Receiver, answering, certificate, receiving

SECONDS = 0.6
LATE = 0.4
"""What a busy machine may add."""


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    opened: list[Receiver] = []

    def open_one(behaviour: Behaviour, **given: object) -> Receiver:
        opened.append(Receiver(behaviour, **given))
        return opened[-1]

    yield open_one
    for receiver in opened:
        receiver.close()


def sender(**given: object) -> Sender:
    return Sender(**{"development": True, "seconds": SECONDS, **given})


def post(receiver: Receiver, **given: object) -> Answer:
    started = time.monotonic()
    answer = sender(**given).post(receiver.url, {"webhook-id": "evt_1"}, b'{"a":1}')
    assert time.monotonic() - started < SECONDS + LATE
    return answer


def test_a_receiver_gets_what_is_sent(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers(answering(200, "thanks"))
    answer = post(receiver)
    assert (answer.is_success, answer.status, answer.text, answer.error) == (True, 200, "thanks", "")
    (call,) = receiver.calls
    assert call.line == "POST /hooks HTTP/1.1"
    assert call.body == b'{"a":1}'
    wanted = {"content-type": "application/json", "webhook-id": "evt_1", "host": f"127.0.0.1:{receiver.port}"}
    assert wanted.items() <= call.headers.items()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_a_status_from_200_to_299(receivers: Callable[..., Receiver], status: int) -> None:
    assert post(receivers(answering(status))).is_success


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_a_refusal_is_kept_as_it_is(receivers: Callable[..., Receiver], status: int) -> None:
    answer = post(receivers(answering(status, "no", Retry_After="120")))
    assert (answer.is_success, answer.status, answer.text, answer.retry_after) == (False, status, "no", "120")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receivers: Callable[..., Receiver], status: int) -> None:
    inner = receivers(answering(200))
    answer = post(receivers(answering(status, Location=inner.url)))
    assert (answer.is_success, answer.status, answer.error) == (False, status, "Redirects are not followed.")
    assert inner.connections == 0


def silent(call: Call) -> None:
    call.stopping.wait(5)


def half_a_head(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nContent-")
    call.stopping.wait(5)


def dripping_head(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nX: ")
    call.drip(b"x")


def continuing_for_ever(call: Call) -> None:
    call.drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0)


@pytest.mark.parametrize("behaviour", [silent, half_a_head, dripping_head, continuing_for_ever])
def test_who_does_not_answer_in_time_has_not_answered(receivers: Callable[..., Receiver], behaviour: Behaviour) -> None:
    answer = post(receivers(behaviour))
    assert (answer.status, answer.error) == (None, f"There was no answer within {SECONDS} seconds.")


def endless(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not call.stopping.is_set():
        call.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def huge(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n" + "x" * 5000)
    call.stopping.wait(5)


def packed(call: Call) -> None:
    call.answer(200, "x" * 5000, Content_Encoding="gzip")


@pytest.mark.parametrize("behaviour", [endless, huge, packed])
def test_no_more_than_a_kilobyte_is_read(receivers: Callable[..., Receiver], behaviour: Behaviour) -> None:
    answer = post(receivers(behaviour))
    assert answer.is_success
    assert (answer.text, answer.error) == ("x" * KEPT, ""), "the rest is not waited for"


def dripping_body(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    call.drip(b"y", 0.05)


def broken_body(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nyy")


def body_that_is_no_text(call: Call) -> None:
    call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ny\x00\xff\xfe")


@pytest.mark.parametrize("behaviour", [dripping_body, broken_body, body_that_is_no_text])
def test_a_status_counts_whatever_comes_after_it(receivers: Callable[..., Receiver], behaviour: Behaviour) -> None:
    answer = post(receivers(behaviour))
    assert answer.is_success
    assert answer.text.startswith("y")
    assert "\0" not in answer.text
    assert bool(answer.error) == (behaviour is not body_that_is_no_text)


def huge_head(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\n")
    while not call.stopping.is_set():
        call.say("X-Filler: " + "x" * 8000 + "\r\n")


def no_http(call: Call) -> None:
    call.say("SSH-2.0-OpenSSH_9.2\r\n")


def no_http_at_length(call: Call) -> None:
    call.say("x" * 5000 + "\r\n\r\n")


def nothing(_: Call) -> None:
    """It closes without a word."""


def reset(call: Call) -> None:
    call.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def two_lengths(call: Call) -> None:
    call.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")


@pytest.mark.parametrize("behaviour", [huge_head, no_http, no_http_at_length, nothing, reset, two_lengths])
def test_what_is_no_answer_is_a_failure_with_a_reason(receivers: Callable[..., Receiver], behaviour: Behaviour) -> None:
    answer = post(receivers(behaviour))
    assert answer.status is None
    assert 5 < len(answer.error) <= 500


def test_nobody_there_is_a_failure_with_a_reason() -> None:
    with receiving(nothing) as receiver:
        pass
    answer = post(receiver)
    assert (answer.status, "refused" in answer.error) == (None, True)


# Who may be called


def naming(*answers: list[str]) -> tuple[Lookup, list[str]]:
    """A name service that gives these answers one after the other, and what it was asked."""
    asked: list[str] = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return look_up, asked


def test_in_production_this_machine_is_not_called(receivers: Callable[..., Receiver], tmp_path: Path) -> None:
    plain = receivers(answering(200))
    server, client = certificate(tmp_path, "127.0.0.1")
    encrypted = receivers(answering(200), tls=server)
    assert post(plain, development=False).error == "Only https is called."
    assert "not one that a webhook may call" in post(encrypted, development=False, context=client).error
    assert (plain.connections, encrypted.connections) == (0, 0)


def test_in_development_only_this_machine_is_called_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", connect)
    look_up, _ = naming(["93.184.215.14"])
    refused = sender(look_up=look_up).post("http://hooks.example/", {}, b"{}")
    assert "not one that a webhook may call" in refused.error
    with pytest.raises(InvalidRequest):
        sender().require("http://93.184.215.14/")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%lo"],
)
def test_a_name_with_an_inner_address_is_not_connected_to(
    receivers: Callable[..., Receiver], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", connect)
    for answers in ([address], ["93.184.215.14", address], [address, "93.184.215.14"]):
        look_up, _ = naming(answers)
        answer = sender(development=False, look_up=look_up).post("https://hooks.example/", {}, b"{}")
        assert (answer.status, "not one that a webhook may call" in answer.error) == (None, True)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"])
def test_an_address_in_disguise_is_not_called(receivers: Callable[..., Receiver], host: str) -> None:
    receiver = receivers(answering(200))
    answer = sender(development=False).post(f"https://{host}:{receiver.port}/", {}, b"{}")
    assert "not one that a webhook may call" in answer.error
    assert receiver.connections == 0


def test_a_name_that_changes_after_it_was_checked_changes_nothing(
    receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.2 stands for a public address here: it is checked, and the same is called, whatever the name is by then."""
    monkeypatch.setattr("app.webhooks.sender.is_loopback", lambda address: str(address) == "127.0.0.2")
    honest = receivers(answering(200), host="127.0.0.2")
    inner = receivers(answering(200))
    look_up, asked = naming(["127.0.0.2"], ["127.0.0.1"])
    changing = sender(look_up=look_up)
    assert changing.post(f"http://rebind.example:{honest.port}/", {}, b"{}").is_success
    assert asked == ["rebind.example"]
    assert honest.calls[0].headers["host"] == f"rebind.example:{honest.port}"

    later = changing.post(f"http://rebind.example:{inner.port}/", {}, b"{}")
    assert "not one that a webhook may call" in later.error
    assert inner.connections == 0


@pytest.mark.parametrize("silent", [False, True])
def test_an_address_that_takes_no_connection_leaves_time_for_the_next(
    receivers: Callable[..., Receiver], silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = httpcore.SyncBackend.connect_tcp

    def dropping(self: httpcore.SyncBackend, host: str, port: int, timeout: float, *more: Any) -> httpcore.NetworkStream:
        if host == "127.0.0.3" and silent:  # else nobody listens there
            time.sleep(timeout)
            raise httpcore.ConnectTimeout
        return connect(self, host, port, timeout, *more)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", dropping)
    receiver = receivers(answering(200))
    look_up, _ = naming(["127.0.0.3", "127.0.0.1"])
    assert sender(look_up=look_up).post(f"http://hooks.example:{receiver.port}/", {}, b"{}").is_success


def test_a_name_service_that_hangs_or_fails_is_a_failure() -> None:
    def hanging(host: str, port: int) -> list[str]:
        time.sleep(SECONDS + 1)
        return ["127.0.0.1"]

    def failing(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    started = time.monotonic()
    assert "no answer within" in sender(look_up=hanging).post("http://hooks.example/", {}, b"{}").error
    assert time.monotonic() - started < SECONDS + LATE
    assert "cannot be looked up" in sender(look_up=failing).post("http://hooks.example/", {}, b"{}").error
    assert "has no address" in sender(look_up=lambda host, port: []).post("http://hooks.example/", {}, b"{}").error


# TLS


def test_a_certificate_is_checked(receivers: Callable[..., Receiver], tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "hooks.example")
    receiver = receivers(answering(200), tls=server)
    look_up, _ = naming(["127.0.0.1"])
    address = f"https://{{}}:{receiver.port}/"
    good = sender(look_up=look_up, context=client)
    assert good.post(address.format("hooks.example"), {}, b"{}").is_success
    assert "CERTIFICATE_VERIFY_FAILED" in good.post(address.format("other.example"), {}, b"{}").error
    assert "CERTIFICATE_VERIFY_FAILED" in sender(look_up=look_up).post(address.format("hooks.example"), {}, b"{}").error
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("behaviour", [nothing, silent, no_http])
def test_who_speaks_no_tls_is_a_failure(receivers: Callable[..., Receiver], behaviour: Behaviour) -> None:
    receiver = receivers(behaviour)
    started = time.monotonic()
    answer = sender().post(receiver.url.replace("http:", "https:"), {}, b"{}")
    assert answer.status is None
    assert answer.error
    assert time.monotonic() - started < SECONDS + LATE


def test_old_tls_is_refused(receivers: Callable[..., Receiver], tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    answer = post(receivers(answering(200), tls=server), context=client)
    assert (answer.status, "SSL" in answer.error or "TLS" in answer.error) == (None, True)


def test_no_proxy_of_the_environment_is_asked(receivers: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, receiver = receivers(answering(502)), receivers(answering(200))
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert post(receiver).is_success
    assert proxy.connections == 0
