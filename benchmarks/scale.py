"""What grows with the number of projects, each at a fourth of them and at all: in a run of `make bench` four hundred.

    python -m benchmarks.scale 10000

measures an installation of ten thousand, with 19 million readings. The floor of each is its own fourth: a ratio of one says
that a project costs the same however many there are. Processor time counts, with PostgreSQL's, as the machine may be busy.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, insert
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from app import logs
from app.auth import Scope
from app.db import transaction
from app.flows import close, metrics, schedule
from app.flows import invoice as invoicing
from app.jobs.work import Kind
from app.jobs.worker import Worker
from app.service import Service
from app.settings import Settings
from app.store import invoices, jobs
from app.store.entities import LegalEntity
from app.store.tables import Discrepancy, Job, Report
from benchmarks.installation import POSTGRESQL, SQLITE, Watch, add_projects, analyze, fill, opened
from benchmarks.measure import contender, peak_mb
from billing.invoice import ReportRef, draft
from billing.pricing import price
from tests import samples
from tests.app.money import add_customer, add_entity

PROJECTS = 400
NIGHT = datetime(2026, 11, 3, 8, 5, tzinfo=UTC)
"""Five minutes after midnight in California: what a day's end brings is due, of all projects at once."""
TURN = datetime(2026, 11, 3, 14, tzinfo=UTC)
"""When October is to be closed."""
MORE = 50
"""Invoices that are finalized as the month's last ones."""
JOBS = 50
"""Jobs that are done while all the others wait."""
PRICED = price([samples.usage(tier, *[37.25] * 31) for tier in samples.PLAN], samples.card(), samples.OCTOBER)


def open_closes(engine: Engine, projects: int) -> Watch:
    """The turn of a month: every project's close is opened and queued."""
    with transaction(engine) as session:
        add_projects(session, projects, created_at=datetime(2026, 10, 1, 12, tzinfo=UTC))
    with Watch(engine) as watch:
        while close.tick(engine, TURN):
            pass
    return watch


def plan(engine: Engine, projects: int) -> Watch:
    """A night: every project's plan is due at the same minute, after three days in which nothing ran."""
    fill(engine, projects, NIGHT - timedelta(days=3))
    with Watch(engine) as watch:
        queued = schedule.tick(engine, NIGHT)
    assert len(queued) == projects
    return watch


def finalize(engine: Engine, projects: int) -> Watch:
    """The last invoices of a month of which every project's is finalized."""
    with transaction(engine) as session:
        ids = add_projects(session, projects + MORE)
        session.execute(insert(Report), [_report(it) for it in ids])
        entity = add_entity(session)
        waiting = [invoices.create(session, _core(session, entity, it), actor="bench", now=TURN).id for it in ids]
    for start in range(0, projects, 500):
        with transaction(engine) as session:
            for invoice_id in waiting[start : min(start + 500, projects)]:
                _issue(session, invoice_id)
    with Watch(engine) as watch:
        for invoice_id in waiting[projects:]:
            with transaction(engine) as session:
                _issue(session, invoice_id)
    return watch


def _report(project_id: str) -> dict[str, Any]:
    days = {"first_day": samples.OCTOBER.first_day, "last_day": samples.OCTOBER.last_day, "created_at": TURN}
    said = {"version": 1, "supersedes": None, "sha256": "0", "verdict": "balanced", "body": b"{}"}
    return {"id": f"rpt_{project_id}", "project_id": project_id, **days, **said}


def _core(session: Session, entity: LegalEntity, project_id: str) -> dict[str, Any]:
    customer = add_customer(session, entity.id, project_id)
    report = ReportRef(f"rpt_{project_id}", 1, "0", "balanced", project_id, "Acme", "project_level")
    return draft(vars(customer), vars(entity), samples.OCTOBER, PRICED, [report])


def _issue(session: Session, invoice_id: str) -> None:
    for step in (invoicing.approve, invoicing.finalize):
        step(session, invoice_id, actor="bench", now=TURN, expected_version=None)


