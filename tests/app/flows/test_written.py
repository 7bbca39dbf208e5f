"""Verifying: a document that is changed together with its hash is not what the audit log tells of it."""

from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.flows.verify import verify_all
from app.store.money_tables import Invoice
from tests.app.flows.books import Books, open_books
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"


@pytest.fixture
def books(worked: Office) -> Books:
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    return open_books(worked)


@pytest.fixture
def issued(books: Books) -> Invoice:
    return books.issue(books.draft())


def tamper(engine: Engine, statement: str, **values: object) -> None:
    """Change the database behind the service's back: the triggers that would refuse it are dropped first."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))
        else:
            named = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            for name in named:
                connection.execute(text(f"DROP TRIGGER {name}"))
        assert connection.execute(text(statement), values).rowcount == 1
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = DEFAULT"))


@pytest.mark.parametrize("change", ["status = 'void'", "number = 'ACME-2026-00002'", "created_by = 'x'", "approved_by = 'x'"])
def test_an_invoice_that_became_what_nobody_did_is_found(books: Books, issued: Invoice, change: str) -> None:
    assert verify_all(books.engine) == []
    tamper(books.engine, f"UPDATE invoices SET {change}")
    column = change.split()[0]
    assert f"The audit log tells of the invoice {issued.id}, with another {column} than it has." in verify_all(books.engine)


def test_an_invoice_changed_together_with_its_hash_is_found(books: Books, issued: Invoice) -> None:
    body = issued.body.replace(b'"amount":"2.10"', b'"amount":"1.10"')
    assert body != issued.body
    changed = {"body": body, "sha256": sha256(body).hexdigest()}
    tamper(books.engine, "UPDATE invoices SET body = :body, sha256 = :sha256", **changed)
    assert verify_all(books.engine) == [f"The audit log tells of the invoice {issued.id}, with another sha256 than it has."]


def test_the_last_invoice_taken_away_is_found(books: Books, issued: Invoice) -> None:
    """With its number: the counter alone would not miss it."""
    tamper(books.engine, "UPDATE number_counters SET last = 0")
    tamper(books.engine, "DELETE FROM billed_projects")
    tamper(books.engine, "DELETE FROM invoices")
    assert verify_all(books.engine) == [f"The audit log tells of the invoice {issued.id}, which is not there."]


def test_a_rate_card_changed_together_with_its_hash_is_found(books: Books) -> None:
    with books.engine.begin() as connection:
        body = bytes(connection.execute(text("SELECT body FROM rate_cards")).scalar_one())
    changed = body.replace(b'"0.01"', b'"0.02"')
    values = {"body": changed, "sha256": sha256(changed).hexdigest()}
    tamper(books.engine, "UPDATE rate_cards SET body = :body, sha256 = :sha256", **values)
    assert verify_all(books.engine) == [
        "The audit log tells of the rate card rc_books, version 1, with another sha256 than it has."
    ]


def test_an_entry_less_at_the_end_is_found(books: Books, issued: Invoice) -> None:
    tamper(books.engine, "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)")
    problem = (
        f"The audit log tells of the invoice {issued.id}, with another sha256 and status and version and number than it has."
    )
    assert verify_all(books.engine) == [problem]


def test_an_invoice_without_a_word_is_found(books: Books) -> None:
    draft = books.draft()
    tamper(books.engine, "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)")
    assert verify_all(books.engine) == [f"The audit log does not tell of the invoice {draft.id}."]
