"""Traces by OpenTelemetry: of requests, jobs, statements to the database, calls to upstream and attempts to deliver webhooks.

They are made where the extra `otel` is installed and OTEL_EXPORTER_OTLP_ENDPOINT says where they go; without, nothing is made.
OpenTelemetry's own environment variables decide the rest. A span holds addresses and statements, never a value or a header.
"""

import os
from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Any

import structlog
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import SpanKind, StatusCode, Tracer, TracerProvider, get_current_span
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext

NAME = "reckoner"
UNTRACED = ("/healthz", "/readyz", "/metrics")
_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SPANS = "reckoner spans"

_tracer: Tracer | None = None
"""Of this process, once it is traced."""
_log = structlog.get_logger()


def configure(engine: Engine) -> TracerProvider | None:
    """Trace this process if that is wanted, once; one that cannot says so and works on."""
    if not any(os.environ.get(name) for name in _WANTED):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider as Provider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning("traces are wanted, but OpenTelemetry is not installed: install reckoner[otel]")
        return None
    service = {"service.name": os.environ.get("OTEL_SERVICE_NAME", NAME), "service.version": version("reckoner")}
    provider = Provider(resource=Resource.create(service))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return instrument(provider, engine)


def instrument(provider: TracerProvider, engine: Engine) -> TracerProvider:
    """Let jobs, calls by httpx, and what they and requests ask of the database be spans of the provider's."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    global _tracer
    _tracer = provider.get_tracer(NAME)
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    _trace_statements(engine, _tracer)
    return provider


def of_requests(provider: TracerProvider | None) -> TelemetryConfig:
    """What FastAPI, which makes the spans of requests, is to do: nothing without a provider."""
    return {
        "tracer_provider": provider,
        "tracing": provider is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": _is_untraced,
    }


def flush(provider: TracerProvider | None) -> None:
    """Send what is still held back, within some 10 seconds. Raises nothing."""
    if force := getattr(provider, "force_flush", None):
        force()


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """A span around what a process does by itself."""
    return _tracer.start_as_current_span(name, attributes=attributes) if _tracer else nullcontext()


def _is_untraced(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in UNTRACED


def _trace_statements(engine: Engine, tracer: Tracer) -> None:
    """Each statement within a span is one; those of pollers, which have no end, are none."""

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, _: object, statement: str, *__: object) -> None:
        if get_current_span().is_recording():
            attributes = {"db.system.name": connection.dialect.name, "db.query.text": statement}
            begun = tracer.start_span(statement.split(None, 1)[0], kind=SpanKind.CLIENT, attributes=attributes)
            connection.info.setdefault(_SPANS, []).append(begun)

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection: Connection, *_: object) -> None:
        if begun := connection.info.get(_SPANS):
            begun.pop().end()

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        if context.execution_context and context.connection and (begun := context.connection.info.get(_SPANS)):
            failed = begun.pop()
            failed.set_status(StatusCode.ERROR)
            failed.end()
