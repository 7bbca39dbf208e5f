"""Reconciling a period: a job, or, for who prefers to wait, the report."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from starlette.responses import Response

from app.api.access import Operation, Reconciles
from app.api.jobs import Job, Prefer, outcome
from app.api.projects import ProjectId
from app.api.reports import Report, answer
from app.api.schemas import LOCATION, NOT_FOUND, WRITES, Period, Strict, documented
from app.db import transaction
from app.jobs.work import enqueue_reconciliation
from app.service import Service
from app.store import projects, reports
from app.store.tables import Job as StoredJob

router = APIRouter(prefix="/reconciliations", tags=["reconciliations"], route_class=Operation)


class NewReconciliation(Strict):
    """What to reconcile."""

    project_id: ProjectId
    period: Period
    collect: bool = Field(True, strict=True, description="Whether to ask upstream anew first")


@router.post(
    "",
    status_code=202,
    summary="Reconcile a period",
    response_model=Job,
    responses=WRITES | NOT_FOUND | LOCATION | documented(500, 502) | {201: {"model": Report, "description": "The report"}},
)
async def create_reconciliation(
    service: Reconciles, request: Request, new: NewReconciliation, prefer: Prefer = None
) -> Response:
    """Make a report of the period in a job: 202 and the job.

    With `Prefer: wait=60`, 201 and the report if it is made in time, and if it fails in time, its problem. Where nothing is new
    since the last report of the period, that report is answered.
    """
    job = await run_in_threadpool(_enqueue, service, new)
    return await outcome(service, request, job, prefer, lambda done: _report(service, done))


def _enqueue(service: Service, new: NewReconciliation) -> StoredJob:
    with transaction(service.engine) as session:
        projects.get(session, service.vault, new.project_id)
        return enqueue_reconciliation(session, new.project_id, new.period, service.clock.now(), collect_first=new.collect)


def _report(service: Service, job: StoredJob) -> Response:
    assert job.result
    with transaction(service.engine, read_only=True) as session:
        report = reports.get(session, job.result["report_id"])
    response = answer(report, status=201)
    response.headers["Location"] = f"/v1/reports/{report.id}"
    return response