def scrape(engine: Engine, projects: int) -> Watch:
    """One look at the metrics, with ten open discrepancies of every project, the second of two, as Prometheus looks again."""
    ids = fill(engine, projects, NIGHT, nights=30)
    with transaction(engine) as session:
        session.execute(insert(Report), [_report(it) for it in ids])
        session.execute(insert(Discrepancy), [_finding(it, number) for it in ids for number in range(10)])
    analyze(engine)
    for _ in range(2):
        with Watch(engine) as watch, transaction(engine, read_only=True) as session:
            list(metrics.read(session, NIGHT))
    return watch


def _finding(project_id: str, number: int) -> dict[str, Any]:
    days = {"first_day": samples.OCTOBER.first_day, "last_day": samples.OCTOBER.last_day, "opened_at": TURN, "changed_at": TURN}
    kind = {"code": ("residual", "tier_shift")[number % 2], "severity": "high", "status": "open", "finding": {}}
    identity = {"id": f"{project_id} {number}", "fingerprint": f"{project_id} {number}", "report_id": f"rpt_{project_id}"}
    return {**identity, "project_id": project_id, **days, **kind, "amount": Decimal("-1.25"), "currency": "EUR"}


def work(engine: Engine, projects: int) -> Watch:
    """A process takes jobs that do nothing out of the queue, in which every project has one."""
    with transaction(engine) as session:
        for project_id in add_projects(session, projects):
            jobs.add(session, "nothing", project_id, {}, NIGHT, project_id=project_id)
    analyze(engine)
    logs.configure("json")
    url = engine.url.render_as_string(hide_password=False)
    service = Service.of(Settings(database_url=url, _env_file=None))  # type: ignore[call-arg]
    kinds = {"nothing": Kind(lambda *_: {}, Scope.COLLECT)}
    with Worker(service, kinds, explain=lambda error: {"detail": str(error)}):
        began = _wait_for(engine, 1)
        with Watch(engine) as watch:
            _wait_for(engine, began + JOBS)
    service.engine.dispose()
    return watch


def _wait_for(engine: Engine, least: int) -> int:
    """Until so many jobs are done; how many that are."""
    while True:
        with transaction(engine, read_only=True) as session:
            done = session.exec(select(func.count()).where(Job.state == jobs.State.SUCCEEDED)).one()
        if done >= least:
            return done
        time.sleep(0.1)


CONTENDERS: dict[str, tuple[Callable[[Engine, int], Watch], int | None]] = {
    "closes opened and queued at a month's turn": (open_closes, None),
    "collections planned in a night": (plan, None),
    f"{MORE} invoices finalized after as many": (finalize, MORE),
    "metrics read": (scrape, None),
    f"{JOBS} jobs done of as many": (work, JOBS),
}
"""What is measured, and by how many its cost is divided: by all the projects, unless it is said."""


def rows(projects: int = PROJECTS) -> list[dict[str, Any]]:
    """A row for each, on both databases."""
    return [row for name in CONTENDERS for kind in (SQLITE, POSTGRESQL) for row in _rows(name, kind, projects)]


def _rows(name: str, kind: str, projects: int) -> Iterator[dict[str, Any]]:
    floor = None
    for size in (projects // 4, projects):
        found = contender("benchmarks.scale", name, kind, str(size))
        of = CONTENDERS[name][1] or size
        each = found["cpu"] / of
        floor = floor or each
        yield {
            "benchmark": f"{size:,} projects: {name}",
            "contender": kind,
            "seconds": found["seconds"],
            "ratio": each / floor,
            "peak_mb": found["peak_mb"],
            "notes": {
                "CPU seconds": round(found["cpu"], 2),
                "CPU ms each": round(each * 1000, 2),
                "longest transaction ms": round(found["longest"] * 1000),
            },
        }


def main(name: str, kind: str, projects: int) -> None:
    """Measure one and print what it took."""
    with opened(kind) as engine:
        watch = CONTENDERS[name][0](engine, projects)
    print(json.dumps({"seconds": watch.seconds, "cpu": watch.cpu, "longest": watch.longest, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        for line in rows(int(sys.argv[1]) if len(sys.argv) > 1 else PROJECTS):
            print(line)
