"""`reckoner entities` and `reckoner customers`: who invoices whom, and whose usage is whose."""

from typing import Annotated

import typer

from app.api import customers as api
from app.api.entities import Entity, NewEntity
from app.api.ownership import SessionList, SessionRules
from app.cli.given import checked, every, read
from app.cli.output import AsJson, ProjectId, service, write, write_json, write_one, write_table
from app.db import transaction
from app.errors import InvalidRequest
from app.store import customers, entities, ownership
from app.store.customers import Customer
from app.store.entities import LegalEntity

app = typer.Typer(no_args_is_help=True, help="Customers: who is invoiced, and what each owns.")
entities_app = typer.Typer(no_args_is_help=True, help="Legal entities: who invoices.")

Name = Annotated[str, typer.Argument(help="Its full name.")]
Line1 = Annotated[str, typer.Option(help="The street, with its number.")]
Line2 = Annotated[str, typer.Option(help="More of the address.")]
City = Annotated[str, typer.Option(help="The city.")]
PostalCode = Annotated[str, typer.Option(help="The postal code.")]
Region = Annotated[str, typer.Option(help="The state or province.")]
Country = Annotated[str, typer.Option(help="The country's code of ISO 3166, such as DE.")]
TaxNumber = Annotated[str, typer.Option(help="The VAT number, where there is one.")]
Email = Annotated[str, typer.Option(help="An e-mail address for its invoices.")]
CustomerId = Annotated[str, typer.Argument(help="The customer's id.")]


