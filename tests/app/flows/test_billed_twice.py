"""No project is billed to two customers for the same day, unless they share it: also not by two who issue at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from app.db import transaction
from app.errors import Conflict
from app.flows import invoice as flow
from app.store import customers
from app.store.money_tables import Invoice
from tests.app.flows.books import WORKED, Books, open_books
from tests.app.flows.conftest import Office
from tests.app.money import add_entity


@pytest.fixture
def books(worked: Office) -> Books:
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    return open_books(worked)


def both(books: Books) -> tuple[Invoice, Invoice]:
    """Ada's approved invoice, and Bob's, to whom the project was given before hers was issued."""
    ada = books.do(flow.approve, books.draft())
    books.own(books.bob)
    return ada, books.do(flow.approve, books.draft(books.bob))


def test_what_one_was_invoiced_for_is_not_invoiced_to_another(books: Books) -> None:
    ada, bob = both(books)
    issued = books.do(flow.finalize, ada)
    with pytest.raises(Conflict, match=f"is invoiced to the customer {books.ada} .* by {issued.number}: credit that first"):
        books.do(flow.finalize, bob)
    books.issue(books.credit(issued))
    assert books.do(flow.finalize, bob).number == "ACME-2026-00003", "what was refused took no number"


def test_a_void_invoice_is_in_nobodys_way(books: Books) -> None:
    ada, bob = both(books)
    books.do(flow.void, books.do(flow.finalize, ada), reason="The wrong customer.")
    assert books.do(flow.finalize, bob).status == "finalized"


def test_a_project_that_is_shared_is_billed_to_both(books: Books) -> None:
    books.rule(("*", books.bob))
    ada, bob = books.draft(), books.draft(books.bob)
    assert [books.issue(it).status for it in (ada, bob)] == ["finalized", "finalized"]


def test_two_legal_entities_that_issue_at_once_bill_it_once(books: Books) -> None:
    with transaction(books.engine) as session:
        other = add_entity(session, "OTHER").id
        customers.update(session, books.bob, expected_version=None, actor="cli", now=books.now, entity_id=other)
    ada, bob = both(books)
    begun = Event()

    def issue() -> Invoice:
        begun.set()
        issued: Invoice = books.do(flow.finalize, bob)
        return issued

    with ThreadPoolExecutor(1) as pool:
        with transaction(books.engine) as session:
            flow.finalize(session, ada.id, actor="checker", now=books.now, expected_version=None)
            second = pool.submit(issue)
            begun.wait()
            with pytest.raises(TimeoutError):
                second.result(timeout=1)
        with pytest.raises(Conflict, match="credit that first"):
            second.result(timeout=30)
