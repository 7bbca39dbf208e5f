"""Factur-X in its profile EN 16931: the invoice as CII, for a program, inside the PDF/A-3 of it, for a person.

`billing.exports.einvoice` says first whether a document can be one; `billing.exports.terms` says what goes where.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from hashlib import md5
from io import BytesIO
from typing import Any

from lxml import etree
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, ByteStringObject, NameObject, NumberObject, TextStringObject

from billing.exports import terms
from billing.exports.terms import Adjustment, Breakdown, Invoice, Line, Party, Tax
from billing.exports.xml import Namespaces, written

XSD = "facturx-en16931/Factur-X_EN16931.xsd"
FILE_NAME = "factur-x.xml"
"""The name that the standard gives the XML inside the PDF."""

_URN = "urn:un:unece:uncefact:data:standard"
_PACKET = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n%s<?xpacket end="r"?>'

x = Namespaces(
    {
        "rsm": f"{_URN}:CrossIndustryInvoice:100",
        "ram": f"{_URN}:ReusableAggregateBusinessInformationEntity:100",
        "udt": f"{_URN}:UnqualifiedDataType:100",
        "qdt": f"{_URN}:QualifiedDataType:100",
    }
)


def facturx(document: Mapping[str, Any], pdf: bytes) -> bytes:
    """The PDF with the XML inside, and the metadata that says so; `pdf` is a PDF/A-3b of the same document.

    The same document and PDF give the same bytes: every date in the file is the day the invoice was issued.
    """
    # Imported here: the package brings an HTTP client along, which would take every command 0.2 s.
    from facturx import generate_xmp_object  # type: ignore[import-untyped]

    xml, issued = cii(document), datetime.combine(date.fromisoformat(document["issued_on"]), time(tzinfo=UTC))
    writer = PdfWriter(clone_from=BytesIO(pdf))
    attached = writer.add_attachment(FILE_NAME, xml)
    attached.subtype = NameObject("/text/xml")
    attached.modification_date = issued
    attached.size = NumberObject(len(xml))
    attached.checksum = ByteStringObject(md5(xml, usedforsecurity=False).digest())
    attached.description = TextStringObject("The invoice in the syntax of Factur-X")
    attached.alternative_name = TextStringObject(FILE_NAME)
    attached.associated_file_relationship = NameObject("/Alternative")

    info: Mapping[str, Any] = writer.metadata or {}
    xmp = generate_xmp_object(
        {
            "pdfa3_flavor": "B",
            "title": info.get("/Title", ""),
            "author": info.get("/Author", ""),
            "subject": info.get("/Subject", ""),
            "producer": "Reckoner",
            "creator_tool": info.get("/Creator", ""),
            "timestamp": issued.isoformat(),
            "urn": "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#",
            "documenttype": "INVOICE",
            "xml_filename": FILE_NAME,
            "version": "1.0",
            "xmp_level": "EN 16931",
        }
    )
    writer.xmp_metadata = _PACKET % etree.tostring(xmp, encoding="UTF-8", pretty_print=True)
    writer.root_object[NameObject("/AF")] = ArrayObject([attached.pdf_object.indirect_reference])
    writer.pdf_header = "%PDF-1.7"
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def cii(document: Mapping[str, Any]) -> bytes:
    """The XML alone, in UN/CEFACT's Cross Industry Invoice."""
    it = terms.of(document)
    return written(
        x(
            "rsm:CrossIndustryInvoice",
            x(
                "rsm:ExchangedDocumentContext",
                x("ram:GuidelineSpecifiedDocumentContextParameter", x("ram:ID", terms.SPECIFICATION)),  # BT-24
            ),
            x(
                "rsm:ExchangedDocument",
                x("ram:ID", it.number),  # BT-1
                x("ram:TypeCode", it.type_code),  # BT-3
                x("ram:IssueDateTime", _date(it.issued_on)),  # BT-2
                *(x("ram:IncludedNote", x("ram:Content", note)) for note in it.notes),  # BT-22
            ),
            x(
                "rsm:SupplyChainTradeTransaction",
                *(_line(line) for line in it.lines),
                _agreement(it),
                x(
                    "ram:ApplicableHeaderTradeDelivery",
                    x("ram:ShipToTradeParty", x("ram:PostalTradeAddress", x("ram:CountryID", it.deliver_to))),  # BT-80
                    x("ram:ActualDeliverySupplyChainEvent", x("ram:OccurrenceDateTime", _date(it.last_day))),  # BT-72
                ),
                _settlement(it),
            ),
        )
    )


