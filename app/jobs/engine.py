"""The engine under the jobs: DBOS, in the installation's own database. No other module knows it.

A job is one of its workflows, `JOB_ID-TIMES_QUEUED`, in a queue with partitions, of which each runs one workflow at a time
across all processes. Their arguments are that id and number, so the engine's tables hold nothing that the jobs table lacks.
Steps are not the engine's: it would note a step after the transaction of what the step wrote, and a kill between the two would
do it twice; see `app.flows.steps`.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy import event
from sqlmodel import Session

from app.jobs.work import DELIVERIES, WORK

APPLICATION = "reckoner"
JOB = "job"
VERSION = "1"
"""Of what a workflow is, not of the product: jobs queued by one release run in the next."""
CLOCK = "clock"
"""The queue of what schedules start: one after the other, across all processes."""
JSON = DBOSPortableJSONSerializer()
BUSY_MS = 30_000
BATCH = 500

AT_ONCE = {WORK: 4, DELIVERIES: 16}
"""How many jobs of each queue one process runs at a time."""
POLL = {WORK: 0.1, DELIVERIES: 0.2, CLOCK: 1.0}
"""Seconds between two looks at each queue."""

_TO_COME = ["PENDING", "ENQUEUED", "DELAYED"]
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


@dataclass(frozen=True)
class Duties:
    """What a process does for the engine: a job, by its id and how often it was queued; a schedule, by its name."""

    job: Callable[[str, int], None]
    scheduled: Callable[[str], None]


_duties: Duties | None = None
"""Of this process: the engine has one instance in each."""


def prepare(url: str) -> None:
    """Make or migrate the engine's tables and declare the queues. Safe when several processes start at once."""
    DBOS.migrate(url)
    engine = _open(url)
    try:
        _declare(engine)
    finally:
        engine.dispose()


def enqueue(session: Session, queue: str, workflow_id: str, partition: str, delay: float, *arguments: str | int) -> None:
    """Queue a job in the session's transaction, to run in so many seconds. One that was queued before stays as it is."""
    options: EnqueueOptions = {
        "workflow_name": JOB,
        "queue_name": queue,
        "workflow_id": workflow_id,
        "queue_partition_key": partition,
        "app_version": VERSION,
    }
    if delay > 0:
        options["delay_seconds"] = delay
    _client(session.get_bind().dialect.name).enqueue_in_transaction(session, options, *arguments)


def launch(url: str, executor_id: str, duties: Duties, schedules: Mapping[str, str]) -> Callable[[float], None]:
    """Let this process take part; what is returned ends that, after waiting so many seconds for what runs."""
    global _duties
    if _duties:
        raise RuntimeError("This process runs jobs already.")
    _duties = duties
    engine = _open(url)
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_engine": engine,
        "application_version": VERSION,
        "executor_id": executor_id,
        "serializer": JSON,
        "log_level": "WARNING",
        "notification_listener_polling_interval_sec": 0.2,
    }
    instance = DBOS(config=config)
    DBOS.launch()
    _declare(engine)
    DBOS.apply_schedules(
        [
            {"schedule_name": name, "workflow_fn": _scheduled, "schedule": cron, "context": name, "queue_name": CLOCK}
            for name, cron in schedules.items()
        ]
    )

    def leave(patience: float) -> None:
        global _duties
        for stop in instance.background_thread_stop_events:  # nothing is begun any more
            stop.set()
        until = time.monotonic() + patience
        while executor_id in executors() and time.monotonic() < until:
            time.sleep(0.02)
        DBOS.destroy()
        engine.dispose()
        _duties = None

    return leave


def executors() -> set[str]:
    """The processes that have workflows running, or had when they died."""
    pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False, application_name=APPLICATION)
    return {it.executor_id for it in pending if it.executor_id}


def take_over(dead: Collection[str]) -> None:
    """Queue again what dead processes left. It may be done twice: a workflow that another process has begun stays with it."""
    DBOS._recover_pending_workflows(sorted(dead))


def ended(workflow_ids: Collection[str]) -> set[str]:
    """Those of the workflows that will not run any more, or never were."""
    ids = sorted(workflow_ids)
    alive: set[str] = set()
    for start in range(0, len(ids), BATCH):
        found = DBOS.list_workflows(
            workflow_ids=ids[start : start + BATCH], status=_TO_COME, load_input=False, load_output=False
        )
        alive |= {it.workflow_id for it in found}
    return set(ids) - alive


def forget(before: datetime) -> None:
    """Delete the workflows that ended before then."""
    cutoff = before.astimezone(UTC).isoformat()
    while found := DBOS.list_workflows(
        status=_ENDED, completed_before=cutoff, limit=BATCH, load_input=False, load_output=False, application_name=APPLICATION
    ):
        DBOS.delete_workflows([it.workflow_id for it in found])


@DBOS.workflow(name=JOB, max_recovery_attempts=None)
def _job(job_id: str, queued: int) -> None:
    assert _duties
    _outside(_duties.job, job_id, queued)


@DBOS.workflow(name="scheduled", max_recovery_attempts=None)
def _scheduled(_: datetime, name: str) -> None:
    assert _duties
    _outside(_duties.scheduled, name)


def _outside(duty: Callable[..., None], *arguments: str | int) -> None:
    """Do it in a context of its own: in that of a workflow the engine would note what it is asked as steps, and cannot."""
    Context().run(duty, *arguments)


def _open(url: str) -> sa.Engine:
    """The engine's own connections. Nothing that it writes waits for the disk: what it forgets if the machine goes down, the
    jobs table tells again."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        options = {"connect_timeout": 10, "options": "-c synchronous_commit=off"}
        return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=10, connect_args=options)
    engine = sa.create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"  # begun before the first statement that writes
        for pragma in (f"busy_timeout = {BUSY_MS}", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _declare(engine: sa.Engine) -> None:
    client = DBOSClient(system_database_engine=engine, lazy=True, serializer=JSON, application_name=APPLICATION)
    for name, at_once in AT_ONCE.items():
        client.register_queue(name, partition_concurrency=1, worker_concurrency=at_once, polling_interval_sec=POLL[name])
    client.register_queue(CLOCK, global_concurrency=1, polling_interval_sec=POLL[CLOCK])
    client.destroy()


@cache
def _client(dialect: str) -> DBOSClient:
    """What queues in other's transactions: it needs no connection of its own, only to know the kind of database."""
    nowhere = sa.create_engine({"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}[dialect])
    return DBOSClient(system_database_engine=nowhere, lazy=True, serializer=JSON, application_name=APPLICATION)
