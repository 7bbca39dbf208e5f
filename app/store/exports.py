"""Exports of large reports: kept for a while, because they take long to make. They can be made again."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.store.tables import Job, ReportExport, add_missing


def add(session: Session, report_id: str, form: str, content: bytes, now: datetime) -> None:
    """Keep an export. One that is there stays: it has the same bytes."""
    add_missing(session, ReportExport(report_id=report_id, format=form, content=content, created_at=now))


def find(session: Session, report_id: str, form: str) -> bytes | None:
    """The export, if it is kept."""
    statement = select(ReportExport.content).where(ReportExport.report_id == report_id, ReportExport.format == form)
    return session.exec(statement).first()


def last_job(session: Session, project_id: str, key: str) -> Job | None:
    """The newest of a project's jobs for what `key` says, ended or not."""
    of_project = select(Job).where(Job.project_id == project_id, Job.key == key)
    return session.exec(of_project.order_by(col(Job.created_at).desc()).limit(1)).first()


def forget(session: Session, before: datetime) -> None:
    """Delete the exports that were made before then."""
    session.connection().execute(delete(ReportExport).where(col(ReportExport.created_at) < before))
