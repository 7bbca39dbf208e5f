"""Many hands on the same invoices at once: no deadlock, no gap, nothing given back twice, one chain of entries."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Engine
from sqlmodel import col, select

from app.db import transaction
from app.errors import ReckonerError
from app.flows import invoice as flow
from app.flows import notes
from app.store import audit, customers, invoices
from app.store.money_tables import Invoice, NumberCounter
from billing.errors import BillingError
from billing.notes import CreditLine, left, settled
from tests.app.conftest import NOW
from tests.app.money import add_customer, add_drafts, add_entity


def test_whatever_is_done_at_once_the_books_are_right(engine: Engine) -> None:
    with transaction(engine) as session:
        entity = add_entity(session)
        customer = add_customer(session, entity.id)
        ids = [it.id for it in add_drafts(session, customer, entity, 15)]

    def step(number: int) -> str | None:
        """One random step on one random invoice or note; what it must not do is refused, and then nothing has happened."""
        drawn, now = random.Random(number), NOW + timedelta(seconds=number)
        with transaction(engine, read_only=True) as session:
            found = session.exec(select(Invoice.id).order_by(col(Invoice.id))).all()
        one = drawn.choice(found)
        who: dict[str, Any] = {"actor": f"key_{number % 4}", "now": now, "expected_version": None}
        try:
            with transaction(engine) as session:
                match drawn.randrange(9):
                    case 0 | 1 | 2:
                        flow.approve(session, one, **who)
                    case 3 | 4 | 5:
                        flow.finalize(session, one, **who)
                    case 6:
                        line = CreditLine(1, Decimal(drawn.randrange(1, 400)) / 100)
                        notes.credit(session, one, lines=[line], reason="a part", **who)
                    case 7:
                        notes.credit(session, one, reason="the rest", **who)
                    case 8 if drawn.random() < 0.5:
                        flow.void(session, one, reason="a test", **who)
                    case _:
                        customers.update(session, customer.id, expected_version=None, actor="cli", now=now, reference=one)
                if drawn.random() < 0.1:
                    raise ZeroDivisionError
        except (ReckonerError, BillingError, ZeroDivisionError) as refused:
            return type(refused).__name__
        return None

    with ThreadPoolExecutor(12) as pool:
        refusals = list(pool.map(step, range(400)))
    assert refusals.count(None) > 20
    assert "ZeroDivisionError" in refusals

    with transaction(engine, read_only=True) as session:
        assert invoices.check(session) == []
        assert audit.check(session) == []
        numbered = session.exec(select(Invoice).where(col(Invoice.number).is_not(None))).all()
        assert session.exec(select(NumberCounter)).one().last == len(numbered)
        for one in ids:
            invoice, its = invoices.get(session, one), [flow.whole(it) for it in invoices.notes_of(session, one)]
            assert left(flow.whole(invoice), its) >= 0
            issued = [it for it in its if it["status"] == "finalized"]
            assert (invoice.status == "credited") == (len(issued) == len(its) and settled(flow.whole(invoice), issued))
