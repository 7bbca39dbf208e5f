"""Customers: who is invoiced, at which prices, and on which terms."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlmodel import Session, select

from app.errors import InvalidRequest, NotFound
from app.store import audit, entities
from app.store.money_tables import CustomerRow, RateCardRow
from app.store.paging import Page, page
from app.store.versions import changed, require_version
from billing.errors import InvalidSetting
from billing.money import Currency

FORMATS = ("pdf", "facturx", "ubl")
_COLUMNS = {"id", "name", "entity_id", "rate_card_id", "version", "created_at"}


@dataclass(frozen=True)
class Customer:
    """Who is invoiced. Raises InvalidSetting or InvalidMoney for a format or currency that is none.

    `rate_card_id` None takes the rate card of its projects; `tax` names a rate of the card's table, None takes the card's own;
    with `four_eyes`, whoever made a draft may not approve it.
    """

    name: str
    entity_id: str
    currency: str
    address: Mapping[str, Any]
    created_at: datetime
    rate_card_id: str | None = None
    tax: str | None = None
    tax_number: str = ""
    email: str = ""
    reference: str = ""
    purchase_order: str = ""
    electronic_address: Mapping[str, Any] | None = None
    terms: Mapping[str, Any] = field(default_factory=lambda: {"days": 30, "text": ""})
    formats: Sequence[str] = ("pdf",)
    four_eyes: bool = False
    version: int = 1
    id: str = ""

    def __post_init__(self) -> None:
        Currency.of(self.currency)
        if unknown := [name for name in self.formats if name not in FORMATS]:
            raise InvalidSetting(
                f"there is no format {unknown[0]!r}", pointer="/formats", expected=f"some of {', '.join(FORMATS)}"
            )


def create(session: Session, customer: Customer, *, actor: str) -> Customer:
    """Keep a new customer, who is returned with an id. Raises InvalidRequest if the entity or rate card is not there."""
    customer = replace(customer, id=f"cus_{uuid4().hex[:24]}", version=1)
    _require_known(session, customer)
    session.add(_row(customer))
    session.flush()
    detail = changed({}, _said(customer))
    audit.record(session, at=customer.created_at, actor=actor, action="customer.created", subject=customer.id, detail=detail)
    return customer


def get(session: Session, customer_id: str) -> Customer:
    """The customer of that id. Raises NotFound."""
    return _value(_found(session.get(CustomerRow, customer_id), customer_id))


def lock(session: Session, customer_id: str) -> Customer:
    """The customer of that id, for whom nobody else makes an invoice until this transaction ends. Raises NotFound."""
    row = session.get(CustomerRow, customer_id, with_for_update={"key_share": True}, populate_existing=True)
    return _value(_found(row, customer_id))


def update(
    session: Session, customer_id: str, *, expected_version: int | None, actor: str, now: datetime, **changes: Any
) -> Customer:
    """Change some of its fields; invoices that exist stay as they are, a draft until it is made again.

    Raises NotFound, StaleVersion, InvalidRequest, InvalidSetting or InvalidMoney.
    """
    before = lock(session, customer_id)
    require_version(f"The customer {customer_id}", before.version, expected_version)
    after = replace(before, **changes)
    if _said(after) == _said(before):
        return before
    after = replace(after, version=before.version + 1)
    _require_known(session, after)
    session.merge(_row(after))
    session.flush()
    detail = changed(_said(before), _said(after))
    audit.record(session, at=now, actor=actor, action="customer.changed", subject=customer_id, detail=detail)
    return after


def list_page(session: Session, *, limit: int, cursor: str | None = None) -> Page[Customer]:
    """Customers, newest first. Raises InvalidRequest for a cursor that is none."""
    rows, next_cursor = page(session, select(CustomerRow), CustomerRow.created_at, CustomerRow.id, limit=limit, cursor=cursor)
    return Page([_value(row) for row in rows], next_cursor)


def _require_known(session: Session, customer: Customer) -> None:
    try:
        entities.get(session, customer.entity_id)
    except NotFound as error:
        raise InvalidRequest(error.message, pointer="/entity_id", expected="the id of a legal entity") from None
    card = customer.rate_card_id
    if card is not None and session.exec(select(RateCardRow.id).where(RateCardRow.id == card).limit(1)).first() is None:
        raise InvalidRequest(f"There is no rate card {card}.", pointer="/rate_card_id", expected="the id of a rate card")


def _found(row: CustomerRow | None, customer_id: str) -> CustomerRow:
    if row is None:
        raise NotFound(f"There is no customer {customer_id}.")
    return row


def _value(row: CustomerRow) -> Customer:
    return Customer(**{name: getattr(row, name) for name in _COLUMNS}, **row.details)


def _row(customer: Customer) -> CustomerRow:
    said = asdict(customer) | {"formats": list(customer.formats)}
    return CustomerRow(**{name: said.pop(name) for name in _COLUMNS}, details=said)


def _said(customer: Customer) -> dict[str, Any]:
    said = asdict(customer) | {"formats": list(customer.formats)}
    return {key: value for key, value in said.items() if key not in ("id", "version", "created_at")}
