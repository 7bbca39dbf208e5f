"""Invoicing the worked period: from its report to a finalized document, and all that may not happen on the way."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlmodel import select

from app.db import transaction
from app.errors import Conflict, FourEyes, InvalidRequest, NotFound, StaleVersion
from app.flows import invoice as flow
from app.flows.verify import verify_all
from app.store import audit, customers, invoices, rate_cards
from app.store.money_tables import AuditEntry, Invoice
from billing.errors import InvalidTransition, NoRateCard, NotInvoiceable
from tests.app.flows.books import CARD, PERIOD, WORKED, Books, open_books
from tests.app.flows.conftest import Office


@pytest.fixture
def books(worked: Office) -> Books:
    worked.collect(WORKED)
    return open_books(worked)


@pytest.fixture
def reconciled(books: Books) -> Books:
    books.office.reconcile(WORKED)
    return books


def log(books: Books) -> list[tuple[str, str, str]]:
    with transaction(books.engine, read_only=True) as session:
        return [(it.action, it.actor, it.subject) for it in session.exec(select(AuditEntry).order_by(AuditEntry.seq))]


def test_the_worked_period_is_invoiced_from_draft_to_final(reconciled: Books) -> None:
    books = reconciled
    draft = books.draft()
    before = books.get(draft)
    assert [(it["usage"], it["quantity"], it["amount"]) for it in before["lines"]] == [
        ("from1To2Publishers", "210.00", "2.10"),
        ("from3To6Publishers", "75.00", "0.75"),
    ]
    assert (before["subtotal"], before["tax"], before["total"]) == ("2.85", "0.54", "3.39")
    issued = books.issue(draft)
    after = books.get(issued)
    assert {key: (before[key], after[key]) for key in before if before[key] != after[key]} == {
        "number": (None, "ACME-2026-00001"),
        "status": ("draft", "finalized"),
        "version": (1, 3),
        "issued_on": (None, "2026-11-06"),
        "due_on": (None, "2026-12-06"),
        "sha256": (draft.sha256, issued.sha256),
    }
    assert log(books)[-3:] == [
        ("invoice.drafted", "maker", draft.id),
        ("invoice.approved", "checker", draft.id),
        ("invoice.finalized", "checker", draft.id),
    ]
    assert verify_all(books.engine) == []


def test_each_line_names_the_report_and_the_readings_it_rests_on(reconciled: Books) -> None:
    document = reconciled.get(reconciled.draft())
    (report,) = document["reports"]
    assert document["report_ids"] == [report["id"]]
    assert {line["report_id"] for line in document["lines"]} == {report["id"]}
    assert all(len(line["observations"]) == len(PERIOD) for line in document["lines"])


def test_a_draft_needs_the_report_of_exactly_its_period(books: Books) -> None:
    books.office.reconcile("2026-10-31..2026-10-31")
    with pytest.raises(Conflict, match="no report of exactly 2026-10-31 to 2026-11-01 for project 100: reconcile it first"):
        books.draft()


def test_whoever_owns_nothing_is_not_invoiced(reconciled: Books) -> None:
    with pytest.raises(Conflict, match="owns no project"):
        reconciled.draft(reconciled.bob)
    with pytest.raises(NotFound):
        reconciled.draft("cus_unknown")


def test_a_doubtful_report_needs_an_override_that_says_why(worked: Office) -> None:
    books = open_books(worked)
    report = worked.reconcile(WORKED)
    with pytest.raises(NotInvoiceable, match=f"{report.id} of project 100 is incomplete"):
        books.draft()
    with pytest.raises(InvalidRequest, match="says why"):
        books.draft(override=" ")
    draft = books.draft(override="agreed with Ada", actor="key_1")
    override = books.get(draft)["override"]
    assert (override["reason"], override["by"]) == ("agreed with Ada", "key_1")
    assert log(books)[-2:] == [("invoice.drafted", "key_1", draft.id), ("invoice.overridden", "key_1", draft.id)]
    with transaction(books.engine, read_only=True) as session:
        entry = audit.list_page(session, subject=draft.id, limit=1).items[0]
        assert entry.detail == {"reason": "agreed with Ada", "verdicts": {report.id: "incomplete"}}


def test_an_override_that_is_not_needed_is_not_kept(reconciled: Books) -> None:
    assert reconciled.get(reconciled.draft(override="just in case"))["override"] is None


def test_two_drafts_at_once_are_one(reconciled: Books) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = {it.id for it in pool.map(lambda _: reconciled.draft(), range(6))}
    assert len(ids) == 1
    with transaction(reconciled.engine, read_only=True) as session:
        assert len(session.exec(select(Invoice)).all()) == 1


def test_no_day_is_invoiced_twice(reconciled: Books) -> None:
    draft = reconciled.draft()
    with pytest.raises(Conflict, match=f"has the invoice {draft.id} of 2026-10-31 to 2026-11-01 already, which is draft"):
        reconciled.draft(notes="another")
    issued = reconciled.issue(draft)
    with pytest.raises(Conflict, match=r"ACME-2026-00001 .* which is finalized"):
        reconciled.draft()
    reconciled.do(flow.void, issued, reason="wrong customer")
    assert reconciled.draft().id != draft.id


def test_whoever_made_it_may_not_approve_it_where_four_eyes_are_asked_for(worked: Office) -> None:
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    books = open_books(worked, four_eyes=True)
    draft = books.draft(actor="key_1")
    with pytest.raises(FourEyes, match="whoever made"):
        books.do(flow.approve, draft, actor="key_1")
    approved = books.do(flow.approve, draft, actor="key_2")
    assert (approved.status, approved.approved_by) == ("approved", "key_2")


def test_without_four_eyes_one_person_may_do_it(reconciled: Books) -> None:
    assert reconciled.do(flow.approve, reconciled.draft(), actor="maker").status == "approved"


def test_no_step_is_left_out_and_none_done_twice(reconciled: Books) -> None:
    draft = reconciled.draft()
    with pytest.raises(InvalidTransition):
        reconciled.do(flow.finalize, draft)
    issued = reconciled.issue(draft)
    for step in (flow.approve, flow.finalize, flow.redraft):
        with pytest.raises(InvalidTransition):
            reconciled.do(step, issued)


def test_a_stale_step_is_refused(reconciled: Books) -> None:
    draft = reconciled.draft()
    reconciled.do(flow.approve, draft)
    stale = reconciled.draft  # the draft is approved by now
    with pytest.raises(Conflict):
        stale()
    for step, more in ((flow.approve, {}), (flow.redraft, {}), (flow.void, {"reason": "late"}), (flow.finalize, {})):
        with pytest.raises(StaleVersion), transaction(reconciled.engine) as session:
            step(session, draft.id, actor="late", now=reconciled.now, expected_version=1, **more)


def test_a_draft_is_made_again_from_the_newest_report(worked_with: Any) -> None:
    fault = {
        "kind": "restated", "project_id": "100", "day": "2026-10-31", "tier": "from1To2Publishers", "minutes": 50,
        "at": "2026-11-20T00:00:00Z",
    }  # fmt: skip
    office = worked_with([fault])
    office.collect(WORKED)
    office.reconcile(WORKED)
    books = open_books(office)
    approved = books.do(flow.approve, books.draft(notes="Thank you"))
    same = books.do(flow.redraft, approved, actor="other")
    assert (same.version, same.status) == (approved.version, "approved"), "nothing changed"
    office.at("2026-11-21T20:00:00Z")
    office.collect(WORKED)
    report = office.reconcile(WORKED)
    again = books.do(flow.redraft, approved, actor="other")
    document = books.get(again)
    assert (again.status, again.version, again.created_by, again.approved_by) == ("draft", 3, "other", None)
    assert document["report_ids"] == [report.id]
    assert document["subtotal"] == "3.35"
    assert document["notes"] == "Thank you"


def test_a_void_invoice_keeps_its_number_and_says_why_in_the_log(reconciled: Books) -> None:
    issued = reconciled.issue(reconciled.draft())
    with pytest.raises(InvalidRequest, match="says why"):
        reconciled.do(flow.void, issued, reason="")
    voided = reconciled.do(flow.void, issued, reason="wrong customer")
    again = reconciled.issue(reconciled.draft())
    assert (voided.number, again.number) == ("ACME-2026-00001", "ACME-2026-00002")
    with transaction(reconciled.engine, read_only=True) as session:
        (entry,) = audit.list_page(session, action="invoice.voided", limit=9).items
        assert entry.detail["reason"] == "wrong customer"
    assert verify_all(reconciled.engine) == []


def test_an_e_invoice_that_does_not_validate_is_not_issued_and_leaves_no_gap(worked: Office) -> None:
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    books = open_books(worked, formats=["pdf", "facturx"])
    approved = books.do(flow.approve, books.draft())
    with transaction(books.engine) as session:
        broken = invoices.core_of(invoices.lock(session, approved.id))
        broken["customer"]["name"] = ""
        approved = invoices.change(session, approved, now=books.now, core=broken)
    with pytest.raises(Conflict, match=r"does not validate, so it is not issued\. BR-07: the buyer's name is missing"):
        books.do(flow.finalize, approved)
    books.do(flow.void, approved, reason="no name")
    assert books.issue(books.draft()).number == "ACME-2026-00001"


def test_a_rate_card_is_the_customers_or_that_of_its_projects(reconciled: Books) -> None:
    with transaction(reconciled.engine) as session:
        customers.update(session, reconciled.ada, expected_version=1, actor="cli", now=reconciled.now, rate_card_id=None)
    with pytest.raises(Conflict, match="has no rate card of its own"):
        reconciled.draft()


def test_a_day_without_a_price_is_not_invoiced(reconciled: Books) -> None:
    late = {**CARD, "id": "rc_late", "effective_from": "2026-11-01"}
    with transaction(reconciled.engine) as session:
        rate_cards.publish(session, late, reconciled.now, actor="cli")
        customers.update(session, reconciled.ada, expected_version=1, actor="cli", now=reconciled.now, rate_card_id="rc_late")
    with pytest.raises(NoRateCard, match="2026-10-31"):
        reconciled.draft()
