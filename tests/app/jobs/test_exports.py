"""Exports as jobs: beside what takes hours, one at a time, and made by the next process where one dies over them."""

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from threading import Event, Semaphore
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.auth import Scope, Vault
from app.clock import MovableClock
from app.db import create_engine, transaction
from app.flows import exports
from app.jobs.engine import AT_ONCE
from app.jobs.run import Run
from app.jobs.work import KINDS, WORK, Kind, tidy_exports
from app.jobs.worker import Worker
from app.service import Service
from app.settings import Settings
from app.store import jobs
from app.store.jobs import State
from app.store.tables import Job, ReportExport
from app.webhooks.sender import Sender
from billing.exports.formats import ReportFormat
from tests.app.conftest import NOW
from tests.app.jobs.conftest import wait
from tests.billing.exports import reports
from tests.e2e.kill.machine import processes
from tests.rows import stored_report

pytestmark = pytest.mark.usefixtures("projects")


def serve(engine: Engine) -> Service:
    vault = Vault("jobs-under-test-0123456789abcdefghijklmn")
    return Service(Settings(_env_file=None), engine, MovableClock(NOW), vault, Sender(development=True))


def worker(service: Service, **kinds: Kind) -> Worker:
    return Worker(service, {**KINDS, **kinds}, explain=lambda error: {"detail": str(error)})


def keep(engine: Engine, version: int = 1, project_id: str = "100") -> str:
    """A report; its size is no matter here."""
    document = reports.report() | {"id": f"rpt_{project_id}_{version}", "project_id": project_id, "version": version}
    with transaction(engine) as session:
        session.add(report := stored_report(document, NOW))
        return report.id


def order(service: Service, report_id: str) -> Job:
    return exports.order(service.engine, report_id, ReportFormat.CSV, clock=service.clock)


def kept(engine: Engine) -> list[str]:
    with transaction(engine, read_only=True) as session:
        return list(session.exec(select(ReportExport.report_id)))


def test_an_export_waits_for_no_collection(engine: Engine) -> None:
    """Of as many as a process runs at a time, one is of its own project."""
    service, begun, go_on = serve(engine), Semaphore(0), Event()

    def lasts(_: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        begun.release()
        assert go_on.wait(30)
        return {}

    with transaction(engine) as session:
        long = [
            jobs.add(session, "lasts", f"{number}", {}, NOW, project_id=None if number else "100")
            for number in range(AT_ONCE[WORK])
        ]
    with worker(service, lasts=Kind(lasts, Scope.ADMIN)):
        assert all(begun.acquire(timeout=10) for _ in long)
        report_id = keep(engine)
        assert wait(engine, order(service, report_id).id, timeout=20).state == State.SUCCEEDED
        go_on.set()
        assert all(wait(engine, job.id, timeout=20).state == State.SUCCEEDED for job in long)
    assert kept(engine) == [report_id]


def test_a_collection_begins_while_an_export_of_its_project_runs(engine: Engine) -> None:
    service, begun, go_on = serve(engine), Event(), Event()

    def stuck(_: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(30)
        return {}

    report_id = keep(engine)
    kinds = {"short": Kind(lambda *_: {}, Scope.ADMIN), exports.JOB: replace(KINDS[exports.JOB], handler=stuck)}
    with worker(service, **kinds):
        export = order(service, report_id)
        assert begun.wait(10)
        with transaction(engine) as session:
            other = jobs.add(session, "short", "short", {}, NOW, project_id="100")
        assert wait(engine, other.id, timeout=20).state == State.SUCCEEDED
        go_on.set()
        assert wait(engine, export.id, timeout=20).state == State.SUCCEEDED


def test_one_export_is_made_at_a_time_whosever_it_is(engine: Engine) -> None:
    service, running, most = serve(engine), [], []

    def notes(service: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
        running.append(arguments)
        most.append(len(running))
        Event().wait(0.3)
        running.pop()
        return {}

    queued = [order(service, keep(engine, version, project)) for version in (1, 2) for project in ("100", "200")]
    with worker(service, **{exports.JOB: replace(KINDS[exports.JOB], handler=notes)}):
        assert all(wait(engine, job.id, timeout=30).state == State.SUCCEEDED for job in queued)
    assert most == [1] * len(queued)


def test_an_export_that_is_cancelled_while_it_is_made_is_not_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    service, begun, go_on, make = serve(engine), Event(), Event(), exports.export_report

    def slowly(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return make(*arguments)

    monkeypatch.setattr(exports, "export_report", slowly)
    with worker(service):
        job = order(service, keep(engine))
        assert begun.wait(10)
        with transaction(engine) as session:
            assert jobs.cancel(session, job.id, NOW).state == State.CANCELLING
        go_on.set()
        assert wait(engine, job.id, timeout=20).state == State.CANCELLED
    assert kept(engine) == []


def die_over_it(url: str, job_id: str, where: str) -> None:
    """In a process of its own: run the jobs, and die before the export is made, before it is committed, or right after that."""
    service = serve(create_engine(url))
    dies = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        if where == "before":
            patch.setattr(exports, "export_report", dies)
        elif where == "within":
            patch.setattr(exports.exports, "add", dies)
        else:
            patch.setattr(jobs, "succeed", dies)
        with worker(service):
            wait(service.engine, job_id, timeout=20)


@pytest.mark.parametrize("where", ["before", "within", "after"])
def test_what_a_killed_process_did_not_make_the_next_one_makes(engine: Engine, database_url: str, where: str) -> None:
    service, report_id = serve(engine), keep(engine)
    job = order(service, report_id)
    process = processes.Process(target=die_over_it, args=(database_url, job.id, where))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert kept(engine) == ([report_id] if where == "after" else [])
    with worker(service):
        done = wait(engine, job.id, timeout=30)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)
    assert kept(engine) == [report_id]


def test_what_is_old_enough_is_deleted_by_schedule(engine: Engine) -> None:
    service, report_id = serve(engine), keep(engine)
    with worker(service):
        assert wait(engine, order(service, report_id).id, timeout=20).state == State.SUCCEEDED
    tidy_exports(service)
    assert kept(engine) == [report_id]
    service.clock.move(NOW + exports.KEPT + timedelta(minutes=2))  # type: ignore[attr-defined]
    tidy_exports(service)
    assert kept(engine) == []
