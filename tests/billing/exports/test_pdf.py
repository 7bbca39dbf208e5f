"""The PDFs: what they say, that the same document is the same file, and that no text from outside is more than text."""

import copy
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.errors import TooLargeToPrint
from billing.exports import pdf
from tests import samples

EXAMPLES = Path(__file__).parents[3] / "app" / "api" / "examples.json"
MARKUP = '#panic("x") *bold* _slanted_ <label> $x$ @reference `raw` // gone /* gone */ #sys.inputs.document = Head \\'


def pages(body: bytes) -> list[str]:
    """What each page says, without its white space: where a line breaks is no matter of these tests."""
    return [re.sub(r"\s+", "", page.extract_text()) for page in pypdf.PdfReader(io.BytesIO(body)).pages]


def bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def said(body: bytes) -> str:
    return "".join(pages(body))


def figure(value: str) -> str:
    """A money or minutes text as people read it."""
    whole, _, rest = value.removeprefix("-").partition(".")
    return ("−" if value.startswith("-") else "") + f"{int(whole):,}" + (f".{rest}" if rest else "")


def worked_report(**changes: Any) -> dict[str, Any]:
    """The worked period's report, as the API's examples have it."""
    report = json.loads(EXAMPLES.read_text())["get_report"]["answers"]["200"]
    return {**report, **changes}


def dispute(**changes: Any) -> dict[str, Any]:
    claim = {
        "rows": [1, 4],
        "usage": samples.PLAN[0],
        "label": "1-2 publishers",
        "project_id": "100",
        "billed_quantity": "101000.00",
        "our_quantity": "90012.50",
        "unit": "minute",
        "billed_unit_price": "0.00395",
        "our_unit_price": "0.00395",
        "billed_amount": "398.95",
        "our_amount": "355.55",
        "amount": "43.40",
        "reason": "inaccurate volume",
        "detail": "The vendor bills 10,987.50 minutes more than the project level has.",
    }
    credit = {**claim, "rows": [], "usage": "", "label": "Credit", "project_id": None, "amount": "-12.00", "reason": "other"}
    nothing = dict.fromkeys(("billed_quantity", "our_quantity", "unit", "billed_unit_price", "our_unit_price"))
    plain = samples.plain()
    return {
        "date": "2026-11-05",
        "subject": "Dispute of invoice INV-2026-10",
        "sender": plain["entity"],
        "recipient": "Vonage",
        "vendor": "vonage",
        "number": "INV-2026-10",
        "accounts": ["100", "200"],
        "currency": "USD",
        "period": plain["period"],
        "reason": "inaccurate volume",
        "billed": "12345.60",
        "ours": "12314.20",
        "claimed": "31.40",
        "opening": ["We have compared your invoice with your own records.", "It bills more than they give."],
        "claims": [claim, {**credit, **nothing}],
        "parts": [
            {"part": "volume", "label": "Volume", "minutes": "10987.500000", "amount": "43.40"},
            {"part": "credit", "label": "Credit", "minutes": "0.000000", "amount": "-12.00"},
            {"part": "unexplained", "label": "Unexplained", "minutes": "0.000000", "amount": "0.00"},
        ],
        "closing": ["We ask for a credit note."],
        "enclosed": ["evidence.csv", "report-rpt_1.json"],
        "references": [{"name": "report rpt_1 version 2", "sha256": "a" * 64}],
        **changes,
    }


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_an_invoice_says_all_that_its_document_says(name: str) -> None:
    document = samples.SAMPLES[name]()
    customer, entity = document["customer"], document["entity"]
    text = said(pdf.invoice(document))
    expected = [customer["name"], customer["tax_number"], customer["reference"], customer["purchase_order"]]
    expected += [entity["name"], entity["tax_number"], entity["registration"], entity["legal_note"]]
    expected += [*customer["address"].values(), *entity["address"].values(), document["sha256"], document["notes"]]
    expected += [document["currency"] + figure(document["total"]), figure(document["subtotal"])]
    for line in document["lines"]:
        expected += [line["text"], line["project_name"], figure(line["amount"]), line["rate_card"]["id"]]
        expected += [figure(line["quantity"]), figure(line["unit_price"])] if line["unit"] != "lump" else []
    for tax in document["taxes"]:
        expected += [tax["name"], tax["reason"], figure(tax["base"]), figure(tax["amount"]), f"{tax['percent']} %"]
    for report in document["reports"]:
        expected += [report["id"], report["sha256"], report["verdict"]]
    expected += [text for it in document["discounts"] for text in (it["text"], f"−{figure(it['amount'])}")]
    missing = [it for it in expected if bare(it) not in text]
    assert not missing


