"""What an operator does: change the key of the stored secrets, and watch a worker."""

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import httpx
import pytest

from tests.app.webhooks.receiver import Call, receiving
from tests.e2e.conftest import Installation, started

OLD = "2b7e151628aed2a6abf7158809cf4f3c"
NEW = "8809cf4f3c2b7e151628aed2a6abf715"


def test_the_key_is_changed_step_by_step_as_the_guide_says(own: Installation) -> None:
    collect = ("collect", "100", "2026-10-31..2026-10-31")
    assert own.run(*collect, RECKONER_SECRET_KEY=NEW).returncode == 1, "the old one is needed still"
    both = {"RECKONER_SECRET_KEY": NEW, "RECKONER_OLD_SECRET_KEY": OLD}
    assert own.run(*collect, **both).returncode == 0
    done = own.run("rotate-secrets", **both)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the credentials of 1 projects" in done.stdout
    assert own.run(*collect, RECKONER_SECRET_KEY=NEW).returncode == 0
    refused = own.run(*collect)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "another RECKONER_SECRET_KEY" in refused.stderr


def test_a_process_that_is_to_end_answers_who_has_asked_already(own: Installation) -> None:
    def slow(call: Call) -> None:
        asked.set()
        call.stopping.wait(1.5)
        call.answer(200, "thanks")

    asked = Event()
    with receiving(slow) as receiver, ThreadPoolExecutor() as others:
        with started(own.folder, own.environment, "serve", "--port", "0", "--no-jobs") as address:
            here = replace(own, url=address)

            def try_it() -> dict[str, Any]:
                with here.client() as client:
                    added = client.post("/v1/webhook-endpoints", json={"url": receiver.url}).json()
                    return client.post(f"/v1/webhook-endpoints/{added['id']}/test", json={}).json()

            answer = others.submit(try_it)
            assert asked.wait(30)
        # The block has ended the process by SIGTERM and seen it go.
        assert answer.result(1)["state"] == "delivered"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")


def test_a_worker_tells_what_it_counts(own: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started(own.folder, own.environment, "worker", "--metrics-port", str(port)):
        told = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert "reckoner_upstream_requests_total" in told
    assert "reckoner_projects" not in told
