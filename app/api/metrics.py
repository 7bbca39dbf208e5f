"""What Prometheus scrapes: the installation's figures from the database, and what this process counts about itself."""

from collections.abc import Iterable
from importlib.metadata import version
from threading import Lock
from time import monotonic

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app import auth
from app.api.access import authenticate
from app.db import transaction
from app.flows import metrics as figures
from app.service import Service

KEPT = 10.0
"""Seconds for which the database's figures are told again: however many scrape, it is asked no more often."""

router = APIRouter()
_log = structlog.get_logger()


class Everything(Collector):
    """All metrics, as one process tells them; threads may share it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = Lock()
        self._told: list[Metric] = []
        self._read_at = -KEPT

    def collect(self) -> Iterable[Metric]:
        """The process's own metrics, then the installation's figures."""
        yield InfoMetricFamily("reckoner_build", "This release.", {"version": version("reckoner")})
        yield from REGISTRY.collect()
        with self._lock:
            if monotonic() - self._read_at >= KEPT:
                self._told = self._read()
                self._read_at = monotonic()
            yield from self._told

    def _read(self) -> list[Metric]:
        """Where the database does not answer, that is all that is told of it."""
        try:
            with transaction(self._service.engine, read_only=True) as session:
                return [_up(1), *figures.read(session, self._service.clock.now())]
        except SQLAlchemyError as error:
            _log.error("the metrics cannot be read", exc_info=error)
            return [_up(0)]


class Down(Collector):
    """All that is told where no API key can be looked up: what `/readyz` tells everybody."""

    def collect(self) -> Iterable[Metric]:
        """One figure."""
        yield _up(0)


def _up(value: int) -> Metric:
    return GaugeMetricFamily("reckoner_database_up", "Whether the database answered.", value=value)


# No operation of the REST interface: its answer is Prometheus' text, and it takes no part in the OpenAPI document.
@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Prometheus' text format, for an API key with the scope `read`, or for everybody where the settings say so."""
    told: Collector = request.app.state.metrics
    if not request.app.state.service.settings.metrics_are_open:
        try:
            auth.require(authenticate(request), auth.Scope.READ)
        except SQLAlchemyError as error:  # an error would let Prometheus take the process for dead, and not the database
            _log.error("the metrics cannot be read", exc_info=error)
            told = Down()
    return Response(generate_latest(told), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
