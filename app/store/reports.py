"""Reports: immutable, in a chain of versions for each project and period."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec
from sqlalchemy import func
from sqlalchemy.orm import aliased, defer
from sqlmodel import Session, col, select

from app.errors import NotFound
from app.store import discrepancies
from app.store.discrepancies import Change
from app.store.paging import Page, page
from app.store.tables import ProjectRow, Report
from billing.period import BillingPeriod
from billing.report import Envelope, digest, document


class Saved(NamedTuple):
    """A report as it is kept: new or not, the version before a new one, and what became of discrepancies by it."""

    report: Report
    is_new: bool = False
    before: Report | None = None
    changes: Sequence[Change] = ()


def save(session: Session, core: bytes, *, created_at: datetime) -> Saved:
    """Keep a report's core as the next version of its project's period, and follow its discrepancies.

    Where the newest version says the same, that one is returned and nothing changes.
    """
    content = msgspec.json.decode(core)
    project_id, period = content["project_id"], content["period"]["aligned"]
    first_day, last_day = date.fromisoformat(period["first_day"]), date.fromisoformat(period["last_day"])
    # Versions are counted one after the other: PostgreSQL waits here for another report of the project, SQLite has already.
    session.exec(select(ProjectRow.project_id).where(ProjectRow.project_id == project_id).with_for_update(key_share=True)).one()
    newest = find(session, project_id, first_day, last_day)
    if newest and newest.sha256 == digest(core):
        return Saved(newest)

    version, supersedes = (newest.version + 1, newest.id) if newest else (1, None)
    identity = "\n".join((project_id, str(first_day), str(last_day), str(version), digest(core)))
    envelope = Envelope(f"rpt_{sha256(identity.encode()).hexdigest()[:24]}", version, supersedes, created_at)
    report = Report(
        id=envelope.id,
        project_id=project_id,
        first_day=first_day,
        last_day=last_day,
        version=version,
        supersedes=supersedes,
        sha256=digest(core),
        verdict=content["verdict"],
        created_at=created_at,
        body=document(core, envelope),
    )
    session.add(report)
    session.flush()
    return Saved(report, True, newest, discrepancies.follow(session, report, content["discrepancies"]))


def find(session: Session, project_id: str, first_day: date, last_day: date) -> Report | None:
    """The newest version of the report of a project's period, if there is one."""
    return session.exec(
        select(Report)
        .where(Report.project_id == project_id, Report.first_day == first_day, Report.last_day == last_day)
        .order_by(col(Report.version).desc())
        .limit(1)
    ).first()


def newest(
    session: Session, project_ids: Sequence[str], period: BillingPeriod | None = None, *, limit: int | None = None
) -> Iterator[Report]:
    """The newest version of every report of these projects, or of those inside a period, the last days first; bodies are read
    as they are asked for."""
    later = aliased(Report)
    statement = select(Report).where(
        col(Report.project_id).in_(project_ids), ~select(later.id).where(later.supersedes == Report.id).exists()
    )
    if period is not None:
        statement = statement.where(Report.first_day >= period.first_day, Report.last_day <= period.last_day)
    order = (col(Report.last_day).desc(), col(Report.first_day).desc(), col(Report.project_id))
    yield from session.exec(statement.order_by(*order).limit(limit).execution_options(yield_per=10))


def get(session: Session, report_id: str) -> Report:
    """The report of that id. Raises NotFound."""
    if report := session.get(Report, report_id):
        return report
    raise NotFound(f"There is no report {report_id}.")


def head(session: Session, report_id: str) -> tuple[Report, int]:
    """The report of that id without its body, and how many bytes that has. Raises NotFound."""
    statement = select(Report, func.length(Report.body)).where(Report.id == report_id)
    if found := session.exec(statement.options(defer(Report.body, raiseload=True))).first():  # type: ignore[arg-type]  # as below
        return found
    raise NotFound(f"There is no report {report_id}.")


def ids(session: Session) -> Sequence[str]:
    """The ids of all reports, in order of time, for `verify`."""
    return session.exec(select(Report.id).order_by(col(Report.created_at), col(Report.id))).all()


def hashes(session: Session) -> dict[str, str]:
    """The sha256 of every report by its id, for `verify`."""
    return dict(session.execute(select(Report.id, Report.sha256)).all())


def list_page(session: Session, *, project_id: str | None = None, limit: int, cursor: str | None = None) -> Page[Report]:
    """Reports of one project or of all, newest first, without their bodies. Raises InvalidRequest for a bad cursor."""
    statement = select(Report).options(defer(Report.body, raiseload=True))  # type: ignore[arg-type]  # a column at run time
    if project_id is not None:
        statement = statement.where(Report.project_id == project_id)
    return page(session, statement, Report.created_at, Report.id, limit=limit, cursor=cursor)
