"""Jobs over REST: listed by what they are, cancelled and retried by whoever may ask for them."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.db import transaction
from app.store import jobs
from app.store.jobs import State
from app.store.tables import Job
from tests.app.api.conftest import NOW


@pytest.fixture
def job(client: TestClient, new_project: dict[str, object]) -> str:
    """A collection that waits."""
    client.post("/v1/projects", json=new_project)
    return str(client.post("/v1/collections", json={"project_id": "100", "period": {"month": "2026-10"}}).json()["id"])


def put(client: TestClient, job_id: str, state: State) -> None:
    with transaction(client.app.state.service.engine) as session:
        session.get_one(Job, job_id).state = state


def test_a_job_tells_all_about_itself(client: TestClient, job: str) -> None:
    found = client.get(f"/v1/jobs/{job}").json()
    assert found | {"created_at": "", "updated_at": ""} == {
        "id": job,
        "kind": "collection",
        "project_id": "100",
        "state": "queued",
        "attempts": 0,
        "progress": {"done": 0, "total": 0},
        "result": None,
        "problem": None,
        "run_at": None,
        "created_at": "",
        "updated_at": "",
    }


def test_jobs_are_listed_by_state_kind_and_project(client: TestClient, job: str) -> None:
    body = {"project_id": "100", "period": {"month": "2026-09"}}
    other = client.post("/v1/reconciliations", json=body).json()["id"]
    with transaction(client.app.state.service.engine) as session:
        nobodys = jobs.add(session, "strange", "strange", {}, NOW).id
    put(client, other, State.FAILED)
    for query, ids in (
        ({}, {job, other, nobodys}),
        ({"state": "queued"}, {job, nobodys}),
        ({"state": "failed"}, {other}),
        ({"kind": "collection"}, {job}),
        ({"project_id": "100"}, {job, other}),
        ({"project_id": "100", "kind": "reconciliation", "state": "failed"}, {other}),
        ({"project_id": "200"}, set()),
    ):
        assert {it["id"] for it in client.get("/v1/jobs", params=query).json()["items"]} == ids, query
    page = client.get("/v1/jobs", params={"project_id": "100", "limit": 1}).json()
    rest = client.get("/v1/jobs", params={"project_id": "100", "limit": 1, "cursor": page["next_cursor"]}).json()
    assert [it["id"] for it in page["items"] + rest["items"]] == [other, job]
    assert client.get("/v1/jobs", params={"state": "asleep"}).status_code == 422


def test_a_job_is_cancelled_and_retried(client: TestClient, job: str) -> None:
    cancelled = client.post(f"/v1/jobs/{job}/cancel", json={})
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert client.post(f"/v1/jobs/{job}/cancel", json={}).status_code == 409
    again = client.post(f"/v1/jobs/{job}/retry", json={})
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    assert client.post(f"/v1/jobs/{job}/retry", json={}).status_code == 409


def test_what_runs_is_asked_to_end(client: TestClient, job: str) -> None:
    put(client, job, State.RUNNING)
    for _ in range(2):
        assert client.post(f"/v1/jobs/{job}/cancel", json={}).json()["state"] == "cancelling"


@pytest.mark.parametrize("what", ["cancel", "retry"])
def test_it_takes_the_scope_of_what_the_job_does(
    client: TestClient, key: Callable[..., dict[str, str]], job: str, what: str
) -> None:
    put(client, job, State.QUEUED if what == "cancel" else State.FAILED)
    for scopes, status in ((("collect",), 403), (("read",), 403), (("read", "reconcile"), 403), (("read", "collect"), 200)):
        assert client.post(f"/v1/jobs/{job}/{what}", json={}, headers=key(*scopes)).status_code == status, scopes
    assert client.post(f"/v1/jobs/job_0/{what}", json={}).status_code == 404
    assert client.post(f"/v1/jobs/{job}/{what}", json={"why": "so"}).status_code == 422


def test_jobs_that_nobody_asks_for_are_the_admins(client: TestClient, key: Callable[..., dict[str, str]]) -> None:
    with transaction(client.app.state.service.engine) as session:
        job = jobs.add(session, "strange", "strange", {}, NOW).id
    every = key("read", "collect", "reconcile", "invoice")
    assert client.post(f"/v1/jobs/{job}/cancel", json={}, headers=every).status_code == 403
    assert client.post(f"/v1/jobs/{job}/cancel", json={}).status_code == 200
