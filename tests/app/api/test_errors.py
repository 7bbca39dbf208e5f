"""Every error has one shape, on every route."""

import logging
from asyncio import CancelledError

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy.exc import OperationalError

from app.api.edge import BODY_LIMIT
from app.api.openapi import operations
from app.auth import Scope

NEEDED = {
    "admin": "create_project import_account change_project move_clock publish_rate_card create_entity change_entity "
    "create_customer change_customer add_session_owners replace_session_owners replace_session_rules "
    "create_webhook_endpoint list_webhook_endpoints get_webhook_endpoint change_webhook_endpoint delete_webhook_endpoint "
    "try_webhook_endpoint rotate_webhook_secret redeliver_webhooks_since list_webhook_deliveries get_webhook_delivery "
    "redeliver_webhook",
    "collect": "create_collection",
    "reconcile": "create_reconciliation change_discrepancy",
    "invoice": "create_invoice redraft_invoice approve_invoice finalize_invoice void_invoice create_credit_note "
    "restate_invoice create_close create_vendor_invoice match_vendor_invoice put_vendor_mapping",
}
"""By scope, every operation that needs more than `read`."""
WRITING = ("POST", "PUT", "PATCH")


def is_problem(response: Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body.keys() - {"upstream_code"} == {"type", "title", "status", "detail", "errors", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert all(error.keys() in ({"detail", "pointer"}, {"detail", "parameter"}) for error in body["errors"])
    return body


def routes(client: TestClient) -> list[tuple[str, str, dict]]:
    document = client.app.openapi()
    return [
        (method.upper(), path.format_map(Ids()), operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


class Ids(dict):
    def __missing__(self, name: str) -> str:
        return "1" if name == "version" else "unknown"


def test_every_operation_but_health_needs_a_key(client: TestClient) -> None:
    del client.headers["Authorization"]
    walked = 0
    for method, path, operation in routes(client):
        if operation["tags"] == ["health"]:
            assert client.request(method, path).status_code == 200
            continue
        for header in (
            {},
            {"Authorization": "Basic eA=="},
            {"Authorization": "Bearer rk_unknown"},
            {"Authorization": "Bearer "},
        ):
            response = client.request(method, path, headers=header)
            is_problem(response, 401)
            assert response.headers["www-authenticate"].startswith("Bearer")
        walked += 1
    assert walked > 15


def test_every_operation_names_the_scope_that_is_missing(client: TestClient, key) -> None:
    needed = {operation: scope for scope, names in NEEDED.items() for operation in names.split()}
    others = {scope: key(*({*Scope} - {scope, Scope.ADMIN})) for scope in Scope}
    for method, path, operation in routes(client):
        if operation["tags"] == ["health"]:
            continue
        scope = needed.get(operation["operationId"], "read")
        response = client.request(method, path, headers=others[scope], json={} if method in WRITING else None)
        assert f"'{scope}'" in is_problem(response, 403)["detail"]
        assert f'scope="{scope}"' in response.headers["www-authenticate"]
        assert operation["security"] == [{"API key": [scope]}]


def test_a_scope_is_enough_and_no_more(client: TestClient, key, new_project) -> None:
    client.post("/v1/projects", json=new_project)
    collect = key("collect")
    period = {"project_id": "100", "period": {"month": "2026-10"}}
    is_problem(client.get("/v1/projects", headers=collect), 403)
    is_problem(client.post("/v1/reconciliations", json=period, headers=collect), 403)
    assert client.get("/v1/projects", headers=key("read")).status_code == 200


def test_every_document_of_an_operation_says_its_problems(client: TestClient) -> None:
    for _, operation in operations(client.app.openapi()):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }, operation["operationId"]


def test_unknown_ids_are_404(client: TestClient) -> None:
    bodies = {"change_project": {"name": "x"}, "change_discrepancy": {"note": "x"}}
    bodies |= {"replace_session_rules": {"rules": []}, "create_credit_note": {"version": 1, "all": True, "reason": "x"}}
    bodies |= {"add_session_owners": {"items": []}, "replace_session_owners": {"items": []}}
    bodies |= {"void_invoice": {"version": 1, "reason": "x"}, "redeliver_webhooks_since": {"since": "2026-11-05T00:00:00Z"}}
    bodies |= {key: {} for key in "cancel_job retry_job rotate_webhook_secret try_webhook_endpoint redeliver_webhook".split()}
    values = {"session_id": "s", "period": "2026-10"}
    for method, path, operation in routes(client):
        if "unknown" in path and operation["operationId"] != "put_vendor_mapping":  # it keeps a new one
            required = {it["name"] for it in operation["parameters"] if it["in"] == "query" and it["required"]}
            query = {name: values[name] for name in required}
            body = bodies.get(operation["operationId"], {"version": 1})
            is_problem(client.request(method, path, params=query, json=body if method in WRITING else None), 404)
    month = {"period": {"month": "2026-10"}}
    for address in ("/v1/collections", "/v1/reconciliations", "/v1/closes"):
        is_problem(client.post(address, json={"project_id": "404"} | month), 404)
    is_problem(client.post("/v1/invoices", json={"customer_id": "cus_404"} | month), 404)


def test_a_mistyped_filter_is_refused_and_does_not_answer_everything(client: TestClient) -> None:
    for method, path, operation in routes(client):
        if path.startswith("/v1/"):
            known = {it["name"] for it in operation.get("parameters", ()) if it["in"] == "query"}
            problem = is_problem(client.request(method, f"{path}?statu=open"), 422)
            assert problem["errors"][0]["parameter"] == "statu"
            assert all(name in problem["detail"] for name in known)
    problem = is_problem(client.get("/v1/discrepancies?limit=1&limit=2"), 422)
    assert problem["errors"][0]["parameter"] == "limit"
    assert client.get("/v1/discrepancies?limit=2").is_success


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/projects/", "/v1/nothing", "/static-offline-docs/none.js", "/%00"])
def test_unknown_addresses_are_404(client: TestClient, path: str) -> None:
    is_problem(client.get(path), 404)


def test_another_method_is_405_and_learns_which_would_do(client: TestClient) -> None:
    for path, allowed in {"/v1/projects": "GET, POST", "/v1/projects/1": "GET, PATCH", "/v1/collections": "POST"}.items():
        response = client.delete(path)
        is_problem(response, 405)
        assert response.headers["allow"] == allowed


def test_a_body_is_bounded(client: TestClient) -> None:
    is_problem(client.post("/v1/projects", content=b" " * (BODY_LIMIT + 1), headers={"Content-Type": "application/json"}), 413)
    chunks = (b" " * 65536 for _ in range(BODY_LIMIT // 65536 + 1))
    is_problem(client.post("/v1/projects", content=chunks, headers={"Content-Type": "application/json"}), 413)


@pytest.mark.parametrize(
    "content", [b"{", b"", b'{"a":1}}', b"[" * 100_000, b"9" * 10_000, b'"\xff"', b"null", b'"\\ud800"', b"NaN"]
)
def test_what_is_no_json_object_is_refused(client: TestClient, content: bytes) -> None:
    response = client.post("/v1/projects", content=content, headers={"Content-Type": "application/json"})
    is_problem(response, response.status_code)
    assert response.status_code in (400, 422)


def test_another_content_type_is_415(client: TestClient) -> None:
    for header in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        is_problem(client.post("/v1/projects", content=b"{}", headers=header), 415)
    charset = client.post("/v1/projects", content=b"{}", headers={"Content-Type": "application/json; charset=utf-8"})
    is_problem(charset, 422)


def test_every_wrong_field_is_named_and_no_value_is_repeated(client: TestClient, new_project) -> None:
    secret = "s3cret" * 100
    wrong = new_project | {
        "credentials": {"kind": "opentok", "secret": secret},
        "tier_plan": ["from1To2Publishers", "nonsense"],
        "cycle_anchor_day": 32,
        "tolerance": {"minutes": "-1", "relative": 0.1},
        "surprise/~": secret,
    }
    response = client.post("/v1/projects", json=wrong)
    body = is_problem(response, 422)
    assert {error["pointer"] for error in body["errors"]} == {
        "/credentials/secret",
        "/tier_plan/1",
        "/cycle_anchor_day",
        "/tolerance/minutes",
        "/tolerance/relative",
        "/surprise~1~0",
    }
    assert "s3cret" not in response.text


@pytest.mark.parametrize(
    ("period", "pointer"),
    [
        ({"month": "2026-13"}, "/period/month"),
        ({"first_day": "2026-10-02", "last_day": "2026-10-01"}, "/period/last_day"),
        ({"start": "2026-10-01T00:00:00", "end": "2026-10-02T00:00:00Z"}, "/period/start"),
        ({"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z", "alignment": "strict"}, "/period/start"),
        ({"cycle": "2026-10-01", "anchor_day": 1.5}, "/period/anchor_day"),
        ({"month": "2026-10", "last_day": "2026-10-01"}, "/period/last_day"),
        ({}, "/period"),
        (None, "/period"),
        ("2026-10", "/period"),
    ],
)
def test_a_period_names_what_is_wrong_with_it(client: TestClient, period: object, pointer: str) -> None:
    for address in ("/v1/collections", "/v1/reconciliations"):
        body = is_problem(client.post(address, json={"project_id": "100", "period": period}), 422)
        assert [error["pointer"] for error in body["errors"]] == [pointer]


def test_a_request_id_of_the_client_is_kept_where_it_is_harmless(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "trace-12345678"}).headers["x-request-id"] == "trace-12345678"
    for forged in ("short", "a b c d e f g", "x" * 65, 'quote"quote"'):
        assert client.get("/healthz", headers={"X-Request-Id": forged}).headers["x-request-id"] != forged


def test_a_defect_is_a_problem_too_and_tells_nothing_of_the_inside(client: TestClient, monkeypatch, caplog) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr("app.store.projects.list_page", broken)
    with caplog.at_level(logging.ERROR):
        response = client.get("/v1/projects")
    assert "inside" not in is_problem(response, 500)["detail"].replace("wrong inside", "")
    assert "the inside" in caplog.text


def test_a_database_out_of_reach_is_503(client: TestClient, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("unreachable"))

    monkeypatch.setattr("app.store.projects.list_page", broken)
    assert "SELECT" not in client.get("/v1/projects").text
    is_problem(client.get("/v1/projects"), 503)
    monkeypatch.setattr("app.api.health.is_current", broken)
    is_problem(client.get("/readyz"), 503)
    assert client.get("/healthz").status_code == 200


def test_who_is_still_waiting_when_the_process_ends_is_told_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled(*_: object) -> None:
        raise CancelledError

    monkeypatch.setattr("app.api.jobs._ended", cancelled)
    project = {"project_id": "100", "name": "Acme", "credentials": {"kind": "opentok", "secret": "project-secret"}}
    assert client.post("/v1/projects", json=project).status_code == 201
    body = {"project_id": "100", "period": {"first_day": "2026-10-31", "last_day": "2026-11-01"}}
    refused = client.post("/v1/reconciliations", json=body, headers={"Prefer": "wait=60"})
    assert "about to end" in is_problem(refused, 503)["detail"]
