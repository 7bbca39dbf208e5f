"""Credit and debit notes: an invoice less its full credits is zero however split, and a restatement makes up the difference."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.errors import InvalidNote, NotInvoiceable
from billing.invoice import Override
from billing.money import Currency
from billing.notes import CreditLine, credit, left, restate, settled
from billing.pricing import price
from tests import samples
from tests.billing.documents import check_sums, owed, priced_periods, restated_periods

WHY = "Agreed by phone."


def issue(core, notes):
    """A note's document, as it stands beside the invoice."""
    return samples.issued(core, f"N-{len(notes)}", f"inv_n{len(notes)}")


def lines_by_place(*documents):
    return {line["corrects_position"] or line["position"]: line for it in documents for line in it["lines"]}


class Expected(Exception):
    """A refusal that a drawn example may well meet."""


def refusing(make, *arguments):
    """Make a note. Raises Expected where lines of both signs or nothing at all were drawn, or too much is credited already."""
    try:
        return make(*arguments)
    except InvalidNote as refused:
        if any(words in refused.message for words in ("credit nothing", "These lines come to", "credited already")):
            raise Expected from refused
        raise


def credit_partly(data, invoice, notes):
    """Credit a part of some lines and of the commitment; what is refused because of lines of both signs is left out."""
    currency = Currency.of(invoice["currency"])
    rest = owed(invoice, *notes)
    wanted = []
    for place in lines_by_place(invoice, *notes):
        amount = rest.get(("line", place), Decimal(0))
        part = data.draw(st.integers(0, 4))
        if part:
            wanted.append(CreditLine(place, None if part == 4 else currency.round(amount * part / 4, "down")))
    commitment = data.draw(st.sampled_from([None, currency.round(rest.get("commitment", Decimal(0)) / 2, "down")]))
    with suppress(Expected):
        notes.append(issue(refusing(credit, invoice, notes, wanted, commitment, WHY), notes))


@given(priced_periods(), st.data())
def test_an_invoice_less_its_full_credits_is_zero_however_split(priced, data):
    invoice = samples.invoiced(priced)
    assume(owed(invoice))
    notes = []
    for _ in range(data.draw(st.integers(0, 4))):
        before = owed(invoice, *notes)
        credit_partly(data, invoice, notes)
        after = owed(invoice, *notes)
        for key in before.keys() | after.keys():
            if key[0] == "line" or key in ("commitment", "total"):
                was, now = before.get(key, 0), after.get(key, 0)
                assert min(was, 0) <= now <= max(was, 0), key
    if owed(invoice, *notes):
        assert not settled(invoice, notes)
        notes.append(issue(credit(invoice, notes, None, None, WHY), notes))
    assert owed(invoice, *notes) == {}
    assert left(invoice, notes) == 0
    assert settled(invoice, notes)
    for note in notes:
        check_sums(note)
    with pytest.raises(InvalidNote, match="nothing"):
        credit(invoice, notes, None, None, WHY)


@given(restated_periods(), st.data())
def test_a_restatement_makes_of_the_invoice_what_it_should_have_been(periods, data):
    first, *later = periods
    invoice, notes, credits_ = samples.invoiced(first), [], []
    for number, priced in enumerate(later, 2):
        if data.draw(st.booleans()):
            count = len(notes)
            credit_partly(data, invoice, notes)
            credits_ += notes[count:]
        try:
            core = refusing(restate, invoice, notes, priced, [samples.report(version=number)], WHY)
        except Expected:
            assert credits_
            continue
        if core is not None:
            notes.append(issue(core, notes))
            check_sums(notes[-1])
            assert Decimal(notes[-1]["total"]) >= 0
            assert notes[-1]["reports"][0]["version"] == number
        restated = owed(invoice, *(it for it in notes if it not in credits_))
        should_be = samples.invoiced(priced)
        sums = [key for key in restated.keys() | owed(should_be).keys() if key[0] != "line"]
        assert {key: restated.get(key) for key in sums} == {key: owed(should_be).get(key) for key in sums}
        assert restate(invoice, notes, priced, [], WHY) is None
    if owed(invoice, *notes):
        notes.append(issue(credit(invoice, notes, None, None, WHY), notes))
    assert owed(invoice, *notes) == {}


