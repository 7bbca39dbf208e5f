"""Every form that a report or an invoice is exported in, by its name."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from billing.errors import NotInvoiceable
from billing.exports import csv, einvoice, facturx, focus, pdf, ubl, xlsx
from billing.invoice import Status
from billing.ratecard import CardHistory


class ReportFormat(StrEnum):
    """The form of a report."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PDF = "pdf"
    FOCUS = "focus"


class InvoiceFormat(StrEnum):
    """The form of an invoice: `facturx` is the PDF with the e-invoice's XML inside, `xml` and `ubl` are that XML alone."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PDF = "pdf"
    FOCUS = "focus"
    FACTURX = "facturx"
    UBL = "ubl"
    XML = "xml"


class Export(NamedTuple):
    """A file: what is in it, its media type, and the end of its name."""

    content: bytes
    media_type: str
    extension: str


MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "xml": "application/xml",
}
"""By the end of a file's name."""

_EXTENSIONS = {"focus": "focus.csv", "facturx": "pdf", "ubl": "xml"}


def report(document: Mapping[str, Any], form: ReportFormat, cards: CardHistory | None = None) -> Export:
    """A report in a form; FOCUS needs the versions of the rate card that the report names.

    Raises NoRateCard for FOCUS rows of a report without prices, TooLargeToPrint for a PDF of very many rows.
    """
    match form:
        case ReportFormat.JSON:
            content = msgspec.json.encode(document)
        case ReportFormat.CSV:
            content = csv.report(document)
        case ReportFormat.XLSX:
            content = xlsx.report(document)
        case ReportFormat.PDF:
            content = pdf.report(document)
        case ReportFormat.FOCUS:
            content = focus.report(document, cards or CardHistory(()))
    return file(content, form)


def invoice(document: Mapping[str, Any], form: InvoiceFormat) -> Export:
    """An invoice, a credit note or a debit note in a form.

    Raises NotInvoiceable for an e-invoice of what is not issued or not valid, TooLargeToPrint for a PDF of very many rows.
    """
    match form:
        case InvoiceFormat.JSON:
            content = msgspec.json.encode(document)
        case InvoiceFormat.CSV:
            content = csv.invoice(document)
        case InvoiceFormat.XLSX:
            content = xlsx.invoice(document)
        case InvoiceFormat.PDF:
            content = pdf.invoice(document)
        case InvoiceFormat.FOCUS:
            content = focus.invoice(document)
        case InvoiceFormat.FACTURX:
            _check_issued(document)
            content = facturx.facturx(document, pdf.invoice(document))
        case InvoiceFormat.UBL:
            _check_issued(document)
            content = ubl.ubl(document)
        case InvoiceFormat.XML:
            _check_issued(document)
            content = ubl.ubl(document) if "ubl" in document["formats"] else facturx.cii(document)
    return file(content, form)


def file(content: bytes, form: str) -> Export:
    """What was exported in a form, as a file."""
    extension = _EXTENSIONS.get(form, form)
    return Export(content, MEDIA_TYPES[extension.rpartition(".")[2]], extension)


def _check_issued(document: Mapping[str, Any]) -> None:
    if document["status"] not in (Status.FINALIZED, Status.CREDITED):
        raise NotInvoiceable(
            f"{document['id']} is {document['status']}, and an e-invoice cannot say that of itself",
            pointer="/status",
            expected="a finalized document; until then take another format",
        )
    if findings := einvoice.validate(document):
        raise NotInvoiceable(f"{document['id']} is not valid as an e-invoice: {' '.join(findings)}", pointer="/format")
