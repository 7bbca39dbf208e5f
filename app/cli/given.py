"""What commands are given and read: held to what REST would take, because the two fill one database."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.api import problems
from app.errors import InvalidRequest
from app.store.paging import Page

Body = TypeVar("Body", bound=BaseModel)
Item = TypeVar("Item")


def checked(kind: type[Body], given: Mapping[str, Any]) -> Body:
    """What REST would take as a body. Raises InvalidRequest, which names each wrong field."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        refused = RequestValidationError([{**it, "loc": ("body", *it["loc"])} for it in error.errors()], body=given)
        fields = problems.problem(refused, "").errors
        raise InvalidRequest("; ".join(f"{it.pointer}: {it.detail}" for it in fields)) from None


def read(file: typer.FileText) -> str:
    """What a file says. Raises InvalidRequest for one that is no text."""
    try:
        return str(file.read())
    except UnicodeDecodeError:
        raise InvalidRequest(f"{file.name} is no text.") from None


def every(page: Callable[[str | None], Page[Item]]) -> list[Item]:
    """All items of a list, whose page after a cursor `page` answers."""
    items, cursor = page(None)
    found = [*items]
    while cursor is not None:
        items, cursor = page(cursor)
        found += items
    return found
