"""The kinds of jobs: what each does, in which queue, and how those that are asked for come into it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from app.db import transaction
from app.flows import deliver
from app.flows.collect import CollectionResult, collect
from app.flows.reconcile import reconcile
from app.jobs.run import Run
from app.service import Service
from app.store import jobs
from app.store.tables import Job
from app.store.webhooks import JOB as DELIVERY
from billing.period import AlignedPeriod, resolve
from billing.report import instant

COLLECTION = "collection"
RECONCILIATION = "reconciliation"

Handler = Callable[[Service, Mapping[str, Any], Run], dict[str, Any]]
"""Does a job: from its arguments to its result, both JSON. It may be done more than once, so what it does is idempotent."""


@dataclass(frozen=True)
class Kind:
    """One kind of job. Short jobs that must not wait behind long ones have a queue of their own."""

    handler: Handler
    queue: str = "work"


def enqueue_collection(session: Session, project_id: str, aligned: AlignedPeriod, now: datetime) -> Job:
    """Let a period be collected. It is queued in the caller's transaction; a job already to do the same is answered."""
    return _enqueue(session, COLLECTION, {"project_id": project_id, "period": dict(aligned.requested)}, now)


def enqueue_reconciliation(
    session: Session, project_id: str, aligned: AlignedPeriod, now: datetime, *, collect_first: bool
) -> Job:
    """Let a period be reconciled, after collecting it if so wished; see `enqueue_collection`."""
    arguments = {"project_id": project_id, "period": dict(aligned.requested), "collect": collect_first}
    return _enqueue(session, RECONCILIATION, arguments, now)


def run_collection(service: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Collect a project's period."""
    return _told(_collect(service, arguments, run))


def run_reconciliation(service: Service, arguments: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Reconcile a project's period, after collecting it if that is asked for."""
    told = _told(_collect(service, arguments, run)) if arguments["collect"] else {}
    project, aligned = service.project(arguments["project_id"]), resolve(arguments["period"])
    report = reconcile(service.engine, project, aligned, clock=service.clock)
    return {"report_id": report.id, **told}


def run_delivery(service: Service, arguments: Mapping[str, Any], _: Run) -> dict[str, Any]:
    """Make an attempt to deliver a webhook."""
    following = deliver.attempt(
        service.engine,
        service.vault,
        service.sender,
        arguments["delivery_id"],
        arguments["turn"],
        clock=service.clock,
        public_url=service.settings.public_url or "",
    )
    return {"next_attempt": following and instant(following)}


def tidy_webhooks(service: Service) -> None:
    """See to it that no delivery is forgotten, and that those of long ago are."""
    with transaction(service.engine) as session:
        deliver.tidy(session, service.clock.now())


KINDS: Mapping[str, Kind] = {
    COLLECTION: Kind(run_collection),
    RECONCILIATION: Kind(run_reconciliation),
    DELIVERY: Kind(run_delivery),
}
"""Every kind of job by its name."""

EVERY_MINUTE: Mapping[str, Callable[[Service], None]] = {"webhooks": tidy_webhooks}
"""What is to happen once a minute, in whichever process; each begins and commits its own transactions."""


def _enqueue(session: Session, kind: str, arguments: dict[str, Any], now: datetime) -> Job:
    key = f"{kind} {json.dumps(arguments, sort_keys=True)}"
    return jobs.add(session, kind, key, arguments, now, project_id=arguments["project_id"])


def _collect(service: Service, arguments: Mapping[str, Any], run: Run) -> CollectionResult:
    project, period = service.project(arguments["project_id"]), resolve(arguments["period"]).period
    return collect(
        service.engine,
        project,
        period,
        client_factory=service.insights,
        clock=service.clock,
        progress=run.progress,
        steps=run,
    )


def _told(result: CollectionResult) -> dict[str, Any]:
    left_out = [{"kind": it.kind, "day": str(it.day), "reason": it.reason} for it in result.not_collected]
    return {"observations": len(result.observations), "not_collected": left_out}
