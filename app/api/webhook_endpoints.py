"""Webhook endpoints: where Reckoner tells of what happens, and who is told what."""

from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, Field

from app.api.access import Actor, Administers, Operation
from app.api.parties import Line
from app.api.projects import ProjectId
from app.api.schemas import (
    NOT_FOUND,
    OUR_ID,
    READS,
    WRITES,
    Changes,
    Cursor,
    Instant,
    InstantGiven,
    Limit,
    Nothing,
    Page,
    Strict,
)
from app.api.versions import ETAG, LOCATED, STALE, IfMatch, Version, etag, expected, stated
from app.api.webhook_deliveries import Delivery, tried
from app.db import transaction
from app.flows import deliver
from app.settings import HttpUrl
from app.store import webhooks
from app.store.webhook_tables import WebhookEndpoint
from app.webhooks.events import EventType
from app.webhooks.signing import new_secret

router = APIRouter(prefix="/webhook-endpoints", tags=["webhooks"], route_class=Operation)

EndpointId = Annotated[str, Field(pattern=OUR_ID, examples=["we_5d41402abc4b2a76b9719d91"])]
InPath = Annotated[EndpointId, Path(description="A webhook endpoint's id")]
ANYWHERE = "https://erp.example.com/reckoner"

Url = Annotated[
    HttpUrl,
    Field(
        max_length=2000,
        description="Where events are sent: https, to a public address; in development also to this machine, also over http",
        examples=[ANYWHERE],
    ),
]


def _once_each(given: list[Any] | None) -> list[Any] | None:
    return given and list(dict.fromkeys(given))


Types = Annotated[
    list[EventType] | None,
    Field(min_length=1, max_length=50, description="The events to be told of; null is all, also those to come"),
    AfterValidator(_once_each),
]
Projects = Annotated[
    list[ProjectId] | None,
    Field(min_length=1, max_length=1000, description="The projects to be told of; null is all, also those to come"),
    AfterValidator(_once_each),
]


class Terms(Strict):
    """What an endpoint is told, and how."""

    description: Line = ""
    types: Types = None
    projects: Projects = None
    ordered: bool = Field(
        False,
        strict=True,
        description="Tell of each subject in order: what comes after one that failed waits until it is taken or given up",
    )


class NewEndpoint(Terms):
    """An endpoint to add."""

    url: Url


class EndpointChange(Changes, Terms):
    """What to change; all that is left out stays. One that is enabled again, or has another address, begins anew."""

    version: Version = None
    url: Url = ANYWHERE
    enabled: bool = Field(True, strict=True, description="Whether it is sent anything")


class Endpoint(Terms):
    """A webhook endpoint. `reason` says why it is not enabled, `failing_since` when the attempts began to fail without one
    that succeeded, `replaced_secret_until` how long what is sent is signed with the secret before the last too."""

    id: str
    url: str
    enabled: bool
    reason: str
    failing_since: Instant | None
    replaced_secret_until: Instant | None
    version: int
    created_at: Instant
    changed_at: Instant

    @classmethod
    def of(cls, endpoint: WebhookEndpoint, **more: Any) -> Self:
        """The JSON of an endpoint."""
        until = max((it["until"] for it in endpoint.secrets if it["until"]), default=None)
        fields = endpoint.model_dump(exclude={"secrets", "deleted_at"})
        return cls.model_validate({**fields, "replaced_secret_until": until, **more})


