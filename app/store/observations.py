"""What upstream said and when: observations, append-only, that point to payloads stored once for each content."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime
from hashlib import sha256 as _sha256
from typing import Any

from sqlalchemy import ColumnElement, and_, func
from sqlmodel import Session, col, select

from app.errors import NotFound
from app.store.payloads import Payload
from app.store.tables import ObservationRow, PayloadRow, add_missing
from billing.facts import Kind, Observation

_READ = select(*(getattr(ObservationRow, it.name) for it in fields(Observation)))
"""Rows in the order of an observation's fields: a look at a project's plan reads hundreds, and objects of the ORM cost as much
again."""


def record(
    session: Session,
    *,
    project_id: str,
    kind: Kind,
    day: date,
    observed_at: datetime,
    payload: Payload,
    requests: int,
    complete: bool,
    reason: str = "",
) -> Observation:
    """Keep one answer of upstream about one billing day. The same again changes nothing.

    `requests` is how many calls it took, `complete` whether it is the whole truth of the day and `reason` why not.
    """
    observed_at = observed_at.astimezone(UTC)
    identity = "\n".join((project_id, kind, day.isoformat(), observed_at.isoformat(), payload.sha256))
    observation = Observation(
        _sha256(identity.encode()).hexdigest()[:32],
        project_id,
        kind,
        day,
        observed_at,
        payload.sha256,
        requests,
        complete,
        reason,
    )
    add_missing(
        session,
        PayloadRow(sha256=payload.sha256, content=payload.content, size=len(payload.content), created_at=observed_at),
    )
    add_missing(session, ObservationRow(**vars(observation)))
    return observation


def history(
    session: Session, project_id: str, kind: Kind, first_day: date, last_day: date, known_at: datetime | None = None
) -> list[Observation]:
    """Every observation of these billing days (both inclusive) by day, oldest first; with `known_at`, as it was known then."""
    statement = _READ.where(*_of(project_id, kind, first_day, last_day, known_at))
    rows = session.execute(statement.order_by(col(ObservationRow.day), col(ObservationRow.observed_at), col(ObservationRow.id)))
    return [_value(row) for row in rows]


def latest(
    session: Session, project_id: str, kind: Kind, first_day: date, last_day: date, known_at: datetime | None = None
) -> dict[date, Observation]:
    """The newest observation of each of these billing days (both inclusive) that has one."""
    newest = select(col(ObservationRow.day), func.max(ObservationRow.observed_at).label("at")).where(
        *_of(project_id, kind, first_day, last_day, known_at)
    )
    found = newest.group_by(col(ObservationRow.day)).subquery()
    statement = _READ.join(found, and_(col(ObservationRow.day) == found.c.day, col(ObservationRow.observed_at) == found.c.at))
    statement = statement.where(*_of(project_id, kind, first_day, last_day, None))
    rows = session.execute(statement.order_by(col(ObservationRow.day), col(ObservationRow.id)))
    return {row.day: _value(row) for row in rows}


def get(session: Session, observation_id: str) -> Observation:
    """The observation of that id. Raises NotFound."""
    if row := session.execute(_READ.where(col(ObservationRow.id) == observation_id)).first():
        return _value(row)
    raise NotFound(f"There is no observation {observation_id}.")


def payload(session: Session, sha256: str) -> bytes:
    """The content of a payload. Raises NotFound."""
    content = session.exec(select(PayloadRow.content).where(PayloadRow.sha256 == sha256)).first()
    if content is None:
        raise NotFound(f"There is no payload {sha256}.")
    return content


def payload_hashes(session: Session) -> Sequence[str]:
    """The hashes of all payloads, in order, for `verify`."""
    return session.exec(select(PayloadRow.sha256).order_by(col(PayloadRow.sha256))).all()


def _of(project_id: str, kind: Kind, first_day: date, last_day: date, known_at: datetime | None) -> list[ColumnElement[bool]]:
    """The conditions of the observations of these days, known by then."""
    these = [
        col(ObservationRow.project_id) == project_id,
        col(ObservationRow.kind) == kind,
        col(ObservationRow.day).between(first_day, last_day),
    ]
    return these if known_at is None else [*these, col(ObservationRow.observed_at) <= known_at]


def _value(row: Sequence[Any]) -> Observation:
    identity, project_id, kind, *rest = row
    return Observation(identity, project_id, Kind(kind), *rest)
