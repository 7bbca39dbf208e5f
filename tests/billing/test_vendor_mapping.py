"""A vendor's file becomes an invoice without a guess: every number comes back as it was written, all else is refused."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import BillingError, InvalidVendorInvoice
from billing.vendor import Kind, core, parse
from billing.vendor_mapping import NEGATIVES, Numbers, VendorMapping

COLUMNS = {"usage": "Product", "quantity": "Minutes", "amount": "Charge", "kind": "Type", "text": "Note"}
PRODUCT = "from1To2Publishers"
GIVEN = {"vendor": "v", "number": "1", "currency": "USD", "period": {"month": "2026-10"}}
SIGNS = {"minus": "-{}", "trailing_minus": "{}-", "parentheses": "({})"}

formats = st.builds(
    Numbers,
    decimal=st.just(","),
    thousands=st.sampled_from(["", ".", " ", "'"]),
    negative=st.sampled_from(NEGATIVES),
    symbol=st.sampled_from(["", "$", "EUR"]),
)


def written(value: Decimal, numbers: Numbers) -> str:
    """The number as the vendor writes it."""
    whole, _, part = format(abs(value), "f").partition(".")
    grouped = f"{int(whole):,}".replace(",", numbers.thousands)
    text = grouped + (numbers.decimal + part if part else "")
    text = SIGNS[numbers.negative].format(text) if value.is_signed() else text
    return f"{numbers.symbol}{text}" if value.is_signed() else f"{text} {numbers.symbol}".strip()


@given(value=st.decimals(-(10**12), 10**12, places=4), numbers=formats)
def test_a_number_comes_back_as_it_was_written(value: Decimal, numbers: Numbers) -> None:
    assert Decimal(numbers.plain(written(value, numbers))) == value


@given(text=st.text(alphabet="0123456789.,-+()$ eE€x", max_size=12), numbers=formats)
def test_what_is_no_number_is_none_and_never_nought(text: str, numbers: Numbers) -> None:
    plain = numbers.plain(text)
    if plain is not None:
        digits = "".join(character for character in text if character.isdigit())
        assert digits
        assert Decimal(plain).copy_abs() == Decimal(digits).scaleb(-len(plain.partition(".")[2]))


@pytest.mark.parametrize("text", ["", "-", "1,2,3", "12.34", "1.23,4", "1e3", "NaN", "½", "١٢", "1,", ",5", "$$1", "1 2"])
def test_near_numbers_are_none(text: str) -> None:
    assert Numbers(decimal=",", thousands=".", symbol="$").plain(text) is None


@given(
    st.lists(
        st.tuples(st.decimals(0, 10**6, places=2), st.decimals(-(10**6), 10**6, places=2), st.text("ab\";,\n'|é", max_size=8)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.booleans(),
)
def test_every_row_is_read_and_none_twice(rows: list[tuple[Decimal, Decimal, str]], delimiter: str, mark: bool) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS.values())
    writer.writerows((PRODUCT, f"{quantity:f}", f"{amount:f}", "usage", note) for quantity, amount, note in rows)
    mapping = VendorMapping(columns=COLUMNS, delimiter=delimiter)
    invoice = mapping.read(("\ufeff" if mark else "") + out.getvalue(), GIVEN).invoice()
    assert [(line.quantity, line.amount, line.text) for line in invoice.lines] == [
        (quantity, amount, " ".join(note.split())) for quantity, amount, note in rows
    ]
    assert [line.line for line in invoice.lines] == list(range(2, len(rows) + 2))
    assert parse(json.loads(core(invoice))) == invoice, "and its own JSON reads back to the same"


def read(content: str, given: dict[str, Any] | None = None, **mapping: Any) -> Any:
    return VendorMapping(**{"columns": COLUMNS} | mapping).read(content, GIVEN | (given or {})).invoice()


def test_json_rows_keep_their_numbers_digit_by_digit() -> None:
    content = '{"data": {"rows": [{"Product": "hlsMinutes", "Minutes": 10.10, "Charge": 0.1000000000001e0, "Type": "usage"}]}}'
    with pytest.raises(InvalidVendorInvoice, match=r"row 1, column 'Charge': '0\.1000000000001e0'"):
        read(content, format="json", rows="/data/rows")
    invoice = read(content.replace("0.1000000000001e0", "0.10"), format="json", rows="/data/rows")
    assert (str(invoice.lines[0].quantity), str(invoice.lines[0].amount)) == ("10.10", "0.10")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[1]", "row 1 is no object"),
        ("{}", "no array"),
        ("[", "no JSON"),
        ('[{"Product": "hlsMinutes", "Minutes": true, "Charge": "1"}]', "row 1, column 'Minutes'"),
        ("[]", "0 lines"),
    ],
)
def test_other_json_is_refused(content: str, why: str) -> None:
    with pytest.raises(InvalidVendorInvoice, match=why):
        read(content, format="json")


HEADER = "Product,Minutes,Charge,Type,Note\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no header"),
        ("Product,Minutes,Charge,Type\n", "no column 'Note'"),
        ("Product,Minutes,Charge,Type,Note,Note\n", "more than one column 'Note'"),
        (HEADER, "0 lines"),
        (HEADER + f"{PRODUCT},1,1,usage,{'x' * 2001}\n", "row 2, column 'Note'"),
        (HEADER + f"{PRODUCT},1,1,usage,\x01\n", "row 2, column 'Note'"),
        (HEADER + f"{PRODUCT},1,1,usage,a,b\n", "row 2 has 6 cells"),
        (HEADER + f'{PRODUCT},1,1,usage,"a"b\n', "row 2 is no CSV"),
        (HEADER + f"{PRODUCT},,1,usage,\n", "row 2, column 'Minutes': a line of kind 'usage' needs its minutes"),
        (HEADER + f"{PRODUCT},1,1,usage,\n,,2,total,\n,,3,total,\n", "row 4 says another total"),
        (HEADER + f"{PRODUCT},1,{'9' * 16},usage,\n", "row 2, column 'Charge'"),
    ],
)
def test_other_csv_is_refused(content: str, why: str) -> None:
    with pytest.raises(InvalidVendorInvoice, match=why):
        read(content)


def test_what_the_file_says_and_what_is_given_must_agree() -> None:
    columns = COLUMNS | {"number": "No", "currency": "Cur", "first_day": "From", "last_day": "To"}
    content = "Product,Minutes,Charge,Type,Note,No,Cur,From,To\n" + "".join(
        f"{PRODUCT},1,1,usage,,7,USD,{day}/10/2026,{day}/10/2026\n" for day in ("03", "02", "09")
    )
    mapping = VendorMapping(columns=columns, dates="DD/MM/YYYY")
    invoice = mapping.read(content, {"vendor": "v"}).invoice()
    assert (invoice.number, invoice.currency.code) == ("7", "USD")
    assert (str(invoice.period.first_day), str(invoice.period.last_day)) == ("2026-10-02", "2026-10-09")
    assert len(mapping.read(content, {"vendor": "v", "period": {"month": "2026-10"}}).invoice().period) == 31
    for other in ({"number": "8"}, {"currency": "EUR"}, {"period": {"month": "2026-11"}}):
        with pytest.raises(BillingError):
            mapping.read(content, {"vendor": "v"} | other).invoice()
    with pytest.raises(InvalidVendorInvoice, match="the invoice's number is not known"):
        read(HEADER + f"{PRODUCT},1,1,usage,\n", {"number": None})


def test_credits_without_a_sign() -> None:
    content = HEADER + f"{PRODUCT},1,5,usage,\n,,2,credit,\n"
    with pytest.raises(InvalidVendorInvoice, match="row 3, column 'Charge': a credit that adds"):
        read(content)
    invoice = read(content, positive_credits=True)
    assert [line.amount for line in invoice.of(Kind.CREDIT)] == [-2]
    assert invoice.total == 3


def test_more_rows_than_others_take() -> None:
    invoice = read(HEADER + f"{PRODUCT},0.01,0.001,usage,\n" * 50_000)
    assert (len(invoice.lines), invoice.total) == (50_000, 50)
    with pytest.raises(InvalidVendorInvoice, match="50001 lines"):
        read(HEADER + f"{PRODUCT},0.01,0.001,usage,\n" * 50_001)
