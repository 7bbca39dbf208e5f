"""Work that takes longer than a request: what it is at, and how it ended."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel

from app.api.access import Operation, Reads
from app.api.problems import Problem
from app.api.schemas import NOT_FOUND, OUR_ID, READS, Cursor, Instant, Limit, Page
from app.db import transaction
from app.store import jobs
from app.store.jobs import State
from app.store.tables import Job as Stored

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Operation)


class Progress(BaseModel):
    """How many answers of upstream are stored, of how many; both 0 before that is known."""

    done: int
    total: int


class Job(BaseModel):
    """A job. `result` is there when it has succeeded, `problem` when it has failed."""

    id: str
    kind: str
    project_id: str
    state: State
    progress: Progress
    result: dict[str, Any] | None
    problem: Problem | None
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, job: Stored) -> "Job":
        """The JSON of a job."""
        return cls.model_validate(job.model_dump() | {"progress": Progress(done=job.done, total=job.total)})


@router.get("", summary="List jobs", responses=READS)
def list_jobs(service: Reads, limit: Limit = 50, cursor: Cursor = None) -> Page[Job]:
    """Jobs, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = jobs.list_page(session, limit=limit, cursor=cursor)
    return Page(items=[Job.of(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}", summary="Read a job", responses=READS | NOT_FOUND)
def get_job(service: Reads, job_id: Annotated[str, Path(pattern=OUR_ID, description="A job's id")]) -> Job:
    """One job. Ask again until its `state` is `succeeded` or `failed`."""
    with transaction(service.engine, read_only=True) as session:
        return Job.of(jobs.get(session, job_id))
