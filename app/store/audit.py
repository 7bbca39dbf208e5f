"""The audit log: who did what and when, each entry bound to the one before by its hash.

Whoever changes, removes or inserts an entry must change every hash after it. The last hash, kept elsewhere, also proves that
nothing was cut off at the end.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import func
from sqlmodel import Session, col, select

from app.errors import InvalidRequest
from app.store.money_tables import AuditEntry
from app.store.paging import Page
from billing.report import instant

_LOCK = 0x6175646974
"""Any number: the advisory lock under which PostgreSQL counts the entries on; SQLite has one writer anyway."""
_encoder = msgspec.json.Encoder(order="sorted")


def record(
    session: Session, *, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Any] | None = None
) -> AuditEntry:
    """Add an entry: `actor` is an API key's name and id, or `cli`, `action` such as `invoice.finalized`, `subject` the id of
    what it was done to, and `detail` JSON without floats.

    Every transaction with an entry waits here for those before it, so record after whatever else is locked.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(select(func.pg_advisory_xact_lock(_LOCK)))
    last = session.exec(select(AuditEntry).order_by(col(AuditEntry.seq).desc()).limit(1)).first()
    entry = AuditEntry(
        seq=last.seq + 1 if last else 1,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        detail=msgspec.json.decode(_encoder.encode(dict(detail or {}))),
        previous_sha256=last.sha256 if last else "",
        sha256="",
    )
    entry.sha256 = _digest(entry)
    session.add(entry)
    session.flush()
    return entry


def check(session: Session) -> list[str]:
    """What is wrong with the chain, a sentence each."""
    problems, seq, previous = list[str](), 0, ""
    for entry in session.exec(select(AuditEntry).order_by(col(AuditEntry.seq)).execution_options(yield_per=1000)):
        if entry.seq != seq + 1:
            problems.append(f"The audit log goes from entry {seq} to entry {entry.seq}.")
        elif entry.previous_sha256 != previous:
            problems.append(f"The entry {entry.seq} of the audit log does not follow the one before it.")
        if _digest(entry) != entry.sha256:
            problems.append(f"The entry {entry.seq} of the audit log does not say what its hash says.")
        seq, previous = entry.seq, entry.sha256
    return problems


def list_page(
    session: Session,
    *,
    subject: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[AuditEntry]:
    """Entries, of one subject, actor and action or of all, newest first. Raises InvalidRequest for a cursor that is none."""
    statement = select(AuditEntry)
    for column, value in ((AuditEntry.subject, subject), (AuditEntry.actor, actor), (AuditEntry.action, action)):
        if value is not None:
            statement = statement.where(column == value)
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise InvalidRequest(
                "The cursor is not one of this list's.", parameter="cursor", expected="the next_cursor of an earlier page"
            )
        statement = statement.where(AuditEntry.seq < int(cursor))
    rows = session.exec(statement.order_by(col(AuditEntry.seq).desc()).limit(limit + 1)).all()
    return Page(rows[:limit], str(rows[limit - 1].seq) if len(rows) > limit else None)


def _digest(entry: AuditEntry) -> str:
    said = entry.model_dump(exclude={"sha256", "at"}) | {"at": instant(entry.at)}
    return sha256(_encoder.encode(said)).hexdigest()
