"""The kinds of jobs: how each comes into the queue, and what it does."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from app.flows.collect import CollectionResult, Progress, collect
from app.flows.reconcile import reconcile
from app.jobs.worker import Handler
from app.service import Service
from app.store import jobs
from app.store.tables import Job
from billing.period import AlignedPeriod, resolve

COLLECTION = "collection"
RECONCILIATION = "reconciliation"


def enqueue_collection(session: Session, project_id: str, aligned: AlignedPeriod, now: datetime) -> Job:
    """Let a period be collected. It is queued in the caller's transaction; a job already to do the same is answered."""
    return _enqueue(session, COLLECTION, {"project_id": project_id, "period": dict(aligned.requested)}, now)


def enqueue_reconciliation(
    session: Session, project_id: str, aligned: AlignedPeriod, now: datetime, *, collect_first: bool
) -> Job:
    """Let a period be reconciled, after collecting it if so wished; see `enqueue_collection`."""
    arguments = {"project_id": project_id, "period": dict(aligned.requested), "collect": collect_first}
    return _enqueue(session, RECONCILIATION, arguments, now)


def handlers(service: Service) -> Mapping[str, Handler]:
    """What each kind does with the installation's settings, clock and database."""

    def run_collection(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        return _told(_collect(service, arguments, progress))

    def run_reconciliation(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        told = _told(_collect(service, arguments, progress)) if arguments["collect"] else {}
        project, aligned = service.project(arguments["project_id"]), resolve(arguments["period"])
        report = reconcile(service.engine, project, aligned, clock=service.clock)
        return {"report_id": report.id, **told}

    return {COLLECTION: run_collection, RECONCILIATION: run_reconciliation}


def _enqueue(session: Session, kind: str, arguments: dict[str, Any], now: datetime) -> Job:
    key = f"{kind} {json.dumps(arguments, sort_keys=True)}"
    return jobs.add(session, kind, key, arguments["project_id"], arguments, now)


def _collect(service: Service, arguments: Mapping[str, Any], progress: Progress) -> CollectionResult:
    project, period = service.project(arguments["project_id"]), resolve(arguments["period"]).period
    return collect(service.engine, project, period, client_factory=service.insights, clock=service.clock, progress=progress)


def _told(result: CollectionResult) -> dict[str, Any]:
    left_out = [{"kind": it.kind, "day": str(it.day), "reason": it.reason} for it in result.not_collected]
    return {"observations": len(result.observations), "not_collected": left_out}