def _date(day: date | None) -> etree._Element | None:
    return None if day is None else x("udt:DateTimeString", format(day, "%Y%m%d"), format="102")


def _line(line: Line) -> etree._Element | None:
    return x(
        "ram:IncludedSupplyChainTradeLineItem",
        x(
            "ram:AssociatedDocumentLineDocument",
            x("ram:LineID", line.id),  # BT-126
            x("ram:IncludedNote", x("ram:Content", line.note)),  # BT-127
        ),
        x(
            "ram:SpecifiedTradeProduct",
            x("ram:SellerAssignedID", line.item),  # BT-155
            x("ram:Name", line.name),  # BT-153
            *(  # BG-32
                x("ram:ApplicableProductCharacteristic", x("ram:Description", name), x("ram:Value", value))
                for name, value in line.attributes
            ),
        ),
        x(
            "ram:SpecifiedLineTradeAgreement",
            x("ram:NetPriceProductTradePrice", x("ram:ChargeAmount", line.price)),  # BT-146
        ),
        x("ram:SpecifiedLineTradeDelivery", x("ram:BilledQuantity", line.quantity, unitCode=line.unit)),  # BT-129, BT-130
        x(
            "ram:SpecifiedLineTradeSettlement",
            _tax("ram:ApplicableTradeTax", line.tax),  # BT-151, BT-152
            _period(line.first_day, line.last_day),  # BG-26
            x("ram:SpecifiedTradeSettlementLineMonetarySummation", x("ram:LineTotalAmount", line.amount)),  # BT-131
        ),
    )


def _agreement(it: Invoice) -> etree._Element | None:
    return x(
        "ram:ApplicableHeaderTradeAgreement",
        x("ram:BuyerReference", it.buyer_reference),  # BT-10
        _party("ram:SellerTradeParty", it.seller),
        _party("ram:BuyerTradeParty", it.buyer, buyer=True),
        x("ram:BuyerOrderReferencedDocument", x("ram:IssuerAssignedID", it.purchase_order)),  # BT-13
        *(
            x("ram:AdditionalReferencedDocument", x("ram:IssuerAssignedID", name), x("ram:TypeCode", "916"))  # BT-122
            for name in it.supporting
        ),
    )


def _party(name: str, party: Party, *, buyer: bool = False) -> etree._Element | None:
    scheme, address = party.electronic_address
    return x(
        name,
        x("ram:ID", party.id if buyer else ""),  # BT-46
        x("ram:Name", party.name),  # BT-27, BT-44
        x("ram:SpecifiedLegalOrganization", x("ram:ID", party.registration)),  # BT-30, BT-47
        x(
            "ram:DefinedTradeContact",
            x("ram:TelephoneUniversalCommunication", x("ram:CompleteNumber", party.phone)),  # BT-42
            x("ram:EmailURIUniversalCommunication", x("ram:URIID", party.email)),  # BT-43, BT-58
        ),
        x(
            "ram:PostalTradeAddress",
            x("ram:PostcodeCode", party.postal_code),  # BT-38, BT-53
            x("ram:LineOne", party.line1),  # BT-35, BT-50
            x("ram:LineTwo", party.line2),  # BT-36, BT-51
            x("ram:CityName", party.city),  # BT-37, BT-52
            x("ram:CountryID", party.country),  # BT-40, BT-55
            x("ram:CountrySubDivisionName", party.region),  # BT-39, BT-54
        ),
        x("ram:URIUniversalCommunication", x("ram:URIID", address, schemeID=scheme)),  # BT-34, BT-49
        x("ram:SpecifiedTaxRegistration", x("ram:ID", party.vat_number, schemeID="VA")),  # BT-31, BT-48
        x("ram:SpecifiedTaxRegistration", x("ram:ID", party.tax_number, schemeID="FC")),  # BT-32
    )


