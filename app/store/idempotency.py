"""POSTs that came with an Idempotency-Key, and what they were answered: for a day, by the API key that sent them.

The time here is the real one, whatever the simulated clock says: it is about a client that sends again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import Session, col, delete, select

from app.clock import SystemClock
from app.errors import IdempotencyInFlight, IdempotencyKeyReused
from app.store.tables import IdempotencyRow, add_missing

KEPT = timedelta(days=1)
ABANDONED = timedelta(minutes=10)
"""A request that has run for so long died with its process: no answer takes longer."""


@dataclass(frozen=True)
class StoredAnswer:
    """What the first request with a key was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def begin(session: Session, owner: str, key: str, fingerprint: str) -> StoredAnswer | None:
    """Claim a key for a request, whose content is in `fingerprint`; None if it is to run, else the answer it had before.

    Raises IdempotencyKeyReused if it came with another request, IdempotencyInFlight while the first one runs.
    """
    now = SystemClock().now()
    unanswered = col(IdempotencyRow.status).is_(None) & (col(IdempotencyRow.created_at) < now - ABANDONED)
    session.exec(delete(IdempotencyRow).where(unanswered | (col(IdempotencyRow.created_at) < now - KEPT)))
    if add_missing(session, IdempotencyRow(owner=owner, key=key, fingerprint=fingerprint, created_at=now)):
        return None
    row = session.exec(select(IdempotencyRow).where(IdempotencyRow.owner == owner, IdempotencyRow.key == key)).one()
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReused(
            "The Idempotency-Key came before with another request.", parameter="Idempotency-Key", expected="a new key"
        )
    if row.status is None:
        raise IdempotencyInFlight("The first request with this Idempotency-Key has not been answered yet.")
    return StoredAnswer(row.status, row.headers, row.body)


def finish(session: Session, owner: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Keep the answer of a claimed request."""
    if row := session.get(IdempotencyRow, (owner, key)):
        row.sqlmodel_update({"status": status, "headers": dict(headers), "body": body})
        session.flush()


def release(session: Session, owner: str, key: str) -> None:
    """Give up a claim whose request had no effect, so that the same key may try again."""
    session.exec(delete(IdempotencyRow).where(col(IdempotencyRow.owner) == owner, col(IdempotencyRow.key) == key))
