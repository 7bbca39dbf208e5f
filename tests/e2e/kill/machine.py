"""Processes of Reckoner that may be killed at any moment, and an upstream that takes its time.

They are forked from a server that has imported everything, because a start from nothing takes seconds: what runs in them is
the command itself, in a process of its own.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sqlalchemy.engine import Engine
from sqlmodel import func, select

from app.auth import Vault
from app.clock import MovableClock
from app.db import create_engine, transaction
from app.insights.client import OpenTokCredentials
from app.jobs.work import Schedule, enqueue_reconciliation
from app.sandbox import server
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Answer, Upstream
from app.store import projects
from app.store.projects import Project
from app.store.tables import Job, JobStep, ObservationRow, Report
from billing.period import parse_period

WORKED = json.loads((Path(__file__).parents[2] / "scenarios" / "worked-period.json").read_text())
NOW = datetime(2026, 11, 6, 20, tzinfo=UTC)
PERIOD = parse_period("2026-10-31..2026-11-01")
WHOLE = 8
"""Observations of the worked period: two days of daily usage, three windows, each with a detail."""
SECRET_KEY = "2b7e151628aed2a6abf7158809cf4f3c"

processes = get_context("forkserver")
processes.set_forkserver_preload(["app.cli", "dbos", "tests.e2e.kill.machine"])


class Slow(Upstream):
    """An upstream without limits that answers after a random delay of up to so many seconds."""

    delay = 0.05

    def handle(self, *arguments: object, **named: object) -> Answer:
        time.sleep(random.uniform(0, self.delay))
        return super().handle(*arguments, **named)

    def _limited(self, scope: str, now: datetime) -> None:
        return None


def command(folder: Path, environment: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    """In the process: run `reckoner`. Our own limit on requests would take minutes here, and the schedules would collect more
    than the test asks for: both are tested elsewhere."""
    from app.cli import main
    from app.jobs.work import SCHEDULES
    from app.store.limiter import DatabaseLimiter

    DatabaseLimiter.__init__.__kwdefaults__["limit"] = 1_000_000
    os.chdir(folder)
    os.environ.update(environment)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["reckoner", *arguments]
    SCHEDULES.clear()
    if ticks := environment.get("TICKS"):
        SCHEDULES["tick"] = _tick_every_second(ticks)
    main()


def _tick_every_second(path: str) -> Schedule:
    def tick(_: object) -> None:
        with Path(path).open("a") as file:
            file.write(f"{os.getpid()}\n")

    return Schedule("* * * * * *", tick)


@dataclass
class Machine:
    """A folder, a database and an upstream, and the processes that were started there."""

    folder: Path
    engine: Engine
    upstream: Slow
    environment: dict[str, str]
    started: list[ForkServerProcess] = field(default_factory=list)

    def start(self, *arguments: str) -> ForkServerProcess:
        process = processes.Process(target=command, args=(self.folder, self.environment, arguments))
        process.start()
        self.started.append(process)
        return process

    def project(self, project_id: str) -> Job:
        """Add a project with the worked period's usage, and let it be collected and reconciled."""
        vault = Vault(SECRET_KEY)
        with transaction(self.engine) as session:
            projects.create(session, vault, Project(project_id, "Acme", OpenTokCredentials(project_id, _secret()), NOW))
            return enqueue_reconciliation(session, project_id, PERIOD, NOW, collect_first=True)

    def done(self) -> tuple[int, ...]:
        """What can be seen of the work: it grows with every step of a job."""
        counted = (
            func.count(ObservationRow.id),
            func.count(Report.id),
            func.count(JobStep.name),
            func.sum(Job.attempts),
            func.sum(Job.done),
        )
        with transaction(self.engine, read_only=True) as session:
            sums = tuple(session.exec(select(it)).one() or 0 for it in counted)
            ended = session.exec(select(func.count()).select_from(Job).where(Job.state == "succeeded")).one()
        return (*sums, ended)

    def states(self) -> Counter[str]:
        with transaction(self.engine, read_only=True) as session:
            return Counter(session.exec(select(Job.state)))

    def failures(self) -> list[str]:
        """The ends of the traces of whatever failed."""
        lines = [json.loads(it) for it in (self.folder / "log").read_text().splitlines() if it.startswith("{")]
        return [it["exception"][-600:] for it in lines if "exception" in it]

    def until(self, come: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not come():
            assert time.monotonic() < end, f"{self.states()} {self.failures()}"
            time.sleep(0.005)

    def moves(self) -> None:
        """Wait until something was done since now, or all is done."""
        before = self.done()
        self.until(lambda: self.done() != before or set(self.states()) <= {"succeeded"})

    def finish(self, *arguments: str) -> None:
        """Let one more process do what is left, and end it as an operator does."""
        process = self.start(*arguments)
        self.until(lambda: set(self.states()) <= {"succeeded", "failed"})
        process.terminate()
        process.join(30)
        assert process.exitcode in (0, -15)

    def report_of(self, project_id: str) -> tuple[list[tuple[int, str]], set[int], int]:
        """Versions and verdicts of a project's reports, how often each day was stored, and how many days."""
        with transaction(self.engine, read_only=True) as session:
            reports = session.exec(select(Report.version, Report.verdict).where(Report.project_id == project_id)).all()
            days = session.exec(
                select(ObservationRow.kind, ObservationRow.day).where(ObservationRow.project_id == project_id)
            ).all()
        counted = Counter((kind, day) for kind, day in days)
        return [tuple(it) for it in reports], set(counted.values()), len(counted)


def _secret() -> str:
    return str(WORKED["projects"][0]["secret"])


@contextmanager
def machine(folder: Path, url: str, project_ids: list[str]) -> Iterator[Machine]:
    """A machine with a database that is migrated; whatever still runs in the end is killed."""
    dataset = {
        "account": WORKED["account"],
        "projects": [WORKED["projects"][0] | {"id": project_id} for project_id in project_ids],
        "sessions": [
            session | {"project_id": project_id, "session_id": f"{session['session_id']}-{project_id}"}
            for project_id in project_ids
            for session in WORKED["sessions"]
        ],
        "faults": [],
    }
    upstream = Slow(Dataset.load(dataset), MovableClock(NOW))
    with server.running(upstream) as address:
        environment = {
            "RECKONER_DATABASE_URL": url,
            "RECKONER_INSIGHTS_URL": f"{address}/graphql",
            "RECKONER_SECRET_KEY": SECRET_KEY,
            "RECKONER_LOG_FORMAT": "json",
            "RECKONER_NOW": NOW.isoformat(),
            "RECKONER_PORT": "0",
        }
        made = Machine(folder, create_engine(url), upstream, environment)
        try:
            yield made
        finally:
            for process in made.started:
                process.kill()
                process.join()
            made.engine.dispose()
