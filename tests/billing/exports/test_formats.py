"""Every form of a report and of an invoice, with its media type; an e-invoice only of what is issued and valid."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from billing import invoice
from billing.errors import NotInvoiceable
from billing.exports import formats
from billing.exports.formats import InvoiceFormat, ReportFormat
from billing.invoice import Envelope, Status
from tests.billing.exports import reports
from tests.samples import SAMPLES, draft, kuwaiti, plain

BEGINNINGS = {
    "application/json": b'{"id":"',
    "application/pdf": b"%PDF-",
    "application/xml": b"<?xml ",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": b"PK\x03\x04",
}
E_INVOICES = (InvoiceFormat.FACTURX, InvoiceFormat.UBL, InvoiceFormat.XML)


@pytest.mark.parametrize("form", ReportFormat)
def test_a_report_has_every_form_and_the_same_bytes_again(form: ReportFormat) -> None:
    file = formats.report(reports.report(), form, reports.CARDS)
    assert file.content.startswith(BEGINNINGS.get(file.media_type, b""))
    assert file.extension == {"focus": "focus.csv"}.get(form, form)
    assert formats.report(reports.report(), form, reports.CARDS) == file


@pytest.mark.parametrize("form", InvoiceFormat)
def test_an_invoice_has_every_form_and_the_same_bytes_again(form: InvoiceFormat) -> None:
    file = formats.invoice(plain(), form)
    assert file.content.startswith(BEGINNINGS.get(file.media_type, b""))
    assert file.extension == {"focus": "focus.csv", "facturx": "pdf", "ubl": "xml"}.get(form, form)
    assert formats.invoice(plain(), form) == file


@pytest.mark.parametrize("name", SAMPLES)
def test_the_json_is_the_document_byte_for_byte(name: str) -> None:
    document = SAMPLES[name]()
    envelope = Envelope(document["id"], document["number"], Status(document["status"]), document["version"])
    stored = invoice.document(invoice.core_of(document), envelope)
    assert formats.invoice(msgspec.json.decode(stored), InvoiceFormat.JSON).content == stored


def test_the_xml_is_in_the_syntax_that_the_customer_asks_for() -> None:
    for asked, form in ((["pdf", "facturx"], b"CrossIndustryInvoice"), (["pdf", "ubl"], b"urn:oasis:names:specification:ubl")):
        assert form in formats.invoice(plain() | {"formats": asked}, InvoiceFormat.XML).content


@pytest.mark.parametrize("form", E_INVOICES)
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (draft, "inv_0 is draft"),
        (lambda: plain() | {"status": "void"}, "inv_1 is void"),
        (lambda: plain() | {"total": "118.25"}, "BR-CO-15"),
        (kuwaiti, "BR-DEC"),
    ],
)
def test_what_is_not_issued_or_not_valid_is_no_e_invoice(
    make: Callable[[], dict[str, Any]], said: str, form: InvoiceFormat
) -> None:
    with pytest.raises(NotInvoiceable, match=said):
        formats.invoice(make(), form)


@pytest.mark.parametrize("form", [form for form in InvoiceFormat if form not in E_INVOICES])
def test_a_draft_has_every_other_form(form: InvoiceFormat) -> None:
    assert formats.invoice(draft(), form).content
