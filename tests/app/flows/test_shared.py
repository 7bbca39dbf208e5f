"""A project shared by session: each customer pays for its own sessions, its owner for the rest, and nothing is lost."""

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from app.db import transaction
from app.errors import Conflict
from app.flows import invoice as flow
from app.flows.verify import verify_all
from app.store import ownership
from billing.errors import NotInvoiceable
from tests.app.flows.books import WORKED, Books, open_books
from tests.app.flows.conftest import Office

LOW, HIGH = "from1To2Publishers", "from3To6Publishers"
ALL = "1_MX4xMDB-worked-"
"""How every session id of the worked period begins; A to G follow."""


@pytest.fixture
def open_shared(worked_with: Callable[..., Office]) -> Callable[..., Books]:
    """Makes the books of the worked period, collected and reconciled, whose project is Ada's."""

    def make(*faults: dict[str, Any], **changes: Any) -> Books:
        office = worked_with(faults)
        office.change(**changes)
        office.collect(WORKED)
        office.reconcile(WORKED)
        return open_books(office)

    return make


def lines(books: Books, *customers: str, override: str | None = None) -> list[tuple[str, str, Decimal]]:
    """The kind, usage and quantity of every line of these customers' drafts."""
    drafts = [books.get(books.draft(customer, override=override)) for customer in customers]
    return [(it["kind"], it["usage"], Decimal(it["quantity"])) for draft in drafts for it in draft["lines"]]


def quantities(books: Books, *customers: str) -> dict[str, Decimal]:
    """The minutes of these customers' drafts, by tier."""
    total = Counter[Any]()
    for _, usage, quantity in lines(books, *customers):
        total[usage] += quantity
    return dict(total)


def test_each_pays_for_its_own_sessions(open_shared: Callable[..., Books]) -> None:
    books = open_shared()
    books.rule((f"{ALL}B", books.bob), (f"{ALL}C", books.bob), (f"{ALL}A", books.ada))
    assert lines(books, books.bob) == [("usage", LOW, Decimal("40.00")), ("usage", HIGH, Decimal("30.00"))]
    assert lines(books, books.ada) == [
        ("usage", LOW, Decimal("30.00")),
        ("unowned", LOW, Decimal("140.00")),
        ("usage", HIGH, Decimal("15.00")),
        ("unowned", HIGH, Decimal("30.00")),
    ]


def test_the_drafts_of_all_customers_add_up_to_the_project(open_shared: Callable[..., Books]) -> None:
    books = open_shared()
    books.rule(*((f"{ALL}{name}", books.bob) for name in "ABCE"))
    assert quantities(books, books.ada, books.bob) == {LOW: Decimal("210.00"), HIGH: Decimal("75.00")}


def test_what_the_levels_differ_by_is_a_line_of_its_own_for_the_owner(open_shared: Callable[..., Books]) -> None:
    books = open_shared(
        {"kind": "project_day_adjusted", "project_id": "100", "day": "2026-10-31", "tier": LOW, "minutes": 12.5},
        {"kind": "project_day_adjusted", "project_id": "100", "day": "2026-11-01", "tier": HIGH, "minutes": -4},
    )
    books.rule((f"{ALL}*", books.bob))
    with pytest.raises(NotInvoiceable):
        books.draft(books.bob)
    reason = "agreed"
    assert lines(books, books.bob, override=reason) == [("usage", LOW, Decimal("210.00")), ("usage", HIGH, Decimal("75.00"))]
    assert lines(books, books.ada, override=reason) == [
        ("level_difference", LOW, Decimal("12.50")),
        ("level_difference", HIGH, Decimal("-4.00")),
    ]


def test_by_the_meeting_level_there_is_no_difference_to_pay(open_shared: Callable[..., Books]) -> None:
    books = open_shared(
        {"kind": "project_day_adjusted", "project_id": "100", "day": "2026-10-31", "tier": LOW, "minutes": 12.5},
        basis="meeting_level",
    )
    books.rule((f"{ALL}*", books.bob))
    assert lines(books, books.ada, override="agreed") == []


def test_every_line_rests_on_readings_that_the_report_lists(open_shared: Callable[..., Books]) -> None:
    books = open_shared()
    books.rule((f"{ALL}B", books.bob))
    listed = {it["id"]: it["kind"] for it in json.loads(books.office.reconcile(WORKED).body)["observations"]}
    for customer in (books.ada, books.bob):
        for line in books.get(books.draft(customer))["lines"]:
            assert {listed[it] for it in line["observations"]} == {"meetings"}
    assert verify_all(books.engine) == []


def test_a_shared_project_without_an_owner_is_refused(open_shared: Callable[..., Books]) -> None:
    books = open_shared()
    books.rule((f"{ALL}B", books.bob))
    books.own(None)
    with pytest.raises(Conflict, match="shared by session but belongs to nobody"):
        books.draft(books.bob)


def test_a_session_that_two_claim_is_refused(open_shared: Callable[..., Books]) -> None:
    books = open_shared()
    books.rule((f"{ALL}*", books.bob), ("*-A", books.ada))
    for customer in (books.ada, books.bob):
        with pytest.raises(Conflict, match=f"session {ALL}A of project 100 is claimed by rules of two customers"):
            books.draft(customer)


def test_a_project_without_meetings_is_not_shared(open_shared: Callable[..., Books]) -> None:
    books = open_shared(cross_check=False)
    books.rule((f"{ALL}*", books.bob))
    with pytest.raises(Conflict, match="holds no meetings to split it by"):
        books.draft(books.bob)


def test_a_listed_session_counts_like_a_rule(open_shared: Callable[..., Books]) -> None:
    books = open_shared()
    with transaction(books.engine) as session:
        owners = [(f"{ALL}B", books.bob), ("1_MX4xMDB-never-seen", books.bob)]
        ownership.import_sessions(session, "100", owners, replace=True, actor="cli", now=books.now)
    assert quantities(books, books.ada, books.bob) == {LOW: Decimal("210.00"), HIGH: Decimal("75.00")}


def test_usage_of_another_kind_is_invoiced_and_of_a_shared_project_it_is_the_owners(worked_with: Callable[..., Office]) -> None:
    """No session is known for it, so nobody else can have used it."""
    office = worked_with(usage={"2026-10-31": {"sipUserMinutes": "1000", "hlsMinutes": "20"}})
    office.collect(WORKED)
    office.reconcile(WORKED)
    books = open_books(office)
    alone = lines(books, books.ada)
    assert ("usage", "sipUserMinutes", Decimal("1000.00")) in alone
    assert {usage for _, usage, _ in alone} == {LOW, HIGH, "sipUserMinutes"}, "what the card does not price costs nothing"
    books.do(flow.void, books.draft(), reason="a test")
    books.rule((f"{ALL}*", books.bob))
    assert lines(books, books.ada) == [("unowned", "sipUserMinutes", Decimal("1000.00"))]
    assert books.get(books.draft())["subtotal"] == "5.00"
    assert {usage for _, usage, _ in lines(books, books.bob)} == {LOW, HIGH}
