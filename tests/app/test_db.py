"""The database: its schema on both kinds, transactions that are whole or nothing, and writers that wait for each other."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from dbos._schemas.system_database import SystemSchema
from sqlalchemy import inspect, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session, SQLModel, col, func, select, update

from app import db
from app.store.tables import RequestWindow

ENGINE_TABLES = {it.name for it in SystemSchema.metadata_obj.tables.values()} | {"dbos_migrations"}
"""Of the engine under the jobs: in a file of SQLite they are beside ours, and it migrates them itself."""


def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    assert db.is_current(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert [it for it in compare_metadata(context, SQLModel.metadata) if not is_of_the_engine(it)] == []


def is_of_the_engine(difference: Any) -> bool:
    """Whether it is a table of the jobs' engine, which has migrations of its own, or an index on one."""
    what, thing = difference[:2] if isinstance(difference, tuple) else ("", None)
    return what in ("remove_table", "remove_index") and (thing if what == "remove_table" else thing.table).name in ENGINE_TABLES


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    db.upgrade(engine)
    assert db.is_current(engine)


def test_downgrade_leaves_nothing_and_upgrade_comes_back(engine: Engine) -> None:
    with engine.begin() as connection:
        command.downgrade(db.alembic_config(connection), "base")
    assert set(inspect(engine).get_table_names()) - ENGINE_TABLES == {"alembic_version"}
    assert not db.is_current(engine)
    db.upgrade(engine)
    assert db.is_current(engine)


def test_processes_may_migrate_at_once(database_url: str) -> None:
    with _opened(database_url) as engine, engine.begin() as connection:
        command.downgrade(db.alembic_config(connection), "base")
    migrate = [sys.executable, "-c", "import sys; from app import db; db.upgrade(sys.argv[1])", database_url]
    processes = [subprocess.Popen(migrate, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with _opened(database_url) as engine:
        assert db.is_current(engine)


def test_migrates_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    db.upgrade("sqlite:///new.db")
    with _opened("sqlite:///new.db") as engine:
        assert db.is_current(engine)


def test_a_transaction_is_whole_or_nothing(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction(engine) as session:
        assert _add(session) / 0
    assert _rows(engine) == 0
    with db.transaction(engine) as session:
        session.add(row := RequestWindow(scope="a", stamps=[1]))
    assert _rows(engine) == 1
    assert row.stamps == [1], "what a transaction made stays readable"


def test_reading_refuses_to_write_and_writing_works_again(engine: Engine) -> None:
    with pytest.raises(DBAPIError), db.transaction(engine, read_only=True) as session:
        session.add(RequestWindow(scope="a", stamps=[]))
    with db.transaction(engine) as session:
        session.add(RequestWindow(scope="a", stamps=[]))
    assert _rows(engine) == 1


def test_only_what_need_not_last_does_not_wait_for_the_disk(engine: Engine) -> None:
    setting, waits, hurries = (
        ("PRAGMA synchronous", 2, 1) if engine.name == "sqlite" else ("SHOW synchronous_commit", "on", "off")
    )
    if engine.name == "postgresql":  # the tests' own server waits for nobody
        with engine.begin() as connection:
            connection.exec_driver_sql("SET synchronous_commit = on")
    for durable, expected in ((True, waits), (False, hurries), (True, waits)):
        with db.transaction(engine, durable=durable) as session:
            assert session.connection().exec_driver_sql(setting).scalar_one() == expected


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    with db.transaction(engine) as session:
        session.add(RequestWindow(scope="a", stamps=[]))
        session.flush()
        with ThreadPoolExecutor() as pool:
            assert pool.submit(_rows, engine).result(timeout=20) == 0


def test_writers_that_read_first_wait_for_each_other(engine: Engine) -> None:
    """Without BEGIN IMMEDIATE, SQLite would refuse the second at once: "database is locked"."""
    with db.transaction(engine) as session:
        session.add(RequestWindow(scope="a", stamps=[]))
    start = threading.Barrier(8)

    def add(stamp: int) -> None:
        start.wait()
        with db.transaction(engine) as session:
            row = session.exec(select(RequestWindow).where(RequestWindow.scope == "a").with_for_update()).one()
            row.stamps = [*row.stamps, stamp]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    with db.transaction(engine, read_only=True) as session:
        assert sorted(session.exec(select(RequestWindow)).one().stamps) == list(range(8))


def test_a_process_killed_in_a_transaction_leaves_nothing(database_url: str) -> None:
    program = """
import os, signal, sys
from app import db
from app.store.tables import RequestWindow
with db.transaction(db.create_engine(sys.argv[1])) as session:
    for number in range(1000):
        session.add(RequestWindow(scope=str(number), stamps=[number]))
    session.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program, database_url], cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    with _opened(database_url) as engine:
        assert _rows(engine) == 0
        with db.transaction(engine) as session:
            session.add(RequestWindow(scope="a", stamps=[]))


def test_sqlite_is_opened_safely(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        pragmas = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1}


def test_errors_show_no_values(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as refused, db.transaction(engine) as session:
        session.exec(update(RequestWindow).where(col(RequestWindow.scope) == "s3cret").values(scope=text("no_such_column")))
    assert "s3cret" not in str(refused.value)


def test_a_server_that_is_not_there_is_an_error_and_no_wait(tmp_path: Path) -> None:
    nowhere = URL.create("postgresql+psycopg", username="nobody", database="none", query={"host": os.fspath(tmp_path)})
    with _opened(nowhere.render_as_string()) as engine, pytest.raises(OperationalError):
        _rows(engine)


def _add(session: Session) -> int:
    session.add(RequestWindow(scope="a", stamps=[]))
    session.flush()
    return session.exec(select(func.count()).select_from(RequestWindow)).one()


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    engine = db.create_engine(url)
    yield engine
    engine.dispose()


def _rows(engine: Engine) -> int:
    with db.transaction(engine, read_only=True) as session:
        return session.exec(select(func.count()).select_from(RequestWindow)).one()
