"""Reconciling a period: a job, or, for who prefers to wait, the report."""

import asyncio
import re
import time
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from starlette.responses import JSONResponse, Response

from app.api import problems
from app.api.access import Operation, Reconciles
from app.api.jobs import Job
from app.api.projects import ProjectId
from app.api.reports import Report, answer
from app.api.schemas import LOCATION, NOT_FOUND, WRITES, Period, Strict, documented
from app.db import transaction
from app.jobs.work import enqueue_reconciliation
from app.service import Service
from app.store import jobs, projects, reports
from app.store.jobs import UNFINISHED, State
from app.store.tables import Job as StoredJob

router = APIRouter(prefix="/reconciliations", tags=["reconciliations"], route_class=Operation)

LONGEST_WAIT = 60
"""Seconds. Longer than most proxies keep a silent connection; whoever wants more asks for the job."""
_LOOK = 0.1
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,4})\s*(?:$|,|;)", re.IGNORECASE)

Prefer = Annotated[
    str | None,
    Header(description="`wait=60`: answer the report if it is made within so many seconds (at most 60)"),
]


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
    wanted = _WAIT.search(prefer or "")
    seconds = min(int(wanted[1]), LONGEST_WAIT) if wanted else 0
    job = await _ended(service, await run_in_threadpool(_enqueue, service, new), seconds)
    applied = {"Preference-Applied": f"wait={seconds}"} if wanted else {}
    if job.state == State.SUCCEEDED and wanted:
        response = await run_in_threadpool(_report, service, job)
        response.headers.update(applied)
        return response
    if job.state == State.FAILED and wanted:
        assert job.problem
        problem = job.problem | {"request_id": request.state.request_id}
        return JSONResponse(problem, problem["status"], media_type=problems.MEDIA_TYPE)
    location = {"Location": f"/v1/jobs/{job.id}"}
    return Response(Job.of(job).model_dump_json(), 202, location | applied, "application/json")


def _enqueue(service: Service, new: NewReconciliation) -> StoredJob:
    with transaction(service.engine) as session:
        projects.get(session, service.vault, new.project_id)
        return enqueue_reconciliation(session, new.project_id, new.period, service.clock.now(), collect_first=new.collect)


async def _ended(service: Service, job: StoredJob, seconds: float) -> StoredJob:
    """The job once it has ended, or as it is then. No thread waits: a few dozen of these would stop the service."""
    until = time.monotonic() + seconds
    while job.state in UNFINISHED and time.monotonic() < until:
        await asyncio.sleep(_LOOK)
        job = await run_in_threadpool(_look, service, job.id)
    return job


def _look(service: Service, job_id: str) -> StoredJob:
    with transaction(service.engine, read_only=True) as session:
        return jobs.get(session, job_id)


def _report(service: Service, job: StoredJob) -> Response:
    assert job.result
    with transaction(service.engine, read_only=True) as session:
        report = reports.get(session, job.result["report_id"])
    response = answer(report, status=201)
    response.headers["Location"] = f"/v1/reports/{report.id}"
    return response
