"""Whose the sessions of a shared project are: an imported list, and rules for the sessions that no list names."""

import csv
import io
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from app.api.access import Actor, Administers, Operation, Reads
from app.api.customers import CustomerId
from app.api.parties import LINE
from app.api.projects import InPath
from app.api.schemas import NOT_FOUND, READS, WRITES, Cursor, Limit, Page, Strict
from app.db import transaction
from app.errors import InvalidRequest
from app.service import Service
from app.store import ownership, projects
from billing.errors import InvalidSetting

router = APIRouter(prefix="/projects/{project_id}", tags=["projects"], route_class=Operation)

LONGEST_LIST = 10_000
"""Sessions in one request: longer lists come in parts."""
_COLUMNS = ["session_id", "customer_id"]


class OwnedSession(Strict):
    """Whose a session is."""

    session_id: Annotated[str, Field(min_length=1, max_length=500, pattern=LINE, examples=["1_MX4xMDB-worked-B"])]
    customer_id: CustomerId


def _rows(text: object) -> list[OwnedSession]:
    """The rows of a CSV. Raises InvalidSetting, which names the line and the column."""
    if not isinstance(text, str):
        raise InvalidSetting("this is no text", expected="CSV as text")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise InvalidSetting(f"line {reader.line_num} is no CSV: {error}") from None
    if not lines or lines[0][1] != _COLUMNS:
        raise InvalidSetting("the first line is another header", expected=",".join(_COLUMNS))
    if len(lines) > LONGEST_LIST + 1:
        raise InvalidSetting(f"these are {len(lines) - 1} sessions", expected=f"at most {LONGEST_LIST} in one request")
    return [_row(*line) for line in lines[1:]]


def _row(number: int, cells: list[str]) -> OwnedSession:
    if len(cells) != len(_COLUMNS):
        raise InvalidSetting(f"line {number} has {len(cells)} cells", expected=",".join(_COLUMNS))
    try:
        return OwnedSession.model_validate(dict(zip(_COLUMNS, cells, strict=True)))
    except ValidationError as error:
        raise InvalidSetting(f"line {number}: {error.errors()[0]['loc'][0]} is not as expected") from None


class SessionList(Strict):
    """Sessions and whose they are: `items`, or the same as `csv`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["items"]}, {"required": ["csv"]}]})

    items: Annotated[list[OwnedSession], Field(max_length=LONGEST_LIST)] = Field([])
    csv: Annotated[
        Any,
        AfterValidator(_rows),
        WithJsonSchema(
            {"type": "string", "examples": ["session_id,customer_id\n1_MX4xMDB-worked-B,cus_2f6c1d0e9b8a47f3a1b2c3d4\n"]}
        ),
    ] = Field("", description="Two columns under the header `session_id,customer_id`")

    @model_validator(mode="after")
    def _in_one_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("Expected one of the fields items and csv")
        return self

    def owners(self) -> list[tuple[str, str]]:
        """Each session with its customer."""
        return [(it.session_id, it.customer_id) for it in (*self.items, *self.csv)]


class ImportedSessions(BaseModel):
    """What became of a list."""

    added: int
    changed: int
    removed: int


class SessionRule(Strict):
    """Whose the sessions are whose id matches a pattern, unless the list says otherwise."""

    pattern: Annotated[str, Field(min_length=1, max_length=200, pattern=LINE, examples=["1_MX4xMDB-school-*"])] = Field(
        description="A session id in which `*` stands for any text, and nothing else is special"
    )
    customer_id: CustomerId


class SessionRules(Strict):
    """All rules of a project."""

    rules: Annotated[list[SessionRule], Field(max_length=ownership.MAX_RULES)]


@router.get("/session-owners", summary="List the owners of sessions", responses=READS | NOT_FOUND)
def list_session_owners(service: Reads, project_id: InPath, limit: Limit = 50, cursor: Cursor = None) -> Page[OwnedSession]:
    """The imported list, by session id."""
    with transaction(service.engine, read_only=True) as session:
        projects.get(session, service.vault, project_id)
        page = ownership.list_page(session, project_id, limit=limit, cursor=cursor)
    return Page(
        items=[OwnedSession.model_validate(it.model_dump(include=set(_COLUMNS))) for it in page.items],
        next_cursor=page.next_cursor,
    )


@router.post("/session-owners", summary="Add owners of sessions", responses=WRITES | NOT_FOUND)
def add_session_owners(service: Administers, actor: Actor, project_id: InPath, given: SessionList) -> ImportedSessions:
    """Say whose these sessions are; those that the list holds already are changed, all others stay."""
    return _imported(service, actor, project_id, given, replace=False)


@router.put("/session-owners", summary="Replace the owners of sessions", responses=WRITES | NOT_FOUND)
def replace_session_owners(service: Administers, actor: Actor, project_id: InPath, given: SessionList) -> ImportedSessions:
    """Let this be the whole list."""
    return _imported(service, actor, project_id, given, replace=True)


@router.get("/session-rules", summary="Read the rules of a shared project", responses=READS | NOT_FOUND)
def get_session_rules(service: Reads, project_id: InPath) -> SessionRules:
    """All rules, by pattern."""
    with transaction(service.engine, read_only=True) as session:
        projects.get(session, service.vault, project_id)
        return _rules(ownership.rules_of(session, project_id))


@router.put("/session-rules", summary="Replace the rules of a shared project", responses=WRITES | NOT_FOUND)
def replace_session_rules(service: Administers, actor: Actor, project_id: InPath, given: SessionRules) -> SessionRules:
    """Let these be all rules. A session that rules of two customers claim is refused when it is to be invoiced."""
    rules = [(it.pattern, it.customer_id) for it in given.rules]
    with transaction(service.engine) as session:
        return _rules(ownership.set_rules(session, project_id, rules, actor=actor, now=service.clock.now()))


def _imported(service: Service, actor: str, project_id: str, given: SessionList, *, replace: bool) -> ImportedSessions:
    now = service.clock.now()
    try:
        with transaction(service.engine) as session:
            counts = ownership.import_sessions(session, project_id, given.owners(), replace=replace, actor=actor, now=now)
    except InvalidRequest as error:
        if given.csv:  # which the store knows nothing of
            error.pointer = "/csv"
        raise
    return ImportedSessions(**counts)


def _rules(rows: Any) -> SessionRules:
    return SessionRules(rules=[SessionRule(pattern=it.pattern, customer_id=it.customer_id) for it in rows])
