"""UBL 2.1: the invoice as an Invoice, and a credit note as a CreditNote, with what EN 16931 allows of them.

`billing.exports.einvoice` says first whether a document can be one; `billing.exports.terms` says what goes where.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lxml import etree

from billing.exports import terms
from billing.exports.terms import Adjustment, Breakdown, Invoice, Line, Party, Tax
from billing.exports.xml import Namespaces, written

XSD = "ubl-2.1/maindoc/UBL-{}-2.1.xsd"

_URN = "urn:oasis:names:specification:ubl:schema:xsd"


def kind_of(document: Mapping[str, Any]) -> str:
    """The UBL document of its kind: Invoice or CreditNote."""
    return "CreditNote" if document["kind"] == "credit_note" else "Invoice"


def ubl(document: Mapping[str, Any]) -> bytes:
    """The XML of a finalized invoice or note."""
    return _Writer(terms.of(document), kind_of(document)).write()


class _Writer:
    """One document being written: its elements bear the currency and are named after its kind."""

    def __init__(self, it: Invoice, kind: str) -> None:
        self.it, self.kind = it, kind
        self.x = Namespaces(
            {
                None: f"{_URN}:{kind}-2",
                "cac": f"{_URN}:CommonAggregateComponents-2",
                "cbc": f"{_URN}:CommonBasicComponents-2",
            }
        )

    def write(self) -> bytes:
        it, x, credit = self.it, self.x, self.kind == "CreditNote"
        due = None if it.due_on is None else x("cbc:DueDate", it.due_on)  # BT-9
        return written(
            x(
                self.kind,
                x("cbc:CustomizationID", terms.SPECIFICATION),  # BT-24
                x("cbc:ID", it.number),  # BT-1
                x("cbc:IssueDate", it.issued_on),  # BT-2
                None if credit else due,
                x(f"cbc:{self.kind}TypeCode", it.type_code),  # BT-3
                *(x("cbc:Note", note) for note in it.notes),  # BT-22
                x("cbc:DocumentCurrencyCode", it.currency),  # BT-5
                x("cbc:BuyerReference", it.buyer_reference),  # BT-10
                x("cac:InvoicePeriod", x("cbc:StartDate", it.first_day), x("cbc:EndDate", it.last_day)),  # BG-14
                x("cac:OrderReference", x("cbc:ID", it.purchase_order)),  # BT-13
                *(  # BG-3: BT-25, BT-26
                    x("cac:BillingReference", x("cac:InvoiceDocumentReference", x("cbc:ID", number), x("cbc:IssueDate", day)))
                    for number, day in it.corrects
                ),
                *(x("cac:AdditionalDocumentReference", x("cbc:ID", name)) for name in it.supporting),  # BT-122
                x("cac:AccountingSupplierParty", self.party(it.seller)),
                x("cac:AccountingCustomerParty", self.party(it.buyer, buyer=True)),
                x(
                    "cac:Delivery",
                    x("cbc:ActualDeliveryDate", it.last_day),  # BT-72
                    x("cac:DeliveryLocation", x("cac:Address", self.country(it.deliver_to))),  # BT-80
                ),
                *(
                    x(
                        "cac:PaymentMeans",
                        x("cbc:PaymentMeansCode", terms.CREDIT_TRANSFER),  # BT-81
                        x("cbc:PaymentID", it.number),  # BT-83
                        x(
                            "cac:PayeeFinancialAccount",
                            x("cbc:ID", iban),  # BT-84
                            x("cbc:Name", name),  # BT-85
                            x("cac:FinancialInstitutionBranch", x("cbc:ID", bic)),  # BT-86
                        ),
                    )
                    for iban, name, bic in it.accounts
                ),
                x("cac:PaymentTerms", x("cbc:Note", it.terms)),  # BT-20
                *(self.adjustment(each) for each in it.adjustments),
                x(
                    "cac:TaxTotal",
                    self.amount("cbc:TaxAmount", it.vat),  # BT-110
                    *(self.breakdown(each) for each in it.breakdown),
                ),
                x(
                    "cac:LegalMonetaryTotal",
                    self.amount("cbc:LineExtensionAmount", it.line_total),  # BT-106
                    self.amount("cbc:TaxExclusiveAmount", it.without_vat),  # BT-109
                    self.amount("cbc:TaxInclusiveAmount", it.total),  # BT-112
                    self.amount("cbc:AllowanceTotalAmount", it.adjusted(charge=False)),  # BT-107
                    self.amount("cbc:ChargeTotalAmount", it.adjusted(charge=True)),  # BT-108
                    self.amount("cbc:PayableAmount", it.total),  # BT-115
                ),
                *(self.line(each) for each in it.lines),
            )
        )

    def amount(self, name: str, amount: Decimal | None) -> etree._Element | None:
        return self.x(name, amount, currencyID=self.it.currency)

    def country(self, code: str) -> etree._Element | None:
        return self.x("cac:Country", self.x("cbc:IdentificationCode", code))

    def tax(self, name: str, tax: Tax, *reason: etree._Element | None) -> etree._Element | None:
        x = self.x
        return x(name, x("cbc:ID", tax.category), x("cbc:Percent", tax.percent), *reason, self.scheme("VAT"))

    def scheme(self, name: str) -> etree._Element | None:
        return self.x("cac:TaxScheme", self.x("cbc:ID", name))

    def party(self, party: Party, *, buyer: bool = False) -> etree._Element | None:
        x = self.x
        scheme, address = party.electronic_address
        vat, other = x("cbc:CompanyID", party.vat_number), x("cbc:CompanyID", party.tax_number)
        return x(
            "cac:Party",
            x("cbc:EndpointID", address, schemeID=scheme),  # BT-34, BT-49
            x("cac:PartyIdentification", x("cbc:ID", party.id if buyer else "")),  # BT-46
            x(
                "cac:PostalAddress",
                x("cbc:StreetName", party.line1),  # BT-35, BT-50
                x("cbc:AdditionalStreetName", party.line2),  # BT-36, BT-51
                x("cbc:CityName", party.city),  # BT-37, BT-52
                x("cbc:PostalZone", party.postal_code),  # BT-38, BT-53
                x("cbc:CountrySubentity", party.region),  # BT-39, BT-54
                self.country(party.country),  # BT-40, BT-55
            ),
            None if vat is None else x("cac:PartyTaxScheme", vat, self.scheme("VAT")),  # BT-31, BT-48
            None if other is None else x("cac:PartyTaxScheme", other, self.scheme("TAX")),  # BT-32
            x(
                "cac:PartyLegalEntity",
                x("cbc:RegistrationName", party.name),  # BT-27, BT-44
                x("cbc:CompanyID", party.registration),  # BT-30, BT-47
            ),
            x("cac:Contact", x("cbc:Telephone", party.phone), x("cbc:ElectronicMail", party.email)),  # BG-6, BG-9
        )

    def adjustment(self, it: Adjustment) -> etree._Element | None:
        x = self.x
        return x(
            "cac:AllowanceCharge",
            x("cbc:ChargeIndicator", "true" if it.charge else "false"),
            x("cbc:AllowanceChargeReason", it.reason),  # BT-97, BT-104
            self.amount("cbc:Amount", it.amount),  # BT-92, BT-99
            self.tax("cac:TaxCategory", it.tax),  # BT-95, BT-96, BT-102, BT-103
        )

    def breakdown(self, it: Breakdown) -> etree._Element | None:
        x = self.x
        return x(
            "cac:TaxSubtotal",
            self.amount("cbc:TaxableAmount", it.base),  # BT-116
            self.amount("cbc:TaxAmount", it.amount),  # BT-117
            self.tax(  # BT-118, BT-119
                "cac:TaxCategory",
                it.tax,
                x("cbc:TaxExemptionReasonCode", it.reason_code),  # BT-121
                x("cbc:TaxExemptionReason", it.reason),  # BT-120
            ),
        )

    def line(self, line: Line) -> etree._Element | None:
        x = self.x
        quantity = "cbc:CreditedQuantity" if self.kind == "CreditNote" else "cbc:InvoicedQuantity"
        return x(
            f"cac:{self.kind}Line",
            x("cbc:ID", line.id),  # BT-126
            x("cbc:Note", line.note),  # BT-127
            x(quantity, line.quantity, unitCode=line.unit),  # BT-129, BT-130
            self.amount("cbc:LineExtensionAmount", line.amount),  # BT-131
            x("cac:InvoicePeriod", x("cbc:StartDate", line.first_day), x("cbc:EndDate", line.last_day)),  # BG-26
            x(
                "cac:Item",
                x("cbc:Name", line.name),  # BT-153
                x("cac:SellersItemIdentification", x("cbc:ID", line.item)),  # BT-155
                self.tax("cac:ClassifiedTaxCategory", line.tax),  # BT-151, BT-152
                *(  # BG-32
                    x("cac:AdditionalItemProperty", x("cbc:Name", name), x("cbc:Value", value))
                    for name, value in line.attributes
                ),
            ),
            x("cac:Price", self.amount("cbc:PriceAmount", line.price)),  # BT-146
        )
