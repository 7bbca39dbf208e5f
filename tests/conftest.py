"""The databases of the tests: every test that takes `engine` runs on SQLite and on PostgreSQL, each time on its own new one.

Both are migrated once by Alembic into a template. A SQLite file is then copied, a PostgreSQL database cloned. Each pytest-xdist
worker starts its own PostgreSQL, so that none outlives the one that uses it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from app import db
from app.jobs.worker import prepare
from tests.postgres import server
from tests.scenarios.tally import pytest_terminal_summary, tally

__all__ = ["pytest_terminal_summary", "tally"]

# The first example of a test pays for imports and caches, and the machine may be busy: time is no finding here.
hypothesis.settings.register_profile("reckoner", deadline=None)
hypothesis.settings.load_profile("reckoner")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    prepare(f"sqlite:///{path}")
    db.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A PostgreSQL server whose user may make databases."""
    with server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: URL) -> Iterator[tuple[Engine, str]]:
    """The server's own database, and the name of a migrated one to clone there."""
    admin = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with _database(admin, "template1") as name:
        url = postgres_server.set(database=name).render_as_string(hide_password=False)
        prepare(url)
        db.upgrade(url)
        yield admin, name
    admin.dispose()


@contextmanager
def _database(admin: Engine, template: str) -> Iterator[str]:
    name = f"reckoner_{uuid4().hex}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a new migrated SQLite database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'reckoner.db')}"


@pytest.fixture
def postgresql_url(postgres_template: tuple[Engine, str]) -> Iterator[str]:
    """The address of a new migrated PostgreSQL database: cloned in some 20 ms, gone when the test ends."""
    admin, template = postgres_template
    with _database(admin, template) as name:
        yield admin.url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a new migrated database, once on each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a new migrated database, once on each kind."""
    engine = db.create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """An engine on a new migrated SQLite database."""
    engine = db.create_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def postgresql_engine(postgresql_url: str) -> Iterator[Engine]:
    """An engine on a new migrated PostgreSQL database."""
    engine = db.create_engine(postgresql_url)
    yield engine
    engine.dispose()