@given(restated_periods(times=2))
def test_a_restatement_makes_up_the_difference_line_by_line(periods):
    invoice, should_be = map(samples.invoiced, periods)
    core = restate(invoice, [], periods[1], [], WHY)
    notes = [] if core is None else [issue(core, [])]

    def by_line(*documents):
        about, total = {}, {}
        for document in documents:
            sign = -1 if document["kind"] == "credit_note" else 1
            for line in document["lines"]:
                place = (line["corrects_position"] or line["position"]) if document is not should_be else -line["position"]
                told = ("kind", "project_id", "usage", "first_day", "model", "bracket", "unit_price")
                about.setdefault(place, str([line[key] for key in told]))
                for key in ("amount", "quantity", "units") if line["unit"] != "lump" else ("amount",):
                    total[about[place], key] = total.get((about[place], key), 0) + sign * Decimal(line[key])
        return {key: value for key, value in total.items() if value}

    told, wanted = by_line(invoice, *notes), by_line(should_be)
    if core is not None:
        assert told == wanted


def test_a_part_of_a_line_takes_its_part_of_the_discounts_and_of_the_tax():
    """Of 190.70 with 19.07 + 5.00 off; crediting 12.34 of it gives 1.23 and 0.32 back with it, then 19 % on 10.79."""
    note = credit(samples.rich(), [], [CreditLine(3, Decimal("12.34"))], None, WHY)
    assert [it["amount"] for it in note["discounts"]] == ["1.23", "0.32"]
    assert (note["subtotal"], note["taxes"][0]["base"], note["tax"], note["total"]) == ("12.34", "10.79", "2.05", "12.84")
    assert note["lines"][0]["unit"] == "lump"
    assert note["lines"][0]["corrects_position"] == 3
    assert note["corrects"] == {"id": "inv_1", "number": "RECK-2026-00001", "issued_on": "2026-11-03"}


def test_a_discount_given_back_in_many_small_parts_is_no_larger_or_smaller_than_in_one():
    """Cent by cent each part of the discount would round to nothing; it follows the sum of the parts instead."""
    invoice, notes = samples.rich(), []
    for _ in range(100):
        notes.append(issue(credit(invoice, notes, [CreditLine(2, Decimal("0.10"))], None, WHY), notes))
    at_once = credit(invoice, [], [CreditLine(2, Decimal("10.00"))], None, WHY)
    total = sum(Decimal(it["total"]) for it in notes)
    assert total == Decimal(at_once["total"])


def test_a_line_of_both_signs_needs_the_other_sign_with_it():
    """Of the line of 70.00 alone, with tax 83.30, only 84.04 less what the negative line takes is owed in the end."""
    invoice = samples.shared()
    negative = next(line for line in invoice["lines"] if line["amount"].startswith("-"))
    with pytest.raises(InvalidNote) as refused:
        credit(invoice, [], [CreditLine(negative["position"])], None, WHY)
    assert refused.value.pointer == "/lines"
    positive = [CreditLine(it["position"]) for it in invoice["lines"] if it is not negative]
    with pytest.raises(InvalidNote, match=r"84\.04 are left"):
        credit(invoice, [], positive, None, WHY)
    whole = credit(invoice, [], [*positive, CreditLine(negative["position"])], None, WHY)
    assert whole["total"] == invoice["total"]


@pytest.mark.parametrize(
    ("lines", "commitment", "pointer", "words"),
    [
        ([CreditLine(1), CreditLine(9)], None, "/lines/1/position", "no line 9"),
        ([CreditLine(0)], None, "/lines/0/position", "no line 0"),
        ([CreditLine(1), CreditLine(2), CreditLine(1)], None, "/lines/2/position", "Line 1 is named twice"),
        ([CreditLine(1), CreditLine(2, Decimal("45.01"))], None, "/lines/1/amount", "line 2, of which 45.00 are left"),
        ([CreditLine(2, Decimal(-1))], None, "/lines/0/amount", "line 2, of which 45.00 are left"),
        ([CreditLine(2, Decimal("0.001"))], None, "/lines/0/amount", "0.001 EUR cannot be credited"),
        ([CreditLine(2, Decimal("NaN"))], None, "/lines/0/amount", "NaN EUR cannot be credited"),
        ([], Decimal("333.38"), "/commitment", "true-up, of which 333.37 are left"),
        ([], None, "/lines", "credit nothing"),
        ([CreditLine(1, Decimal(0))], None, "/lines", "credit nothing"),
        (None, Decimal(0), "/lines", "credit nothing"),
    ],
)
def test_what_cannot_be_credited_is_refused_by_name(lines, commitment, pointer, words):
    with pytest.raises(InvalidNote, match=words) as refused:
        credit(samples.rich(), [], lines, commitment, WHY)
    assert refused.value.pointer == pointer
    assert refused.value.expected


