"""The life of a discrepancy: found by one report, found again or gone in the next, and what people made of it meanwhile.

A discrepancy is known by its fingerprint. It belongs to the period in whose report it was last found, and is resolved when a
newer report that covers that period no longer has it; what comes from where a period begins and ends is resolved by a report
of the same period only, and what is wrong with a vendor's invoice by another match of that invoice only. What a person resolved
and is found again is open again; what is ignored stays so, or until it is first found after `ignore_until`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from sqlmodel import Session, and_, col, select

from app.errors import InvalidRequest, NotFound
from app.store.paging import Page, page
from app.store.tables import Discrepancy, DiscrepancyEvent, Report
from billing.discrepancy import Code

_OF_THE_LIMITS = (Code.PERIOD_MISALIGNED, Code.SESSION_REUSE_SPILLOVER, Code.BOUNDARY_STRADDLE)
_CHUNK = 5_000  # ids in one query: both databases bound its parameters


class Status(StrEnum):
    """What has become of a discrepancy."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    IGNORED = "ignored"


class Step(StrEnum):
    """What may happen to it: the first four by a report or the match of an invoice, the last by a person."""

    OPENED = "opened"
    SEEN = "seen"
    REOPENED = "reopened"
    RESOLVED = "resolved"
    EDITED = "edited"


Change = tuple[Discrepancy, Step]
"""What became of a discrepancy by a report or a match."""


def follow(session: Session, report: Report, findings: Iterable[Mapping[str, Any]]) -> Sequence[Change]:
    """Take in what a new report finds, as its JSON has it: open, see again, reopen, and resolve what it no longer has.

    Gives what changed: what was only seen again is left out.
    """
    earlier = session.exec(select(Discrepancy).where(*_covered(report), Discrepancy.status != Status.RESOLVED)).all()
    return _take_in(session, [(report, finding) for finding in findings], earlier, report.created_at, report.id)


def follow_match(
    session: Session, invoice_id: str, found: Iterable[tuple[Report, Mapping[str, Any]]], at: datetime
) -> Sequence[Change]:
    """Take in what a match of a vendor's invoice finds, each beside the report that it rests on: as `follow` does for a report.

    Only the next match of the same invoice resolves what it no longer finds.
    """
    open_ones = select(Discrepancy).where(
        Discrepancy.code == Code.VENDOR_INVOICE_MISMATCH, Discrepancy.status != Status.RESOLVED
    )
    earlier = [row for row in session.exec(open_ones) if row.finding["evidence"]["vendor_invoice"] == invoice_id]
    return _take_in(session, found, earlier, at, invoice_id)


def _take_in(
    session: Session,
    findings: Iterable[tuple[Report, Mapping[str, Any]]],
    earlier: Iterable[Discrepancy],
    at: datetime,
    actor: str,
) -> Sequence[Change]:
    changes: list[Change] = []
    found = {finding["id"]: (report, finding) for report, finding in findings}
    known = _by_id(session, list(found))
    for key, (report, finding) in found.items():
        last_seen = {
            "project_id": report.project_id,
            "first_day": report.first_day,
            "last_day": report.last_day,
            "report_id": report.id,
            "code": finding["code"],
            "severity": finding["severity"],
            "changed_at": at,
            "finding": finding,
            **_money(report, finding),
        }
        row = known.get(key)
        if row is None:
            row = Discrepancy(id=key, fingerprint=finding["fingerprint"], status=Status.OPEN, opened_at=at, **last_seen)
            step = Step.OPENED
        else:
            ended = row.status == Status.RESOLVED or (row.ignore_until is not None and row.ignore_until <= at)
            row.sqlmodel_update(last_seen | ({"status": Status.OPEN, "ignore_until": None} if ended else {}))
            step = Step.REOPENED if ended else Step.SEEN
        session.add(row)
        _note(session, row, step, at, actor, {"total": finding["total"]})
        if step != Step.SEEN:
            changes.append((row, step))

    for row in earlier:
        if row.id not in found:
            row.sqlmodel_update({"status": Status.RESOLVED, "ignore_until": None, "changed_at": at})
            _note(session, row, Step.RESOLVED, at, actor, {})
            changes.append((row, Step.RESOLVED))
    session.flush()
    return changes


