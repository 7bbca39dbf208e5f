"""The format of a dataset: who was connected and publishing when, and which faults are planted.

Instants in JSON are ISO-8601 with an offset; minutes are numbers or decimal texts. What is wrong is refused with the JSON
pointer of the field (`DatasetError`); nothing is repaired or guessed.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

import jwt
import msgspec
from msgspec import Meta, Struct

from billing.errors import BillingError
from billing.minutes import parse_minutes
from billing.period import microseconds
from billing.tiers import KNOWN_FIELDS

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Instant = Annotated[datetime, Meta(tz=True)]
Number = int | float | str
Calls = Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1)]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS_IN_MICRO_MINUTE = 60
_PATH = re.compile(r" - at `\$?(.*)`$")

USAGE_KINDS = (
    "individualArchiveMinutes",
    "sdArchiveComposedMinutes",
    "hdArchiveComposedMinutes",
    "sdBroadcastComposedMinutes",
    "hdBroadcastComposedMinutes",
    "hlsMinutes",
    "sipUserMinutes",
    "experienceComposer",
    "experienceComposerArchive",
    "experienceComposerBroadcast",
)
"""The kinds of project-level usage that do not follow from who was connected; a dataset states them by day."""


class DatasetError(ValueError):
    """A dataset cannot be served; `pointer` is the JSON pointer of what is wrong with it."""

    def __init__(self, message: str, pointer: str) -> None:
        super().__init__(f"{pointer or '/'}: {message}")
        self.pointer = pointer


class Value(Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of the dataset, without fields that nobody knows."""


class Stream(Value):
    """What one connection published, `[created_at, destroyed_at)`."""

    stream_id: Text
    created_at: Instant
    destroyed_at: Instant
    video_type: Literal["camera", "screen", "custom"] = "camera"


class Subscription(Value):
    """One connection's reception of another's stream, `[created_at, destroyed_at)`."""

    stream_id: Text
    created_at: Instant
    destroyed_at: Instant


class Connection(Value):
    """One participant, `[created_at, destroyed_at)`. Without `subscriptions` it receives every other connection's streams."""

    connection_id: Text
    created_at: Instant
    destroyed_at: Instant
    sdk_type: str = "JS"
    sdk_version: str = "2.30.1"
    browser: str = "CHROME"
    browser_version: str = "141.0"
    country: str = "US"
    region: str = "CA"
    streams: list[Stream] = []
    subscriptions: list[Subscription] | None = None


class Session(Value):
    """A room, and everybody who was ever in it."""

    project_id: Text
    session_id: Text
    connections: list[Connection]
    media_mode: Literal["routed", "relayed"] = "routed"


class Project(Value):
    """A project; `application_id` and `public_key` (PEM) also let a Vonage application ask for it."""

    id: Annotated[str, Meta(pattern=r"^[0-9]{1,10}$")]
    secret: Text
    name: str = ""
    status: Literal["ACTIVE", "SUSPENDED", "DELETED"] = "ACTIVE"
    environment: Literal["standard", "enterprise"] = "standard"
    advanced_insights: bool = True
    tiers: Literal["all"] | list[str] = "all"
    created_at: Instant = datetime(2026, 1, 15, tzinfo=UTC)
    application_id: str | None = None
    public_key: str | None = None
    usage: dict[date, dict[str, Number]] = {}


class Account(Value):
    """The account that lists the projects."""

    key: Text
    secret: Text


class ProjectDayDropped(Value, tag="project_day_dropped", tag_field="kind"):
    """The project level never answers for that day."""

    project_id: str
    day: date


class ProjectDayAdjusted(Value, tag="project_day_adjusted", tag_field="kind"):
    """The project level of that day has so many minutes more in a tier."""

    project_id: str
    day: date
    tier: str
    minutes: Number
    alone: bool | None = None


class TierShifted(Value, tag="tier_shifted", tag_field="kind", rename={"source": "from", "target": "to"}):
    """The project level of that day has minutes of one tier in another."""

    project_id: str
    day: date
    source: str
    target: str
    minutes: Number
    alone: bool | None = None


class Restated(Value, tag="restated", tag_field="kind"):
    """From the instant `at` on, the project level of that day has so many minutes more in a tier."""

    project_id: str
    day: date
    tier: str
    minutes: Number
    at: Instant
    alone: bool | None = None


