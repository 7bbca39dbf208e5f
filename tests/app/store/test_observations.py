"""Observations: kept once, never changed, and answered as they were known at any instant."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, func, select

from app.db import transaction
from app.errors import NotFound
from app.store import observations
from app.store.payloads import Payload
from app.store.tables import ObservationRow, PayloadRow
from billing.facts import Kind, Observation
from tests.app.conftest import NOW, on_one_database

pytestmark = pytest.mark.usefixtures("projects")
DAYS = [date(2026, 10, day) for day in (1, 2, 3)]


def _record(
    session: Session,
    day: date = DAYS[0],
    content: bytes = b"one",
    at: datetime = NOW,
    kind: Kind = Kind.MEETINGS,
    project_id: str = "100",
    complete: bool = True,
) -> Observation:
    return observations.record(
        session,
        project_id=project_id,
        kind=kind,
        day=day,
        observed_at=at,
        payload=Payload(sha256(content).hexdigest(), content),
        requests=3,
        complete=complete,
        reason="" if complete else "1 meeting is still live",
    )


def _rows(session: Session, table: type) -> int:
    return session.exec(select(func.count()).select_from(table)).one()


def test_what_is_recorded_comes_back(engine: Engine) -> None:
    with transaction(engine) as session:
        made = _record(session, complete=False)
    with transaction(engine, read_only=True) as session:
        assert observations.get(session, made.id) == made
        assert observations.payload(session, made.sha256) == b"one"
        assert made.reason == "1 meeting is still live"


def test_the_same_again_changes_nothing(engine: Engine) -> None:
    with transaction(engine) as session:
        first = _record(session)
    with transaction(engine) as session:
        assert _record(session, at=NOW.astimezone(timezone(timedelta(hours=-7)))) == first, "the same instant elsewhere"
        assert (_rows(session, ObservationRow), _rows(session, PayloadRow)) == (1, 1)


def test_the_same_answer_later_is_a_new_observation_of_the_same_payload(engine: Engine) -> None:
    with transaction(engine) as session:
        first, second = _record(session), _record(session, at=NOW + timedelta(microseconds=1))
        assert first.id != second.id
        assert first.sha256 == second.sha256
        assert (_rows(session, ObservationRow), _rows(session, PayloadRow)) == (2, 1)


def test_threads_may_record_the_same_payload_at_once(engine: Engine) -> None:
    def record(number: int) -> None:
        with transaction(engine) as session:
            _record(session, at=NOW + timedelta(seconds=number))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(record, range(12)))
    with transaction(engine, read_only=True) as session:
        assert (_rows(session, ObservationRow), _rows(session, PayloadRow)) == (12, 1)


def test_only_what_was_asked_for_is_answered(engine: Engine) -> None:
    with transaction(engine) as session:
        wanted = [_record(session, day) for day in DAYS]
        _record(session, kind=Kind.DAILY_USAGE)
        _record(session, project_id="200")
        _record(session, DAYS[0] - timedelta(days=1))
        _record(session, DAYS[-1] + timedelta(days=1))
        assert observations.history(session, "100", Kind.MEETINGS, DAYS[0], DAYS[-1]) == wanted
        assert observations.latest(session, "100", Kind.MEETINGS, DAYS[0], DAYS[-1]) == dict(zip(DAYS, wanted, strict=True))


said = st.lists(st.tuples(st.sampled_from(DAYS), st.integers(0, 5), st.sampled_from([b"one", b"two", b"three"])), max_size=10)


@on_one_database
@given(said=said, known=st.integers(-1, 6))
def test_as_known_at(engine: Engine, said: list[tuple[date, int, bytes]], known: int) -> None:
    """What was known at an instant is what a store would answer that had heard nothing since."""
    with Session(engine) as session:  # rolled back, so that every example begins with nothing
        known_at = NOW + timedelta(minutes=known)
        for day, minute, content in said:
            if minute <= known:
                _record(session, day, content, NOW + timedelta(minutes=minute))
        then = (
            observations.history(session, "100", Kind.MEETINGS, DAYS[0], DAYS[-1]),
            observations.latest(session, "100", Kind.MEETINGS, DAYS[0], DAYS[-1]),
        )
        for day, minute, content in said:
            _record(session, day, content, NOW + timedelta(minutes=minute))
        assert observations.history(session, "100", Kind.MEETINGS, DAYS[0], DAYS[-1], known_at) == then[0]
        assert observations.latest(session, "100", Kind.MEETINGS, DAYS[0], DAYS[-1], known_at) == then[1]
        assert then[0] == sorted(then[0], key=lambda it: (it.day, it.observed_at, it.id))
        for day, newest in then[1].items():
            assert newest.observed_at == max(it.observed_at for it in then[0] if it.day == day)


def test_an_observation_needs_its_project(engine: Engine) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        _record(session, project_id="300")


def test_what_is_not_there_is_said_to_be_missing(engine: Engine) -> None:
    with transaction(engine, read_only=True) as session:
        with pytest.raises(NotFound, match="no observation x"):
            observations.get(session, "x")
        with pytest.raises(NotFound, match="no payload x"):
            observations.payload(session, "x")


def test_a_day_killed_half_way_leaves_nothing(engine: Engine) -> None:
    """One billing day, whole or not at all: both its observations are in the database when the process dies, uncommitted."""
    program = """
import os, signal, sys
from datetime import date, datetime, UTC
from app import db
from app.store import observations
from app.store.payloads import Payload
from billing.facts import Kind
with db.transaction(db.create_engine(sys.argv[1])) as session:
    for kind in (Kind.MEETINGS, Kind.SESSION_DETAIL):
        observations.record(session, project_id="100", kind=kind, day=date(2026, 10, 1), observed_at=datetime.now(UTC),
                            payload=Payload(kind, b"said" * 100_000), requests=1, complete=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", program, engine.url.render_as_string(hide_password=False)]
    assert subprocess.run(command, cwd=Path(__file__).parents[3], check=False).returncode == -9
    with transaction(engine) as session:
        assert (_rows(session, ObservationRow), _rows(session, PayloadRow)) == (0, 0)
        _record(session)


def test_hashes_are_listed_in_order(engine: Engine) -> None:
    with transaction(engine) as session:
        made = {_record(session, content=str(number).encode()).sha256 for number in range(5)}
        assert observations.payload_hashes(session) == sorted(made)


def test_observed_at_is_kept_in_utc(engine: Engine) -> None:
    with transaction(engine) as session:
        made = _record(session, at=datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=timezone(timedelta(hours=-8))))
        assert observations.get(session, made.id).observed_at == datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
