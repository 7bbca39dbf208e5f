"""Every error as HTTP: RFC 9457 problem+json. The only place that knows which error is which status.

An answer repeats what was sent only where that can hold no secret (a period, a tier) and never tells of the inside; the log has
the rest, under the same request id.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app import errors
from app.insights.errors import InsightsError
from billing.errors import BillingError, InvalidTransition, NotInvoiceable

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger()


class FieldError(BaseModel):
    """What is wrong with one field: `pointer` leads to it in the body, or `parameter` names it outside of the body."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(BaseModel):
    """An error, in the form of RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "'2026-13' is no month; expected a month such as '2026-10'",
                "errors": [{"detail": "'2026-13' is no month; expected a month such as '2026-10'", "pointer": "/period/month"}],
                "request_id": "9f86d081884c7d659a2feaa0c55ad015",
            }
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)
    request_id: str
    upstream_code: int | None = None


_STATUS: Mapping[type[Exception], int] = {
    RequestValidationError: 422,
    BillingError: 422,
    InvalidTransition: 409,
    NotInvoiceable: 409,
    errors.InvalidRequest: 422,
    errors.Unauthenticated: 401,
    errors.MissingScope: 403,
    errors.FourEyes: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unavailable: 503,
    InsightsError: 502,
    **dict.fromkeys((OperationalError, InterfaceError, PoolTimeout), 503),
}


def status_of(error: Exception) -> int:
    """The HTTP status of an error: that of its nearest ancestor in the table, else 500."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem(error: Exception, request_id: str) -> Problem:
    """The problem that an error is to the client."""
    status = error.status_code if isinstance(error, HTTPException) else status_of(error)
    detail, fields = _explain(error, status)
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=fields,
        request_id=request_id,
        upstream_code=error.code if isinstance(error, InsightsError) else None,
    )


def explain(error: Exception) -> dict[str, Any]:
    """The problem as JSON, for a job: its request id is the job's."""
    job_id = structlog.contextvars.get_contextvars().get("job_id", "")
    return problem(error, job_id).model_dump(exclude_none=True)


def answer(error: Exception, request_id: str) -> JSONResponse:
    """The answer for an error."""
    body = problem(error, request_id)
    headers = dict(getattr(error, "headers", None) or {})
    if body.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="reckoner"'
    if body.status == 403 and isinstance(error, errors.MissingScope):
        headers["WWW-Authenticate"] = f'Bearer realm="reckoner", error="insufficient_scope", scope="{error.scope}"'
    if body.status >= 500:
        _log.error("failed", status=body.status, exc_info=error)
    return JSONResponse(body.model_dump(exclude_none=True), body.status, headers, MEDIA_TYPE)


def _explain(error: Exception, status: int) -> tuple[str, list[FieldError]]:
    """The sentence and the field errors."""
    if isinstance(error, RequestValidationError):
        fields = [_field(item, error.body) for item in error.errors()]
        return fields[0].detail if len(fields) == 1 else f"{len(fields)} fields are not as expected.", fields
    if isinstance(error, BillingError):
        sentence = _sentence(error)
        return sentence, [FieldError(detail=sentence, pointer=error.pointer)]
    if isinstance(error, errors.InvalidRequest):
        sentence = _sentence(error)
        place = {"parameter": error.parameter} if error.parameter else {"pointer": error.pointer}
        return sentence, [FieldError(detail=sentence, **place)]
    if isinstance(error, (errors.ReckonerError, InsightsError)):
        return str(error), []
    if isinstance(error, HTTPException):
        return _HTTP.get(status, str(error.detail)), []
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return "The database cannot be used just now; try again later.", []
    return "Something went wrong inside; the log has it under this request id.", []


_HTTP = {
    400: "The body cannot be read as JSON.",
    404: "There is nothing at this address.",
    405: "The address does not take this method; the header Allow names those that it takes.",
    408: "The body did not arrive in time.",
    413: "The body is larger than 8 MiB.",
    415: "The body must be JSON, and the header Content-Type must say so: application/json.",
}


WORDS = {"extra_forbidden": "There is no such field", "missing": "This field is required"}
"""Where pydantic's own words would not help, by the kind of its error; by a pattern, the words for what it stands for."""


def _sentence(error: BillingError | errors.InvalidRequest) -> str:
    return f"{error.message.rstrip('.')}; expected {error.expected}" if error.expected else error.message


def _field(item: Mapping[str, Any], body: object) -> FieldError:
    """One of pydantic's errors, without the value that it is about."""
    source, *path = item["loc"]
    context = item.get("ctx", {})
    cause, pattern = context.get("error"), context.get("pattern")
    inner = cause.pointer if isinstance(cause, BillingError) else ""
    if isinstance(cause, BillingError):
        detail = _sentence(cause)
    elif pattern in WORDS:
        detail = f"This is not as expected; expected {WORDS[pattern]}"
    else:
        detail = WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
    if source != "body":
        return FieldError(detail=detail, parameter=".".join(str(part) for part in path) or inner.strip("/") or source)
    if item["type"] == "json_invalid":
        return FieldError(detail=f"The body is no JSON: {item['ctx']['error']} at character {path[0]}", pointer="")
    return FieldError(detail=detail, pointer=pointer(_within(body, path)) + inner)


def _within(body: object, path: Sequence[str | int]) -> Iterator[str | int]:
    """The path as the body has it: pydantic adds the kind of a union to it. A key that the body lacks can only be the last."""
    for place, part in enumerate(path, 1):
        if isinstance(body, dict) and part not in body and place < len(path):
            continue
        body = body.get(part) if isinstance(body, dict) else None
        yield part


def pointer(path: Iterable[object]) -> str:
    """The JSON pointer (RFC 6901) of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def install(app: FastAPI) -> None:
    """Let the application answer every error as a problem. What no handler knows is answered by `app.api.edge`."""

    def handle(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, HTTPException) and error.status_code == 405:
            error = HTTPException(405, headers={"Allow": ", ".join(_methods(app, request.url.path))})
        return answer(error, request.scope["state"]["request_id"])

    kinds: list[type[Exception]] = [HTTPException, *_STATUS]
    for kind in kinds:
        app.add_exception_handler(kind, handle)


def _methods(app: FastAPI, path: str) -> list[str]:
    """All methods of an address: a route knows only its own. What is not documented is a page."""
    for template, operations in app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return sorted(method.upper() for method in operations)
    return ["GET"]
