"""Lists in pages: newest first, each page beginning after the last row of the one before."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import literal, tuple_
from sqlmodel import Session, select
from sqlmodel.sql.expression import SelectOfScalar

from app.errors import InvalidRequest
from app.store.columns import Instant

Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """Some items and the cursor of the next page, None on the last."""

    items: Sequence[Item]
    next_cursor: str | None


def page(session: Session, statement: SelectOfScalar[Item], at: Any, key: Any, *, limit: int, cursor: str | None) -> Page[Item]:
    """Up to `limit` rows by the columns `at` and `key`, newest first; a cursor is the key of the row before.

    Rows added meanwhile are newer, so no page repeats or skips a row. Raises InvalidRequest for a cursor that is no row's key.
    """
    if cursor is not None:
        last = session.exec(select(at).where(key == cursor)).first()
        if last is None:
            raise InvalidRequest(
                "The cursor is not one of this list's.", parameter="cursor", expected="the next_cursor of an earlier page"
            )
        statement = statement.where(tuple_(at, key) < tuple_(literal(last, Instant), literal(cursor)))
    rows = session.exec(statement.order_by(at.desc(), key.desc()).limit(limit + 1)).all()
    return Page(rows[:limit], getattr(rows[limit - 1], key.key) if len(rows) > limit else None)
