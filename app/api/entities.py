"""Legal entities: who invoices. Each has its own numbers."""

from typing import Annotated, Self

from fastapi import APIRouter, Path, Response
from pydantic import Field

from app.api.access import Actor, Administers, Operation, Reads
from app.api.parties import ELSEWHERE, Address, Bank, Email, Line, Name, Note, Short, TimeZone
from app.api.schemas import NOT_FOUND, OUR_ID, READS, WRITES, Changes, Cursor, Instant, Limit, Page, Strict
from app.api.versions import ETAG, LOCATED, STALE, IfMatch, Version, etag, expected, stated
from app.db import transaction
from app.store import entities
from app.store.entities import LegalEntity as Stored

router = APIRouter(prefix="/entities", tags=["entities"], route_class=Operation)

InPath = Annotated[str, Path(pattern=OUR_ID, description="A legal entity's id")]


class Particulars(Strict):
    """What may be left to its default, and changed later."""

    tax_number: Short = Field("", description="The VAT number, where there is one", examples=["DE123456789"])
    registration: Line = Field("", examples=["HRB 12345 B, Amtsgericht Charlottenburg"])
    email: Email = ""
    phone: Short = ""
    bank: Bank | None = None
    timezone: TimeZone = Field("UTC", description="It decides on which day, so in which year, an invoice is issued")
    legal_note: Note = Field("", description="Stands on every invoice")


class NewEntity(Particulars):
    """A legal entity to add."""

    name: Name
    prefix: Annotated[str, Field(pattern=r"^[A-Z0-9]([A-Z0-9-]{0,14}[A-Z0-9])?$", examples=["ACME"])] = Field(
        description="Begins the numbers of its invoices, and never changes"
    )
    address: Address


class EntityChange(Changes, Particulars):
    """What to change; all that is left out stays."""

    version: Version = None
    name: Name = ""
    address: Address = ELSEWHERE


class Entity(NewEntity):
    """A legal entity."""

    id: str
    version: int
    created_at: Instant

    @classmethod
    def of(cls, entity: Stored) -> Self:
        """The JSON of a legal entity."""
        return cls.model_validate({name: getattr(entity, name) for name in cls.model_fields})


@router.post("", status_code=201, summary="Add a legal entity", responses=WRITES | LOCATED)
def create_entity(service: Administers, actor: Actor, new: NewEntity, response: Response) -> Entity:
    """Keep who invoices. Its prefix begins the numbers of its invoices, such as `ACME-2026-00001`."""
    entity = Stored(created_at=service.clock.now(), **new.model_dump())
    with transaction(service.engine) as session:
        entity = entities.create(session, entity, actor=actor)
    response.headers.update({"Location": f"/v1/entities/{entity.id}", "ETag": etag(entity.version)})
    return Entity.of(entity)


@router.get("", summary="List legal entities", responses=READS)
def list_entities(service: Reads, limit: Limit = 50, cursor: Cursor = None) -> Page[Entity]:
    """All legal entities, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = entities.list_page(session, limit=limit, cursor=cursor)
    return Page(items=[Entity.of(entity) for entity in page.items], next_cursor=page.next_cursor)


@router.get("/{entity_id}", summary="Read a legal entity", responses=READS | NOT_FOUND | ETAG)
def get_entity(service: Reads, entity_id: InPath, response: Response) -> Entity:
    """One legal entity; its ETag is what a change with `If-Match` needs."""
    with transaction(service.engine, read_only=True) as session:
        entity = entities.get(session, entity_id)
    response.headers["ETag"] = etag(entity.version)
    return Entity.of(entity)


@router.patch("/{entity_id}", summary="Change a legal entity", responses=WRITES | NOT_FOUND | STALE | ETAG)
def change_entity(
    service: Administers, actor: Actor, entity_id: InPath, change: EntityChange, response: Response, if_match: IfMatch = None
) -> Entity:
    """Change some fields, of the version that was read. Invoices that exist stay as they are."""
    with expected(change.version, if_match) as version, transaction(service.engine) as session:
        entity = entities.update(
            session, entity_id, expected_version=version, actor=actor, now=service.clock.now(), **stated(change)
        )
    response.headers["ETag"] = etag(entity.version)
    return Entity.of(entity)
