"""What several resources share in JSON: strict bodies, periods, days, minutes, lists, and the documented problems."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from fastapi import Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from app.api import problems
from billing import report
from billing.period import AlignedPeriod, parse_instant, parse_period, resolve

T = TypeVar("T")

MONTH = r"^20(0[7-9]|[12]\d|3[0-7])-(0[1-9]|1[0-2])$"
DAY = r"^20(0[7-9]|[12]\d|3[0-7])-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
"""Text without control characters: PostgreSQL refuses a NUL, and a line feed would forge a line of a log or a table."""
OUR_ID = r"^[a-z0-9_]{1,64}$"
"""An id that the service gave: of a report, a job, a customer, an invoice."""
problems.WORDS |= {PRINTABLE: "text without control characters", OUR_ID: "an id that the service gave"}


class Strict(BaseModel):
    """A body from outside: unknown fields are refused, nothing is converted but what JSON cannot say."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Strict):
    """An empty object."""


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(Strict):
    """A body of changes: what it leaves out stays, so its fields' defaults are never used, and never shown."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    PlainSerializer(_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-01T07:00:00Z"]}),
]
Day = Annotated[date, Field(examples=["2026-10-31"])]
Minutes = Annotated[str, Field(pattern=r"^-?\d+\.\d{6}$", examples=["45.000000"])]
"""Minutes with six decimals: a text, so that they never pass through a float."""
TierMinutes = Annotated[dict[str, Minutes], Field(examples=[{"from1To2Publishers": "45.000000"}])]

_INSTANT = {
    "description": "An ISO-8601 instant with an offset, or epoch seconds (10 digits or fewer) or milliseconds",
    "oneOf": [
        {"type": "string", "minLength": 1, "maxLength": 64},
        {"type": "integer", "minimum": 1_167_638_400, "maximum": 2_145_945_600_000},
    ],
    "examples": ["2026-10-01T07:00:00Z"],
}
InstantGiven = Annotated[Any, AfterValidator(parse_instant), WithJsonSchema(_INSTANT)]
"""An instant of a body, from 2007 to 2037; its value is a datetime in UTC."""
_ALIGNMENT = {"enum": ["cover", "within", "nearest", "strict"], "default": "cover"}
_FORMS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("A calendar month", {"month": {"type": "string", "pattern": MONTH}}, ["month"]),
    (
        "The billing cycle that holds a day",
        {"cycle": {"type": "string", "pattern": DAY}, "anchor_day": {"type": "integer", "minimum": 1, "maximum": 31}},
        ["cycle", "anchor_day"],
    ),
    (
        "Two billing days, both included",
        {"first_day": {"type": "string", "pattern": DAY}, "last_day": {"type": "string", "pattern": DAY}},
        ["first_day", "last_day"],
    ),
    (
        "Two instants, the end excluded",
        {"start": _INSTANT, "end": _INSTANT, "alignment": _ALIGNMENT},
        ["start", "end"],
    ),
]
PERIOD_SCHEMA: dict[str, Any] = {
    "title": "Period",
    "oneOf": [
        {"title": title, "type": "object", "properties": properties, "required": required, "additionalProperties": False}
        for title, properties, required in _FORMS
    ],
    "examples": [{"month": "2026-10"}, {"cycle": "2026-10-20", "anchor_day": 15}],
}

Period = Annotated[Any, AfterValidator(resolve), WithJsonSchema(PERIOD_SCHEMA)]
"""A period of a body, in any form of the contract; its value is an AlignedPeriod."""

PeriodText = Annotated[
    Any,
    AfterValidator(parse_period),
    WithJsonSchema({"type": "string", "minLength": 7, "maxLength": 130}),
    Query(
        description="`2026-10`, `2026-10-01..2026-10-31`, or two instants `START..END`",
        openapi_examples={"month": {"value": "2026-10"}, "days": {"value": "2026-10-01..2026-10-31"}},
    ),
]
"""A period of a query; its value is an AlignedPeriod."""


class Aligned(BaseModel):
    """A billing period: whole Pacific days, and the same in UTC."""

    first_day: Day
    last_day: Day
    start: Instant
    end: Instant
    days: int
    short_days: list[Day]
    long_days: list[Day]

    @classmethod
    def of(cls, aligned: AlignedPeriod) -> "Aligned":
        """The JSON of a request's period."""
        return cls.model_validate(report.aligned(aligned))


class Page(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None


OfProject = Annotated[str | None, Query(max_length=64, pattern=PRINTABLE)]
Limit = Annotated[int, Query(ge=1, le=200, description="How many items at most")]
Cursor = Annotated[
    str | None, Query(min_length=1, max_length=500, pattern=PRINTABLE, description="`next_cursor` of the page before")
]


def _whole_number(value: object) -> object:
    """A query has only text; what is no number stays as it is, to be refused in the words of `billing.period`."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 3 else value


_Text = Annotated[str, Field(max_length=64)]
_AnchorDay = Annotated[
    Any, BeforeValidator(_whole_number), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 31, "examples": [15]})
]


class PeriodQuery(BaseModel):
    """A period in any form of the contract, as query parameters."""

    model_config = ConfigDict(extra="forbid")

    month: Annotated[_Text | None, Field(examples=["2026-10"])] = None
    cycle: _Text | None = None
    anchor_day: _AnchorDay = None
    first_day: _Text | None = None
    last_day: _Text | None = None
    start: _Text | None = None
    end: _Text | None = None
    alignment: Annotated[_Text | None, Field(json_schema_extra=_ALIGNMENT)] = None
    _aligned: AlignedPeriod = PrivateAttr()

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        self._aligned = resolve(self.model_dump(exclude_none=True))
        return self

    @property
    def aligned(self) -> AlignedPeriod:
        """The billing period that it is."""
        return self._aligned


_MEANING = {
    400: "The body cannot be read",
    401: "No API key, or one that is unknown or revoked",
    403: "The API key lacks the scope",
    404: "No such thing",
    408: "The body did not arrive in time",
    409: "It exists already, or is in another state or version, or the first request with this Idempotency-Key is unanswered",
    412: "It has changed since the version of If-Match",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "A value cannot be used; `errors` names each field",
    500: "The job failed inside",
    502: "Upstream refused or failed; `upstream_code` is its error code",
    503: "The database cannot be used just now",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer, for OpenAPI."""
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANING[status], "content": content} for status in sorted(statuses)}


READS = documented(401, 403, 422, 503)
"""The problems of every operation that reads."""
WRITES = documented(400, 401, 403, 408, 409, 413, 415, 422, 503)
"""The problems of every operation with a body."""
NOT_FOUND = documented(404)
LOCATION: dict[int | str, dict[str, Any]] = {
    202: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Where the job is"}}}
}