def test_an_invoice_says_when_and_how_to_pay_it() -> None:
    text = said(pdf.invoice(samples.rich()))
    for words in (
        "Please pay by 3 December 2026",
        "DE89 3704 0044 0532 0130 00",
        "COBADEFFXXX",
        "Payable within 30 days",
        "PO-2026-0815",
    ):
        assert bare(words) in text
    assert bare("True-up to the minimum commitment 333.37") in text


@pytest.mark.parametrize(("name", "money"), [("plain", "EUR"), ("japanese", "JPY917,926"), ("kuwaiti", "KWD166.376")])
def test_money_has_the_decimals_of_its_currency(name: str, money: str) -> None:
    assert money in said(pdf.invoice(samples.SAMPLES[name]()))


def test_lines_run_over_pages_that_each_have_the_head_a_number_and_the_hash() -> None:
    document = samples.long()
    found = pages(pdf.invoice(document))
    lines = [page for page in found if "Participantminutes" in page]
    assert len(document["lines"]) == 200
    assert len(lines) > 5
    assert all("DESCRIPTIONMINUTES" in page for page in lines)
    for number, page in enumerate(found, 1):
        assert f"Page{number}of{len(found)}" in page
        assert document["sha256"] in page
    assert all(bare("Invoice RECK-2026-00001") in page for page in found[1:])


@pytest.mark.parametrize(
    ("status", "kind", "marked", "words"),
    [
        ("draft", "invoice", "DRAFT", "not yet issued"),
        ("approved", "invoice", "DRAFT", "Approved, not yet issued"),
        ("finalized", "invoice", None, "Please pay by"),
        ("void", "invoice", "VOID", "Void: nothing is due"),
        ("credited", "invoice", None, "Credited in full: nothing is due"),
        ("finalized", "credit_note", None, "Total credited to you"),
        ("finalized", "debit_note", None, "Please pay by"),
    ],
)
def test_each_page_bears_the_mark_of_what_is_no_claim(status: str, kind: str, marked: str | None, words: str) -> None:
    document = samples.SAMPLES["plain" if kind == "invoice" else kind]() | {"status": status}
    if marked == "DRAFT":
        document |= {"number": None, "issued_on": None, "due_on": None}
    document["lines"] *= 20
    found = pages(pdf.invoice(document))
    assert bare(words) in found[0] or bare(words).upper() in found[0]
    for mark in ("DRAFT", "VOID"):
        assert [mark in page for page in found] == [mark == marked] * len(found)
    asked = marked != "VOID" and status != "credited" and kind != "credit_note"
    assert ("Payment" in "".join(found)) is asked


def test_an_american_entity_writes_on_letter_paper_and_addresses_as_there() -> None:
    document = samples.plain()
    document["entity"]["address"] |= {"city": "San Francisco", "region": "CA", "postal_code": "94104", "country": "US"}
    body = pdf.invoice(document)
    assert pypdf.PdfReader(io.BytesIO(body)).pages[0].mediabox[2:] == [612, 792]
    assert bare("San Francisco, CA 94104 · US") in said(body)
    assert round(float(pypdf.PdfReader(io.BytesIO(pdf.invoice(samples.plain()))).pages[0].mediabox[3])) == 842


def test_what_a_document_leaves_out_leaves_no_gap() -> None:
    document = samples.plain() | {"reports": [], "report_ids": [], "taxes": [], "tax": "0.00", "lines": []}
    document["customer"] |= {"address": None, "tax_number": "", "reference": "", "purchase_order": ""}
    document["entity"] |= {"address": None, "bank": None, "tax_number": "", "registration": "", "email": "", "phone": ""}
    text = said(pdf.invoice(document))
    for words in ("Your reference", "Purchase order", "IBAN", "Tax number", "Registered", "Report"):
        assert bare(words) not in text
    assert bare("Terms Payable within 30 days") in text


def test_a_note_names_the_invoice_it_corrects_and_why() -> None:
    text = said(pdf.invoice(samples.credit_note()))
    for words in (
        "Credit note",
        "RECK-2026-00001 of 3 November 2026",
        "Lessons of 5 October were counted twice.",
        "Total credit",
    ):
        assert bare(words) in text


@pytest.mark.parametrize("text", [MARKUP, "Ünï " * 125, "x" * 500, "W" * 500, "株式会社" * 125, "a\nb", "<&>\"'"])
def test_text_from_outside_is_only_text_and_stays_inside_the_page(text: str) -> None:
    document = samples.plain()
    document["customer"]["name"] = document["entity"]["bank"]["name"] = document["notes"] = text
    for line in document["lines"]:
        line["project_name"] = line["text"] = text
    body = pdf.invoice(document)
    assert said(body).count(bare(text)) >= 5
    assert bare("EUR118.24") in said(body)
    assert longest_line(body) < 200


