"""Tracing: one trace goes from a request to the database and to upstream, holds no secret, and is not needed."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from fastapi.testclient import TestClient
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app import tracing
from app.main import create_app
from app.settings import Settings

ADMIN = "rk_bootstrap-of-the-tests"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Where spans end up; afterwards the process is as it was."""
    yield InMemorySpanExporter()
    HTTPXClientInstrumentor().uninstrument()
    tracing._tracer = None


@pytest.fixture
def client(sqlite_url: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A traced service."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(tracing, "configure", lambda engine: tracing.instrument(provider, engine))
    app = create_app(Settings(database_url=sqlite_url, bootstrap_key=ADMIN, _env_file=None), worker=False)
    with TestClient(app, headers={"Authorization": f"Bearer {ADMIN}"}) as client:
        yield client


@pytest.fixture
def upstream() -> Iterator[str]:
    """The address of a server that refuses everything."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_request_and_its_statements_are_one_trace(client: TestClient, spans: InMemorySpanExporter) -> None:
    spans.clear()
    project = {"project_id": "100", "name": "Acme", "credentials": {"kind": "opentok", "secret": "project-secret"}}
    assert client.post("/v1/projects", json=project).status_code == 201
    finished = spans.get_finished_spans()
    (request,) = [it for it in finished if it.kind is SpanKind.SERVER]
    statements = [it for it in finished if "INSERT INTO projects" in str(it.attributes)]
    assert len(statements) == 1
    assert {it.context.trace_id for it in finished} == {request.context.trace_id}
    told = "".join(it.to_json() for it in finished)
    assert ADMIN not in told
    assert "project-secret" not in told
    assert "Acme" not in told


def test_calls_to_upstream_and_jobs_are_spans(client: TestClient, spans: InMemorySpanExporter, upstream: str) -> None:
    spans.clear()
    with tracing.span("job collection", job_id="job_1"), httpx.Client() as http:
        http.get(upstream, headers={"Authorization": "a secret"})
    call, job = spans.get_finished_spans()
    assert (job.name, dict(job.attributes)) == ("job collection", {"job_id": "job_1"})
    assert call.kind is SpanKind.CLIENT
    assert call.parent.span_id == job.context.span_id
    assert "a secret" not in call.to_json()


def test_an_attempt_to_deliver_a_webhook_is_a_span_that_holds_no_address_and_no_secret(
    client: TestClient, spans: InMemorySpanExporter
) -> None:
    body = {"url": "https://127.0.0.1:9/a-token-of-the-receiver"}
    added = client.post("/v1/webhook-endpoints", json=body).json()
    spans.clear()
    tried = client.post(f"/v1/webhook-endpoints/{added['id']}/test", json={}).json()
    finished = spans.get_finished_spans()
    (attempt,) = [it for it in finished if it.name == "webhook"]
    assert dict(attempt.attributes) == {"delivery_id": tried["id"], "host": "127.0.0.1"}
    assert len({it.context.trace_id for it in finished}) == 1
    told = "".join(it.to_json() for it in finished)
    assert "a-token" not in told
    assert "v1," not in told


def test_a_statement_that_fails_is_told_and_the_next_one_is_whole(client: TestClient, spans: InMemorySpanExporter) -> None:
    engine = client.app.state.service.engine
    spans.clear()
    with tracing.span("job close"):
        with pytest.raises(OperationalError), engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM nowhere"))
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    by_statement = {it.attributes.get("db.query.text"): it for it in spans.get_finished_spans()}
    assert by_statement["SELECT 1 FROM nowhere"].status.status_code is StatusCode.ERROR
    assert by_statement["SELECT 1"].status.status_code is StatusCode.UNSET
    assert len({it.context.trace_id for it in by_statement.values()}) == 1


def test_what_is_asked_all_day_is_not_traced(client: TestClient, spans: InMemorySpanExporter) -> None:
    spans.clear()
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    assert [it for it in spans.get_finished_spans() if it.kind is SpanKind.SERVER] == []


def test_what_is_held_back_is_sent_before_the_process_ends(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    monkeypatch.setattr(tracing, "configure", lambda engine: provider)
    app = create_app(Settings(database_url=sqlite_url, bootstrap_key=ADMIN, _env_file=None), worker=False)
    with TestClient(app) as client:
        client.get("/v1/projects")
        assert exporter.get_finished_spans() == ()
    assert [it.kind for it in exporter.get_finished_spans()] == [SpanKind.SERVER]
    provider.shutdown()


def test_a_span_without_tracing_is_nothing() -> None:
    with tracing.span("job collection"):
        pass


WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.instrumentation"] = None
from fastapi.testclient import TestClient
from app.main import create_app
from app.settings import Settings
assert TestClient(create_app(Settings(), worker=False)).get("/healthz").status_code == 200
"""


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_the_service_works_without_opentelemetry_and_says_so_where_it_is_wanted(endpoint: str, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    run = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert ("install reckoner[otel]" in run.stderr) == bool(endpoint)


def test_it_is_switched_on_by_opentelemetrys_own_variable(
    sqlite_url: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=sqlite_url, _env_file=None)
    create_app(settings, worker=False)
    assert tracing._tracer is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    create_app(settings, worker=False)
    assert tracing._tracer is not None