def edit(session: Session, discrepancy_id: str, changes: Mapping[str, Any], *, actor: str, now: datetime) -> Discrepancy:
    """Change some of `status`, `note`, `assignee` and `ignore_until`; `actor` says who. Raises NotFound or InvalidRequest."""
    row = get(session, discrepancy_id)
    wanted = dict(changes)
    status, until = wanted.get("status", row.status), wanted.get("ignore_until")
    if until is not None and status != Status.IGNORED:
        raise InvalidRequest(
            "Only what is ignored is ignored until an instant.", pointer="/ignore_until", expected="status 'ignored' with it"
        )
    if until is not None and until <= now:
        raise InvalidRequest("That instant has passed.", pointer="/ignore_until", expected="an instant to come")
    if status != Status.IGNORED:
        wanted["ignore_until"] = None
    before = {name: getattr(row, name) for name in wanted}
    changed = {name: _text(value) for name, value in wanted.items() if value != before[name]}
    if changed:
        row.sqlmodel_update(wanted | {"changed_at": now})
        _note(session, row, Step.EDITED, now, actor, changed)
        session.flush()
    return row


def get(session: Session, discrepancy_id: str) -> Discrepancy:
    """The discrepancy of that id. Raises NotFound."""
    if row := session.get(Discrepancy, discrepancy_id):
        return row
    raise NotFound(f"There is no discrepancy {discrepancy_id}.")


def history(session: Session, discrepancy_id: str) -> Sequence[DiscrepancyEvent]:
    """What happened to a discrepancy, oldest first."""
    statement = select(DiscrepancyEvent).where(DiscrepancyEvent.discrepancy_id == discrepancy_id)
    return session.exec(statement.order_by(col(DiscrepancyEvent.id))).all()


def list_page(
    session: Session,
    *,
    project_id: str | None = None,
    status: str | None = None,
    code: str | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[Discrepancy]:
    """Discrepancies, the last opened first. Raises InvalidRequest for a cursor that is none."""
    statement = select(Discrepancy)
    for column, value in ((Discrepancy.project_id, project_id), (Discrepancy.status, status), (Discrepancy.code, code)):
        if value is not None:
            statement = statement.where(column == value)
    return page(session, statement, Discrepancy.opened_at, Discrepancy.id, limit=limit, cursor=cursor)


class _Priced(msgspec.Struct):
    currency: str | None


def _money(report: Report, finding: Mapping[str, Any]) -> dict[str, Any]:
    """What a finding comes to. A match is refused where the invoice's currency is not that of the reports."""
    if finding.get("amount") is None:
        return {"amount": None, "currency": None}
    currency = finding["evidence"].get("currency") or msgspec.json.decode(report.body, type=_Priced).currency
    return {"amount": Decimal(finding["amount"]), "currency": currency}


def _by_id(session: Session, ids: Sequence[str]) -> dict[str, Discrepancy]:
    chunks = (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))
    return {row.id: row for chunk in chunks for row in session.exec(select(Discrepancy).where(col(Discrepancy.id).in_(chunk)))}


def _covered(report: Report) -> tuple[Any, ...]:
    same = and_(col(Discrepancy.first_day) == report.first_day, col(Discrepancy.last_day) == report.last_day)
    return (
        Discrepancy.project_id == report.project_id,
        Discrepancy.first_day >= report.first_day,
        Discrepancy.last_day <= report.last_day,
        same | col(Discrepancy.code).not_in(_OF_THE_LIMITS),
        Discrepancy.code != Code.VENDOR_INVOICE_MISMATCH,
    )


def _note(session: Session, row: Discrepancy, step: Step, at: datetime, actor: str, detail: dict[str, Any]) -> None:
    session.add(DiscrepancyEvent(discrepancy_id=row.id, at=at, what=step, actor=actor, detail=detail))


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