class MeetingAdjusted(Value, tag="meeting_adjusted", tag_field="kind"):
    """A meeting, and the total of its session with it, has so many minutes more in a tier."""

    project_id: str
    session_id: str
    meeting_created_at: Instant
    tier: str
    minutes: Number
    alone: bool | None = None


class MeetingConflict(Value, tag="meeting_conflict", tag_field="kind"):
    """A meeting is listed twice, the second time with so many minutes more in a tier."""

    project_id: str
    session_id: str
    meeting_created_at: Instant
    tier: str
    minutes: Number
    alone: bool | None = None


class MeetingHidden(Value, tag="meeting_hidden", tag_field="kind"):
    """A meeting is in no list, but still in the total of its session."""

    project_id: str
    session_id: str
    meeting_created_at: Instant


class SessionTotalAdjusted(Value, tag="session_total_adjusted", tag_field="kind"):
    """The total of a session has so many minutes more in a tier than its meetings."""

    project_id: str
    session_id: str
    tier: str
    minutes: Number
    alone: bool | None = None


class Http(Value, tag="http", tag_field="kind"):
    """The numbered calls of an operation fail; exactly one of `status`, `timeout`, `truncated`, `html`, `error_code`."""

    project_id: str
    operation: Literal["projectData", "sessionSummaries", "sessions", "projects"]
    calls: Calls
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    timeout: bool | Annotated[float, Meta(gt=0, le=600)] | None = None
    truncated: bool | None = None
    html: bool | None = None
    error_code: Annotated[int, Meta(ge=1000, le=1022)] | None = None
    retry_after: Annotated[int, Meta(ge=0)] | None = None


MeetingFault = MeetingAdjusted | MeetingConflict | MeetingHidden
TierFault = ProjectDayAdjusted | TierShifted | Restated | MeetingAdjusted | MeetingConflict | SessionTotalAdjusted
Fault = ProjectDayDropped | MeetingHidden | TierFault | Http


class Data(Value):
    """A whole dataset as it stands in JSON."""

    account: Account
    projects: Annotated[list[Project], Meta(min_length=1)]
    sessions: list[Session] = []
    faults: list[Fault] = []


def parse(content: object) -> Data:
    """The dataset of decoded JSON. Raises DatasetError with the JSON pointer of the first thing that is wrong."""
    try:
        data = msgspec.convert(content, Data)
    except msgspec.ValidationError as error:
        raise DatasetError(_PATH.sub("", str(error)), _pointer(str(error))) from None
    _check(data)
    return data


def _pointer(message: str) -> str:
    """The JSON pointer of a msgspec message: `$.sessions[0].media_mode` is `/sessions/0/media_mode`."""
    path = _PATH.search(message.replace("key` in `", ""))
    return "".join(f"/{part}" for part in re.findall(r"[^.\[\]]+", path[1])) if path else ""


def _check(data: Data) -> None:
    """What the types do not say: unique ids, references, intervals inside one another, tiers that exist."""
    projects = {project.id: project for project in data.projects}
    _unique((f"/projects/{index}/id", project.id) for index, project in enumerate(data.projects))
    for index, project in enumerate(data.projects):
        for place, tier in enumerate([] if project.tiers == "all" else project.tiers):
            check_tier(tier, f"/projects/{index}/tiers/{place}")
        if (project.application_id is None) != (project.public_key is None):
            raise DatasetError("application_id and public_key go together", f"/projects/{index}")
        if project.public_key is not None:
            _check_key(project.public_key, f"/projects/{index}/public_key")
        for day, kinds in project.usage.items():
            for kind, minutes in kinds.items():
                at = f"/projects/{index}/usage/{day}/{kind}"
                if kind not in USAGE_KINDS:
                    raise DatasetError(f"one of {', '.join(USAGE_KINDS)} was expected", at)
                if microseconds_of_minutes(minutes, at) < 0:
                    raise DatasetError("usage is not negative", at)
    _unique((f"/sessions/{index}/session_id", session.session_id) for index, session in enumerate(data.sessions))
    for index, session in enumerate(data.sessions):
        if session.project_id not in projects:
            raise DatasetError(f"no project {session.project_id!r}", f"/sessions/{index}/project_id")
        _check_session(session, f"/sessions/{index}")
    for index, fault in enumerate(data.faults):
        if fault.project_id not in projects:
            raise DatasetError(f"no project {fault.project_id!r}", f"/faults/{index}/project_id")
        if isinstance(fault, Http):
            ways = (fault.status, fault.timeout, fault.truncated, fault.html, fault.error_code)
            if len([way for way in ways if way]) != 1:
                expected = "exactly one of status, timeout, truncated, html and error_code was expected"
                raise DatasetError(expected, f"/faults/{index}")


