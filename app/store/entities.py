"""Legal entities: who invoices."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytz
from sqlmodel import Session, select

from app.errors import Conflict, NotFound
from app.store import audit
from app.store.money_tables import LegalEntityRow
from app.store.paging import Page, page
from app.store.tables import add_missing
from app.store.versions import changed, require_version
from billing.errors import InvalidSetting

_PREFIX = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,14}[A-Z0-9])?")
_COLUMNS = {"id", "name", "prefix", "version", "created_at"}


@dataclass(frozen=True)
class LegalEntity:
    """Who invoices. Raises InvalidSetting for a prefix or time zone that is none.

    `prefix` begins the numbers of its invoices and never changes; `timezone` says which day and year an invoice is issued in;
    the other fields stand in an invoice as they are.
    """

    name: str
    prefix: str
    address: Mapping[str, Any]
    created_at: datetime
    timezone: str = "UTC"
    tax_number: str = ""
    registration: str = ""
    email: str = ""
    phone: str = ""
    bank: Mapping[str, Any] | None = None
    logo: str | None = None
    legal_note: str = ""
    version: int = 1
    id: str = ""

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise InvalidSetting(
                f"{self.prefix!r} cannot begin a number",
                pointer="/prefix",
                expected="1 to 16 of A-Z, 0-9 and '-', such as 'ACME'",
            )
        if self.timezone not in pytz.all_timezones_set:
            raise InvalidSetting(
                f"there is no time zone {self.timezone!r}", pointer="/timezone", expected="a name such as 'Europe/Berlin'"
            )


def create(session: Session, entity: LegalEntity, *, actor: str) -> LegalEntity:
    """Keep a new legal entity, which is returned with an id. Raises Conflict if another has its prefix."""
    entity = replace(entity, id=f"ent_{uuid4().hex[:24]}", version=1)
    if not add_missing(session, _row(entity)):
        raise Conflict(f"Another legal entity has the prefix {entity.prefix}.")
    detail = changed({}, _said(entity))
    audit.record(session, at=entity.created_at, actor=actor, action="entity.created", subject=entity.id, detail=detail)
    return entity


def get(session: Session, entity_id: str) -> LegalEntity:
    """The legal entity of that id. Raises NotFound."""
    return _value(_found(session.get(LegalEntityRow, entity_id), entity_id))


def update(
    session: Session, entity_id: str, *, expected_version: int | None, actor: str, now: datetime, **changes: Any
) -> LegalEntity:
    """Change some of its fields, but not the prefix; what was issued stays as it is.

    Raises NotFound, StaleVersion, Conflict or InvalidSetting.
    """
    row = _found(session.get(LegalEntityRow, entity_id, with_for_update=True, populate_existing=True), entity_id)
    before = _value(row)
    require_version(f"The legal entity {entity_id}", before.version, expected_version)
    if changes.get("prefix", before.prefix) != before.prefix:
        raise Conflict(f"The prefix {before.prefix} stands in the numbers of invoices: it cannot be changed.")
    after = replace(before, **changes)
    if _said(after) == _said(before):
        return before
    after = replace(after, version=before.version + 1)
    session.merge(_row(after))
    session.flush()
    detail = changed(_said(before), _said(after))
    audit.record(session, at=now, actor=actor, action="entity.changed", subject=entity_id, detail=detail)
    return after


def list_page(session: Session, *, limit: int, cursor: str | None = None) -> Page[LegalEntity]:
    """Legal entities, newest first. Raises InvalidRequest for a cursor that is none."""
    rows, next_cursor = page(
        session, select(LegalEntityRow), LegalEntityRow.created_at, LegalEntityRow.id, limit=limit, cursor=cursor
    )
    return Page([_value(row) for row in rows], next_cursor)


def _found(row: LegalEntityRow | None, entity_id: str) -> LegalEntityRow:
    if row is None:
        raise NotFound(f"There is no legal entity {entity_id}.")
    return row


def _value(row: LegalEntityRow) -> LegalEntity:
    return LegalEntity(**{name: getattr(row, name) for name in _COLUMNS}, **row.details)


def _row(entity: LegalEntity) -> LegalEntityRow:
    said = asdict(entity)
    return LegalEntityRow(**{name: said.pop(name) for name in _COLUMNS}, details=said)


def _said(entity: LegalEntity) -> dict[str, Any]:
    return {key: value for key, value in asdict(entity).items() if key not in ("id", "version", "created_at")}
