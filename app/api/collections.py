"""Collecting a period from upstream, and how much of it is held."""

from collections.abc import Sequence

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.access import Collects, Operation, Reads
from app.api.jobs import Job
from app.api.projects import InPath, ProjectId
from app.api.schemas import LOCATION, NOT_FOUND, READS, WRITES, Aligned, Day, Instant, Period, PeriodText, Strict
from app.db import transaction
from app.flows.coverage import coverage
from app.jobs.work import enqueue_collection
from app.store import projects
from billing.collection_plan import Risk
from billing.facts import Kind
from billing.period import AlignedPeriod

router = APIRouter(tags=["collections"], route_class=Operation)


class NewCollection(Strict):
    """What to collect."""

    project_id: ProjectId
    period: Period


class CoverageRow(BaseModel):
    """One source of one billing day. `gaps` says in words what may be wanting.

    `risk` is `at_risk` where upstream will soon forget the day, at `gone_at`, and it was not read as it ought to be (meetings
    completely, daily usage when it was final), and `lost` from then on.
    """

    day: Day
    source: Kind
    status: str
    observed_at: Instant | None
    gaps: Sequence[str]
    risk: Risk | None
    gone_at: Instant | None


class Coverage(BaseModel):
    """How much of a period is held: two rows a day, its daily usage and its meetings."""

    project_id: str
    period: Aligned
    coverage: list[CoverageRow]


@router.post("/collections", status_code=202, summary="Collect a period", responses=WRITES | NOT_FOUND | LOCATION)
def create_collection(service: Collects, new: NewCollection, response: Response) -> Job:
    """Ask upstream anew for what the period needs, in a job. A job that is already to do the same is answered instead."""
    with transaction(service.engine) as session:
        projects.get(session, service.vault, new.project_id)
        job = Job.of(enqueue_collection(session, new.project_id, new.period, service.clock.now()))
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("/projects/{project_id}/coverage", summary="What is held of a period", responses=READS | NOT_FOUND)
def get_coverage(service: Reads, project_id: InPath, period: PeriodText) -> Coverage:
    """By day and source: whether it is held, whether it may still change, and what may be wanting."""
    aligned: AlignedPeriod = period
    with transaction(service.engine, read_only=True) as session:
        project = projects.get(session, service.vault, project_id)
        rows = coverage(session, project, aligned.period, clock=service.clock)
    return Coverage(
        project_id=project_id,
        period=Aligned.of(aligned),
        coverage=[CoverageRow.model_validate(row, from_attributes=True) for row in rows],
    )
