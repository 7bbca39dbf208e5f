"""Credit and debit notes on the worked period: what is given back, what a restatement comes to, and when nothing is left."""

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import col, select

from app.db import transaction
from app.errors import Conflict
from app.flows import invoice as flow
from app.flows.verify import verify_all
from app.store import reports
from app.store.money_tables import AuditEntry, Invoice
from billing.errors import InvalidNote, InvalidTransition, NotInvoiceable
from billing.notes import CreditLine
from billing.report import core_of
from tests.app.flows.books import WORKED, Books, open_books
from tests.app.flows.conftest import Office

RESTATED = {
    "kind": "restated", "project_id": "100", "day": "2026-10-31", "tier": "from1To2Publishers", "minutes": 50,
    "at": "2026-11-20T00:00:00Z",
}  # fmt: skip


@pytest.fixture
def books(worked_with: Any) -> Books:
    office: Office = worked_with([RESTATED])
    office.collect(WORKED)
    office.reconcile(WORKED)
    return open_books(office)


@pytest.fixture
def issued(books: Books) -> Invoice:
    return books.issue(books.draft())


def after_the_restatement(books: Books) -> str:
    books.office.at("2026-11-21T20:00:00Z")
    books.office.collect(WORKED)
    return books.office.reconcile(WORKED).id


def test_credits_by_line_until_nothing_is_left(books: Books, issued: Invoice) -> None:
    first = books.issue(books.credit(issued, lines=[CreditLine(1, Decimal("1.00"))]))
    assert (first.number, books.get(first)["total"], books.get(first)["kind"]) == ("ACME-2026-00002", "1.19", "credit_note")
    assert books.get(issued)["status"] == "finalized"
    second = books.issue(books.credit(issued))
    assert (second.number, books.get(second)["total"]) == ("ACME-2026-00003", "2.20")
    assert books.get(issued)["status"] == "credited"
    with transaction(books.engine, read_only=True) as session:
        assert session.exec(select(AuditEntry).order_by(col(AuditEntry.seq).desc())).first().action == "invoice.credited"
    assert verify_all(books.engine) == []


def test_what_is_credited_in_full_may_be_invoiced_again(books: Books, issued: Invoice) -> None:
    books.issue(books.credit(issued))
    assert books.issue(books.draft()).number == "ACME-2026-00003"


def test_a_draft_of_a_note_counts_in_what_is_left(books: Books, issued: Invoice) -> None:
    books.credit(issued)
    with pytest.raises(InvalidNote):
        books.credit(issued)
    assert books.get(issued)["status"] == "finalized", "a draft gives nothing back yet"


def test_a_void_note_gives_back_what_it_took(books: Books, issued: Invoice) -> None:
    note = books.credit(issued)
    books.do(flow.void, note, reason="not agreed")
    assert books.get(books.credit(issued))["total"] == "3.39"


def test_no_note_is_void_that_a_later_one_rests_on(books: Books, issued: Invoice) -> None:
    first = books.credit(issued, lines=[CreditLine(1, Decimal("1.00"))])
    second = books.credit(issued, lines=[CreditLine(1, Decimal("0.50"))])
    with pytest.raises(InvalidTransition):
        books.do(flow.void, first, reason="a test")
    books.do(flow.void, second, reason="a test")
    books.do(flow.void, first, reason="a test")


def test_an_invoice_with_a_note_is_not_void(books: Books, issued: Invoice) -> None:
    note = books.credit(issued)
    with pytest.raises(InvalidTransition, match="A note corrects it"):
        books.do(flow.void, issued, reason="a test")
    books.do(flow.void, note, reason="a test")
    assert books.do(flow.void, issued, reason="a test").status == "void"


def test_the_notes_of_a_credited_invoice_stay(books: Books, issued: Invoice) -> None:
    note = books.issue(books.credit(issued))
    with pytest.raises(Conflict, match="is credited"):
        books.do(flow.void, note, reason="a test")


def test_only_a_finalized_invoice_is_corrected(books: Books) -> None:
    draft = books.draft()
    with pytest.raises(Conflict, match="only what is finalized"):
        books.credit(draft)
    with pytest.raises(Conflict, match="only what is finalized"):
        books.restate(draft)
    note = books.credit(books.issue(draft))
    with pytest.raises(Conflict, match="is a note"):
        books.credit(note)
    with pytest.raises(Conflict, match="void the note"):
        books.do(flow.redraft, note)


def test_a_restatement_is_the_difference_of_two_reports(books: Books, issued: Invoice) -> None:
    assert books.restate(issued) is None, "nothing was restated yet"
    report = after_the_restatement(books)
    note = books.restate(issued)
    assert note is not None
    document = books.get(books.issue(note))
    assert (document["kind"], document["subtotal"], document["total"]) == ("debit_note", "0.50", "0.60")
    assert document["report_ids"] == [report]
    assert document["corrects"]["number"] == "ACME-2026-00001"
    assert books.restate(issued) is None, "it is corrected already"
    assert books.get(issued)["status"] == "finalized"


def test_what_a_restatement_added_is_credited_as_well(books: Books, issued: Invoice) -> None:
    after_the_restatement(books)
    debit = books.restate(issued)
    assert debit is not None
    credit = books.issue(books.credit(issued))
    assert books.get(issued)["status"] == "finalized", "the debit note is not issued yet"
    assert books.get(credit)["total"] == "3.99"
    books.issue(debit)
    assert books.get(issued)["status"] == "credited"
    assert verify_all(books.engine) == []


def test_a_doubtful_restatement_needs_an_override(books: Books, issued: Invoice) -> None:
    content = json.loads(core_of(books.office.reconcile(WORKED).body))
    doubtful = json.dumps({**content, "verdict": "unexplained"}, sort_keys=True, separators=(",", ":")).encode()
    with transaction(books.engine) as session:
        report = reports.save(session, doubtful, created_at=books.now).report
    with pytest.raises(NotInvoiceable, match=f"{report.id} of project 100 is unexplained"):
        books.restate(issued)
    assert books.restate(issued, override="seen by Ada") is None, "the amounts are the same"