def test_more_than_earlier_credits_left_is_refused():
    invoice = samples.rich()
    notes = [issue(credit(invoice, [], [CreditLine(2, Decimal("40.00"))], Decimal("333.37"), WHY), [])]
    with pytest.raises(InvalidNote, match=r"line 2, of which 5.00 are left"):
        credit(invoice, notes, [CreditLine(2, Decimal("5.01"))], None, WHY)
    with pytest.raises(InvalidNote, match=r"true-up, of which 0.00 are left"):
        credit(invoice, notes, None, Decimal("0.01"), WHY)
    assert credit(invoice, notes, [CreditLine(2)], None, WHY)["subtotal"] == "5.00"


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_note_says_why(reason):
    priced = price([], samples.card(), samples.OCTOBER)
    for make in (
        lambda: credit(samples.plain(), [], None, None, reason),
        lambda: restate(samples.plain(), [], priced, [], reason),
    ):
        with pytest.raises(InvalidNote) as refused:
            make()
        assert refused.value.pointer == "/reason"


def test_a_credited_line_is_not_restated_below_its_credit():
    invoice = samples.plain()
    notes = [issue(credit(invoice, [], [CreditLine(1)], None, WHY), [])]
    less = [samples.usage(samples.PLAN[0], 1_000), samples.usage(samples.PLAN[1], 8_000.25)]
    with pytest.raises(InvalidNote, match=r"Of line 1, 54\.10 EUR are credited already, and now it comes to 3\.50"):
        restate(invoice, notes, price(less, samples.card(), samples.OCTOBER), [], WHY)


def test_a_line_that_a_restatement_adds_can_be_credited():
    invoice, note = samples.plain(), samples.debit_note()
    added = note["lines"][-1]
    assert (added["corrects_position"], added["text"]) == (4, "Participant minutes, 36+ publishing")
    taken = credit(invoice, [note], [CreditLine(4)], None, WHY)
    assert [(it["amount"], it["quantity"]) for it in taken["lines"]] == [(added["amount"], added["quantity"])]
    everything = credit(invoice, [note], None, None, WHY)
    assert [it["corrects_position"] for it in everything["lines"]] == [1, 2, 3, 4]
    assert everything["lines"][0]["quantity"] == "15600.00"


def test_a_restatement_of_a_doubtful_report_needs_an_override():
    invoice = samples.plain()
    priced = price([samples.usage(samples.PLAN[0], 5)], samples.card(), samples.OCTOBER)
    reports = [samples.report(verdict="unexplained", version=2)]
    with pytest.raises(NotInvoiceable, match="rpt_100 of project 100 is unexplained"):
        restate(invoice, [], priced, reports, WHY)
    given_ = Override("Their word.", "ada", datetime(2026, 12, 1, tzinfo=UTC))
    core = restate(invoice, [], priced, reports, WHY, override=given_)
    assert core is not None
    assert core["override"]["by"] == "ada"


@pytest.mark.parametrize("currency", ["USD", "JPY"])
def test_a_restatement_stays_in_the_currency_of_its_invoice(currency):
    """The customer has got a rate card in another currency since: its amounts are no euros."""
    priced = price([samples.usage(samples.PLAN[0], 5)], samples.card(currency=currency), samples.OCTOBER)
    with pytest.raises(NotInvoiceable, match=f"in {currency}, but this is invoiced in EUR"):
        restate(samples.plain(), [], priced, [], WHY)


def test_a_tax_that_changes_under_the_same_name_is_refused():
    invoice = samples.plain()
    cards = samples.card(tax={"name": "DE VAT", "percent": "16", "category": "S"})
    again = replace(cards.versions[0], version=2, effective_from=date(2026, 10, 1))
    priced = price([samples.usage(samples.PLAN[0], 5)], samples.CardHistory([again]), samples.OCTOBER)
    with pytest.raises(NotInvoiceable, match="Two tax rates"):
        restate(invoice, [], priced, [], WHY)


def test_what_is_left_of_a_line_is_a_lump_of_money_and_not_its_minutes_again():
    invoice = samples.plain()
    whole = credit(invoice, [], [CreditLine(1)], None, WHY)["lines"][0]
    assert (whole["unit"], whole["quantity"]) == ("minute", invoice["lines"][0]["quantity"])
    notes = [issue(credit(invoice, [], [CreditLine(1, Decimal("1.00"))], None, WHY), [])]
    rest = credit(invoice, notes, [CreditLine(1)], None, WHY)["lines"][0]
    assert [(it["unit"], it["quantity"]) for it in (notes[0]["lines"][0], rest)] == [("lump", "1"), ("lump", "1")]
