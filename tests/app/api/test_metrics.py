"""/metrics: who may read it, that Prometheus can, and that it says so where the database does not answer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.api import metrics
from app.main import create_app
from app.settings import Settings

SECRET = "Zk3vQ9tLx7RbN2mWc8YdH5sJf1GpA6uE"


def samples(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(it.name, frozenset(it.labels.items())): it.value for family in families for it in family.samples}


def of_operation(client: TestClient, operation: str, status: str, method: str = "GET") -> float:
    labels = {"method": method, "operation": operation, "status": status}
    return samples(client).get(("reckoner_http_request_duration_seconds_count", frozenset(labels.items())), 0)


@pytest.fixture
def closed(address: str) -> TestClient:
    """A client of a service whose metrics are not open."""
    return TestClient(create_app(Settings(database_url=address, open_metrics=False, _env_file=None), worker=False))


def test_in_development_everybody_may_read_them(client: TestClient) -> None:
    del client.headers["Authorization"]
    assert samples(client)["reckoner_projects", frozenset()] == 0


def test_else_they_want_a_key_that_may_read(closed: TestClient, key: Callable[..., dict[str, str]]) -> None:
    assert closed.get("/metrics").status_code == 401
    assert closed.get("/metrics", headers={"Authorization": "Bearer rk_unknown"}).status_code == 401
    assert closed.get("/metrics", headers=key("collect")).status_code == 403
    assert closed.get("/metrics", headers=key("read")).status_code == 200


def test_in_production_they_are_not_open(address: str) -> None:
    settings = Settings(database_url=address, environment="production", secret_key=SECRET, _env_file=None)
    assert TestClient(create_app(settings, worker=False)).get("/metrics").status_code == 401


def test_requests_are_told_by_operation_and_never_by_address(client: TestClient) -> None:
    before = of_operation(client, "get_job", "404")
    for number in range(3):
        client.get(f"/v1/jobs/job_{number}")
    client.request("BREW", "/coffee/house")
    assert of_operation(client, "get_job", "404") == before + 3
    assert of_operation(client, "none", "404", "other") >= 1
    assert "coffee" not in client.get("/metrics").text


def test_figures_are_read_again_only_after_a_while(
    client: TestClient, new_project: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert samples(client)["reckoner_projects", frozenset()] == 0
    assert client.post("/v1/projects", json=new_project).status_code == 201
    assert samples(client)["reckoner_projects", frozenset()] == 0
    monkeypatch.setattr(metrics, "KEPT", 0)
    assert samples(client)["reckoner_projects", frozenset()] == 1


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    empty = TestClient(create_app(Settings(database_url=f"sqlite:///{tmp_path}/empty.db", _env_file=None), worker=False))
    found = samples(empty)
    assert found["reckoner_database_up", frozenset()] == 0
    assert ("reckoner_projects", frozenset()) not in found
    assert any(name == "reckoner_build_info" for name, _ in found)


def test_the_alarm_goes_off_also_where_the_key_cannot_be_looked_up(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/empty.db", open_metrics=False, _env_file=None)
    empty = TestClient(create_app(settings, worker=False))
    assert empty.get("/metrics").status_code == 401
    empty.headers["Authorization"] = "Bearer rk_whoever"
    assert samples(empty) == {("reckoner_database_up", frozenset()): 0}, "and nothing that is not for everybody"
