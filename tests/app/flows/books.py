"""The books beside an office: who invoices its project's customers, at which prices."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.db import transaction
from app.flows import invoice as flow
from app.flows import notes as correcting
from app.store import invoices, ownership, rate_cards
from app.store.money_tables import Invoice
from billing.period import parse_period
from billing.tiers import KNOWN_PLANS
from tests.app.flows.conftest import Office
from tests.app.money import add_customer, add_entity

WORKED = "2026-10-31..2026-11-01"
PERIOD = parse_period(WORKED).period
CARD = {
    "id": "rc_books",
    "name": "Books",
    "currency": "EUR",
    "effective_from": "2026-01-01",
    "tier_plan": list(KNOWN_PLANS[0].fields),
    "prices": {tier: {"model": "flat", "unit_price": "0.01"} for tier in KNOWN_PLANS[0].fields},
    "usage_prices": {"sipUserMinutes": {"model": "flat", "unit_price": "0.005"}},
    "tax": {"name": "DE VAT", "percent": "19"},
}
"""A cent a minute, and 19 % on it."""


@dataclass
class Books:
    """One legal entity, the customer Ada who owns the project, and Bob who owns nothing yet."""

    office: Office
    entity: str
    ada: str
    bob: str

    @property
    def engine(self) -> Engine:
        return self.office.engine

    @property
    def now(self) -> datetime:
        return self.office.clock.now()

    def own(self, customer: str | None, project: str = "100") -> None:
        with transaction(self.engine) as session:
            ownership.assign_project(session, project, customer, actor="cli", now=self.now)

    def rule(self, *rules: tuple[str, str], project: str = "100") -> None:
        with transaction(self.engine) as session:
            ownership.set_rules(session, project, rules, actor="cli", now=self.now)

    def draft(self, customer: str | None = None, actor: str = "maker", **more: Any) -> Invoice:
        with transaction(self.engine) as session:
            return flow.draft_invoice(session, customer or self.ada, PERIOD, actor=actor, now=self.now, **more)

    def do(self, step: Callable[..., Invoice | None], invoice: Invoice | str, actor: str = "checker", **more: Any) -> Any:
        """A step of the flow, of the version at hand."""
        invoice_id, version = (invoice, None) if isinstance(invoice, str) else (invoice.id, invoice.version)
        with transaction(self.engine) as session:
            return step(session, invoice_id, actor=actor, now=self.now, expected_version=version, **more)

    def issue(self, invoice: Invoice) -> Invoice:
        """Approve and finalize."""
        issued: Invoice = self.do(flow.finalize, self.do(flow.approve, invoice))
        return issued

    def credit(self, invoice: Invoice | str, **more: Any) -> Invoice:
        it: Invoice = self.do(correcting.credit, invoice if isinstance(invoice, str) else invoice.id, reason="a test", **more)
        return it

    def restate(self, invoice: Invoice | str, **more: Any) -> Invoice | None:
        invoice_id = invoice if isinstance(invoice, str) else invoice.id
        it: Invoice | None = self.do(correcting.restate, invoice_id, reason="the report was restated", **more)
        return it

    def get(self, invoice: Invoice | str) -> dict[str, Any]:
        """The whole document, as it is now."""
        with transaction(self.engine, read_only=True) as session:
            return flow.whole(invoices.get(session, invoice if isinstance(invoice, str) else invoice.id))


def open_books(office: Office, **customer: Any) -> Books:
    """The books of an office whose project is Ada's."""

    def add(session: Session) -> Books:
        rate_cards.publish(session, CARD, office.clock.now(), actor="cli")
        entity = add_entity(session).id
        more = {"rate_card_id": "rc_books", **customer}
        return Books(office, entity, add_customer(session, entity, **more).id, add_customer(session, entity, "Bob", **more).id)

    with transaction(office.engine) as session:
        books = add(session)
    books.own(books.ada)
    return books
