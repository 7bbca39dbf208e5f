"""Who may do what, and doing it once: API keys with their scopes, and Idempotency-Key on every POST."""

from collections.abc import Callable, Coroutine
from email.message import Message
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.exceptions import HTTPException

from app import auth
from app.api.openapi import operations
from app.db import transaction
from app.errors import InvalidRequest, Unauthenticated
from app.service import Service
from app.store import idempotency
from app.store.tables import ApiKey

KEPT_HEADERS = ("content-type", "location", "etag", "preference-applied")
"""The headers of an answer that belong to it; all others are of the one request."""
_BYTES = "latin-1"
"""The encoding in which any bytes are a text."""

_bearer = HTTPBearer(scheme_name="API key", description="An API key `rk_…`", auto_error=False)


def _service(scopes: SecurityScopes, request: Request, _: Annotated[object, Security(_bearer)]) -> Service:
    """The service, for an API key with the scopes. Raises MissingScope."""
    for scope in scopes.scopes:
        auth.require(request.state.key, auth.Scope(scope))
    service: Service = request.app.state.service
    return service


Reads = Annotated[Service, Security(_service, scopes=["read"])]
Collects = Annotated[Service, Security(_service, scopes=["collect"])]
Reconciles = Annotated[Service, Security(_service, scopes=["reconcile"])]
Invoices = Annotated[Service, Security(_service, scopes=["invoice"])]
Administers = Annotated[Service, Security(_service, scopes=["admin"])]


def _actor(request: Request) -> str:
    """Names alone would not tell two keys apart, and an id alone tells a reader of the audit log nothing."""
    key: ApiKey = request.state.key
    return f"{key.name} ({key.id})"


Actor = Annotated[str, Depends(_actor)]
"""Who calls, for the audit log: the API key's name and id."""


class Operation(APIRoute):
    """A route for API keys only, whose POSTs with an Idempotency-Key have their effect once.

    The first request with a key runs and its answer is kept for a day, encrypted, because it may hold a new secret; the same
    again gets the same answer with the header `Idempotency-Replayed: true`; another request with that key is refused; while
    the first one runs, HTTP 409. An answer that is no success is not kept: it had no effect, and the same key may try again.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, within the two."""
        handle = super().get_route_handler()

        async def operate(request: Request) -> Response:
            request.state.key = await run_in_threadpool(authenticate, request)
            _require_known_parameters(request)
            if request.method in ("POST", "PUT", "PATCH") and not _is_json(request):
                raise HTTPException(415)
            key = request.headers.get("idempotency-key")
            if request.method != "POST" or key is None:
                return await handle(request)
            return await _once(request, key, handle)

        return operate


def authenticate(request: Request) -> ApiKey:
    """The API key that a request carries. Raises Unauthenticated."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send an API key: 'Authorization: Bearer rk_…'.")
    with transaction(request.app.state.service.engine, read_only=True) as session:
        return auth.authenticate(session, token.strip())


def _require_known_parameters(request: Request) -> None:
    """Raise InvalidRequest for a query parameter that the document does not name, or that comes twice: a filter that is
    mistyped would otherwise answer everything."""
    if not request.query_params:
        return
    wanted = request.scope["route"].name  # the operation id: app.main says so
    operation = next(it for _, it in operations(request.app.openapi()) if it["operationId"] == wanted)
    known = sorted(it["name"] for it in operation.get("parameters", ()) if it["in"] == "query")
    for name in request.query_params:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "none here"
            raise InvalidRequest(f"There is no query parameter {name[:64]!r}", parameter=name[:64], expected=expected)
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidRequest(f"The query parameter {name!r} comes more than once", parameter=name, expected="it once")


def _is_json(request: Request) -> bool:
    """Whether its header says that the body is JSON; what has no body need not say so."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return True
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    return header.get_content_type() == "application/json"


async def _once(request: Request, key: str, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            "The Idempotency-Key cannot be used", parameter="Idempotency-Key", expected="1 to 255 printable ASCII characters"
        )
    service: Service = request.app.state.service
    what = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
    claim = (request.state.key.id, key, sha256(what).hexdigest())

    def begin() -> Response | None:
        with transaction(service.engine) as session:
            stored = idempotency.begin(session, *claim)
        if stored is None:
            return None
        body = service.vault.decrypt(stored.body.decode(), context=key).encode(_BYTES)
        return Response(body, stored.status, {**stored.headers, "Idempotency-Replayed": "true"})

    def finish(response: Response) -> None:
        headers = {name: value for name, value in response.headers.items() if name in KEPT_HEADERS}
        sealed = service.vault.encrypt(bytes(response.body).decode(_BYTES), context=key).encode()
        with transaction(service.engine) as session:
            idempotency.finish(session, *claim[:2], status=response.status_code, headers=headers, body=sealed)

    def release() -> None:
        with transaction(service.engine) as session:
            idempotency.release(session, *claim[:2])

    if replayed := await run_in_threadpool(begin):
        return replayed
    try:
        response = await handle(request)
    except BaseException:
        await run_in_threadpool(release)
        raise
    if response.status_code < 400:
        await run_in_threadpool(finish, response)
    else:
        await run_in_threadpool(release)
    return response
