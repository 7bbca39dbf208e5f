"""Rate cards: published version by version; what was published is never changed, so what was priced by it can be proved."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from uuid import uuid4

import msgspec
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select, tuple_

from app.errors import Conflict, InvalidRequest, NotFound, StaleVersion
from app.store import audit
from app.store.money_tables import RateCardRow
from app.store.paging import Page, page
from app.store.tables import add_missing
from billing.ratecard import CardHistory, RateCard
from billing.ratecard_file import dump, parse

ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_encoder = msgspec.json.Encoder(order="sorted")


def publish(session: Session, document: object, now: datetime, card_id: str | None = None, *, actor: str) -> RateCard:
    """Keep a document as the next version of a rate card, from `now` (zone-aware) on for good; `actor` is for the audit log.

    The card is that of `card_id`, which must be there, or else the one that the document's `id` names, which may be new; a
    document without an id is a new card. A document that states a `version` was made from that one, or is to be it: it is
    refused where another was published meanwhile. One that says what the newest version says is that version, and nothing new.

    Raises BillingError with the path of what is wrong in it, InvalidRequest, NotFound, StaleVersion or Conflict.
    """
    terms = parse(document)
    assert isinstance(document, Mapping)  # or it had not been parsed
    name = identity(document.get("id"), card_id)
    newest = _newest(session, name)
    if newest is None and card_id is not None:
        raise _missing(card_id)
    version = newest.version + 1 if newest else 1
    if newest and _body(replace(terms, id=name, version=newest.version)) == newest.body:
        return _card(newest)
    if (stated := document.get("version")) is not None and str(stated) not in (str(version - 1), str(version)):
        raise StaleVersion(
            f"This would be version {version} of the rate card {name}, the document says {str(stated)[:9]!r}; read it again."
        )
    card = replace(terms, id=name, version=version)
    row = RateCardRow(
        id=name,
        version=version,
        name=card.name,
        currency=card.currency.code,
        effective_from=card.effective_from,
        effective_to=card.effective_to,
        sha256=sha256(_body(card)).hexdigest(),
        body=_body(card),
        published_at=now,
    )
    if not add_missing(session, row):
        raise Conflict(f"Another version of the rate card {name} was published at the same moment.")
    detail = {"version": version, "sha256": row.sha256}
    audit.record(session, at=now, actor=actor, action="rate_card.published", subject=name, detail=detail)
    return card


def identity(stated: object, card_id: str | None) -> str:
    """The id of the card that a document is about: `card_id`, the one that it states, or a new one. Raises InvalidRequest."""
    if stated is None:
        return card_id or f"rc_{uuid4().hex[:24]}"
    if not isinstance(stated, str) or not re.fullmatch(ID, stated):
        expected = "1 to 64 letters, digits, '_' and '-', or none: then it gets one"
        raise InvalidRequest("This is no id of a rate card.", pointer="/id", expected=expected)
    if card_id not in (None, stated):
        raise InvalidRequest(f"The document is another rate card's: {stated}.", pointer="/id", expected=f"{card_id}, or no id")
    return stated


def get(session: Session, card_id: str, version: int | None = None) -> RateCard:
    """A version of a rate card, without a number the newest. Raises NotFound."""
    return _card(find(session, card_id, version))


def find(session: Session, card_id: str, version: int | None = None) -> RateCardRow:
    """The row of a version, without a number of the newest. Raises NotFound."""
    row = _newest(session, card_id) if version is None else session.get(RateCardRow, (card_id, version))
    if row is None:
        raise _missing(card_id, version)
    return row


def history(session: Session, card_id: str, known_at: datetime | None = None) -> CardHistory:
    """All versions of a rate card, or those that were published by `known_at` (zone-aware). Raises NotFound."""
    rows = session.exec(select(RateCardRow).where(RateCardRow.id == card_id).order_by(col(RateCardRow.version))).all()
    if not rows:
        raise _missing(card_id)
    rows = [row for row in rows if known_at is None or row.published_at <= known_at]
    return CardHistory([_card(row) for row in rows])


def list_page(session: Session, *, limit: int, cursor: str | None = None) -> Page[RateCardRow]:
    """The newest version of each rate card, the card that was published last for the first time before the others. Raises
    InvalidRequest for a cursor that is none."""
    first = aliased(RateCardRow, select(RateCardRow).where(RateCardRow.version == 1).subquery())
    cards = page(session, select(first), first.published_at, first.id, limit=limit, cursor=cursor)
    numbers = select(RateCardRow.id, func.max(RateCardRow.version)).group_by(col(RateCardRow.id))
    newest = select(RateCardRow).where(tuple_(col(RateCardRow.id), col(RateCardRow.version)).in_(numbers))
    found = {row.id: row for row in session.exec(newest.where(col(RateCardRow.id).in_([card.id for card in cards.items])))}
    return Page([found[card.id] for card in cards.items], cards.next_cursor)


def list_versions(session: Session, card_id: str, *, limit: int, cursor: str | None = None) -> Page[RateCardRow]:
    """The versions of a rate card, newest first; a cursor is a version's number. Raises NotFound or InvalidRequest."""
    find(session, card_id)
    statement = select(RateCardRow).where(RateCardRow.id == card_id).order_by(col(RateCardRow.version).desc())
    if cursor is not None:
        if not re.fullmatch("[1-9][0-9]{0,8}", cursor):
            raise InvalidRequest(
                "The cursor is not one of this list's.", parameter="cursor", expected="the next_cursor of an earlier page"
            )
        statement = statement.where(RateCardRow.version < int(cursor))
    rows = session.exec(statement.limit(limit + 1)).all()
    return Page(rows[:limit], str(rows[limit - 1].version) if len(rows) > limit else None)


def check(session: Session) -> Iterator[str]:
    """What is wrong with any published version, a sentence each, for `verify`."""
    for row in session.exec(select(RateCardRow).order_by(col(RateCardRow.id), col(RateCardRow.version))):
        if sha256(row.body).hexdigest() != row.sha256:
            yield f"The rate card {row.id}, version {row.version}, does not say what its hash says."


def _newest(session: Session, card_id: str) -> RateCardRow | None:
    versions = select(RateCardRow).where(RateCardRow.id == card_id).order_by(col(RateCardRow.version).desc())
    return session.exec(versions.limit(1)).first()


def _card(row: RateCardRow) -> RateCard:
    return parse(msgspec.json.decode(row.body), card_id=row.id, version=row.version)


def _body(card: RateCard) -> bytes:
    return _encoder.encode(dump(card))


def _missing(card_id: str, version: int | None = None) -> NotFound:
    return NotFound(f"There is no rate card {card_id}{'' if version is None else f', version {version}'}.")
