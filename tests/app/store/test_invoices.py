"""Invoices in the store: what was finalized stays as it is, numbers have no gap, and one period has one living invoice."""

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, select

from app.db import transaction
from app.errors import InvalidRequest, NotFound, StaleVersion
from app.flows import invoice as flow
from app.store import invoices
from app.store.money_tables import Invoice
from tests.app.conftest import NOW
from tests.app.money import FIRST, add_customer, add_drafts, add_entity, core


def drafts(engine: Engine, count: int = 1, prefix: str = "ACME") -> list[str]:
    """The ids of drafts of as many days."""
    with transaction(engine) as session:
        entity = add_entity(session, prefix)
        return [it.id for it in add_drafts(session, add_customer(session, entity.id), entity, count)]


def approve(engine: Engine, ids: Sequence[str]) -> None:
    with transaction(engine) as session:
        for invoice_id in ids:
            flow.approve(session, invoice_id, actor="cli", now=NOW, expected_version=None)


def finalize(engine: Engine, invoice_id: str) -> str:
    with transaction(engine) as session:
        return str(flow.finalize(session, invoice_id, actor="cli", now=NOW, expected_version=None).number)


@pytest.mark.parametrize(
    "change",
    [
        "body = :it",
        "number = :it",
        "sha256 = :it",
        "kind = :it",
        "issued_on = '2026-01-01'",
        "status = 'draft', version = version + 1",
        "status = 'approved', version = version + 1",
        "status = 'void'",
        "status = 'void', version = version + 1, first_day = '2026-01-01'",
        "status = 'void', version = version + 1, body = :it",
        "status = 'void', version = version + 1, number = NULL",
    ],
)
def test_what_is_finalized_never_changes(engine: Engine, change: str) -> None:
    (invoice_id,) = drafts(engine)
    approve(engine, [invoice_id])
    finalize(engine, invoice_id)
    it = b"forged" if "body" in change else "forged"
    with pytest.raises(DBAPIError, match="invoices are settled"), engine.begin() as connection:
        connection.execute(text(f"UPDATE invoices SET {change}"), {"it": it} if ":it" in change else {})
    with transaction(engine, read_only=True) as session:
        assert invoices.check(session) == []


@pytest.mark.parametrize("status", ["void", "credited"])
def test_its_status_goes_forward_once(engine: Engine, status: str) -> None:
    (invoice_id,) = drafts(engine)
    approve(engine, [invoice_id])
    finalize(engine, invoice_id)
    with engine.begin() as connection:
        forward = text("UPDATE invoices SET status = :status, version = version + 1")
        assert connection.execute(forward, {"status": status}).rowcount == 1
    with pytest.raises(DBAPIError, match="invoices are settled"), engine.begin() as connection:
        connection.execute(text("UPDATE invoices SET status = 'finalized', version = version + 1"))


def test_no_invoice_is_deleted_and_no_write_goes_uncounted(engine: Engine) -> None:
    drafts(engine)
    for statement in ("DELETE FROM invoices", "UPDATE invoices SET created_by = 'nobody'"):
        with pytest.raises(DBAPIError, match="invoices are settled"), engine.begin() as connection:
            connection.execute(text(statement))


def test_a_document_says_the_status_of_now_and_keeps_its_hash(engine: Engine) -> None:
    (invoice_id,) = drafts(engine)
    approve(engine, [invoice_id])
    finalize(engine, invoice_id)
    with transaction(engine) as session:
        before = json.loads(invoices.document(invoices.get(session, invoice_id)))
        flow.void(session, invoice_id, reason="a test", actor="cli", now=NOW, expected_version=3)
        after = json.loads(invoices.document(invoices.get(session, invoice_id)))
    assert {key for key in before if before[key] != after[key]} == {"status", "version"}
    assert (before["status"], after["status"]) == ("finalized", "void")
    assert before["number"] == "ACME-2026-00001"


def test_one_living_invoice_for_a_period(engine: Engine) -> None:
    (invoice_id,) = drafts(engine)
    with pytest.raises(IntegrityError), transaction(engine) as session:
        again = invoices.core_of(invoices.get(session, invoice_id))
        invoices.create(session, again, actor="cli", now=NOW)
    with transaction(engine) as session:
        flow.void(session, invoice_id, reason="a test", actor="cli", now=NOW, expected_version=None)
        invoices.create(session, again, actor="cli", now=NOW)
        assert len(invoices.living(session, again["customer_id"], FIRST, FIRST)) == 1


def test_numbers_are_gapless_and_unique_when_fifty_are_finalized_at_once(engine: Engine) -> None:
    ids = drafts(engine, 50)
    approve(engine, ids)
    with ThreadPoolExecutor(50) as pool:
        numbers = list(pool.map(lambda it: finalize(engine, it), ids))
    assert sorted(numbers) == [f"ACME-2026-{number:05}" for number in range(1, 51)]
    with transaction(engine, read_only=True) as session:
        assert invoices.check(session) == []


