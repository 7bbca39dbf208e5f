"""Closes: what has become of each project's billing cycles, and closing one by hand."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from app.api.access import Actor, Invoices, Operation, Reads
from app.api.jobs import Job
from app.api.projects import ProjectId
from app.api.schemas import (
    LOCATION,
    NOT_FOUND,
    OUR_ID,
    READS,
    WRITES,
    Cursor,
    Day,
    Instant,
    Limit,
    OfProject,
    Page,
    Period,
    Strict,
)
from app.db import transaction
from app.jobs.work import enqueue_close
from app.store import closes
from app.store.close_tables import Close as Stored
from billing.closing import State

router = APIRouter(prefix="/closes", tags=["closes"], route_class=Operation)


class NewClose(Strict):
    """What to close."""

    project_id: ProjectId
    period: Period


class Close(BaseModel):
    """The close of a project's period. `reason` says in a sentence what it waits for, or what has become of it."""

    id: str
    project_id: str
    first_day: Day
    last_day: Day
    is_cycle: bool = Field(description="Whether it is one of the project's billing cycles, not a period that somebody chose")
    state: State
    reason: str
    attempts: int
    next_attempt_at: Instant | None
    report_id: str | None = Field(description="The newest report that the close has seen")
    invoice_ids: list[str] = Field(description="The invoices of its customers, and the notes to them")
    created_at: Instant
    changed_at: Instant

    @classmethod
    def of(cls, close: Stored) -> "Close":
        """The JSON of a close."""
        return cls.model_validate(close.model_dump())


@router.post("", status_code=202, summary="Close a period", responses=WRITES | NOT_FOUND | LOCATION)
def create_close(service: Invoices, actor: Actor, new: NewClose, response: Response) -> Job:
    """Reconcile a project's period and draft the invoices of its customers now, in a job: 202 and the job.

    What is done already is not done again, so a close that waits, or that was refused, can be attempted as often as you like.
    Where it cannot be finished, the job succeeds all the same, and the close says what it waits for.
    """
    with transaction(service.engine) as session:
        job = enqueue_close(session, new.project_id, new.period.period, service.clock.now(), actor=actor)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return Job.of(job)


@router.get("", summary="List closes", responses=READS)
def list_closes(
    service: Reads,
    project_id: OfProject = None,
    state: Annotated[State | None, Query(description="Only those in this state")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Close]:
    """Closes, the last opened first."""
    with transaction(service.engine, read_only=True) as session:
        page = closes.list_page(session, project_id=project_id, state=state, limit=limit, cursor=cursor)
    return Page(items=[Close.of(it) for it in page.items], next_cursor=page.next_cursor)


@router.get("/{close_id}", summary="Read a close", responses=READS | NOT_FOUND)
def get_close(service: Reads, close_id: Annotated[str, Path(pattern=OUR_ID, description="A close's id")]) -> Close:
    """One close: its state, the reason for it, and what it left."""
    with transaction(service.engine, read_only=True) as session:
        return Close.of(closes.get(session, close_id))