def longest_line(body: bytes) -> int:
    """The letters of the longest line of text: a page is some 150 of the smallest wide."""
    lines = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(body)).pages).splitlines()
    return max(map(len, lines))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Emoji 😀👩‍👧 here", "Emoji □□□□ here"),
        ("a\x00b\x1b[31m\x85", "a□b□[31m□"),
        ("\u202eoverride\u2066", "□override□"),
        ("lone \ud800", "lone □"),
        ("é\u20e3 marks", "é□ marks"),
        ("ไทย", "□□□"),
    ],
)
def test_what_no_font_can_show_is_a_box_and_figures_stay(text: str, printed: str) -> None:
    document = samples.plain()
    document["customer"]["name"] = text
    assert bare(printed) in said(pdf.invoice(document))
    assert "118.24" in said(pdf.invoice(document))


@pytest.mark.parametrize(
    "text", ["שלום עולם", "شركة المثال", "ООО Ромашка", "Ελληνική", "हिन्दी", "주식회사", "有限公司", "Công ty Việt"]
)
def test_most_scripts_have_a_font(text: str) -> None:
    document = samples.plain()
    document["customer"]["name"] = text
    assert "□" not in said(pdf.invoice(document))


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(), max_size=200))
def test_any_text_can_be_printed(text: str) -> None:
    document = samples.plain()
    document["customer"]["name"] = document["customer"]["address"]["line1"] = document["lines"][0]["text"] = text
    assert "118.24" in said(pdf.invoice(document))


DOCUMENTS = [(pdf.invoice, samples.rich), (pdf.report, worked_report), (pdf.letter, dispute)]


@pytest.mark.parametrize(("export", "document"), DOCUMENTS)
def test_the_same_document_is_the_same_file(export: Any, document: Any) -> None:
    first, kept = export(document()), document()
    pdf._fonts.cache_clear()
    assert export(kept) == first
    assert kept == document()


