"""Backups as docs/operations.md tells to make them: taken while everything runs, brought back, proved, and worked on with."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlmodel import Session, func, select

from app import db
from app.store import audit
from app.store.money_tables import AuditEntry
from app.store.tables import Job, Report
from tests.e2e.conftest import Installation, started
from tests.postgres import _programs

GUIDE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
NOW = datetime(2026, 11, 5, 20, tzinfo=UTC)


def block(kind: str, what: str) -> str:
    """The commands that the guide gives for it."""
    found = re.search(rf"<!-- {kind}: {what} -->\n\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert found, f"the guide does not tell {kind}: {what}"
    return found[1]


def do(commands: str, folder: Path, **environment: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), str(_programs()), os.environ["PATH"]])
    environment = {"PATH": path, "HOME": str(folder), "LC_ALL": "C", **environment}
    done = subprocess.run(["sh", "-euc", commands], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def libpq(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def written_to(engine: Engine) -> Iterator[None]:
    """Entries are added to the audit log meanwhile, each bound to the one before: a torn copy would show."""
    done, written = Event(), Event()

    def write() -> None:
        while not done.is_set():
            with db.transaction(engine, durable=False) as session:
                audit.record(session, at=NOW, actor="test", action="test.written", subject="nothing")
            written.set()

    writer = Thread(target=write)
    writer.start()
    try:
        assert written.wait(30)
        yield
        written.clear()
        assert written.wait(30), "whoever writes is not locked out for good"
    finally:
        done.set()
        writer.join()


def counts(engine: Engine) -> tuple[int, int]:
    with Session(engine) as session:
        return tuple(session.exec(select(func.count()).select_from(it)).one() for it in (Report, AuditEntry))


@pytest.fixture
def running(own: Installation) -> Installation:
    """An installation of its own with the worked period's report."""
    assert own.run("reconcile", "100", "2026-10-31..2026-11-01").returncode == 0
    return own


def back_up(database_url: str, folder: Path) -> str:
    """Make a backup as the guide says and bring it back beside; the address of what came back."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        do(block("sqlite", "backup"), Path(url.database).parent)
        restored = folder / "restored"
        restored.mkdir()
        (Path(url.database).parent / "backup.db").rename(restored / "backup.db")
        do(block("sqlite", "restore"), restored)
        return f"sqlite:///{restored}/reckoner.db"
    new = url.set(database=f"{url.database}_restored")
    do(block("postgresql", "backup"), folder, DATABASE=libpq(url))
    do(
        block("postgresql", "restore"),
        folder,
        SERVER=libpq(url.set(database="postgres")),
        NEW=new.database,
        RESTORED=libpq(new),
    )
    return new.render_as_string(hide_password=False)


def test_a_backup_taken_while_everything_runs_is_whole(running: Installation, database_url: str, tmp_path: Path) -> None:
    engine = db.create_engine(database_url)
    with started(running.folder, running.environment, "serve", "--port", "0", "--no-jobs") as address, written_to(engine):
        with replace(running, url=address).client() as client:
            body = {"project_id": "100", "period": {"first_day": "2026-10-31", "last_day": "2026-11-01"}}
            assert client.post("/v1/collections", json=body).status_code == 202
        before = counts(engine)
        restored_url = back_up(database_url, tmp_path)
        while (after := counts(engine))[1] == before[1]:
            time.sleep(0.01)  # what writes meanwhile has not had its turn yet
    engine.dispose()

    restored = replace(running, environment=running.environment | {"RECKONER_DATABASE_URL": restored_url})
    verified = restored.run("verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    copy = db.create_engine(restored_url)
    assert before <= counts(copy) <= after
    with started(restored.folder, restored.environment, "worker"):
        ends = time.monotonic() + 60
        while (state := _job(copy)) != "succeeded":
            assert time.monotonic() < ends, f"the job that was queued is {state}"
            time.sleep(0.2)
    copy.dispose()
    if restored_url.startswith("postgresql"):
        url = sa.make_url(restored_url)
        admin = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {url.database} WITH (FORCE)")
        admin.dispose()


def _job(engine: Engine) -> str:
    with Session(engine) as session:
        return session.exec(select(Job.state).where(Job.kind == "collection").order_by(Job.created_at)).first()
