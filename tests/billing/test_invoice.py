"""Invoices: their sums, what may not be invoiced, the hash, and which status may follow which."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import invoice
from billing.errors import InvalidTransition, NotInvoiceable
from billing.invoice import INVOICEABLE, TRANSITIONS, Envelope, Kind, Override, Status
from billing.model import Verdict
from billing.pricing import price
from tests import samples
from tests.billing.documents import amounts, check_sums, priced_periods


@given(priced_periods())
def test_each_sum_is_that_of_its_lines(priced):
    document = samples.invoiced(priced)
    check_sums(document)
    assert Decimal(document["total"]) == priced.total


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_the_samples_add_up(name):
    check_sums(samples.SAMPLES[name]())


@pytest.mark.parametrize(("name", "total"), [("plain", "118.24"), ("japanese", "917926"), ("kuwaiti", "166.376")])
def test_money_has_the_decimals_of_its_currency(name, total):
    document = samples.SAMPLES[name]()
    assert document["total"] == total
    decimals = {len(amount.partition(".")[2]) for amount in amounts(document)}
    assert decimals == {len(total.partition(".")[2])}


def test_a_line_says_what_it_is_about_and_what_it_rests_on():
    line = samples.rich()["lines"][1]
    assert line == {
        "position": 2,
        "kind": "usage",
        "project_id": "100",
        "project_name": "Acme classrooms",
        "usage": "from3To6Publishers",
        "text": "Participant minutes, 3-6 publishing",
        "first_day": "2026-10-01",
        "last_day": "2026-10-31",
        "quantity": "10000.00",
        "allowance_used": "0.00",
        "units": "10000.00",
        "unit": "minute",
        "model": "graduated",
        "bracket": {"from": "0", "up_to": "10000"},
        "unit_price": "0.0045",
        "amount": "45.00",
        "tax": "DE VAT",
        "rate_card": {"id": "rc_standard", "version": 1, "name": "Standard EUR"},
        "report_id": "rpt_100",
        "observations": ["obs_100_2026-10-01", "obs_100_2026-10-02"],
        "corrects_position": None,
    }


@given(priced_periods(), st.text(max_size=20))
def test_the_hash_is_of_the_core_alone(priced, notes):
    core = invoice.draft(
        samples.CUSTOMER | {"currency": priced.currency.code}, samples.ENTITY, samples.OCTOBER, priced, [], notes=notes
    )
    drafted = invoice.document(core, Envelope("inv_1", None, Status.DRAFT, 1))
    again = invoice.document(invoice.core_of(json.loads(drafted)), Envelope("inv_1", "A-1", Status.FINALIZED, 3))
    assert json.loads(drafted)["sha256"] == json.loads(again)["sha256"] == invoice.digest(core)
    by_hand = {key: value for key, value in json.loads(drafted).items() if key not in invoice.ENVELOPE}
    encoded = json.dumps(by_hand, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert sha256(encoded).hexdigest() == invoice.digest(core)


def test_an_invoice_is_due_after_its_terms_and_a_credit_never():
    assert samples.plain()["issued_on"] == "2026-11-03"
    assert samples.plain()["due_on"] == "2026-12-03"
    assert samples.debit_note()["due_on"] == "2026-12-03"
    assert samples.credit_note()["due_on"] is None


def test_issuing_touches_nothing_but_the_dates():
    core = invoice.core_of(samples.draft())
    dated = invoice.finalize(core, date(2026, 12, 31))
    assert dated == core | {"issued_on": "2026-12-31", "due_on": "2027-01-30"}
    assert core["issued_on"] is None


@pytest.mark.parametrize("verdict", Verdict)
def test_a_doubtful_verdict_needs_an_override(verdict):
    priced = price([samples.usage(samples.PLAN[0], 100)], samples.card(), samples.OCTOBER)
    reports = [samples.report(), replace(samples.report("200"), verdict=verdict)]
    override = Override("The vendor confirmed it.", "ada", datetime(2026, 11, 3, 8, tzinfo=UTC))
    if verdict in INVOICEABLE:
        assert samples.invoiced(priced, *reports)["override"] is None
    else:
        with pytest.raises(NotInvoiceable, match=f"rpt_200 of project 200 is {verdict}") as refused:
            samples.invoiced(priced, *reports)
        assert refused.value.pointer == "/override"
        told = samples.invoiced(priced, *reports, override=override)["override"]
        assert told == {"reason": "The vendor confirmed it.", "by": "ada", "at": "2026-11-03T08:00:00Z"}


def test_a_rate_card_in_another_currency_is_refused():
    priced = price([], samples.card(currency="JPY"), samples.OCTOBER)
    with pytest.raises(NotInvoiceable, match="in JPY, but this is invoiced in EUR"):
        samples.invoiced(priced, customer={"currency": "EUR"})


def test_one_name_cannot_stand_for_two_tax_rates():
    """Lines name their rate: with two of one name nobody could say what is in a line."""
    old = samples.card().versions[0]
    assert old.tax is not None
    new = replace(old, version=2, effective_from=date(2026, 10, 16), tax=replace(old.tax, percent=Decimal(16)))
    usages = [samples.usage(samples.PLAN[0], *[100] * 31)]
    with pytest.raises(NotInvoiceable, match="Two tax rates of one document are called 'DE VAT'"):
        samples.invoiced(price(usages, samples.CardHistory([old, new]), samples.OCTOBER))


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("to", Status)
def test_only_what_may_follow_follows(status, to):
    legal = {
        "draft": {"approved", "void"},
        "approved": {"draft", "finalized", "void"},
        "finalized": {"credited", "void"},
        "void": set(),
        "credited": set(),
    }
    assert set(TRANSITIONS) == set(Status)
    if to in legal[status]:
        assert invoice.move(status, to) is to
    else:
        with pytest.raises(InvalidTransition, match=f"It is {status}"):
            invoice.move(status, to)


def test_what_a_note_corrects_is_not_voided():
    with pytest.raises(InvalidTransition, match="note"):
        invoice.move(Status.FINALIZED, Status.VOID, corrected=True)
    assert invoice.move(Status.FINALIZED, Status.CREDITED, corrected=True) is Status.CREDITED


def test_every_kind_of_usage_has_words():
    from billing.facts import USAGE_KINDS

    assert [kind for kind in USAGE_KINDS if invoice.describe(kind) == kind] == []
    assert {Kind.INVOICE, Kind.CREDIT_NOTE, Kind.DEBIT_NOTE} == set(Kind)
