"""Delivering webhooks to a receiver on this machine: bare requests, attempts with all that they write, and as jobs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import Process, Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlmodel import func, select

from app.db import transaction, upgrade
from app.jobs.worker import prepare
from app.main import jobs_worker
from app.service import Service
from app.settings import Settings
from app.store import webhooks
from app.store.webhook_tables import WebhookDelivery
from app.webhooks.events import DEFINITIONS, EventType, emit
from app.webhooks.signing import new_secret
from benchmarks.measure import contender, timed

EVENTS = 300
BODY = b"x" * 600


def _receive(told: "Queue[str]") -> None:
    from tests.app.webhooks.receiver import Receiver, answering

    told.put(Receiver(answering(204)).url)


@contextmanager
def _receiver() -> Iterator[str]:
    told: Queue[str] = Queue()
    process = Process(target=_receive, args=(told,), daemon=True)
    process.start()
    yield told.get(timeout=30)
    process.kill()


@contextmanager
def _service() -> Iterator[Service]:
    with TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{Path(folder) / 'bench.db'}", _env_file=None)  # type: ignore[call-arg]
        upgrade(settings.database_url)
        prepare(settings.database_url)
        service = Service.of(settings)
        yield service
        service.engine.dispose()


def _publish(service: Service, urls: list[str], events: int) -> None:
    now = service.clock.now()
    with transaction(service.engine) as session:
        for url in urls:
            given = {"url": url, "description": "", "types": None, "projects": None, "ordered": False}
            webhooks.create(session, service.vault, new_secret(), actor="bench", now=now, **given)
    for number in range(events):
        kind = EventType.DISCREPANCY_OPENED
        data = {**DEFINITIONS[kind].example, "discrepancy_id": f"dsc_{number}"}
        with transaction(service.engine) as session:
            emit(session, kind, project_id="100", subject=f"dsc_{number}", data=data, now=now)


def _bare(service: Service, url: str) -> None:
    for _ in range(EVENTS):
        assert service.sender.post(url, {}, BODY).is_success


def _attempts(service: Service, url: str) -> None:
    _publish(service, [url], EVENTS)
    started = time.perf_counter()
    with transaction(service.engine, read_only=True) as session:
        waiting = session.exec(select(WebhookDelivery.id)).all()
    for delivery_id in waiting:
        service.courier.attempt(delivery_id, 1)
    _only(started)


def _jobs(service: Service, url: str, *, endpoints: int) -> None:
    _publish(service, [url] * endpoints, EVENTS // endpoints)
    started = time.perf_counter()
    with jobs_worker(service):
        left = 1
        while left:
            time.sleep(0.02)
            with transaction(service.engine, read_only=True) as session:
                left = session.exec(select(func.count()).where(WebhookDelivery.state == "pending")).one()
        _only(started)


_taken: list[float] = []


def _only(started: float) -> None:
    """What came before is not what is measured."""
    _taken.append(time.perf_counter() - started)


CONTENDERS: dict[str, Callable[[Service, str], None]] = {
    "requests alone": _bare,
    "attempts, SQLite": _attempts,
    "jobs of 1 endpoint, SQLite": partial(_jobs, endpoints=1),
    "jobs of 10 endpoints, SQLite": partial(_jobs, endpoints=10),
}


def rows() -> list[dict[str, Any]]:
    """A row for each; the floor is the requests alone."""
    found = [(name, contender("benchmarks.deliveries", name)) for name in CONTENDERS]
    floor = found[0][1]["seconds"]
    return [
        {
            "benchmark": f"{EVENTS} webhooks to this machine",
            "contender": name,
            "seconds": it["seconds"],
            "ratio": it["seconds"] / floor,
            "peak_mb": it["peak_mb"],
            "notes": {"a second": round(EVENTS / it["seconds"])},
        }
        for name, it in found
    ]


def main(name: str) -> None:
    """Measure one contender and print what it took."""
    with _service() as service, _receiver() as url:
        measured = timed(partial(CONTENDERS[name], service, url), repeat=1)
    seconds = _taken[-1] if _taken else measured["seconds"]
    print(json.dumps({"seconds": seconds, "peak_mb": measured["peak_mb"]}))


if __name__ == "__main__":
    main(sys.argv[1])
