"""Discrepancies and what people make of them: a workflow with its history."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from app.api.access import Operation, Reads, Reconciles
from app.api.schemas import (
    NOT_FOUND,
    OUR_ID,
    PRINTABLE,
    READS,
    WRITES,
    Changes,
    Cursor,
    Day,
    Instant,
    InstantGiven,
    Limit,
    Minutes,
    OfProject,
    Page,
    TierMinutes,
)
from app.db import transaction
from app.flows import notify
from app.store import discrepancies
from app.store.discrepancies import Status, Step
from app.store.tables import Discrepancy as Stored
from billing.discrepancy import Code, Severity

router = APIRouter(prefix="/discrepancies", tags=["discrepancies"], route_class=Operation)

InPath = Annotated[str, Path(pattern=OUR_ID, description="A discrepancy's id")]


class Discrepancy(BaseModel):
    """A discrepancy as it stands: the last report's finding, and what people made of it."""

    id: str
    fingerprint: str
    project_id: str
    report_id: str
    first_day: Day
    last_day: Day
    code: Code
    severity: Severity
    status: Status
    note: str
    assignee: str
    ignore_until: Instant | None
    opened_at: Instant
    changed_at: Instant
    minutes: TierMinutes
    total: Minutes
    amount: str | None
    days: list[Day]
    sessions: list[str]
    summary: str
    evidence: dict[str, Any]


class Event(BaseModel):
    """One step in a discrepancy's life; `actor` is a report's id or an API key's name."""

    at: Instant
    what: Step
    actor: str
    detail: dict[str, Any]


class DiscrepancyWithHistory(Discrepancy):
    """A discrepancy and all that happened to it, oldest first."""

    history: list[Event]


class Change(Changes):
    """What to change; all that is left out stays."""

    status: Status = Status.OPEN
    note: str = Field("", max_length=4000, pattern=r"^[^\x00]*$")
    assignee: str = Field("", max_length=200, pattern=PRINTABLE)
    ignore_until: InstantGiven | None = Field(
        None, description="Only with the status `ignored`; the first report after it that finds it opens it again"
    )


def _fields(row: Stored) -> dict[str, Any]:
    return {**row.finding, **row.model_dump(exclude={"finding", "amount"})}  # the report's text of money


@router.get("", summary="List discrepancies", responses=READS)
def list_discrepancies(
    service: Reads,
    project_id: OfProject = None,
    status: Status | None = None,
    code: Code | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Discrepancy]:
    """Discrepancies, the last opened first."""
    with transaction(service.engine, read_only=True) as session:
        page = discrepancies.list_page(session, project_id=project_id, status=status, code=code, limit=limit, cursor=cursor)
    return Page(items=[Discrepancy(**_fields(row)) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{discrepancy_id}", summary="Read a discrepancy with its history", responses=READS | NOT_FOUND)
def get_discrepancy(service: Reads, discrepancy_id: InPath) -> DiscrepancyWithHistory:
    """One discrepancy and all that happened to it."""
    with transaction(service.engine, read_only=True) as session:
        row, events = discrepancies.get(session, discrepancy_id), discrepancies.history(session, discrepancy_id)
    return _with_history(row, events)


@router.patch("/{discrepancy_id}", summary="Work on a discrepancy", responses=WRITES | NOT_FOUND)
def change_discrepancy(service: Reconciles, request: Request, discrepancy_id: InPath, change: Change) -> DiscrepancyWithHistory:
    """Acknowledge, resolve, ignore or reopen it, note something, or give it to somebody. Every change is in its history."""
    changes = {name: getattr(change, name) for name in change.model_fields_set}
    now = service.clock.now()
    with transaction(service.engine) as session:
        was = discrepancies.get(session, discrepancy_id).status
        row = discrepancies.edit(session, discrepancy_id, changes, actor=request.state.key.name, now=now)
        notify.edited(session, row, was, now)
        return _with_history(row, discrepancies.history(session, discrepancy_id))


def _with_history(row: Stored, events: Any) -> DiscrepancyWithHistory:
    history = [Event.model_validate(event, from_attributes=True) for event in events]
    return DiscrepancyWithHistory(**_fields(row), history=history)
