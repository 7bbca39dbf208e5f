"""Who invoices whom, and invoices of one day, for the tests of the store and of the flows."""

from datetime import date, timedelta
from typing import Any

from sqlmodel import Session

from app.store import customers, entities, invoices
from app.store.customers import Customer
from app.store.entities import LegalEntity
from app.store.money_tables import Invoice
from billing.invoice import ReportRef, draft
from billing.period import BillingPeriod
from billing.pricing import Usage, price
from billing.ratecard import CardHistory
from tests.app.conftest import NOW
from tests.billing.rate_cards import PLAN, card

FIRST = date(2026, 10, 1)
ADDRESS = {"line1": "Torstr. 1", "line2": "", "city": "Berlin", "postal_code": "10119", "region": "", "country": "DE"}
PRICES = {tier: {"model": "flat", "unit_price": "0.01"} for tier in PLAN}
VAT = {"name": "DE VAT", "percent": "19"}


def add_entity(session: Session, prefix: str = "ACME", **more: Any) -> LegalEntity:
    it = LegalEntity("Acme GmbH", prefix, ADDRESS, NOW, **{"timezone": "Europe/Berlin", "tax_number": "DE123456789", **more})
    return entities.create(session, it, actor="cli")


def add_customer(session: Session, entity_id: str, name: str = "Ada", **more: Any) -> Customer:
    return customers.create(session, Customer(name, entity_id, "EUR", ADDRESS, NOW, **more), actor="cli")


def core(customer: Customer, entity: LegalEntity, day: date = FIRST, minutes: int = 1000) -> dict[str, Any]:
    """The core of an invoice of 0.01 a minute for one billing day."""
    period = BillingPeriod(day, day)
    cards = CardHistory([card(PRICES, tax=VAT)])
    priced = price([Usage("100", PLAN[0], {day: minutes * 1_000_000}, "rpt_1")], cards, period)
    report = ReportRef("rpt_1", 1, "0" * 64, "balanced", "100", "Acme", "project_level")
    return draft(vars(customer), vars(entity), period, priced, [report])


def add_drafts(session: Session, customer: Customer, entity: LegalEntity, count: int = 1) -> list[Invoice]:
    """Drafts of as many days, one after the other."""
    days = [FIRST + timedelta(days=offset) for offset in range(count)]
    return [invoices.create(session, core(customer, entity, day), actor="maker", now=NOW) for day in days]
