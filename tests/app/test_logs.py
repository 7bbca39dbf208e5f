"""Logs: one line an event, and none of them a thousand times."""

import json
import logging
from collections.abc import Iterator

import pytest

from app import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]


def test_an_engine_without_a_database_says_each_thing_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("json")
    engine = logging.getLogger("dbos")
    for number in range(100):
        engine.warning("no database: %s", number)
        engine.warning("no queue: %s", number)
    assert lines(capsys) == ["no database: 0", "no queue: 0"]
    monkeypatch.setattr(logs._Seldom, "SECONDS", 0)
    engine.warning("no database: %s", 100)
    assert lines(capsys) == ["no database: 100"]


def test_what_we_say_ourselves_is_said_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    for _ in range(2):
        logging.getLogger("app.auth").warning("said")
    assert lines(capsys) == ["said", "said"]
