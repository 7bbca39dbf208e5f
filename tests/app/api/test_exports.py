"""Exports of large reports over REST: a job and where it is, then the file, or what became of the job."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from app.db import transaction
from app.flows import exports
from app.main import create_app
from app.settings import Settings
from app.store.jobs import State
from app.store.tables import Job
from billing.exports import pdf
from billing.exports.formats import ReportFormat
from tests.app.api.conftest import ADMIN, NOW
from tests.billing.exports import reports
from tests.rows import stored_report

LARGE = [form.value for form in exports.AT_ONCE]


@pytest.fixture
def address(database_url: str) -> str:
    """Both kinds of database."""
    return database_url


@pytest.fixture
def working(settings: Settings) -> Iterator[TestClient]:
    """A process that runs jobs too."""
    with TestClient(create_app(settings)) as client:
        client.headers["Authorization"] = f"Bearer {ADMIN}"
        yield client


@pytest.fixture
def keep(new_project: dict[str, object]) -> Callable[..., str]:
    """Keeps a report with so many discrepancies for a client's service, and gives the address of its exports."""

    def make(client: TestClient, discrepancies: int = 1, **changes: Any) -> str:
        client.post("/v1/projects", json=new_project)
        document = reports.report() | changes
        one = document["discrepancies"][0]
        document["discrepancies"] = [one | {"id": f"dsc_{number:024}"} for number in range(discrepancies)]
        with transaction(client.app.state.service.engine) as session:
            session.add(stored_report(document, NOW))
        return f"/v1/reports/{document['id']}/export"

    return make


@pytest.fixture
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for form in exports.AT_ONCE:
        monkeypatch.setitem(exports.AT_ONCE, form, 0)


def put(client: TestClient, response: Response, state: State, **changes: Any) -> None:
    """Say how the job ended that was answered."""
    with transaction(client.app.state.service.engine) as session:
        session.get_one(Job, response.json()["id"]).sqlmodel_update({"state": state, **changes})


def ended(client: TestClient, location: str) -> dict[str, Any]:
    until = time.monotonic() + 30
    while (job := client.get(location).json())["state"] in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.05)
    return job


def test_a_large_report_is_exported_by_a_job_and_a_small_one_at_once(working: TestClient, keep: Callable[..., str]) -> None:
    """By the bound as it is: 8,000 discrepancies are more than 4 MiB."""
    path = keep(working, 8000)
    small = keep(working, id="rpt_2", version=2)
    for form in ReportFormat:
        if form is not ReportFormat.FOCUS:  # for which the service would need the rate card
            assert working.get(small, params={"format": form}).status_code == 200, form
    assert working.get("/v1/jobs").json()["items"] == []

    asked = working.get(path, params={"format": "csv"})
    assert (asked.status_code, asked.headers["retry-after"]) == (202, "2")
    assert asked.headers["location"] == f"/v1/jobs/{asked.json()['id']}"
    assert (asked.json()["kind"], asked.json()["project_id"]) == ("export", "100")
    job = ended(working, asked.headers["location"])
    assert (job["state"], job["result"]) == ("succeeded", {"report_id": "rpt_1", "format": "csv"})
    made = working.get(path, params={"format": "csv"})
    assert made.status_code == 200
    assert made.content.count(b"\r\n") > 8000
    assert made.headers["content-type"] == "text/csv; charset=utf-8"
    assert working.get(path).content.startswith(b'{"id":"rpt_1"'), "JSON is what is stored, however large"


