"""The audit log is one chain, whoever writes at once; whatever is done to it is found."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlmodel import col, select

from app.db import transaction
from app.errors import InvalidRequest
from app.store import audit
from app.store.money_tables import AuditEntry
from tests.app.conftest import NOW


def record(engine: Engine, number: int) -> None:
    with transaction(engine) as session:
        at = NOW + timedelta(microseconds=number)
        detail = {"number": str(number), "nested": {"b": [1, None], "a": "ü"}}
        audit.record(session, at=at, actor=f"key_{number % 3}", action="tested", subject=f"it_{number}", detail=detail)


def check(engine: Engine) -> list[str]:
    with transaction(engine, read_only=True) as session:
        return audit.check(session)


@pytest.fixture
def written(engine: Engine) -> Engine:
    for number in range(1, 6):
        record(engine, number)
    return engine


def test_entries_written_at_once_make_one_chain(engine: Engine) -> None:
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: record(engine, number), range(40)))
    assert check(engine) == []
    with transaction(engine, read_only=True) as session:
        entries = session.exec(select(AuditEntry).order_by(col(AuditEntry.seq))).all()
        assert [it.seq for it in entries] == list(range(1, 41))
        assert {it.subject for it in entries} == {f"it_{number}" for number in range(40)}
        assert [it.previous_sha256 for it in entries] == ["", *(it.sha256 for it in entries[:-1])]


def test_what_is_rolled_back_is_not_in_it(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        audit.record(session, at=NOW, actor="cli", action="tested", subject="it")
        raise ZeroDivisionError
    record(engine, 1)
    assert check(engine) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE audit_log SET actor = 'somebody else' WHERE seq = 3", "entry 3 .* does not say what its hash says"),
        ("UPDATE audit_log SET at = '2026-01-01 00:00:00' WHERE seq = 3", "entry 3 .* does not say what its hash says"),
        ("UPDATE audit_log SET detail = '{}' WHERE seq = 3", "entry 3 .* does not say what its hash says"),
        ("DELETE FROM audit_log WHERE seq = 3", "goes from entry 2 to entry 4"),
        ("DELETE FROM audit_log WHERE seq = 1", "goes from entry 0 to entry 2"),
        ("UPDATE audit_log SET sha256 = 'aa' WHERE seq = 3", "entry 4 .* does not follow the one before it"),
    ],
)
def test_what_is_done_to_it_is_found(written: Engine, change: str, problem: str) -> None:
    assert check(written) == []
    with written.begin() as connection:
        for trigger in ["append_only"] if written.dialect.name == "postgresql" else ["no_update", "no_delete"]:
            on = " ON audit_log" if written.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TRIGGER audit_log_{trigger}{on}"))
        assert connection.execute(text(change.replace("'{}'", "'{ }'"))).rowcount == 1
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError("\n".join(check(written)))


def test_it_is_listed_newest_first_by_who_and_what(written: Engine) -> None:
    with transaction(written, read_only=True) as session:
        first = audit.list_page(session, limit=2)
        rest = audit.list_page(session, limit=9, cursor=first.next_cursor)
        assert [it.seq for it in [*first.items, *rest.items]] == [5, 4, 3, 2, 1]
        assert rest.next_cursor is None
        assert [it.seq for it in audit.list_page(session, subject="it_2", limit=9).items] == [2]
        assert [it.seq for it in audit.list_page(session, actor="key_1", limit=9).items] == [4, 1]
        assert not audit.list_page(session, action="other", limit=9).items
        for cursor in ("x", "-1", "", "9" * 20, "²"):
            with pytest.raises(InvalidRequest):
                audit.list_page(session, limit=1, cursor=cursor)
