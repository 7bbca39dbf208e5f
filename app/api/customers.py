"""Customers: who is invoiced, at which prices, and on which terms."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, Field

from app.api.access import Actor, Administers, Operation, Reads
from app.api.parties import ELSEWHERE, Address, CurrencyCode, ElectronicAddress, Email, Line, Name, PaymentTerms, Short
from app.api.projects import RateCardId
from app.api.schemas import NOT_FOUND, OUR_ID, READS, WRITES, Changes, Cursor, Instant, Limit, Page, Strict
from app.api.versions import ETAG, LOCATED, STALE, IfMatch, Version, etag, expected, stated
from app.db import transaction
from app.store import customers
from app.store.customers import Customer as Stored

router = APIRouter(prefix="/customers", tags=["customers"], route_class=Operation)

CustomerId = Annotated[str, Field(pattern=OUR_ID, examples=["cus_2f6c1d0e9b8a47f3a1b2c3d4"])]
InPath = Annotated[CustomerId, Path(description="A customer's id")]


Formats = Annotated[
    list[Literal["pdf", "facturx", "ubl"]],
    Field(
        min_length=1,
        max_length=3,
        description="The forms it wants; where an e-invoice is one of them, only a valid one is issued",
    ),
    AfterValidator(lambda given: list(dict.fromkeys(given))),
]


class Terms(Strict):
    """What may be left to its default, and changed later."""

    rate_card_id: RateCardId | None = Field(None, description="Its prices; without it, those of its projects' rate card")
    tax: Line | None = Field(
        None, min_length=1, description="The rate of the rate card's `taxes`; without it, the card's `tax`"
    )
    tax_number: Short = Field("", description="The VAT number, where there is one", examples=["FR40303265045"])
    email: Email = ""
    reference: Line = Field("", description="What the customer wants to read on an invoice (the buyer reference, BT-10)")
    purchase_order: Line = ""
    electronic_address: ElectronicAddress | None = None
    terms: PaymentTerms = PaymentTerms()
    formats: Formats = Field(["pdf"])
    four_eyes: bool = Field(False, strict=True, description="Whoever made a draft may not approve it")


class NewCustomer(Terms):
    """A customer to add."""

    name: Name
    entity_id: Annotated[str, Field(pattern=OUR_ID, description="The legal entity that invoices")]
    currency: CurrencyCode
    address: Address


class CustomerChange(Changes, Terms):
    """What to change; all that is left out stays, and a field that holds others is replaced as a whole."""

    version: Version = None
    name: Name = ""
    entity_id: Annotated[str, Field(pattern=OUR_ID)] = ""
    currency: CurrencyCode = ""
    address: Address = ELSEWHERE


class Customer(NewCustomer):
    """A customer."""

    id: str
    version: int
    created_at: Instant

    @classmethod
    def of(cls, customer: Stored) -> Self:
        """The JSON of a customer."""
        return cls.model_validate({name: getattr(customer, name) for name in cls.model_fields})


@router.post("", status_code=201, summary="Add a customer", responses=WRITES | LOCATED)
def create_customer(service: Administers, actor: Actor, new: NewCustomer, response: Response) -> Customer:
    """Keep who is invoiced. A customer owns projects, or sessions of a shared one: see the project."""
    customer = Stored(created_at=service.clock.now(), **new.model_dump())
    with transaction(service.engine) as session:
        customer = customers.create(session, customer, actor=actor)
    response.headers.update({"Location": f"/v1/customers/{customer.id}", "ETag": etag(customer.version)})
    return Customer.of(customer)


@router.get("", summary="List customers", responses=READS)
def list_customers(service: Reads, limit: Limit = 50, cursor: Cursor = None) -> Page[Customer]:
    """All customers, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = customers.list_page(session, limit=limit, cursor=cursor)
    return Page(items=[Customer.of(customer) for customer in page.items], next_cursor=page.next_cursor)


@router.get("/{customer_id}", summary="Read a customer", responses=READS | NOT_FOUND | ETAG)
def get_customer(service: Reads, customer_id: InPath, response: Response) -> Customer:
    """One customer; its ETag is what a change with `If-Match` needs."""
    with transaction(service.engine, read_only=True) as session:
        customer = customers.get(session, customer_id)
    response.headers["ETag"] = etag(customer.version)
    return Customer.of(customer)


@router.patch("/{customer_id}", summary="Change a customer", responses=WRITES | NOT_FOUND | STALE | ETAG)
def change_customer(
    service: Administers,
    actor: Actor,
    customer_id: InPath,
    change: CustomerChange,
    response: Response,
    if_match: IfMatch = None,
) -> Customer:
    """Change some fields, of the version that was read. Invoices stay as they are, a draft until it is made again."""
    with expected(change.version, if_match) as version, transaction(service.engine) as session:
        customer = customers.update(
            session, customer_id, expected_version=version, actor=actor, now=service.clock.now(), **stated(change)
        )
    response.headers["ETag"] = etag(customer.version)
    return Customer.of(customer)
