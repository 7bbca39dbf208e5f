"""The worked period over REST: what a finance engineer does first."""

import csv
import io
import json
import time

import httpx
import pytest

from billing.exports.formats import MEDIA_TYPES
from tests.e2e.conftest import PERIOD, Installation

BRIDGE = [
    ("session_level", "390", "45", "435"),
    ("session_total_mismatch", "0", "0", "0"),
    ("reuse_before", "-60", "0", "-60"),
    ("reuse_after", "-80", "0", "-80"),
    ("straddles_end", "-40", "0", "-40"),
    ("straddles_start", "0", "30", "30"),
    ("meeting_level", "210", "75", "285"),
    ("residual", "0", "0", "0"),
    ("project_level", "210", "75", "285"),
]
"""The bridge of worked-period.md: 1-2, 3-6, total."""


def test_the_bridge_is_the_one_worked_out_by_hand(report: dict) -> None:
    assert [
        (
            line["step"],
            line["minutes"]["from1To2Publishers"].removesuffix(".000000"),
            line["minutes"]["from3To6Publishers"].removesuffix(".000000"),
            line["total"].removesuffix(".000000"),
        )
        for line in report["bridge"]
    ] == BRIDGE
    assert report["verdict"] == "balanced"
    assert report["explained_ratio"] == "1.000000"
    found = [(it["code"], it["total"], it["sessions"]) for it in report["discrepancies"]]
    assert sorted(found) == [
        ("boundary_straddle", "30.000000", ["1_MX4xMDB-worked-C"]),
        ("boundary_straddle", "40.000000", ["1_MX4xMDB-worked-D"]),
        ("session_reuse_spillover", "140.000000", ["1_MX4xMDB-worked-B"]),
    ]