@pytest.mark.parametrize("form", LARGE)
def test_the_file_is_the_one_that_a_small_report_gives(
    working: TestClient, keep: Callable[..., str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep(working)
    at_once = working.get(path, params={"format": form})
    monkeypatch.setitem(exports.AT_ONCE, ReportFormat(form), 0)
    waited = working.get(path, params={"format": form}, headers={"Prefer": "respond-async, wait=30"})
    assert waited.headers["preference-applied"] == "wait=30"
    assert [job["kind"] for job in working.get("/v1/jobs").json()["items"]] == ["export"]
    again = working.get(path, params={"format": form})
    for made in (waited, again):
        assert (made.status_code, made.content) == (200, at_once.content)
        for header in ("content-type", "content-disposition", "content-length"):
            assert made.headers[header] == at_once.headers[header]


@pytest.mark.usefixtures("all_are_large")
def test_asking_again_is_the_same_job_and_waiting_ends(client: TestClient, keep: Callable[..., str]) -> None:
    path = keep(client)
    first, second = (client.get(path, params={"format": "csv"}) for _ in range(2))
    waited = client.get(path, params={"format": "csv"}, headers={"Prefer": "wait=1"})
    other = client.get(path, params={"format": "pdf"})
    assert [it.status_code for it in (first, second, waited, other)] == [202] * 4
    assert first.json()["id"] == second.json()["id"] == waited.json()["id"] != other.json()["id"]
    assert waited.headers["preference-applied"] == "wait=1"
    assert "preference-applied" not in first.headers


@pytest.mark.usefixtures("all_are_large")
def test_it_takes_the_scope_read_and_so_does_cancelling(
    client: TestClient, key: Callable[..., dict[str, str]], keep: Callable[..., str]
) -> None:
    path, reader = keep(client), key("read")
    asked = client.get(path, params={"format": "csv"}, headers=reader)
    assert asked.status_code == 202
    assert client.get(path, params={"format": "csv"}, headers=key("collect")).status_code == 403
    location = asked.headers["location"]
    assert client.post(f"{location}/cancel", json={}, headers=key("collect")).status_code == 403
    assert client.post(f"{location}/cancel", json={}, headers=reader).json()["state"] == "cancelled"
    assert client.get(path, params={"format": "csv"}).json()["id"] != asked.json()["id"], "it is wanted after all"


@pytest.mark.usefixtures("all_are_large")
def test_a_failure_is_answered_and_not_repeated_until_somebody_retries_it(client: TestClient, keep: Callable[..., str]) -> None:
    path = keep(client)
    asked = client.get(path, params={"format": "csv"})
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "It died.", "errors": []}
    put(client, asked, State.FAILED, problem=problem | {"request_id": asked.json()["id"]})
    for _ in range(2):
        failed = client.get(path, params={"format": "csv"})
        assert (failed.status_code, failed.headers["content-type"]) == (503, "application/problem+json")
        assert failed.json() == problem | {"request_id": failed.headers["x-request-id"]}
        assert failed.headers["location"] == asked.headers["location"]
    assert len(client.get("/v1/jobs").json()["items"]) == 1
    assert client.post(f"{asked.headers['location']}/retry", json={}).json()["state"] == "queued"
    assert client.get(path, params={"format": "csv"}).status_code == 202


@pytest.mark.usefixtures("all_are_large")
def test_what_only_the_job_finds_out_is_its_problem(
    working: TestClient, keep: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.exports.xlsx._MOST", 1)
    failed = working.get(keep(working, 5), params={"format": "xlsx"}, headers={"Prefer": "wait=30"})
    assert failed.status_code == 422, failed.text
    assert failed.json()["errors"][0]["parameter"] == "format"
    assert "too many for the sheet" in failed.json()["detail"]
    job = ended(working, failed.headers["location"])
    assert (job["state"], job["attempts"]) == ("failed", 1)


@pytest.mark.usefixtures("all_are_large")
def test_what_is_known_to_be_refused_is_refused_at_once(
    client: TestClient, keep: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "MAX_ROWS", 1)
    path = keep(client, currency=None, rate_card=None)
    for form, said in (("pdf", "rows are too many for a PDF"), ("focus", "without a rate card")):
        refused = client.get(path, params={"format": form})
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "format")
        assert said in refused.json()["detail"]
    assert client.get("/v1/reports/rpt_none/export", params={"format": "csv"}).status_code == 404
    assert client.get("/v1/jobs").json()["items"] == []
