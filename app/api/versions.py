"""Optimistic locking: a change says which version of a thing it is for, in its body or by the header If-Match."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Header
from pydantic import Field
from starlette.exceptions import HTTPException

from app.api.schemas import documented
from app.errors import InvalidRequest, StaleVersion

Version = Annotated[
    int | None,
    Field(strict=True, ge=1, le=2**31 - 1, description="The version that was read; required without the header If-Match"),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", pattern=r'^"[1-9][0-9]{0,8}"$', description="The ETag that was read, in place of `version`"),
]
STALE = documented(412)
"""The problem of a change with If-Match."""
ETAG: dict[str, Any] = {"ETag": {"schema": {"type": "string"}, "description": "The version in quotes, for If-Match"}}


def etag(version: int) -> str:
    """The strong ETag of a version."""
    return f'"{version}"'


@contextmanager
def expected(version: int | None, if_match: str | None) -> Iterator[int]:
    """The version that a change is for. Raises InvalidRequest without one, or with two that differ.

    A stale one is HTTP 409; where it came by If-Match, 412.
    """
    given = {version, int(if_match.strip('"')) if if_match else None} - {None}
    if len(given) != 1:
        raise InvalidRequest(
            "It must be said which version this is for",
            pointer="/version",
            expected="the version that was read, here or as its ETag in the header If-Match",
        )
    try:
        yield given.pop()
    except StaleVersion as error:
        if if_match:
            raise HTTPException(412, error.message) from None
        raise