class EndpointWithSecret(Endpoint):
    """An endpoint with the secret that its receiver verifies by, which is told this once."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class Span(Strict):
    """What happened from `since` on, before `until`, or now."""

    since: InstantGiven
    until: InstantGiven | None = None


class Redelivered(BaseModel):
    """How many deliveries were begun."""

    deliveries: int


@router.post("", status_code=201, summary="Add a webhook endpoint", responses=WRITES | LOCATED)
def create_webhook_endpoint(service: Administers, actor: Actor, new: NewEndpoint, response: Response) -> EndpointWithSecret:
    """Let an address be told of what happens. The answer has the secret, which is shown this once."""
    service.sender.require(new.url)
    secret = new_secret()
    with transaction(service.engine) as session:
        endpoint = webhooks.create(session, service.vault, secret, actor=actor, now=service.clock.now(), **new.model_dump())
    response.headers.update({"Location": f"/v1/webhook-endpoints/{endpoint.id}", "ETag": etag(endpoint.version)})
    return EndpointWithSecret.of(endpoint, secret=secret)


@router.get("", summary="List webhook endpoints", responses=READS)
def list_webhook_endpoints(service: Administers, limit: Limit = 50, cursor: Cursor = None) -> Page[Endpoint]:
    """All endpoints, newest first, also those that are not enabled."""
    with transaction(service.engine, read_only=True) as session:
        page = webhooks.endpoints(session, limit=limit, cursor=cursor)
    return Page(items=[Endpoint.of(it) for it in page.items], next_cursor=page.next_cursor)


@router.get("/{endpoint_id}", summary="Read a webhook endpoint", responses=READS | NOT_FOUND | ETAG)
def get_webhook_endpoint(service: Administers, endpoint_id: InPath, response: Response) -> Endpoint:
    """One endpoint: whether it is enabled, and if not, why."""
    with transaction(service.engine, read_only=True) as session:
        endpoint = webhooks.get(session, endpoint_id)
    response.headers["ETag"] = etag(endpoint.version)
    return Endpoint.of(endpoint)


@router.patch("/{endpoint_id}", summary="Change a webhook endpoint", responses=WRITES | NOT_FOUND | STALE | ETAG)
def change_webhook_endpoint(
    service: Administers,
    actor: Actor,
    endpoint_id: InPath,
    change: EndpointChange,
    response: Response,
    if_match: IfMatch = None,
) -> Endpoint:
    """Change some fields, of the version that was read. Disabling it gives up what is still to be delivered; enabling it again
    delivers what happens from then on, and the rest when it is asked for: see `redeliver`."""
    changes = stated(change)
    if "url" in changes:
        service.sender.require(changes["url"])
    with expected(change.version, if_match) as version, transaction(service.engine) as session:
        endpoint = webhooks.change(
            session, endpoint_id, actor=actor, now=service.clock.now(), expected_version=version, **changes
        )
    response.headers["ETag"] = etag(endpoint.version)
    return Endpoint.of(endpoint)


@router.delete(
    "/{endpoint_id}", status_code=204, summary="Delete a webhook endpoint", responses=READS | NOT_FOUND, response_class=Response
)
def delete_webhook_endpoint(service: Administers, actor: Actor, endpoint_id: InPath) -> None:
    """Send it nothing any longer, and forget its secrets. Its deliveries can still be read."""
    with transaction(service.engine) as session:
        webhooks.remove(session, endpoint_id, actor=actor, now=service.clock.now())


@router.post("/{endpoint_id}/rotate-secret", summary="Replace the secret of a webhook endpoint", responses=WRITES | NOT_FOUND)
def rotate_webhook_secret(service: Administers, actor: Actor, endpoint_id: InPath, _: Nothing) -> EndpointWithSecret:
    """Sign with a new secret from now on, and for 24 hours with the one before too, so that the receiver may change over in
    that time. The answer has the new secret, which is shown this once."""
    secret = new_secret()
    with transaction(service.engine) as session:
        endpoint = webhooks.rotate(session, service.vault, endpoint_id, secret, actor=actor, now=service.clock.now())
    return EndpointWithSecret.of(endpoint, secret=secret)


@router.post("/{endpoint_id}/test", summary="Try a webhook endpoint", responses=WRITES | NOT_FOUND)
def try_webhook_endpoint(service: Administers, endpoint_id: InPath, _: Nothing) -> Delivery:
    """Send an event of the type `endpoint.test`, once, and answer what came of it: within 15 seconds. It goes also to an
    endpoint that is not enabled, and changes nothing about it."""
    with transaction(service.engine) as session:
        made = deliver.send_test(session, endpoint_id, now=service.clock.now())
    return tried(service, made)


@router.post("/{endpoint_id}/redeliver", summary="Deliver again since an instant", responses=WRITES | NOT_FOUND)
def redeliver_webhooks_since(service: Administers, endpoint_id: InPath, span: Span) -> Redelivered:
    """Deliver all that the endpoint wants of what happened in that time, again or, where it was not enabled, for the first
    time; at most 1000 events at once, of the last 90 days. An event keeps its `webhook-id`: a receiver can tell what it has."""
    with transaction(service.engine) as session:
        count = deliver.redeliver_since(session, endpoint_id, span.since, span.until, now=service.clock.now())
    return Redelivered(deliveries=count)
