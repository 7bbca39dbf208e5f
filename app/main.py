"""The REST service: every route, and the few things that hold for all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_offline import FastAPIOffline

from app import auth, logs, tracing
from app.api import (
    audit_log,
    closes,
    collections,
    customers,
    development,
    discrepancies,
    entities,
    health,
    invoices,
    jobs,
    metrics,
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
    webhook_deliveries,
    webhook_endpoints,
)
from app.api.edge import Edge
from app.db import transaction
from app.jobs.work import KINDS, SCHEDULES
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


V1 = APIRouter(prefix="/v1")
"""Every resource. Made once, for FastAPI takes a fifth of a second over the routes and their schemas."""
for _resource in (
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
    closes,
    audit_log,
    webhook_endpoints,
    webhook_deliveries,
):
    V1.include_router(_resource.router)


def jobs_worker(service: Service) -> Worker:
    """This process as one of those that run the jobs."""
    return Worker(service, KINDS, SCHEDULES, explain=problems.explain)


def create_app(settings: Settings, *, worker: bool = True) -> FastAPI:
    """The service, ready to be served; it opens the database when it starts, and with `worker` runs the jobs too."""
    logs.configure(settings.log_format)
    service = Service.of(settings)
    provider = tracing.configure(service.engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.bootstrap_key:
            with transaction(service.engine) as session:
                auth.bootstrap(session, settings.bootstrap_key.get_secret_value(), service.clock.now())
        running = jobs_worker(service) if worker else None
        if running:
            await run_in_threadpool(running.start)
        try:
            yield
        finally:
            if running:
                await run_in_threadpool(running.stop)
            service.engine.dispose()
            await run_in_threadpool(tracing.flush, provider)  # nothing comes after: uvicorn ends by the signal that it got

    app = FastAPIOffline(
        title="Reckoner",
        version=version("reckoner"),
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=tracing.of_requests(provider),
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    app.state.metrics = metrics.Everything(service)
    app.include_router(V1)
    app.include_router(health.router)
    app.include_router(metrics.router)
    if settings.now:
        app.include_router(development.router)
    app.add_middleware(Edge)
    problems.install(app)
    openapi.describe(app)
    return app
