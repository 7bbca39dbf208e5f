"""An installation of so many projects, on either database, for what grows with them: rows as they are after months of use.

One project's readings are made by the collection plan itself, night by night; the other projects' are copied from it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import and_, event, insert, select
from sqlalchemy.engine import Connection, Engine
from sqlmodel import Session, col

from app.db import create_engine, transaction, upgrade
from app.jobs.worker import prepare
from app.store.plan_tables import CollectionPlan
from app.store.tables import ObservationRow, PayloadRow, ProjectRow
from billing.collection_plan import due, held
from billing.facts import Kind, Observation
from billing.period import day_of, day_start, next_day
from tests.postgres import server
from tests.rows import project_row

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
FIRST = "p00000"
SAID = sha256(b"").hexdigest()
ADDED = datetime(2026, 1, 1, 12, tzinfo=UTC)
_READING = timedelta(minutes=2)


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The address of a new migrated database, which waits for the disk as an installation's would."""
    if kind == SQLITE:
        with TemporaryDirectory() as folder:
            yield _ready(f"sqlite:///{Path(folder) / 'bench.db'}")
        return
    with server(options="") as url:
        name = f"bench_{uuid4().hex}"
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield _ready(url.set(database=name).render_as_string(hide_password=False))
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


def _ready(url: str) -> str:
    upgrade(url)
    prepare(url)
    return url


@contextmanager
def opened(kind: str) -> Iterator[Engine]:
    """An engine on a new migrated database."""
    with database(kind) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


def add_projects(session: Session, projects: int, **more: Any) -> list[str]:
    """So many projects, all with the same terms; their ids."""
    ids = [f"p{number:05}" for number in range(projects)]
    session.execute(insert(ProjectRow), [project_row(it, ADDED) | more for it in ids])
    return ids


def readings(until: datetime, nights: int) -> list[Observation]:
    """What the plan has read of a project in so many nights, the last of which was before `until`; every answer agrees."""
    read: list[Observation] = []
    day = day_of(until - timedelta(days=nights))
    while (now := day_start(next_day(day)) + timedelta(minutes=5)) < until:
        known = held(it for it in read if now - day_start(it.day) < timedelta(days=92))
        for it in due(now, known, cross_check=True, closed=False):
            at, final = now + _READING, it.kind is Kind.MEETINGS or now - day_start(next_day(it.day)) > timedelta(hours=48)
            read.append(Observation(f"{len(read):025}", FIRST, it.kind, it.day, at, SAID, 1, final, ""))
        day = next_day(day)
    return read


def fill(engine: Engine, projects: int, until: datetime, nights: int = 100) -> list[str]:
    """Projects with all that was read of them in so many nights until then, whose plans are all due."""
    with transaction(engine) as session:
        ids = add_projects(session, projects)
        session.execute(insert(PayloadRow), [{"sha256": SAID, "content": b"", "size": 0, "created_at": ADDED}])
        session.execute(insert(ObservationRow), [vars(it) for it in readings(until, nights)])
        names = [it.name for it in sa.inspect(ObservationRow).columns if it.name not in ("id", "project_id")]
        project_id, of_first = col(ProjectRow.project_id), (getattr(ObservationRow, name) for name in names)
        copies = select(project_id + "-" + col(ObservationRow.id), project_id, *of_first).join_from(
            ProjectRow, ObservationRow, and_(col(ObservationRow.project_id) == FIRST, project_id != FIRST)
        )
        session.execute(insert(ObservationRow).from_select(["id", "project_id", *names], copies))
        plan = {"look_at": until, "looked_at": until, "asked": {}}
        session.execute(insert(CollectionPlan), [{"project_id": it, **plan} for it in ids])
    analyze(engine)
    return ids


def analyze(engine: Engine) -> None:
    """Let PostgreSQL know what there is, which it would find out by itself in a minute."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


class Watch:
    """What an engine does within the block: how long, of how much processor time, and its longest transaction that writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._begun: dict[int, float] = {}
        self.longest = 0.0
        self.transactions = 0

    def __enter__(self) -> "Watch":
        event.listen(self._engine, "begin", self._begin)
        event.listen(self._engine, "commit", self._commit)
        self._wall, self._cpu, self._server = time.perf_counter(), time.process_time(), _server_cpu(self._engine)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu + _server_cpu(self._engine) - self._server
        event.remove(self._engine, "begin", self._begin)
        event.remove(self._engine, "commit", self._commit)

    def _begin(self, connection: Connection) -> None:
        if not connection.get_execution_options().get("postgresql_readonly"):
            self._begun[id(connection)] = time.perf_counter()

    def _commit(self, connection: Connection) -> None:
        if begun := self._begun.pop(id(connection), None):
            self.longest = max(self.longest, time.perf_counter() - begun)
            self.transactions += 1


def _server_cpu(engine: Engine) -> float:
    """Seconds of processor that PostgreSQL's processes have used so far; none with SQLite, which is part of ours."""
    if engine.dialect.name != "postgresql":
        return 0.0
    with engine.connect() as connection:
        folder = connection.exec_driver_sql("SHOW data_directory").scalar_one()
    postmaster = (Path(folder) / "postmaster.pid").read_text().split()[0]
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        # utime and stime; of the postmaster also those of its children that have ended
        ticks += sum(map(int, rest[11:15] if pid == postmaster else rest[11:13] if rest[1] == postmaster else ()))
    return ticks / os.sysconf("SC_CLK_TCK")
