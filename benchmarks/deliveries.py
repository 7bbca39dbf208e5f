"""Delivering webhooks to a receiver on this machine: bare requests, attempts with all that they write, and jobs, on either
database."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import Process, Queue
from typing import Any

from sqlmodel import col, func, select

from app import logs
from app.db import transaction
from app.main import jobs_worker
from app.service import Service
from app.settings import Settings
from app.store import webhooks
from app.store.tables import WorkerRow
from app.store.webhook_tables import WebhookDelivery
from app.webhooks.events import DEFINITIONS, EventType, emit
from app.webhooks.signing import new_secret
from benchmarks.installation import POSTGRESQL, SQLITE, database
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


def _service(url: str) -> Service:
    logs.configure("json")
    return Service.of(Settings(database_url=url, _env_file=None))  # type: ignore[call-arg]


def _publish(service: Service, urls: list[str], events: int) -> None:
    now = service.clock.now()
    with transaction(service.engine) as session:
        for url in urls:
            given = {"url": url, "description": "", "types": None, "projects": None, "ordered": False}
            webhooks.create(session, service.vault, new_secret(), actor="bench", now=now, **given)
        for number in range(events):
            kind = EventType.DISCREPANCY_OPENED
            data = {**DEFINITIONS[kind].example, "discrepancy_id": f"dsc_{number}"}
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


def _jobs(service: Service, url: str, *, endpoints: int, processes: int = 1) -> None:
    """Of processes that have begun already."""
    address = service.engine.url.render_as_string(hide_password=False)
    workers = [Process(target=_deliver, args=(address,), daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    while _count(service, col(WorkerRow.id)) < processes:
        time.sleep(0.1)
    _publish(service, [url] * endpoints, EVENTS // endpoints)
    started = time.perf_counter()
    while _count(service, col(WebhookDelivery.id), WebhookDelivery.state == "pending"):
        time.sleep(0.02)
    _only(started)
    for worker in workers:
        worker.kill()
        worker.join()


def _deliver(address: str) -> None:
    with jobs_worker(_service(address)):
        time.sleep(3600)


def _count(service: Service, what: Any, *where: Any) -> int:
    with transaction(service.engine, read_only=True) as session:
        return session.exec(select(func.count(what)).where(*where)).one()


_taken: list[float] = []


def _only(started: float) -> None:
    """What came before is not what is measured."""
    _taken.append(time.perf_counter() - started)


CONTENDERS: dict[str, tuple[str, Callable[[Service, str], None]]] = {
    "requests alone": (SQLITE, _bare),
    **{f"attempts, {kind}": (kind, _attempts) for kind in (SQLITE, POSTGRESQL)},
    **{
        f"jobs, endpoints {endpoints}, processes {processes}, {kind}": (
            kind,
            partial(_jobs, endpoints=endpoints, processes=processes),
        )
        for kind in (SQLITE, POSTGRESQL)
        for endpoints, processes in ((1, 1), (10, 1), (10, 2))
    },
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
    kind, work = CONTENDERS[name]
    with database(kind) as address, _receiver() as url:
        service = _service(address)
        measured = timed(partial(work, service, url), repeat=1)
        service.engine.dispose()
    seconds = _taken[-1] if _taken else measured["seconds"]
    print(json.dumps({"seconds": seconds, "peak_mb": measured["peak_mb"]}))


if __name__ == "__main__":
    main(sys.argv[1])