def test_one_that_fails_after_it_took_its_number_leaves_no_gap(engine: Engine) -> None:
    ids = drafts(engine, 20)
    approve(engine, ids)
    failing = set(random.Random(7).sample(ids, 8))

    def attempt(invoice_id: str) -> str | None:
        try:
            with transaction(engine) as session:
                it = flow.finalize(session, invoice_id, actor="cli", now=NOW, expected_version=None)
                if invoice_id in failing:
                    raise ZeroDivisionError
                return it.number
        except ZeroDivisionError:
            return None

    with ThreadPoolExecutor(20) as pool:
        numbers = [number for number in pool.map(attempt, ids) if number]
    assert sorted(numbers) == [f"ACME-2026-{number:05}" for number in range(1, 13)]
    assert max(finalize(engine, it) for it in failing) == "ACME-2026-00020"
    with transaction(engine, read_only=True) as session:
        assert invoices.check(session) == []


def test_each_entity_and_year_counts_for_itself(engine: Engine) -> None:
    with transaction(engine) as session:
        numbers = [
            invoices.take_number(session, entity.id, entity.prefix, year)
            for entity in (add_entity(session, "A"), add_entity(session, "B"))
            for year in (2026, 2027, 2026)
        ]
    assert numbers == ["A-2026-00001", "A-2027-00001", "A-2026-00002", "B-2026-00001", "B-2027-00001", "B-2026-00002"]


def test_of_two_writes_at_once_one_is_stale(engine: Engine) -> None:
    (invoice_id,) = drafts(engine)

    def attempt(actor: str) -> bool:
        try:
            with transaction(engine) as session:
                flow.approve(session, invoice_id, actor=actor, now=NOW, expected_version=1)
        except StaleVersion:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, "abcdefgh")) == [False] * 7 + [True]


def test_what_is_forged_is_found(engine: Engine) -> None:
    ids = drafts(engine, 4)
    approve(engine, ids)
    for invoice_id in ids:
        finalize(engine, invoice_id)
    with engine.begin() as connection:
        for trigger in ("invoices_settled", "invoices_stay"):
            on = " ON invoices" if engine.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TRIGGER {trigger}{on}"))
        change = text("UPDATE invoices SET body = :body WHERE id = :id")
        connection.execute(change, {"body": json.dumps({"total": "0.00"}).encode(), "id": ids[0]})
        connection.execute(
            text("DELETE FROM billed_projects WHERE invoice_id IN (:one, :other)"), {"one": ids[1], "other": ids[3]}
        )
        connection.execute(text("DELETE FROM invoices WHERE id = :id"), {"id": ids[1]})
        connection.execute(text("UPDATE invoices SET issued_on = '2026-01-01' WHERE id = :id"), {"id": ids[2]})
    with transaction(engine, read_only=True) as session:
        assert set(invoices.check(session)) == {
            f"The invoice {ids[0]} does not say what its hash says.",
            f"The invoice {ids[2]} is listed with another issued_on than its own.",
            f"The invoice {ids[3]} is not listed as one that bills the project 100.",
            "The number ACME-2026-00002 is of no invoice.",
        }


def test_lists_are_filtered_and_paged(engine: Engine) -> None:
    ids = drafts(engine, 3)
    other = drafts(engine, 1, "OTHER")
    approve(engine, ids[:1])
    with transaction(engine, read_only=True) as session:
        (customer_id,) = set(session.exec(select(Invoice.customer_id).where(col(Invoice.id).in_(ids))))
        first = invoices.list_page(session, customer_id=customer_id, limit=2)
        rest = invoices.list_page(session, customer_id=customer_id, limit=2, cursor=first.next_cursor)
        assert sorted(it.id for it in [*first.items, *rest.items]) == sorted(ids)
        assert [it.id for it in invoices.list_page(session, status="approved", limit=9).items] == ids[:1]
        assert len(invoices.list_page(session, kind="invoice", limit=9).items) == len(ids + other)
        assert not invoices.list_page(session, kind="credit_note", limit=9).items
        with pytest.raises(InvalidRequest):
            invoices.list_page(session, limit=1, cursor="inv_unknown")
        with pytest.raises(NotFound):
            invoices.get(session, "inv_unknown")


def test_a_number_is_of_the_year_where_the_entity_is(engine: Engine) -> None:
    late = NOW.replace(month=12, day=31, hour=23, minute=30)  # half past midnight in Berlin
    with transaction(engine) as session:
        for count, (prefix, zone) in enumerate((("DE", "Europe/Berlin"), ("US", "America/New_York")), 1):
            entity = add_entity(session, prefix, timezone=zone)
            draft = add_drafts(session, add_customer(session, entity.id), entity, count)[-1]  # each of a day of its own
            flow.approve(session, draft.id, actor="cli", now=late, expected_version=1)
            flow.finalize(session, draft.id, actor="cli", now=late, expected_version=2)
        found = session.exec(select(Invoice).where(col(Invoice.number).is_not(None)).order_by(col(Invoice.number))).all()
        assert [(it.number, it.issued_on) for it in found] == [
            ("DE-2027-00001", date(2027, 1, 1)),
            ("US-2026-00001", date(2026, 12, 31)),
        ]
        assert invoices.core_of(found[0])["due_on"] == "2027-01-31"


def test_a_core_is_kept_word_for_word(engine: Engine) -> None:
    with transaction(engine) as session:
        entity = add_entity(session)
        wanted = core(add_customer(session, entity.id), entity)
        invoice = invoices.create(session, wanted, actor="cli", now=NOW)
    with transaction(engine, read_only=True) as session:
        assert invoices.core_of(invoices.get(session, invoice.id)) == wanted