def _settlement(it: Invoice) -> etree._Element | None:
    return x(
        "ram:ApplicableHeaderTradeSettlement",
        x("ram:PaymentReference", it.number),  # BT-83
        x("ram:InvoiceCurrencyCode", it.currency),  # BT-5
        *(
            x(
                "ram:SpecifiedTradeSettlementPaymentMeans",
                x("ram:TypeCode", terms.CREDIT_TRANSFER),  # BT-81
                x("ram:PayeePartyCreditorFinancialAccount", x("ram:IBANID", iban), x("ram:AccountName", name)),  # BT-84, BT-85
                x("ram:PayeeSpecifiedCreditorFinancialInstitution", x("ram:BICID", bic)),  # BT-86
            )
            for iban, name, bic in it.accounts
        ),
        *(_breakdown(each) for each in it.breakdown),
        _period(it.first_day, it.last_day),  # BG-14
        *(_adjustment(each) for each in it.adjustments),
        x(
            "ram:SpecifiedTradePaymentTerms",
            x("ram:Description", it.terms),  # BT-20
            x("ram:DueDateDateTime", _date(it.due_on)),  # BT-9
        ),
        x(
            "ram:SpecifiedTradeSettlementHeaderMonetarySummation",
            x("ram:LineTotalAmount", it.line_total),  # BT-106
            x("ram:ChargeTotalAmount", it.adjusted(charge=True)),  # BT-108
            x("ram:AllowanceTotalAmount", it.adjusted(charge=False)),  # BT-107
            x("ram:TaxBasisTotalAmount", it.without_vat),  # BT-109
            x("ram:TaxTotalAmount", it.vat, currencyID=it.currency),  # BT-110
            x("ram:GrandTotalAmount", it.total),  # BT-112
            x("ram:DuePayableAmount", it.total),  # BT-115
        ),
        *(  # BG-3: BT-25, BT-26
            x(
                "ram:InvoiceReferencedDocument",
                x("ram:IssuerAssignedID", number),
                x("ram:FormattedIssueDateTime", x("qdt:DateTimeString", format(day, "%Y%m%d"), format="102")),
            )
            for number, day in it.corrects
        ),
    )


def _period(first_day: date, last_day: date) -> etree._Element | None:
    return x(
        "ram:BillingSpecifiedPeriod",
        x("ram:StartDateTime", _date(first_day)),  # BT-73, BT-134
        x("ram:EndDateTime", _date(last_day)),  # BT-74, BT-135
    )


def _tax(name: str, tax: Tax) -> etree._Element | None:
    return x(name, x("ram:TypeCode", "VAT"), x("ram:CategoryCode", tax.category), x("ram:RateApplicablePercent", tax.percent))


def _breakdown(it: Breakdown) -> etree._Element | None:
    return x(
        "ram:ApplicableTradeTax",
        x("ram:CalculatedAmount", it.amount),  # BT-117
        x("ram:TypeCode", "VAT"),
        x("ram:ExemptionReason", it.reason),  # BT-120
        x("ram:BasisAmount", it.base),  # BT-116
        x("ram:CategoryCode", it.tax.category),  # BT-118
        x("ram:ExemptionReasonCode", it.reason_code),  # BT-121
        x("ram:RateApplicablePercent", it.tax.percent),  # BT-119
    )


def _adjustment(it: Adjustment) -> etree._Element | None:
    return x(
        "ram:SpecifiedTradeAllowanceCharge",
        x("ram:ChargeIndicator", x("udt:Indicator", "true" if it.charge else "false")),
        x("ram:ActualAmount", it.amount),  # BT-92, BT-99
        x("ram:Reason", it.reason),  # BT-97, BT-104
        _tax("ram:CategoryTradeTax", it.tax),  # BT-95, BT-96, BT-102, BT-103
    )
