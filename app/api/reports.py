"""Reports: served as the canonical bytes that are stored, with the rows that they rest on."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from app.api.access import Operation, Reads
from app.api.jobs import Job, Prefer, outcome
from app.api.schemas import (
    LOCATION,
    NOT_FOUND,
    OUR_ID,
    PRINTABLE,
    READS,
    Cursor,
    Day,
    Instant,
    Limit,
    Minutes,
    OfProject,
    Page,
    TierMinutes,
    documented,
)
from app.api.versions import NOT_MODIFIED, PRIVATE, IfNoneMatch, unless_known
from app.db import transaction
from app.errors import InvalidRequest
from app.flows import exports
from app.flows.evidence import Window, session_evidence
from app.service import Service
from app.store import reports
from app.store.tables import Report as StoredReport
from billing.discrepancy import Code, Severity
from billing.exports.formats import MEDIA_TYPES, ReportFormat
from billing.minutes import format_minutes
from billing.model import Basis, Verdict

router = APIRouter(prefix="/reports", tags=["reports"], route_class=Operation)

InPath = Annotated[str, Path(pattern=OUR_ID, description="A report's id")]
SessionId = Annotated[str, Query(min_length=1, max_length=500, pattern=PRINTABLE, examples=["1_MX4xMDB-worked-B"])]
_HEADERS = {
    "ETag": {"schema": {"type": "string"}, "description": "Changes never: a report is immutable"},
    "Cache-Control": {"schema": {"type": "string"}},
}
_FILES: dict[str, Any] = {
    "application/json": {},
    **{MEDIA_TYPES[form]: {"schema": {"type": "string", "format": "binary"}} for form in ("csv", "xlsx", "pdf")},
}
_ACCEPTED: dict[str, Any] = {
    "model": Job,
    "description": "A job makes it",
    "headers": LOCATION[202]["headers"]
    | {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it is worth asking again"}},
}


class ReportSummary(BaseModel):
    """A report in a list."""

    id: str
    version: int
    supersedes: str | None
    sha256: str
    created_at: Instant
    project_id: str
    first_day: Day
    last_day: Day
    verdict: Verdict

    @classmethod
    def of(cls, report: StoredReport) -> "ReportSummary":
        """The JSON of a report without its body."""
        return cls.model_validate(report, from_attributes=True)


class Finding(BaseModel):
    """A discrepancy as a report found it; what has become of it since is at `/v1/discrepancies`."""

    id: str
    fingerprint: str
    code: Code
    severity: Severity
    status: str
    minutes: TierMinutes
    total: Minutes
    amount: str | None
    days: list[Day]
    sessions: list[str]
    summary: str
    evidence: dict[str, Any]


class BridgeStep(BaseModel):
    """A line of the bridge: signed, so that each `subtotal` is the sum of the lines above it."""

    step: str
    subtotal: bool
    minutes: TierMinutes
    total: Minutes
    amount: str | None


class ReportDay(BaseModel):
    """One billing day at both levels; a level that is not known is empty."""

    day: Day
    hours: int
    project_level: TierMinutes
    project_status: str
    meeting_level: TierMinutes
    meeting_coverage: str
    gaps: list[str]
    difference: TierMinutes
    usage: dict[str, Minutes]
    observation_id: str | None


class PricedBy(BaseModel):
    """The versions of the project's rate card that the amounts are by; where there are none, `problem` says why."""

    id: str
    versions: list[int]
    problem: str | None


class Report(BaseModel):
    """A reconciliation report. Its `sha256` is over all but id, version, supersedes, sha256 and created_at."""

    id: str
    version: int
    supersedes: str | None
    sha256: str
    created_at: str
    project_id: str
    basis: Basis
    cross_check: bool
    tier_plan: list[str]
    tolerance: dict[str, str]
    period: dict[str, Any]
    verdict: Verdict
    explained_ratio: str
    totals: dict[str, TierMinutes]
    currency: str | None
    rate_card: PricedBy | None
    usage: dict[str, Minutes]
    bridge: list[BridgeStep]
    days: list[ReportDay]
    discrepancies: list[Finding]
    observations: list[dict[str, Any]]


class EvidenceMeeting(BaseModel):
    """One meeting as upstream listed it; `destroyed_at` is null where it had not ended."""

    meeting_id: str
    created_at: Instant
    destroyed_at: Instant | None
    max_connections: int
    minutes: TierMinutes


class EvidenceWindow(BaseModel):
    """What one observation says of the session: what is stated for the whole of it, and its meetings."""

    observation_id: str
    day: Day
    observed_at: Instant
    sha256: str
    media_mode: str
    statement: TierMinutes
    meetings: list[EvidenceMeeting]

    @classmethod
    def of(cls, window: Window) -> "EvidenceWindow":
        """The JSON of a window."""
        return cls(
            observation_id=window.observation.id,
            day=window.observation.day,
            observed_at=window.observation.observed_at,
            sha256=window.observation.sha256,
            media_mode=window.rows.media_mode,
            statement=_minutes(window.rows.statement),
            meetings=[
                EvidenceMeeting(
                    meeting_id=row.meeting_id,
                    created_at=_instant(row.created),
                    destroyed_at=None if row.destroyed is None else _instant(row.destroyed),
                    max_connections=row.max_connections,
                    minutes=_minutes(row.minutes),
                )
                for row in window.rows.meetings
            ],
        )


