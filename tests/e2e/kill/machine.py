"""Processes of Reckoner that may be killed at any moment, and an upstream that takes its time.

They are forked from a server that has imported everything, because a start from nothing takes seconds: what runs in them is
the command itself, in a process of its own.
"""

import json
import os
import random
import re
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
from signal import SIGKILL, SIGTERM
from threading import Event

from sqlalchemy.engine import Engine
from sqlalchemy.orm import configure_mappers
from sqlmodel import func, select

from app.clock import MovableClock
from app.db import create_engine, transaction
from app.sandbox import server
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Answer, Upstream
from app.store.jobs import UNFINISHED
from app.store.tables import Job
from tests.e2e.conftest import ADMIN
from tests.e2e.kill.commits import COMMITS, note_commits

WORKED = json.loads((Path(__file__).parents[2] / "scenarios" / "worked-period.json").read_text())
NOW = datetime(2026, 11, 6, 20, tzinfo=UTC)
TICKS = Path("ticks")
SECRET_KEY = "2b7e151628aed2a6abf7158809cf4f3c"

processes = get_context("forkserver")
# pyarrow imports pandas wherever it is installed.
processes.set_forkserver_preload(["app.cli", "app.jobs.engine", "dbos._sys_db_sqlite", "pandas", "tests.e2e.kill.machine"])
configure_mappers()


class Slow(Upstream):
    """An upstream without limits that answers after a random delay, and only while it is `answering`."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset, MovableClock(NOW))
        self.answering = Event()
        self.answering.set()

    def handle(self, *arguments: object, **named: object) -> Answer:
        time.sleep(random.uniform(0, 0.03))
        self.answering.wait()
        return super().handle(*arguments, **named)

    def _limited(self, scope: str, now: datetime) -> None:
        return None


def command(folder: Path, environment: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    """In the process: run `reckoner`.

    What is tested elsewhere is out of the way: our own limit on requests and the pauses between attempts would take minutes,
    the schedules would do more than is asked for, and a job whose process dies again and again would be given up.
    """
    from app.cli import main
    from app.jobs import worker
    from app.jobs.work import SCHEDULES, Schedule
    from app.store.limiter import DatabaseLimiter
    from app.webhooks import schedule as webhook_schedule

    DatabaseLimiter.__init__.__kwdefaults__["limit"] = 1_000_000
    worker.MAX_LOSSES = 1_000_000
    webhook_schedule.DELAYS = (0.5,) * 50
    os.chdir(folder)
    os.environ.update(environment)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["reckoner", *arguments]
    SCHEDULES.clear()
    if "TICKS" in environment:
        SCHEDULES["tick"] = Schedule("* * * * * *", note_tick)
    note_commits(dying="DYING" in environment)
    main()


def note_tick(_: object) -> None:
    with TICKS.open("a") as file:
        file.write("tick\n")


@dataclass
class Machine:
    """A folder, a database and an upstream, and the processes that were started there."""

    folder: Path
    engine: Engine
    upstream: Slow
    environment: dict[str, str]
    started: list[ForkServerProcess] = field(default_factory=list)

    def start(self, *arguments: str, **settings: str) -> tuple[ForkServerProcess, str]:
        """A process that runs a command, and the address where it listens if it serves: it answers there a little later."""
        before = len(self.log)
        # A process whose clock stood at NOW again would have no token that is valid upstream.
        environment = self.environment | {"RECKONER_NOW": self.upstream.clock.now().isoformat()} | settings
        process = processes.Process(target=command, args=(self.folder, environment, arguments))
        process.start()
        self.started.append(process)
        if arguments[0] != "serve":
            return process, ""
        self.until(lambda: not process.is_alive() or "listens on" in self.log[before:])
        found = re.search(r"http://[\d.]+:\d+", self.log[before:])
        return process, found[0] if found else ""

    def end(self, process: ForkServerProcess) -> int:
        """End it as an operator does; its exit code."""
        process.terminate()
        process.join(60)
        assert process.exitcode in (0, -SIGTERM, -SIGKILL), self.log[-1000:]
        return int(process.exitcode)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text() if (self.folder / "log").exists() else ""

    def commits(self) -> int:
        """How often something was written: it grows with every step of a job."""
        return (self.folder / COMMITS).stat().st_size if (self.folder / COMMITS).exists() else 0

    def states(self) -> Counter[str]:
        with transaction(self.engine, read_only=True) as session:
            return Counter(dict(session.exec(select(Job.state, func.count()).group_by(Job.state)).all()))

    def unfinished(self) -> int:
        """How many jobs are left to do."""
        states = self.states()
        return sum(states[it] for it in UNFINISHED)

    def failures(self) -> list[str]:
        """The ends of the traces of whatever failed."""
        lines = [json.loads(it) for it in self.log.splitlines() if it.startswith("{")]
        return [it["exception"][-600:] for it in lines if "exception" in it]

    def until(self, come: Callable[[], object], seconds: float = 300) -> None:
        """Wait for it. Time in which this process did not run either does not count: then the machine is at a loss, not
        what is waited for."""
        last = time.monotonic()
        while not come():
            now = time.monotonic()
            seconds -= min(now - last, 0.1)
            last = now
            assert seconds > 0, f"{self.states()} {self.failures()}"
            time.sleep(0.02)


@contextmanager
def machine(folder: Path, url: str, project_ids: list[str]) -> Iterator[Machine]:
    """A machine with a database that is migrated, whose upstream knows these projects, each with the worked period; whatever
    still runs in the end is killed."""
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
    upstream = Slow(Dataset.load(dataset))
    with server.running(upstream) as address:
        environment = {
            "RECKONER_DATABASE_URL": url,
            "RECKONER_INSIGHTS_URL": f"{address}/graphql",
            "RECKONER_SECRET_KEY": SECRET_KEY,
            "RECKONER_BOOTSTRAP_KEY": ADMIN,
            "RECKONER_LOG_FORMAT": "json",
            "RECKONER_PORT": "0",
        }
        made = Machine(folder, create_engine(url), upstream, environment)
        try:
            yield made
        finally:
            upstream.answering.set()
            for process in made.started:
                process.kill()
                process.join()
            made.engine.dispose()