def _check_key(public_key: str, at: str) -> None:
    try:
        jwt.get_algorithm_by_name("RS256").prepare_key(public_key)
    except (jwt.InvalidKeyError, ValueError, TypeError):
        raise DatasetError("an RSA public key in PEM was expected", at) from None


def _check_session(session: Session, at: str) -> None:
    publishers: dict[str, tuple[int, Stream]] = {}
    for index, connection in enumerate(session.connections):
        _check_interval(connection, None, f"{at}/connections/{index}")
        for place, stream in enumerate(connection.streams):
            _check_interval(stream, connection, f"{at}/connections/{index}/streams/{place}")
            publishers[stream.stream_id] = index, stream
    _unique((f"{at}/connections/{index}/connection_id", c.connection_id) for index, c in enumerate(session.connections))
    _unique(
        (f"{at}/connections/{index}/streams/{place}/stream_id", stream.stream_id)
        for index, connection in enumerate(session.connections)
        for place, stream in enumerate(connection.streams)
    )
    for index, connection in enumerate(session.connections):
        for place, subscription in enumerate(connection.subscriptions or ()):
            here = f"{at}/connections/{index}/subscriptions/{place}"
            publisher, published = publishers.get(subscription.stream_id) or (index, None)
            if published is None or publisher == index:
                raise DatasetError(f"no stream {subscription.stream_id!r} of another connection", f"{here}/stream_id")
            _check_interval(subscription, connection, here)
            _check_interval(subscription, published, here)


def _check_interval(inner: Connection | Stream | Subscription, outer: Connection | Stream | None, at: str) -> None:
    if inner.destroyed_at <= inner.created_at:
        raise DatasetError("destroyed_at must be after created_at", f"{at}/destroyed_at")
    if outer and inner.created_at < outer.created_at:
        raise DatasetError(f"begins before what holds it, at {outer.created_at.isoformat()}", f"{at}/created_at")
    if outer and inner.destroyed_at > outer.destroyed_at:
        raise DatasetError(f"ends after what holds it, at {outer.destroyed_at.isoformat()}", f"{at}/destroyed_at")


def _unique(ids: Iterable[tuple[str, str]]) -> None:
    seen = set()
    for pointer, name in ids:
        if name in seen:
            raise DatasetError(f"{name!r} is there twice", pointer)
        seen.add(name)


def check_tier(tier: str, pointer: str) -> str:
    """The tier, if it is one of upstream's seventeen."""
    if tier not in KNOWN_FIELDS:
        raise DatasetError(f"{tier!r} is none of upstream's tiers", pointer)
    return tier


def microseconds_of_minutes(minutes: Number, pointer: str) -> int:
    """A number of minutes with at most six decimals, possibly negative, in participant microseconds."""
    try:
        return parse_minutes(str(Decimal(str(minutes))), pointer) * _MICROSECONDS_IN_MICRO_MINUTE
    except (BillingError, ArithmeticError):
        raise DatasetError(f"{minutes!r} is no number of minutes with at most six decimals", pointer) from None


def iso(instant: int) -> str:
    """An instant in microseconds as upstream writes it: UTC, milliseconds, `Z`; finer only where it is."""
    moment = _EPOCH + instant * _MICROSECOND
    return moment.isoformat(timespec="microseconds" if instant % 1000 else "milliseconds").replace("+00:00", "Z")


def instants(parts: Iterable[Connection | Stream | Subscription]) -> Iterator[tuple[int, int]]:
    """The half-open intervals of connections, streams or subscriptions, in microseconds."""
    for part in parts:
        yield microseconds(part.created_at), microseconds(part.destroyed_at)
