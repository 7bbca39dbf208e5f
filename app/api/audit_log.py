"""The audit log: who did what, and when, each entry bound by its hash to the one before."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.api.access import Operation, Reads
from app.api.parties import LINE
from app.api.schemas import READS, Cursor, Instant, Limit, Page
from app.db import transaction
from app.store import audit

router = APIRouter(prefix="/audit-log", tags=["audit log"], route_class=Operation)

Filter = Annotated[str | None, Query(max_length=300, pattern=LINE)]


class Entry(BaseModel):
    """What was done: `action` such as `invoice.finalized`, `subject` the id of what it was done to."""

    seq: int
    at: Instant
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous_sha256: str
    sha256: str


@router.get("", summary="Read the audit log", responses=READS)
def list_audit_log(
    service: Reads,
    subject: Filter = None,
    actor: Filter = None,
    action: Filter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Entry]:
    """Entries, the last first. `reckoner verify` checks that none was changed or removed."""
    with transaction(service.engine, read_only=True) as session:
        page = audit.list_page(session, subject=subject, actor=actor, action=action, limit=limit, cursor=cursor)
    return Page(items=[Entry.model_validate(it.model_dump()) for it in page.items], next_cursor=page.next_cursor)
