"""The database: how it is opened, what a transaction is, and how it gets its tables.

SQLite is opened by the recipe that SQLAlchemy documents: its driver's own transaction handling is off, and a transaction
that may write takes the write lock at its start. Otherwise two transactions that both read before they write would meet as
"database is locked", and no time-out helps against that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_BUSY_MS = 30_000
_UPGRADE_LOCK = 0x7265636B
"""Any number: the advisory lock under which PostgreSQL is migrated, so that two processes may start at once."""


def create_engine(url: str) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql+psycopg://…`; nothing is opened yet. Its errors leave out the values."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    engine = sa.create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in (f"busy_timeout = {_BUSY_MS}", "journal_mode = WAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        reading = options.get("postgresql_readonly", False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(reading)}")
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def transaction(engine: Engine, *, read_only: bool = False, durable: bool = True) -> Iterator[Session]:
    """One request's or job's transaction: committed at the end of the block, rolled back if it raises.

    Code inside only flushes; what it returns stays readable after the commit. `read_only` is for answers that change nothing:
    on SQLite they do not wait for a writer, and both databases refuse a write in them. What is not `durable` may be forgotten
    if the machine, not only the process, goes down at once: the commit does not wait for the disk.
    """
    # SQLite's listener above reads the same options.
    if read_only:
        engine = engine.execution_options(postgresql_readonly=True)
    if not durable:
        engine = engine.execution_options(durable=False)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        if not durable and engine.dialect.name == "postgresql":
            session.connection().exec_driver_sql("SET LOCAL synchronous_commit = off")
        yield session


def upgrade(engine_or_url: Engine | str) -> None:
    """Bring the database to the newest schema in one transaction. Safe when several processes start at once."""
    engine = create_engine(engine_or_url) if isinstance(engine_or_url, str) else engine_or_url
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
            command.upgrade(alembic_config(connection), "head")
    finally:
        if engine is not engine_or_url:
            engine.dispose()


def is_current(engine: Engine) -> bool:
    """Whether the database has the newest schema."""
    with engine.connect() as connection:
        have = MigrationContext.configure(connection).get_current_heads()
        return set(have) == set(ScriptDirectory.from_config(alembic_config(connection)).get_heads())


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for commands that run inside the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
