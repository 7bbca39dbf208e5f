"""Which issued documents rest on a project: those that reading all of them would find, without reading all of them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlmodel import Session, select

from app import db
from app.db import transaction
from app.store import invoices
from app.store.customers import Customer
from app.store.entities import LegalEntity
from app.store.money_tables import BilledProject, Invoice
from billing.invoice import Kind, Status
from billing.period import BillingPeriod
from tests.app.conftest import NOW
from tests.app.money import FIRST, add_customer, add_entity, core

PROJECTS = ("100", "200", "300", "400")


@contextmanager
def opened(engine: Engine) -> Iterator[tuple[Session, LegalEntity]]:
    with transaction(engine) as session:
        yield session, add_entity(session)


def document(
    session: Session, entity: LegalEntity, customer: Customer, day: date, projects: list[str], of: Invoice | None = None
) -> Invoice:
    """A draft that bills these projects for a day, or a note about an invoice that does."""
    said = core(customer, entity, day)
    report = said["reports"][0]
    reports = [{**report, "project_id": it, "id": f"rpt_{it}", "version": 1 + (of is not None)} for it in projects]
    note = {"kind": Kind.DEBIT_NOTE, "corrects": {"id": of.id}} if of else {}
    return invoices.create(session, {**said, **note, "reports": reports}, actor="maker", now=NOW)


def issue(session: Session, invoice: Invoice, entity: LegalEntity) -> None:
    issued = {**invoices.core_of(invoice), "issued_on": "2026-11-03", "due_on": "2026-12-03"}
    number = invoices.take_number(session, entity.id, entity.prefix, 2026)
    invoices.change(session, invoice, now=NOW, core=issued, status=Status.FINALIZED, number=number)
    invoices.bill_projects(session, invoice)


def read_all(session: Session, project_id: str, period: BillingPeriod) -> set[tuple[str, str]]:
    """What rests on a project, out of every document that there is."""
    found: dict[str, list[tuple[int, str]]] = {}
    issued = [it for it in session.exec(select(Invoice)) if it.status == Status.FINALIZED]
    these = [it for it in issued if it.first_day <= period.last_day and it.last_day >= period.first_day]
    for it in these:
        for report in invoices.core_of(it)["reports"]:
            if report["project_id"] == project_id:
                found.setdefault(it.corrects or it.id, []).append((report["version"], report["id"]))
    living = {it.id for it in these if it.kind == Kind.INVOICE}
    return {(about, max(reports)[1]) for about, reports in found.items() if about in living}


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_reading_every_document_finds(engine: Engine, seed: int) -> None:
    drawn = random.Random(seed)
    with opened(engine) as (session, entity):
        made = list[Invoice]()
        for number in range(12):
            customer, day = add_customer(session, entity.id, f"C{number}"), FIRST + timedelta(days=drawn.randrange(3))
            invoice = document(session, entity, customer, day, drawn.sample(PROJECTS, drawn.randrange(3)))
            made.append(invoice)
            if drawn.random() < 0.8:
                issue(session, invoice, entity)
                for _ in range(drawn.randrange(3)):
                    note = document(session, entity, customer, day, drawn.sample(PROJECTS, drawn.randrange(1, 4)), invoice)
                    if drawn.random() < 0.7:
                        issue(session, note, entity)
        for it in drawn.sample([it for it in made if it.status == Status.FINALIZED], 3):
            invoices.change(session, it, now=NOW, status=drawn.choice([Status.VOID, Status.CREDITED]))
        some = 0
        for project_id in PROJECTS:
            for period in (BillingPeriod(FIRST + timedelta(days=ahead), FIRST + timedelta(days=2)) for ahead in range(3)):
                found = {(it.id, report_id) for it, report_id in invoices.resting_on(session, project_id, period, NOW)}
                assert found == read_all(session, project_id, period)
                some += len(found)
        assert some > 10


def test_however_many_invoices_a_month_has_only_those_of_the_project_are_read(engine: Engine) -> None:
    with opened(engine) as (session, entity):
        for number in range(30):
            invoice = document(session, entity, add_customer(session, entity.id, f"C{number}"), FIRST, [f"p{number}"])
            issue(session, invoice, entity)
    read = list[Any]()
    with transaction(engine, read_only=True) as session:
        event.listen(session, "loaded_as_persistent", lambda _, it: read.append(it))
        assert len(invoices.resting_on(session, "p7", BillingPeriod(FIRST, FIRST), NOW)) == 1
    assert len(read) == 1


def test_the_migration_lists_what_was_issued_before_it(engine: Engine) -> None:
    with opened(engine) as (session, entity):
        customer = add_customer(session, entity.id)
        invoice = document(session, entity, customer, FIRST, ["100", "200"])
        issue(session, invoice, entity)
        issue(session, document(session, entity, customer, FIRST, ["200", "300"], invoice), entity)
        document(session, entity, add_customer(session, entity.id, "Bob"), FIRST, ["400"])
    before = listed(engine)
    assert len(before) == 5, "a draft is not among them"
    with engine.begin() as connection:
        command.downgrade(db.alembic_config(connection), "0009")
    db.upgrade(engine)
    assert listed(engine) == before


def listed(engine: Engine) -> set[tuple[str, str]]:
    with transaction(engine, read_only=True) as session:
        return {(it.project_id, it.invoice_id) for it in session.exec(select(BilledProject))}
