"""The kinds of jobs: what each does, in which queue, and how those that are asked for come into it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from app.auth import Scope
from app.db import transaction
from app.flows import close, deliver, exports, schedule
from app.flows.collect import CollectionResult, collect
from app.flows.reconcile import reconcile
from app.jobs.run import Run
from app.service import Service
from app.store import closes, jobs
from app.store.tables import Job
from app.store.webhooks import JOB as DELIVERY
from billing.exports.formats import ReportFormat
from billing.period import AlignedPeriod, BillingPeriod, resolve
from billing.report import instant

COLLECTION = schedule.JOB
RECONCILIATION = "reconciliation"

WORK = "work"
DELIVERIES = "deliveries"
"""The queues: short jobs, which exports are too, must not wait behind long ones."""

Handler = Callable[[Service, Mapping[str, Any], Run], dict[str, Any]]
"""Does a job: from its arguments to its result, both JSON. It may be done more than once, so what it does is idempotent."""


@dataclass(frozen=True)
class Kind:
    """One kind of job: what it does, what an API key must be allowed to cancel or retry it, and the queue that it is in."""

    handler: Handler
    scope: Scope
    queue: str = WORK


EVERY_MINUTE = "* * * * *"
EVERY_HOUR = "27 * * * *"


@dataclass(frozen=True)
class Schedule:
    """What happens at certain times, by real time, in whichever process, and never twice at once: it begins and commits its own
    transactions. `cron` has five fields, or six with the seconds first, in UTC."""

    cron: str
    function: Callable[[Service], None]


def enqueue_collection(session: Session, project_id: str, aligned: AlignedPeriod, now: datetime) -> Job:
    """Let a period be collected. It is queued in the caller's transaction; a job already to do the same is answered."""
    return _enqueue(session, COLLECTION, {"project_id": project_id, "period": dict(aligned.requested)}, now)


def enqueue_reconciliation(
    session: Session, project_id: str, aligned: AlignedPeriod, now: datetime, *, collect_first: bool
) -> Job:
    """Let a period be reconciled, after collecting it if so wished; see `enqueue_collection`."""
    arguments = {"project_id": project_id, "period": dict(aligned.requested), "collect": collect_first}
    return _enqueue(session, RECONCILIATION, arguments, now)


def enqueue_close(session: Session, project_id: str, period: BillingPeriod, now: datetime, *, actor: str) -> Job:
    """Let a period be closed, whoever asks for it; see `enqueue_collection`. Raises NotFound for an unknown project."""
    closes.add(session, project_id, period, now, is_cycle=False)
    return close.DueClose(close.CLOSE, project_id, period).queue(session, now, actor=actor)


def run_collection(service: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Collect a project's period, or the days that its plan chose."""
    return _told(_collect(service, arguments, run))


def run_reconciliation(service: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Reconcile a project's period, after collecting it if that is asked for."""
    told = _told(_collect(service, arguments, run)) if arguments["collect"] else {}
    project, aligned = service.project(arguments["project_id"]), resolve(arguments["period"])
    report = reconcile(service.engine, project, aligned, clock=service.clock)
    return {"report_id": report.id, **told}


def run_close(service: Service, arguments: Mapping[str, Any], _: Run) -> dict[str, Any]:
    """Attempt to close a project's period, or let its invoices follow what has changed of it since it was closed."""
    done = close.close(
        service.engine,
        service.project,
        arguments["project_id"],
        resolve(arguments["period"]).period,
        clock=service.clock,
        actor=arguments.get("actor", close.UNATTENDED),
    )
    return {"close_id": done.id, **done.model_dump(include={"state", "reason", "report_id", "invoice_ids"})}


def run_delivery(service: Service, arguments: Mapping[str, Any], _: Run) -> dict[str, Any]:
    """Make an attempt to deliver a webhook, and what is due at its endpoint besides."""
    outcome = service.courier.round(arguments["delivery_id"], arguments["turn"], service.stopping.is_set)
    return {"next_attempt": outcome.following and instant(outcome.following)}


def run_export(service: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Make the export of a large report."""
    report_id, form = arguments["report_id"], ReportFormat(arguments["format"])
    exports.make(service.engine, report_id, form, clock=service.clock, steps=run)
    return {"report_id": report_id, "format": form}


def queue_collections(service: Service) -> None:
    """Queue what is due to be collected by plan."""
    if service.settings.collect_automatically:
        schedule.tick(service.engine, service.clock.now(), service.go_on)


def queue_closes(service: Service) -> None:
    """Queue what is due to be closed, of projects that are collected by plan."""
    if service.settings.collect_automatically:
        close.tick(service.engine, service.clock.now(), service.go_on)


def tidy_webhooks(service: Service) -> None:
    """See to it that no delivery is forgotten, and that those of long ago are."""
    with transaction(service.engine) as session:
        deliver.tidy(session, service.clock.now())


def tidy_exports(service: Service) -> None:
    """Delete the exports that were made long ago."""
    with transaction(service.engine) as session:
        exports.tidy(session, service.clock.now())


KINDS: Mapping[str, Kind] = {
    COLLECTION: Kind(run_collection, Scope.COLLECT),
    RECONCILIATION: Kind(run_reconciliation, Scope.RECONCILE),
    close.CLOSE: Kind(run_close, Scope.INVOICE),
    close.RESTATE: Kind(run_close, Scope.INVOICE),
    DELIVERY: Kind(run_delivery, Scope.ADMIN, DELIVERIES),
    exports.JOB: Kind(run_export, Scope.READ, DELIVERIES),
}
"""Every kind of job by its name."""

SCHEDULES: Mapping[str, Schedule] = {
    "collections": Schedule(EVERY_MINUTE, queue_collections),
    "closes": Schedule(EVERY_MINUTE, queue_closes),
    "webhooks": Schedule(EVERY_MINUTE, tidy_webhooks),
    "exports": Schedule(EVERY_HOUR, tidy_exports),
}
"""Everything that happens by itself, by its name."""


def queue_of(kind: str) -> str:
    """The queue of a kind of job."""
    return KINDS[kind].queue if kind in KINDS else WORK


def scope_of(kind: str) -> Scope:
    """What an API key must be allowed to cancel or retry a job of that kind."""
    return KINDS[kind].scope if kind in KINDS else Scope.ADMIN


def _enqueue(session: Session, kind: str, arguments: dict[str, Any], now: datetime) -> Job:
    key = f"{kind} {json.dumps(arguments, sort_keys=True)}"
    return jobs.add(session, kind, key, arguments, now, project_id=arguments["project_id"])


def _collect(service: Service, arguments: Mapping[str, Any], run: Run) -> CollectionResult:
    by_plan = "period" not in arguments
    return collect(
        service.engine,
        service.project(arguments["project_id"]),
        schedule.wanted(arguments) if by_plan else resolve(arguments["period"]).period,
        client_factory=service.insights,
        clock=service.clock,
        progress=run.progress,
        steps=run,
    )


def _told(result: CollectionResult) -> dict[str, Any]:
    left_out = [{"kind": it.kind, "day": str(it.day), "reason": it.reason} for it in result.not_collected]
    return {"observations": len(result.observations), "not_collected": left_out}
