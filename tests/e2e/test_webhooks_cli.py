"""`reckoner webhooks`: an endpoint is added, tried, and sent again what it missed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.webhooks.receiver import Receiver, answering, receiving
from tests.e2e.conftest import Installation


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(answering(200, "thanks")) as receiver:
        yield receiver


@pytest.fixture
def apart(installation: Installation, tmp_path: Path) -> Installation:
    """The same program with a database of its own, which nobody serves."""
    return replace(installation, folder=tmp_path)


def test_an_endpoint_is_added_tried_and_listed(apart: Installation, receiver: Receiver) -> None:
    done = apart.run("webhooks", "add", receiver.url, "--type", "invoice.finalized", "--ordered", "--json")
    added = json.loads(done.stdout)
    assert (done.returncode, added["types"], added["ordered"]) == (0, ["invoice.finalized"], True)
    assert added["secret"].startswith("whsec_")
    listed = apart.run("webhooks", "list")
    assert added["id"] in listed.stdout
    assert added["secret"] not in listed.stdout
    tried = apart.run("webhooks", "test", added["id"])
    assert (tried.returncode, tried.stdout.startswith("delivered: 200")) == (0, True)
    assert len(receiver.calls) == 1
    receiver.behaviour = answering(500, "no")
    tried = apart.run("webhooks", "test", added["id"], "--json")
    assert (tried.returncode, json.loads(tried.stdout)["state"]) == (1, "failed")
    again = apart.run("webhooks", "redeliver", added["id"], "--since", "2026-01-01T00:00:00Z")
    assert (again.returncode, again.stdout) == (0, "0 deliveries are to be made.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "ftp://a.example/"], "/url"),
        (["add", "https://10.0.0.1/"], "not sent there"),
        (["add", "https://a.example/", "--project", "404"], "no project 404"),
        (["test", "we_1"], "no webhook endpoint we_1"),
        (["redeliver", "dlv_1"], "no webhook delivery dlv_1"),
        (["redeliver", "we_1", "--since", "yesterday"], "yesterday"),
        (["redeliver", "dlv_1", "--until", "2026-01-01T00:00:00Z"], "--since"),
        (["redeliver", "we_1", "--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"], "not after"),
    ],
)
def test_what_cannot_be_done_is_one_line(apart: Installation, arguments: list[str], said: str) -> None:
    done = apart.run("webhooks", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