@entities_app.command("add")
def add_entity(
    name: Name,
    prefix: Annotated[str, typer.Option(help="Begins the numbers of its invoices, and never changes: ACME.")],
    line1: Line1,
    city: City,
    country: Country,
    line2: Line2 = "",
    postal_code: PostalCode = "",
    region: Region = "",
    tax_number: TaxNumber = "",
    registration: Annotated[str, typer.Option(help="Where it is registered, and under which number.")] = "",
    email: Email = "",
    phone: Annotated[str, typer.Option(help="A telephone number.")] = "",
    bank: Annotated[str, typer.Option(help="The name of the bank.")] = "",
    iban: Annotated[str, typer.Option(help="The account to pay to.")] = "",
    bic: Annotated[str, typer.Option(help="The bank's BIC.")] = "",
    timezone: Annotated[str, typer.Option(help="Says on which day an invoice is issued.")] = "UTC",
    legal_note: Annotated[str, typer.Option(help="Stands on every invoice.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add a legal entity."""
    given = {
        "name": name,
        "prefix": prefix,
        "address": _address(line1, line2, city, postal_code, region, country),
        "tax_number": tax_number,
        "registration": registration,
        "email": email,
        "phone": phone,
        "bank": {"name": bank, "iban": iban, "bic": bic} if bank or iban or bic else None,
        "timezone": timezone,
        "legal_note": legal_note,
    }
    new = checked(NewEntity, given)
    opened = service()
    entity = LegalEntity(created_at=opened.clock.now(), **new.model_dump())
    with transaction(opened.engine) as session:
        added = Entity.of(entities.create(session, entity, actor="cli"))
    write_one(added, as_json)


@entities_app.command("list")
def list_entities(as_json: AsJson = False) -> None:
    """List the legal entities."""
    with transaction(service().engine, read_only=True) as session:
        held = every(lambda cursor: entities.list_page(session, limit=200, cursor=cursor))
    found = [Entity.of(entity) for entity in held]
    if as_json:
        write_json(found)
    else:
        rows = [(it.id, it.name, it.prefix, it.address.country, it.tax_number, it.timezone) for it in found]
        write_table(("id", "name", "prefix", "country", "tax number", "time zone"), rows)


@app.command("add")
def add_customer(
    name: Name,
    entity: Annotated[str, typer.Option(help="The id of the legal entity that invoices.")],
    currency: Annotated[str, typer.Option(help="The currency's code of ISO 4217, such as EUR.")],
    line1: Line1,
    city: City,
    country: Country,
    line2: Line2 = "",
    postal_code: PostalCode = "",
    region: Region = "",
    tax_number: TaxNumber = "",
    email: Email = "",
    rate_card: Annotated[str | None, typer.Option(help="Its prices; without it, its projects' rate card.")] = None,
    tax: Annotated[str | None, typer.Option(help="The rate of the card's table of taxes; without it, the card's own.")] = None,
    reference: Annotated[str, typer.Option(help="What it wants to read on an invoice.")] = "",
    purchase_order: Annotated[str, typer.Option(help="The number of its purchase order.")] = "",
    electronic_address: Annotated[str, typer.Option(help="Where e-invoices go, such as EM:ap@acme.example.")] = "",
    days: Annotated[int, typer.Option(min=0, max=365, help="In how many days an invoice is due.")] = 30,
    terms: Annotated[str, typer.Option(help="The terms in words.")] = "",
    format: Annotated[list[str] | None, typer.Option(help="A form it wants: pdf, facturx or ubl; repeat.")] = None,  # noqa: A002
    four_eyes: Annotated[bool, typer.Option("--four-eyes", help="Whoever made a draft may not approve it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a customer."""
    scheme, _, value = electronic_address.partition(":")
    given = {
        "name": name,
        "entity_id": entity,
        "currency": currency,
        "address": _address(line1, line2, city, postal_code, region, country),
        "tax_number": tax_number,
        "email": email,
        "rate_card_id": rate_card,
        "tax": tax,
        "reference": reference,
        "purchase_order": purchase_order,
        "electronic_address": {"scheme": scheme, "value": value} if electronic_address else None,
        "terms": {"days": days, "text": terms},
        "formats": format or ["pdf"],
        "four_eyes": four_eyes,
    }
    new = checked(api.NewCustomer, given)
    opened = service()
    customer = Customer(created_at=opened.clock.now(), **new.model_dump())
    with transaction(opened.engine) as session:
        added = api.Customer.of(customers.create(session, customer, actor="cli"))
    write_one(added, as_json)


@app.command("list")
def list_customers(as_json: AsJson = False) -> None:
    """List the customers."""
    with transaction(service().engine, read_only=True) as session:
        held = every(lambda cursor: customers.list_page(session, limit=200, cursor=cursor))
    found = [api.Customer.of(customer) for customer in held]
    if as_json:
        write_json(found)
    else:
        rows = [(it.id, it.name, it.currency, it.rate_card_id, " ".join(it.formats), it.four_eyes) for it in found]
        write_table(("id", "name", "currency", "rate card", "formats", "four eyes"), rows)


@app.command()
def own(
    customer_id: CustomerId,
    project_id: ProjectId,
    sessions: Annotated[
        typer.FileText | None, typer.Option(help="Only these sessions of it: a file of ids, one a line.")
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Only sessions whose id matches, such as '1_school-*'; repeat.")
    ] = None,
) -> None:
    """Give a customer a project, or some of the sessions of a shared one, beside those that it has."""
    given = sorted({line.strip() for line in read(sessions).splitlines()} - {""}) if sessions else []
    listed = checked(SessionList, {"items": [{"session_id": it, "customer_id": customer_id} for it in given]})
    ruled = checked(SessionRules, {"rules": [{"pattern": it, "customer_id": customer_id} for it in rule or ()]})
    if sessions and not given:
        raise InvalidRequest(f"{sessions.name} names no session.")
    opened = service()
    now = opened.clock.now()
    with transaction(opened.engine) as session:
        if not sessions and not rule:
            ownership.assign_project(session, project_id, customer_id, actor="cli", now=now)
        if sessions:
            ownership.import_sessions(session, project_id, listed.owners(), replace=False, actor="cli", now=now)
        if rule:
            held = {it.pattern: it.customer_id for it in ownership.rules_of(session, project_id)}
            rules = held | {it.pattern: it.customer_id for it in ruled.rules}
            ownership.set_rules(session, project_id, list(rules.items()), actor="cli", now=now)
    parts = [f"{len(given)} sessions"] if given else []
    parts += [f"sessions like {', '.join(rule)}"] if rule else []
    of = " and ".join(parts) + " of " if parts else ""
    write(f"{customer_id} has {of}project {project_id}.")


def _address(line1: str, line2: str, city: str, postal_code: str, region: str, country: str) -> dict[str, str]:
    return {
        "line1": line1,
        "line2": line2,
        "city": city,
        "postal_code": postal_code,
        "region": region,
        "country": country,
    }