class Evidence(BaseModel):
    """What upstream said of one session."""

    report_id: str
    session_id: str
    windows: list[EvidenceWindow]


@router.get("", summary="List reports", responses=READS)
def list_reports(
    service: Reads,
    project_id: OfProject = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ReportSummary]:
    """Reports, newest first, of one project or of all."""
    with transaction(service.engine, read_only=True) as session:
        page = reports.list_page(session, project_id=project_id, limit=limit, cursor=cursor)
    return Page(items=[ReportSummary.of(report) for report in page.items], next_cursor=page.next_cursor)


@router.get(
    "/{report_id}",
    summary="Read a report",
    response_model=Report,
    responses=READS | NOT_FOUND | NOT_MODIFIED | {200: {"headers": _HEADERS}},
)
def get_report(service: Reads, report_id: InPath, if_none_match: IfNoneMatch = None) -> Response:
    """The report, byte for byte as it was made. With `If-None-Match`, 304 where the copy at hand is the same."""
    return answer(_get(service, report_id), if_none_match)


@router.get("/{report_id}/discrepancies", summary="A report's discrepancies", responses=READS | NOT_FOUND)
def list_report_discrepancies(service: Reads, report_id: InPath, limit: Limit = 50, cursor: Cursor = None) -> Page[Finding]:
    """What the report found, in its own order."""
    found = msgspec.json.decode(_get(service, report_id).body)["discrepancies"]
    start = 0
    if cursor is not None:
        start = next((index for index, it in enumerate(found, 1) if it["id"] == cursor), 0)
        if not start:
            raise InvalidRequest(
                "The cursor is not one of this list's.", parameter="cursor", expected="the next_cursor of an earlier page"
            )
    items = found[start : start + limit]
    return Page(items=items, next_cursor=items[-1]["id"] if start + limit < len(found) else None)


@router.get("/{report_id}/evidence", summary="What upstream said of a session", responses=READS | NOT_FOUND)
def get_evidence(service: Reads, report_id: InPath, session_id: SessionId) -> Evidence:
    """The session's own rows, from the observations that the report rests on."""
    with transaction(service.engine, read_only=True) as session:
        windows = session_evidence(session, reports.get(session, report_id), session_id)
    return Evidence(report_id=report_id, session_id=session_id, windows=[EvidenceWindow.of(window) for window in windows])


@router.get(
    "/{report_id}/export",
    summary="Export a report",
    response_class=Response,
    responses=READS | NOT_FOUND | documented(500) | {200: {"description": "The file", "content": _FILES}, 202: _ACCEPTED},
)
async def export_report(
    service: Reads,
    request: Request,
    report_id: InPath,
    format: Annotated[ReportFormat, Query()] = ReportFormat.JSON,  # noqa: A002
    prefer: Prefer = None,
) -> Response:
    """The report as a file: its canonical JSON, CSV, a workbook, a PDF, or FOCUS 1.2 rows of what its usage costs.

    The CSV, workbook and PDF of a large report are made by a job: until it has ended, the answer is 202 and the job, or with
    `Prefer: wait=60` the file if it is made in time. If the job fails, its problem is answered until it is retried.
    """
    if file := await run_in_threadpool(_file, service, report_id, format):
        return file
    job = await run_in_threadpool(exports.order, service.engine, report_id, format, clock=service.clock)
    response = await outcome(service, request, job, prefer, lambda _: _file(service, report_id, format))
    if response.status_code == 202:
        response.headers["Retry-After"] = "2"
    return response


def _file(service: Service, report_id: str, form: ReportFormat) -> Response | None:
    found = exports.export_at_hand(service.engine, report_id, form)
    if found is None:
        return None
    report, file = found
    name = f"reckoner-{report.project_id}-{report.first_day}-{report.last_day}-v{report.version}.{file.extension}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(file.content, media_type=file.media_type, headers=headers)


def answer(report: StoredReport, if_none_match: str | None = None, status: int = 200) -> Response:
    """The report's own bytes with their strong ETag, or 304."""
    headers = {"ETag": f'"{report.sha256}"', "Cache-Control": PRIVATE}
    return unless_known(Response(report.body, status, headers, "application/json"), if_none_match)


def _get(service: Service, report_id: str) -> StoredReport:
    with transaction(service.engine, read_only=True) as session:
        return reports.get(session, report_id)


def _minutes(tiers: Any) -> dict[str, str]:
    return {tier: format_minutes(micro) for tier, micro in tiers.items()}


def _instant(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
