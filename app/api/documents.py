"""The JSON of an invoice document, as `billing.invoice` makes it: for OpenAPI, because it is served byte for byte."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.api.parties import Address, Bank, ElectronicAddress, PaymentTerms
from app.api.schemas import Day
from billing.invoice import Kind, Status

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["12.50"])]
"""Money with the currency's own decimals, or a quantity or unit price as it was written: a text, never a float."""


class DocumentCustomer(BaseModel):
    """The bill-to as it was when the document was made."""

    id: str
    name: str
    address: Address
    tax_number: str
    email: str
    reference: str
    purchase_order: str
    electronic_address: ElectronicAddress | None


class DocumentEntity(BaseModel):
    """The legal entity as it was when the document was made."""

    id: str
    name: str
    address: Address
    tax_number: str
    registration: str
    email: str
    phone: str
    bank: Bank | None
    timezone: str
    logo: str | None
    legal_note: str


class DocumentPeriod(BaseModel):
    """The billing days that are invoiced."""

    first_day: Day
    last_day: Day
    start: str
    end: str
    days: int


class DocumentReport(BaseModel):
    """A report that the document rests on."""

    id: str
    version: int
    sha256: str
    verdict: str
    project_id: str
    basis: str


class DocumentLine(BaseModel):
    """A line: its `amount` is its `units`, the quantity less the allowance or packages of it, times the unit price, rounded."""

    position: int
    kind: str
    project_id: str
    project_name: str
    usage: str
    text: str
    first_day: Day
    last_day: Day
    quantity: Money
    allowance_used: Money
    units: Money
    unit: str
    model: str
    bracket: dict[str, Money | None] | None
    unit_price: Money
    amount: Money
    tax: str
    rate_card: dict[str, Any]
    report_id: str
    observations: list[str]
    corrects_position: int | None


class DocumentDiscount(BaseModel):
    """A discount, as a positive amount."""

    kind: str
    value: Money
    amount: Money
    text: str
    tax: str


class DocumentTax(BaseModel):
    """What is taxed at one rate; `category` is that of EN 16931."""

    name: str
    percent: Money
    category: str
    reason: str
    base: Money
    amount: Money


class Document(BaseModel):
    """An invoice, credit note or debit note; its kind says whether its amounts are asked for or given back.

    `total` is subtotal − discount + commitment + tax. `sha256` is over all but id, number, status, version and itself, with
    sorted keys and no white space.
    """

    id: str
    number: str | None
    status: Status
    version: int
    sha256: str
    kind: Kind
    customer_id: str
    customer: DocumentCustomer
    entity: DocumentEntity
    currency: str
    period: DocumentPeriod
    report_ids: list[str]
    reports: list[DocumentReport]
    lines: list[DocumentLine]
    subtotal: Money
    discounts: list[DocumentDiscount]
    discount: Money
    commitment: Money
    commitment_tax: str
    taxes: list[DocumentTax]
    tax: Money
    total: Money
    terms: PaymentTerms
    issued_on: Day | None
    due_on: Day | None
    corrects: dict[str, Any] | None
    restatement: bool
    reason: str | None
    override: dict[str, str] | None
    notes: str
    formats: list[str]