def test_a_copy_at_hand_is_not_sent_again(installation: Installation, report: dict) -> None:
    with installation.client() as client:
        first = client.get(f"/v1/reports/{report['id']}")
        assert first.json() == report
        etag = first.headers["etag"]
        assert etag == f'"{report["sha256"]}"'
        for known in (etag, f'"other", {etag}', "*", f"W/{etag}"):
            again = client.get(f"/v1/reports/{report['id']}", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert client.get(f"/v1/reports/{report['id']}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_same_again_is_the_same_report(installation: Installation, report: dict, project: str) -> None:
    with installation.client() as client:
        body = {"project_id": project, "period": PERIOD, "collect": False}
        # Twice: another test may have collected since the report was made.
        one, again = (
            client.post("/v1/reconciliations", json=body, headers={"Prefer": "respond-async, wait=60"}) for _ in range(2)
        )
        assert (one.status_code, again.status_code) == (201, 201)
        assert again.json() == one.json()
        assert one.json()["bridge"] == report["bridge"]


def test_coverage_says_that_all_is_held(installation: Installation, report: dict, project: str) -> None:
    with installation.client() as client:
        body = client.get(f"/v1/projects/{project}/coverage", params={"period": "2026-10-31..2026-11-01"}).json()
    assert {(row["day"], row["source"], row["status"]) for row in body["coverage"]} == {
        (day, source, status)
        for day in ("2026-10-31", "2026-11-01")
        for source, status in (("daily_usage", "final"), ("meetings", "complete"))
    }


def test_evidence_is_what_upstream_said_of_a_session(installation: Installation, report: dict) -> None:
    with installation.client() as client:
        body = client.get(f"/v1/reports/{report['id']}/evidence", params={"session_id": "1_MX4xMDB-worked-B"}).json()
        none = client.get(f"/v1/reports/{report['id']}/evidence", params={"session_id": "no such"})
    assert [window["day"] for window in body["windows"]] == ["2026-10-30", "2026-11-01"]
    for window in body["windows"]:
        assert window["statement"]["from1To2Publishers"] == "180.000000"
        assert [row["minutes"]["from1To2Publishers"] for row in window["meetings"]] == ["60.000000", "40.000000", "80.000000"]
        assert window["meetings"][0]["created_at"] == "2026-10-30T18:00:00Z"
    assert none.status_code == 404


def test_exports_are_the_report_again(installation: Installation, report: dict) -> None:
    with installation.client() as client:
        as_json = client.get(f"/v1/reports/{report['id']}/export", params={"format": "json"})
        as_csv = client.get(f"/v1/reports/{report['id']}/export", params={"format": "csv"})
    assert as_json.json() == report
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert as_csv.headers["content-disposition"] == ('attachment; filename="reckoner-100-2026-10-31-2026-11-01-v1.csv"')
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    totals = {row["item"]: row["minutes"] for row in rows if row["section"] == "bridge" and row["tier"] == "from1To2Publishers"}
    assert totals["meeting_level"] == totals["project_level"] == "210.000000"


def test_a_report_is_a_file_in_every_form_that_it_can_have(installation: Installation, report: dict) -> None:
    address = f"/v1/reports/{report['id']}/export"
    with installation.client() as client:
        for form in ("json", "csv", "xlsx", "pdf"):
            answer = client.get(address, params={"format": form})
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, MEDIA_TYPES[form])
            assert answer.headers["content-disposition"].endswith(f'-v1.{form}"')
        unpriced, unknown = (client.get(address, params={"format": form}).json() for form in ("focus", "xml"))
    assert "was made without a rate card" in unpriced["detail"]
    assert unpriced["errors"][0]["parameter"] == unknown["errors"][0]["parameter"] == "format"


def test_a_collection_is_a_job_to_be_asked_for(installation: Installation, project: str) -> None:
    with installation.client() as client:
        accepted = client.post("/v1/collections", json={"project_id": project, "period": PERIOD})
        assert accepted.status_code == 202
        job = _ended(client, accepted.headers["location"])
        assert job["state"] == "succeeded", job
        assert job["progress"]["done"] == job["progress"]["total"] == 4
        assert job["id"] in [it["id"] for it in client.get("/v1/jobs").json()["items"]]


def test_a_failure_of_upstream_is_a_problem_with_its_code(installation: Installation) -> None:
    body = {"project_id": "wrong", "name": "Wrong", "credentials": {"kind": "opentok", "secret": "x" * 40}}
    with installation.client() as client:
        client.post("/v1/projects", json=body)
        wanted = {"project_id": "wrong", "period": PERIOD}
        for _ in range(2):  # a failure had no effect, so its key may try again
            headers = {"Prefer": "wait=60", "Idempotency-Key": "a failure"}
            answer = client.post("/v1/reconciliations", json=wanted, headers=headers)
            assert answer.status_code == 502, answer.text
            assert "idempotency-replayed" not in answer.headers
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["upstream_code"] in range(1000, 1023)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        job = _ended(client, client.post("/v1/collections", json=wanted).headers["location"])
        assert job["state"] == "failed"
        assert job["problem"]["upstream_code"] == answer.json()["upstream_code"]


def test_an_account_brings_its_projects(installation: Installation, dataset: dict, project: str) -> None:
    with installation.client() as client:
        account = {"account_key": dataset["account"]["key"], "account_secret": dataset["account"]["secret"]}
        answer = client.post("/v1/projects/import", json=account)
        assert answer.json() == {"imported": [], "skipped": {project: "it is there already"}}
        wrong = client.post("/v1/projects/import", json=account | {"account_secret": "wrong"})
        assert wrong.status_code == 502


def test_a_discrepancy_is_worked_on_and_remembers_it(installation: Installation, report: dict) -> None:
    with installation.client() as client:
        found = client.get("/v1/discrepancies", params={"code": "session_reuse_spillover", "status": "open"}).json()["items"]
        assert [it["id"] for it in found] == [
            it["id"] for it in report["discrepancies"] if it["code"] == "session_reuse_spillover"
        ]
        address = f"/v1/discrepancies/{found[0]['id']}"
        change = {"status": "ignored", "note": "A room of ours.", "assignee": "Ada", "ignore_until": "2026-12-01T00:00:00Z"}
        after = client.patch(address, json=change).json()
        assert {name: after[name] for name in change} == change
        assert [event["what"] for event in after["history"]] == ["opened", "edited"]
        assert after["history"][1]["actor"] == "bootstrap"
        assert client.get(address).json() == after
        assert (
            client.get("/v1/discrepancies", params={"code": "session_reuse_spillover", "status": "open"}).json()["items"] == []
        )
        refused = client.patch(address, json={"status": "open", "ignore_until": "2026-12-01T00:00:00Z"})
        assert refused.json()["errors"][0]["pointer"] == "/ignore_until"
        assert client.patch(address, json={"status": "open"}).json()["ignore_until"] is None


def test_a_report_lists_its_discrepancies_page_by_page(installation: Installation, report: dict) -> None:
    with installation.client() as client:
        address = f"/v1/reports/{report['id']}/discrepancies"
        first = client.get(address, params={"limit": 2}).json()
        second = client.get(address, params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert first["items"] + second["items"] == report["discrepancies"]
        assert second["next_cursor"] is None
        assert client.get(address, params={"cursor": "none"}).json()["errors"][0]["parameter"] == "cursor"


@pytest.mark.parametrize("address", ["{0.url}/healthz", "{0.sandbox}/sandbox/clock"])
def test_an_answer_does_not_wait_for_an_acknowledgement(installation: Installation, address: str) -> None:
    """With Nagle's algorithm every answer over a connection that is kept takes 40 ms more, once its first few are through."""
    with httpx.Client() as client:
        took = [client.get(address.format(installation)).elapsed.total_seconds() for _ in range(50)]
    assert min(took[25:]) < 0.03


def test_every_log_line_is_json_with_the_request(installation: Installation) -> None:
    with installation.client() as client:
        client.get("/v1/projects", headers={"X-Request-Id": "find-me-in-the-log"})
        client.get("/forged%0Aline")
    lines = _logged(installation, "/forged%0Aline")
    mine = [line for line in lines if line.get("request_id") == "find-me-in-the-log"]
    assert [(line["event"], line["path"], line["status"]) for line in mine] == [("request", "/v1/projects", 200)]
    assert "project-secret" not in str(lines)


def _logged(installation: Installation, path: str) -> list[dict]:
    """The service's log up to the line of a request for `path`, which is written once the answer has left."""
    for _ in range(300):
        whole = (installation.folder / "serve.log").read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        if path in [line.get("path") for line in lines]:
            return lines
        time.sleep(0.05)
    pytest.fail(f"no line of {path} in the log")


def _ended(client: httpx.Client, address: str) -> dict:
    for _ in range(300):
        job = client.get(address).json()
        if job["state"] in ("succeeded", "failed"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)
