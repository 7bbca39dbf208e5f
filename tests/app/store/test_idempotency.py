"""Idempotency keys: one effect for one key, the same answer again, and nothing that stays stuck."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import func, select

from app.clock import SystemClock
from app.db import transaction
from app.errors import IdempotencyInFlight, IdempotencyKeyReused
from app.store import idempotency
from app.store.idempotency import ABANDONED, KEPT, StoredAnswer
from app.store.tables import IdempotencyRow

ANSWER = StoredAnswer(201, {"location": "/v1/jobs/1"}, b'{"id":1}\n')


def _begin(engine: Engine, owner: str = "ada", key: str = "k", fingerprint: str = "f") -> StoredAnswer | None:
    with transaction(engine) as session:
        return idempotency.begin(session, owner, key, fingerprint)


def _finish(engine: Engine, owner: str = "ada", key: str = "k") -> None:
    with transaction(engine) as session:
        idempotency.finish(session, owner, key, status=ANSWER.status, headers=ANSWER.headers, body=ANSWER.body)


def _later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    real = SystemClock.now

    def now(clock: SystemClock) -> datetime:
        return real(clock) + by

    monkeypatch.setattr(SystemClock, "now", now)


def test_the_first_runs_and_the_second_gets_its_answer(engine: Engine) -> None:
    assert _begin(engine) is None
    _finish(engine)
    assert _begin(engine) == ANSWER
    assert _begin(engine) == ANSWER


def test_while_the_first_runs_the_second_is_told_so(engine: Engine) -> None:
    assert _begin(engine) is None
    with pytest.raises(IdempotencyInFlight):
        _begin(engine)


def test_of_many_at_once_one_runs(engine: Engine) -> None:
    def attempt(_: int) -> str:
        try:
            return "runs" if _begin(engine) is None else "answered"
        except IdempotencyInFlight:
            return "in flight"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(attempt, range(6))) == ["in flight"] * 5 + ["runs"]


def test_another_request_with_the_key_is_refused_also_while_the_first_runs(engine: Engine) -> None:
    assert _begin(engine) is None
    with pytest.raises(IdempotencyKeyReused):
        _begin(engine, fingerprint="other")
    _finish(engine)
    with pytest.raises(IdempotencyKeyReused) as refused:
        _begin(engine, fingerprint="other")
    assert refused.value.parameter == "Idempotency-Key"


def test_keys_of_others_and_other_keys_are_free(engine: Engine) -> None:
    assert _begin(engine) is None
    assert _begin(engine, owner="eve") is None
    assert _begin(engine, key="k2") is None


def test_what_had_no_effect_may_be_tried_again(engine: Engine) -> None:
    assert _begin(engine) is None
    with transaction(engine) as session:
        idempotency.release(session, "ada", "k")
    assert _begin(engine, fingerprint="mended") is None


def test_a_request_whose_process_died_does_not_block_its_key(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _begin(engine) is None
    _later(monkeypatch, ABANDONED + timedelta(seconds=1))
    assert _begin(engine) is None
    with pytest.raises(IdempotencyInFlight):
        _begin(engine)


def test_answers_are_kept_for_a_day_and_no_longer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _begin(engine) is None
    _finish(engine)
    _later(monkeypatch, KEPT - timedelta(minutes=1))
    assert _begin(engine) == ANSWER
    _later(monkeypatch, timedelta(minutes=2))
    assert _begin(engine, key="other") is None
    with transaction(engine, read_only=True) as session:
        assert session.exec(select(func.count()).select_from(IdempotencyRow)).one() == 1
