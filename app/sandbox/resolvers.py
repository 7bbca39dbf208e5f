"""The schema, and what answers its first fields: arguments in every form that real clients send."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from ariadne import ObjectType, QueryType, ScalarType, make_executable_schema
from graphql import (
    DocumentNode,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    parse,
    specified_rules,
    validate,
    value_from_ast_untyped,
)
from graphql.validation import VariablesInAllowedPositionRule

from app.sandbox.dataset import Dataset, ProjectRecord
from app.sandbox.metrics import Filters, project_data
from app.sandbox.refusals import Refusal
from app.sandbox.sessions import SessionLevel
from app.sandbox.tokens import Caller
from billing.errors import InvalidPeriod
from billing.period import microseconds, parse_instant

SCHEMA = files("app.sandbox").joinpath("schema.graphql").read_text()
MOST_TOKENS = 10_000
# Clients declare `Int!` and `String!` variables for our scalars (seen), so that rule alone is left out. What the variable
# holds then reaches a resolver as it is, and is read there.
_RULES = [rule for rule in specified_rules if rule is not VariablesInAllowedPositionRule]

_PROJECT_ID = re.compile(r"[0-9]{1,10}")
_CAPITAL = re.compile(r"[A-Z]")

_query = QueryType()
_project = ObjectType("Project")
_session_data = ObjectType("SessionData")


Info = GraphQLResolveInfo[Any]


@dataclass(frozen=True)
class Context:
    """Who asks what, when: `now` in microseconds since the epoch."""

    dataset: Dataset
    caller: Caller
    now: int


@cache
def schema() -> GraphQLSchema:
    """The executable schema, built once a process."""
    date, keyword = ScalarType("Date"), ScalarType("Keyword")
    for scalar in (date, keyword):
        # Only the literal shows an epoch past 32 bits, or a bare word.
        scalar.set_literal_parser(value_from_ast_untyped)
    executable = make_executable_schema(SCHEMA, _query, _project, _session_data, date, keyword)
    for described in executable.type_map.values():
        for field in described.fields.values() if isinstance(described, GraphQLObjectType) else ():
            for name, argument in field.args.items():
                argument.out_name = _CAPITAL.sub(lambda capital: f"_{capital[0].lower()}", name)
    return executable


@lru_cache(maxsize=256)
def document(query: str) -> DocumentNode:
    """The parsed and valid document of a query; clients send the same few again and again. Raises the first GraphQLError."""
    parsed = parse(query, max_tokens=MOST_TOKENS)
    if errors := validate(schema(), parsed, _RULES, max_errors=1):
        raise errors[0]
    return parsed


@_query.field("project")
def _resolve_project(_root: object, info: Info, project_id: object) -> dict[str, Any]:
    context: Context = info.context
    name = str(project_id)
    if not _PROJECT_ID.fullmatch(name):
        raise Refusal(1008, name)
    record = context.caller.ask_for(context.dataset, name)
    return {"projectId": name, "name": record.project.name, "record": record}


@_project.field("projectData")
def _resolve_project_data(
    project: dict[str, Any],
    info: Info,
    start: object = None,
    end: object = None,
    interval: object = None,
    group_by: object = None,
    first: object = None,
    end_cursor: object = None,
    **filters: object,
) -> dict[str, Any]:
    intervals = _several(interval)
    if len(intervals) > 1:
        raise Refusal(1003)
    return project_data(
        project["record"],
        info.context.now,
        _start(start),
        _end(end),
        intervals[0] if intervals else "AUTO",
        _several(group_by),
        Filters.of({name: _several(values) for name, values in filters.items()}),
        first,
        end_cursor,
    )


@_project.field("sessionData")
def _resolve_session_data(project: dict[str, Any], info: Info) -> SessionLevel:
    record: ProjectRecord = project["record"]
    if not record.project.advanced_insights:
        raise Refusal(1014)
    return SessionLevel(record, info.context.now)


@_session_data.field("sessionSummaries")
def _resolve_session_summaries(
    level: SessionLevel,
    _info: Info,
    start: object = None,
    end: object = None,
    first: object = None,
    end_cursor: object = None,
) -> dict[str, Any]:
    return level.session_summaries(_start(start), _end(end), first, end_cursor)


@_session_data.field("sessions")
def _resolve_sessions(
    level: SessionLevel, _info: Info, session_ids: object = None, first: object = None, end_cursor: object = None
) -> dict[str, Any]:
    return level.sessions(session_ids, first, end_cursor)


def _several(value: object) -> list[Any]:
    """One value or a list, as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]


def _start(value: object) -> int | None:
    """The start of a range in microseconds; None where it is `0`, the earliest record."""
    if value is None:
        raise Refusal(1013, "start")
    return None if str(value) == "0" else _instant("start", value)


def _end(value: object) -> int | None:
    """The end of a range in microseconds; None where it is left out, which means now."""
    return None if value is None else _instant("end", value)


def _instant(name: str, value: object) -> int:
    if isinstance(value, list):
        raise Refusal(1010, name)
    try:
        return microseconds(parse_instant(value))
    except InvalidPeriod as error:
        raise Refusal(1002, f"{name}: {error.message}") from None
