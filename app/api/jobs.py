"""Work that takes longer than a request: what it is at, and how it ended."""

import asyncio
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlmodel import Session
from starlette.responses import JSONResponse, Response

from app import auth
from app.api import problems
from app.api.access import Operation, Reads
from app.api.problems import Problem
from app.api.schemas import (
    NOT_FOUND,
    OUR_ID,
    PRINTABLE,
    READS,
    WRITES,
    Cursor,
    Instant,
    Limit,
    Nothing,
    OfProject,
    Page,
)
from app.db import transaction
from app.jobs.work import scope_of
from app.service import Service
from app.store import jobs
from app.store.jobs import UNFINISHED, State
from app.store.tables import Job as Stored

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Operation)


LONGEST_WAIT = 60
"""Seconds. Longer than most proxies keep a silent connection; whoever wants more asks for the job."""
_LOOK = 0.1
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,4})\s*(?:$|,|;)", re.IGNORECASE)

Prefer = Annotated[
    str | None, Header(description="`wait=60`: answer what is asked for if it is made within so many seconds (at most 60)")
]
JobId = Annotated[str, Path(pattern=OUR_ID, description="A job's id")]


class Progress(BaseModel):
    """How many answers of upstream are stored, of how many; both 0 before that is known."""

    done: int
    total: int


class Job(BaseModel):
    """A job. `result` is there when it has succeeded, `problem` when it has failed; before `run_at` it does not begin.

    `attempts` grows when it is taken up again after an interruption. One that is `cancelling` ends before its next step.
    """

    id: str
    kind: str
    project_id: str | None
    state: State
    attempts: int
    progress: Progress
    result: dict[str, Any] | None
    problem: Problem | None
    run_at: Instant | None
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, job: Stored) -> "Job":
        """The JSON of a job."""
        return cls.model_validate(job.model_dump() | {"progress": Progress(done=job.done, total=job.total)})


@router.get("", summary="List jobs", responses=READS)
def list_jobs(
    service: Reads,
    state: Annotated[State | None, Query(description="Only those in this state")] = None,
    kind: Annotated[str | None, Query(max_length=64, pattern=PRINTABLE, description="Only those of this kind")] = None,
    project_id: OfProject = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Job]:
    """Jobs, newest first. Those that ended more than 30 days ago are gone."""
    with transaction(service.engine, read_only=True) as session:
        page = jobs.list_page(session, limit=limit, cursor=cursor, state=state, kind=kind, project_id=project_id)
    return Page(items=[Job.of(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}", summary="Read a job", responses=READS | NOT_FOUND)
def get_job(service: Reads, job_id: JobId) -> Job:
    """One job. Ask again until its `state` is `succeeded`, `failed` or `cancelled`."""
    with transaction(service.engine, read_only=True) as session:
        return Job.of(jobs.get(session, job_id))


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=WRITES | NOT_FOUND)
def cancel_job(service: Reads, request: Request, job_id: JobId, _: Nothing) -> Job:
    """End a job: at once if it has not begun, else before its next step. What it has done by then stays.

    It takes the scope that asking for such a job takes; the jobs that nobody can ask for take `admin`.
    """
    return _change(service, request, job_id, jobs.cancel)


@router.post("/{job_id}/retry", summary="Retry a job", responses=WRITES | NOT_FOUND)
def retry_job(service: Reads, request: Request, job_id: JobId, _: Nothing) -> Job:
    """Let a job that failed or was cancelled begin again, with the arguments that it had. The scope is as for cancelling."""
    return _change(service, request, job_id, jobs.retry)


def _change(service: Service, request: Request, job_id: str, change: Callable[[Session, str, datetime], Stored]) -> Job:
    with transaction(service.engine) as session:
        auth.require(request.state.key, scope_of(jobs.get(session, job_id).kind))
        return Job.of(change(session, job_id, service.clock.now()))


async def outcome(
    service: Service, request: Request, job: Stored, prefer: str | None, made: Callable[[Stored], Response | None]
) -> Response:
    """What a request answers that asked for a job: what was `made`, or the problem, once it has ended; else 202 and the job.

    The header Prefer says how long to wait for the end.
    """
    wanted = _WAIT.search(prefer or "")
    seconds = min(int(wanted[1]), LONGEST_WAIT) if wanted else 0
    job = await _ended(service, job, seconds)
    location = {"Location": f"/v1/jobs/{job.id}"}
    response = await run_in_threadpool(made, job) if job.state == State.SUCCEEDED else None
    if job.state == State.FAILED:
        assert job.problem
        problem = job.problem | {"request_id": request.state.request_id}
        response = JSONResponse(problem, problem["status"], location, problems.MEDIA_TYPE)
    if response is None:
        response = Response(Job.of(job).model_dump_json(), 202, location, "application/json")
    if wanted:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


async def _ended(service: Service, job: Stored, seconds: float) -> Stored:
    """The job once it has ended, or as it is then. No thread waits: a few dozen of these would stop the service."""
    until = time.monotonic() + seconds
    while job.state in UNFINISHED and time.monotonic() < until:
        await asyncio.sleep(_LOOK)
        job = await run_in_threadpool(_look, service, job.id)
    return job


def _look(service: Service, job_id: str) -> Stored:
    with transaction(service.engine, read_only=True) as session:
        return jobs.get(session, job_id)
