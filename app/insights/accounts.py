"""The projects of an OpenTok account: what an import starts from."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import httpx
import msgspec

from app.clock import Clock
from app.insights.conversation import Conversation, http_client
from app.insights.errors import MalformedAnswer
from app.insights.limits import ClientLimits, Limiter, Unlimited
from app.insights.tokens import AccountCredentials
from app.insights.wire import malformed


@dataclass(frozen=True)
class AccountProject:
    """A project as the account lists it; `created_at` in UTC."""

    id: str
    secret: str = field(repr=False)
    name: str
    status: Literal["ACTIVE", "SUSPENDED", "DELETED"]
    environment: Literal["standard", "enterprise"]
    created_at: datetime


class _Listed(msgspec.Struct, rename="camel"):
    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")] | int
    secret: str
    name: str | None
    status: Literal["ACTIVE", "SUSPENDED", "DELETED"]
    environment: Literal["standard", "enterprise"]
    created_at: int


def list_projects(
    account_key: str,
    account_secret: str,
    *,
    url: str,
    clock: Clock,
    limiter: Limiter | None = None,
    transport: httpx.BaseTransport | None = None,
    limits: ClientLimits | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[AccountProject]:
    """All projects of an account, in upstream's order. Raises InsightsError.

    `url` is the whole address of the project list. It is another service of the vendor than Insights, with its own limits, so
    no limiter is needed; one that is given is asked.
    """
    limits = limits or ClientLimits()
    with http_client(limits, transport) as http:
        credentials = AccountCredentials(account_key, account_secret)
        talk = Conversation(
            http, credentials, key=account_key, clock=clock, limiter=limiter or Unlimited(), limits=limits, sleep=sleep
        )
        return talk.call("GET", url, _projects)


_LISTED = msgspec.json.Decoder(list[_Listed])


def _projects(body: bytes) -> list[AccountProject]:
    try:
        listed = _LISTED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from None
    if len({str(project.id) for project in listed}) < len(listed):
        raise MalformedAnswer("A project comes twice.", expected="each project once")
    return [
        AccountProject(
            id=str(project.id),
            secret=project.secret,
            name=project.name or str(project.id),
            status=project.status,
            environment=project.environment,
            created_at=_instant(project.created_at, f"/{index}/createdAt"),
        )
        for index, project in enumerate(listed)
    ]


def _instant(milliseconds: int, path: str) -> datetime:
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise MalformedAnswer(f"{milliseconds} is no instant.", path=path, expected="milliseconds since the epoch") from None
