"""Optimistic locking: a change says which version of a thing it is for, in its body or by the header If-Match."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Header, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from app.api.schemas import Changes, documented
from app.errors import InvalidRequest, StaleVersion

Version = Annotated[
    int | None,
    Field(strict=True, ge=1, le=2**31 - 1, description="The version that was read; required without the header If-Match"),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", pattern=r'^"[1-9][0-9]{0,8}"$', description="The ETag that was read, in place of `version`"),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=1000, description="The ETag of a copy at hand")]
PRIVATE = "private, no-cache"
"""Cache-Control: a copy may be kept, by nobody else, and is asked for again each time."""
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The copy at hand is good"}}
STALE = documented(412)
"""The problem of a change with If-Match."""
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Its version in quotes, for If-Match"}}
ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}}
"""The header of a thing that is answered."""
LOCATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Where it is"}} | _ETAG}
}
"""The headers of a thing that was made."""


def etag(version: int) -> str:
    """The strong ETag of a version."""
    return f'"{version}"'


@contextmanager
def expected(version: int | None, if_match: str | None) -> Iterator[int]:
    """The version that a change is for. Raises InvalidRequest without one, or with two that differ.

    A stale one is HTTP 409; where it came by If-Match, 412.
    """
    given = {*([] if version is None else [version]), *([int(if_match.strip('"'))] if if_match else [])}
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


def stated(change: Changes) -> dict[str, Any]:
    """The fields that a body of changes states, but for the version."""
    return change.model_dump(include=change.model_fields_set - {"version"})


def unless_known(response: Response, if_none_match: str | None) -> Response:
    """The response, or 304 where the client has a copy with its ETag."""
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if response.headers["etag"] in known or "*" in known:
        return Response(status_code=304, headers={"ETag": response.headers["etag"], "Cache-Control": PRIVATE})
    return response
