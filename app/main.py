"""The REST service: every route, and the few things that hold for all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from app import auth, logs
from app.api import (
    audit_log,
    collections,
    customers,
    development,
    discrepancies,
    entities,
    health,
    invoices,
    jobs,
    openapi,
    ownership,
    periods,
    problems,
    projects,
    rate_cards,
    reconciliations,
    reports,
    vendor_invoices,
    vendor_mappings,
)
from app.api.edge import Edge
from app.db import transaction
from app.jobs.work import handlers
from app.jobs.worker import Worker
from app.service import Service
from app.settings import Settings

DESCRIPTION = """
Reconciles the usage of Vonage Video projects: aligns periods to Pacific midnights, collects what upstream says, and explains
every minute between its session level and its project level. Prices them, and invoices them to customers.

Minutes are texts with six decimals, money is a text with its currency's own decimals, days are Pacific dates, instants are UTC.
Every request needs an API key, every POST takes an `Idempotency-Key`, every change of a thing with a `version` names the one
that was read, every error is `application/problem+json`.
"""


def jobs_worker(service: Service) -> Worker:
    """The threads that run jobs; one process of an installation has them."""
    return Worker(service.engine, handlers(service), clock=service.clock, explain=problems.explain, stopping=service.stopping)


def create_app(settings: Settings, *, worker: bool = True) -> FastAPI:
    """The service, ready to be served; it opens the database when it starts, and with `worker` runs the jobs too."""
    logs.configure(settings.log_format)
    service = Service.of(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.bootstrap_key:
            with transaction(service.engine) as session:
                auth.bootstrap(session, settings.bootstrap_key.get_secret_value(), service.clock.now())
        with jobs_worker(service) if worker else nullcontext():
            yield
        service.engine.dispose()

    app = FastAPIOffline(
        title="Reckoner",
        version=version("reckoner"),
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    v1 = APIRouter(prefix="/v1")
    for resource in (
        periods,
        projects,
        collections,
        jobs,
        reconciliations,
        reports,
        discrepancies,
        rate_cards,
        entities,
        customers,
        ownership,
        invoices,
        vendor_invoices,
        vendor_mappings,
        audit_log,
    ):
        v1.include_router(resource.router)
    app.include_router(v1)
    app.include_router(health.router)
    if settings.now:
        app.include_router(development.router)
    app.add_middleware(Edge)
    problems.install(app)
    openapi.describe(app)
    return app
