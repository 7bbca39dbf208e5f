"""A POST with an Idempotency-Key has its effect once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from app.db import transaction
from app.store import idempotency


@pytest.fixture
def address(database_url: str) -> str:
    return database_url


def test_the_same_again_gets_the_same_answer(client: TestClient, new_project) -> None:
    key = {"Idempotency-Key": "first"}
    first, again = (client.post("/v1/projects", json=new_project, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"] == "/v1/projects/100"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]


def test_another_request_with_the_key_is_refused(client: TestClient, new_project) -> None:
    key = {"Idempotency-Key": "first"}
    client.post("/v1/projects", json=new_project, headers=key)
    for address, body in (("/v1/projects", new_project | {"name": "B"}), ("/v1/projects/import", new_project)):
        response = client.post(address, json=body, headers=key)
        assert response.status_code == 422
        assert [error["parameter"] for error in response.json()["errors"]] == ["Idempotency-Key"]


def test_without_a_key_nothing_is_remembered(client: TestClient, new_project) -> None:
    assert client.post("/v1/projects", json=new_project).status_code == 201
    assert client.post("/v1/projects", json=new_project).status_code == 409


def test_a_refused_request_may_be_mended_under_its_key(client: TestClient, new_project) -> None:
    key = {"Idempotency-Key": "first"}
    assert client.post("/v1/projects", json={}, headers=key).status_code == 422
    assert client.post("/v1/projects", json=new_project, headers=key).status_code == 201


def test_a_key_belongs_to_its_api_key(client: TestClient, key, new_project) -> None:
    headers = {"Idempotency-Key": "first"}
    client.post("/v1/projects", json=new_project, headers=headers)
    other = client.post("/v1/projects", json=new_project, headers=headers | key("admin"))
    assert other.status_code == 409
    assert "there already" in other.json()["detail"]


def test_while_the_first_runs_the_second_is_told_so(client: TestClient, new_project) -> None:
    service = client.app.state.service
    headers = {"Idempotency-Key": "first"}
    first = client.post("/v1/projects", json=new_project, headers=headers)
    with transaction(service.engine) as session:
        row = session.get(idempotency.IdempotencyRow, (_owner(client), "first"))
        row.status = None
    second = client.post("/v1/projects", json=new_project, headers=headers)
    assert (first.status_code, second.status_code) == (201, 409)
    assert "not been answered yet" in second.json()["detail"]


def test_many_at_once_have_one_effect(client: TestClient, new_project) -> None:
    def post(_: int) -> tuple[int, bool]:
        response = client.post("/v1/projects", json=new_project, headers={"Idempotency-Key": "race"})
        return response.status_code, "idempotency-replayed" in response.headers

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))
    assert answers.count((201, False)) == 1
    assert set(answers) <= {(201, False), (201, True), (409, False)}
    assert len(client.get("/v1/projects").json()["items"]) == 1


def test_a_key_is_printable_and_bounded(client: TestClient, new_project) -> None:
    for bad in ("", "x" * 256, "tab\there"):
        response = client.post("/v1/projects", json=new_project, headers={"Idempotency-Key": bad})
        assert response.status_code == 422
        assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


def _owner(client: TestClient) -> str:
    with transaction(client.app.state.service.engine) as session:
        return session.exec(idempotency.select(idempotency.IdempotencyRow.owner)).one()
