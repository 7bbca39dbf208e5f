"""Values come back from both databases exactly as they went in, and what may not change cannot."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, func, literal, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, StatementError

from app.db import transaction
from app.store import audit, observations
from app.store.columns import ExactDecimal, Instant
from app.store.payloads import Payload
from app.store.tables import RequestWindow, add_missing
from billing.facts import Kind
from tests.app.conftest import NOW, on_one_database

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
naive = datetime(2100, 1, 1)
instants = st.datetimes(naive.replace(year=1970), naive, timezones=offsets)


@on_one_database
@given(at=instants)
def test_instants_come_back_to_the_microsecond_in_utc(engine: Engine, at: datetime) -> None:
    with engine.connect() as connection:
        found = connection.execute(select(literal(at, Instant))).scalar_one()
    assert found == at
    assert found.utcoffset() == timedelta(0)


@on_one_database
@given(one=instants, other=instants)
def test_instants_compare_in_the_database_as_in_python(engine: Engine, one: datetime, other: datetime) -> None:
    with engine.connect() as connection:
        before = connection.execute(select(literal(one, Instant) < literal(other, Instant))).scalar_one()
    assert bool(before) == (one < other)


def test_an_instant_that_the_server_shows_in_another_zone_is_utc(engine: Engine) -> None:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET TIME ZONE 'America/Los_Angeles'"))
        assert connection.execute(select(literal(NOW, Instant))).scalar_one().tzinfo is UTC


@on_one_database
@given(value=st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_come_back_digit_by_digit(engine: Engine, value: Decimal) -> None:
    with engine.connect() as connection:
        found = connection.execute(select(literal(value, ExactDecimal))).scalar_one()
    assert found.as_tuple() == value.as_tuple()


@pytest.mark.parametrize("value", [0.1, 1, Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_finite_decimal_is_refused(sqlite_engine: Engine, value: object) -> None:
    with sqlite_engine.connect() as connection, pytest.raises(StatementError, match="no finite Decimal"):
        connection.execute(select(bindparam("it", value, ExactDecimal)))


def test_a_naive_instant_is_refused(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection, pytest.raises(StatementError, match="no offset from UTC"):
        connection.execute(select(bindparam("it", naive, Instant)))


def test_a_row_that_is_there_is_not_added_again(engine: Engine) -> None:
    with transaction(engine) as session:
        assert add_missing(session, RequestWindow(scope="a", stamps=[1]))
        assert not add_missing(session, RequestWindow(scope="a", stamps=[2]))
    with transaction(engine, read_only=True) as session:
        assert session.get_one(RequestWindow, "a").stamps == [1]


@pytest.mark.usefixtures("projects")
@pytest.mark.parametrize("statement", ["UPDATE {} SET sha256 = 'forged'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["observations", "payloads", "reports", "rate_cards", "audit_log"])
def test_what_was_said_cannot_be_changed(engine: Engine, table: str, statement: str) -> None:
    with transaction(engine) as session:
        observations.record(
            session,
            project_id="100",
            kind=Kind.MEETINGS,
            day=date(2026, 10, 1),
            observed_at=NOW,
            payload=Payload("aa", b"said"),
            requests=1,
            complete=True,
        )
        session.execute(
            text(
                "INSERT INTO reports VALUES ('r', '100', '2026-10-01', '2026-10-31', 1, NULL, 'aa', 'balanced', "
                "'2026-11-03 12:00:00', :body)"
            ),
            {"body": b"{}"},
        )
        session.execute(
            text("INSERT INTO rate_cards VALUES ('rc', 1, 'Card', 'EUR', '2026-10-01', NULL, 'aa', :body, :at)"),
            {"body": b"{}", "at": "2026-11-03 12:00:00"},
        )
        audit.record(session, at=NOW, actor="cli", action="tested", subject="rc")
    with pytest.raises(DBAPIError, match=f"{table} is append-only"), engine.begin() as connection:
        connection.execute(text(statement.format(table)))
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(text(table))).scalar_one() == 1