@pytest.mark.parametrize(("export", "document"), DOCUMENTS)
def test_the_file_can_be_archived(export: Any, document: Any) -> None:
    reader = pypdf.PdfReader(io.BytesIO(export(document())))
    description = reader.trailer["/Root"]["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in description
    assert "<pdfaid:conformance>B</pdfaid:conformance>" in description
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    fonts = {font for page in reader.pages for font in page["/Resources"]["/Font"].values()}
    assert fonts
    for font in fonts:
        descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert {"/FontFile2", "/FontFile3"} & set(descriptor)


def test_the_file_is_dated_as_its_document_is() -> None:
    def dated(body: bytes) -> datetime | None:
        metadata = pypdf.PdfReader(io.BytesIO(body)).metadata
        assert metadata
        return metadata.creation_date

    assert dated(pdf.invoice(samples.plain())) == datetime(2026, 11, 3, tzinfo=UTC)
    assert dated(pdf.invoice(samples.draft())) == datetime(2026, 10, 31, tzinfo=UTC)
    assert dated(pdf.letter(dispute())) == datetime(2026, 11, 5, tzinfo=UTC)
    assert dated(pdf.report(worked_report(created_at="2026-11-05T20:00:02.026Z"))) == datetime(
        2026, 11, 5, 20, 0, 2, tzinfo=UTC
    )


def test_a_report_says_all_that_its_document_says() -> None:
    report = worked_report()
    text = said(pdf.report(report))
    expected = [report["id"], report["sha256"], report["verdict"].upper(), report["period"]["explanation"]]
    for line in report["bridge"]:
        expected += [figure(line["total"]), *(figure(minutes) for minutes in line["minutes"].values())]
    expected += [figure(minutes) for level in report["totals"].values() for minutes in level.values()]
    expected += [it["summary"] for it in report["discrepancies"]]
    expected += [text for it in report["observations"] for text in (it["id"], it["sha256"])]
    expected += [it["day"] for it in report["days"]]
    missing = [it for it in expected if bare(it) not in text]
    assert not missing


def test_a_report_has_money_where_it_is_priced() -> None:
    report = worked_report(currency="EUR", rate_card={"id": "rc_9", "versions": [3]}, usage={"sipUserMinutes": "12.500000"})
    before = said(pdf.report(worked_report()))
    for number, line in enumerate([*report["bridge"], *report["discrepancies"]], 1):
        line["amount"] = f"{number}771.25"
    text = said(pdf.report(report))
    for line in [*report["bridge"], *report["discrepancies"]]:
        assert figure(line["amount"]) in text
        assert figure(line["amount"]) not in before
    assert bare("rc_9, version 3") in text
    assert bare("SIP interconnect 12.500000") in text


def test_the_chart_shows_each_step_that_is_not_zero() -> None:
    first = pages(pdf.report(worked_report()))[0]
    for words in ("Session level 435.00", "Reuse before −60.00", "Straddles start +30.00", "The axis begins at 165 minutes"):
        assert bare(words) in first
    assert bare("Session total mismatch") not in first
    flat = worked_report()
    flat["bridge"] = [line | {"total": "0.000000"} for line in flat["bridge"]]
    assert "Theaxisbegins" not in said(pdf.report(flat))


def test_discrepancies_past_the_hundredth_are_summed_up_the_gravest_shown() -> None:
    report = worked_report()
    one = report["discrepancies"][0] | {"severity": "info", "code": "boundary_straddle", "total": "2.500000"}
    grave = one | {"severity": "high", "summary": "This one is grave."}
    other = one | {"severity": "info", "code": "restated", "total": "-0.004000"}
    text = said(pdf.report({**report, "discrepancies": [*[one] * 120, other, grave]}))
    assert bare("This one is grave.") in text
    assert bare("And 21 more of boundary straddle, 52.50 minutes in all") in text
    assert bare("And 1 more of restated, 0.00 minutes in all") in text


def test_a_report_without_the_cross_check_has_one_level() -> None:
    report = worked_report(verdict="unchecked", cross_check=False, discrepancies=[], explained_ratio="1.000000")
    report["totals"] = {"project_level": report["totals"]["project_level"]}
    report["bridge"] = report["bridge"][-1:]
    report["days"] = [
        day | {"meeting_level": {}, "difference": {}, "meeting_coverage": "not_checked"} for day in report["days"]
    ]
    text = said(pdf.report(report))
    assert bare("nothing stands behind it") in text
    assert bare("Meeting level 285.00") not in text


def test_a_request_and_evidence_of_any_shape_are_told() -> None:
    report = worked_report()
    report["period"] = report["period"] | {"requested": {"start": 1793430000, "end": "2026-11-02T08:00:00Z"}, "added_days": 1}
    evidence = {
        "requested": {"start": 1793430000, "end": None},
        "gaps": ["one", "two"],
        "before": {samples.PLAN[5]: "7.000000"},
    }
    report["discrepancies"] = [report["discrepancies"][0] | {"evidence": evidence}]
    text = said(pdf.report(report))
    assert bare("gaps one, two") in text
    assert bare("before 36+: 7.00") in text
    assert bare("start 1793430000 · end 2026-11-02T08:00:00Z") in text


def test_a_letter_says_all_that_is_disputed() -> None:
    text = said(pdf.letter(dispute()))
    for words in (
        "Reckoner Video GmbH",
        "TO Vonage",
        "Dispute of invoice INV-2026-10",
        "API keys 100, 200",
        "USD 31.40",
        "5 November 2026",
        "inaccurate volume",
        "1, 4",
        "101,000.00 at 0.00395",
        "398.95",
        "−12.00",
        "The vendor bills 10,987.50 minutes more than the project level has.",
        "Volume 10,987.500000 43.40",
        "We ask for a credit note.",
        "evidence.csv, report-rpt_1.json",
        "a" * 64,
    ):
        assert bare(words) in text


def test_a_long_letter_repeats_its_head_and_needs_no_sender() -> None:
    document = dispute(sender=None)
    found = pages(pdf.letter({**document, "claims": document["claims"] * 100}))
    assert len(found) > 5
    assert all("ROWWHAT" in page for page in found if "Thevendorbills" in page)
    assert all(f"Page{number}of{len(found)}" in page for number, page in enumerate(found, 1))
    assert "Reckoner" not in "".join(found)


@pytest.mark.parametrize(
    ("export", "document", "field"),
    [(pdf.invoice, samples.plain, "lines"), (pdf.report, worked_report, "observations"), (pdf.letter, dispute, "claims")],
)
def test_more_rows_than_a_pdf_should_have_are_refused(export: Any, document: Any, field: str) -> None:
    large = copy.copy(document())
    large[field] = [large[field][0]] * (pdf.MAX_ROWS + 1)
    with pytest.raises(TooLargeToPrint, match="3001 rows") as refusal:
        export(large)
    assert refusal.value.pointer == f"/{field}"


def test_why_an_override_was_given_is_not_printed_for_the_customer() -> None:
    document = samples.plain() | {"override": None}
    overridden = document | {"override": {"reason": "Between us", "by": "Ann", "at": "2026-11-03T09:00:00Z"}}
    assert said(pdf.invoice(overridden)) == said(pdf.invoice(document))
