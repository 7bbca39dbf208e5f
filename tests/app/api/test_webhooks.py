"""Webhooks over REST: endpoints and their secrets, trying them, and what was delivered."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlmodel import select
from standardwebhooks import Webhook

from app.db import transaction
from app.main import create_app
from app.settings import Settings
from app.store.tables import IdempotencyRow
from app.store.webhook_tables import WebhookEndpoint
from app.webhooks.events import DEFINITIONS, EventType, emit
from tests.app.webhooks.receiver import Receiver, answering, receiving

URL = "https://erp.example.com/reckoner"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """At the present instant: the official library knows no other. Without a worker, so that nothing is sent by itself."""
    return settings.model_copy(update={"now": datetime.now(UTC), "public_url": "https://reckoner.example"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(answering(200, "thanks")) as receiver:
        yield receiver


def add(client: TestClient, **more: Any) -> dict[str, Any]:
    response = client.post("/v1/webhook-endpoints", json={"url": URL} | more)
    assert response.status_code == 201, response.text
    added: dict[str, Any] = response.json()
    return added


def do(client: TestClient, endpoint: dict[str, Any], what: str, body: Any = None, **headers: str) -> Response:
    return client.post(f"/v1/webhook-endpoints/{endpoint['id']}/{what}", json=body or {}, headers=headers)


def tell(client: TestClient, **data: Any) -> None:
    service, kind = client.app.state.service, EventType.REPORT_RESTATED
    said = {**DEFINITIONS[kind].example, **data}
    with transaction(service.engine) as session:
        emit(session, kind, project_id="100", subject="it", data=said, now=service.clock.now())


def test_an_endpoint_has_its_defaults_and_tells_its_secret_once(client: TestClient) -> None:
    response = client.post("/v1/webhook-endpoints", json={"url": URL})
    body = response.json()
    secret = body.pop("secret")
    assert secret.startswith("whsec_")
    assert body.pop("id").startswith("we_")
    assert body.pop("created_at") == body.pop("changed_at")
    assert body == {
        "url": URL,
        "description": "",
        "types": None,
        "projects": None,
        "ordered": False,
        "enabled": True,
        "reason": "",
        "failing_since": None,
        "replaced_secret_until": None,
        "version": 1,
    }
    read = client.get(response.headers["location"])
    assert read.headers["etag"] == '"1"'
    listed = client.get("/v1/webhook-endpoints").json()["items"]
    assert listed == [read.json()]
    assert "secret" not in read.json()
    with transaction(client.app.state.service.engine, read_only=True) as session:
        stored = session.get_one(WebhookEndpoint, read.json()["id"])
        assert secret not in str(stored.secrets) + repr(stored)


def test_a_secret_is_not_kept_in_the_clear_for_who_asks_again(client: TestClient) -> None:
    first, again = (
        client.post("/v1/webhook-endpoints", json={"url": URL}, headers={"Idempotency-Key": "once"}) for _ in range(2)
    )
    assert (again.headers["idempotency-replayed"], again.json()) == ("true", first.json())
    with transaction(client.app.state.service.engine, read_only=True) as session:
        kept = session.exec(select(IdempotencyRow)).one()
    assert first.json()["secret"].removeprefix("whsec_").encode() not in kept.body


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "https://10.0.0.1/"}, "/url"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "/url"),
        ({"url": "http://erp.example.com\n/"}, "/url"),
        ({"url": "ftp://erp.example.com/"}, "/url"),
        ({"url": "https://user:secret@erp.example.com/"}, "/url"),
        ({"url": "https:///"}, "/url"),
        ({"url": "https://a.example/" + "x" * 2000}, "/url"),
        ({"url": URL, "types": []}, "/types"),
        ({"url": URL, "types": ["invoice.paid"]}, "/types/0"),
        ({"url": URL, "types": ["endpoint.test"]}, "/types/0"),
        ({"url": URL, "projects": ["100"]}, "/projects/0"),
        ({"url": URL, "ordered": "yes"}, "/ordered"),
        ({"url": URL, "secret": "whsec_mine"}, "/secret"),
        ({}, "/url"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(client: TestClient, body: dict[str, Any], pointer: str) -> None:
    response = client.post("/v1/webhook-endpoints", json=body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert client.get("/v1/webhook-endpoints").json()["items"] == []


@pytest.mark.parametrize("url", ["http://erp.example.com/", "http://127.0.0.1:9/", "https://127.0.0.1/", "https://[::1]/"])
def test_production_sends_over_https_to_public_addresses(settings: Settings, url: str) -> None:
    strong = {"environment": "production", "secret_key": "2b7e151628aed2a6abf7158809cf4f3c", "now": None}
    key = "rk_" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
    given = settings.model_dump() | strong | {"bootstrap_key": key}
    with TestClient(create_app(Settings(**given, _env_file=None), worker=False)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        assert client.post("/v1/webhook-endpoints", json={"url": url}).status_code == 422
        added = add(client)
        change = {"version": 1, "url": url}
        assert client.patch(f"/v1/webhook-endpoints/{added['id']}", json=change).status_code == 422


def test_only_who_administers_sees_or_changes_webhooks(client: TestClient, key: Callable[..., dict[str, str]]) -> None:
    added = add(client)
    others = key("read", "collect", "reconcile", "invoice")
    for method, path in (
        ("GET", "/v1/webhook-endpoints"),
        ("POST", "/v1/webhook-endpoints"),
        ("GET", f"/v1/webhook-endpoints/{added['id']}"),
        ("PATCH", f"/v1/webhook-endpoints/{added['id']}"),
        ("DELETE", f"/v1/webhook-endpoints/{added['id']}"),
        ("POST", f"/v1/webhook-endpoints/{added['id']}/test"),
        ("POST", f"/v1/webhook-endpoints/{added['id']}/rotate-secret"),
        ("POST", f"/v1/webhook-endpoints/{added['id']}/redeliver"),
        ("GET", "/v1/webhook-deliveries"),
        ("GET", "/v1/webhook-deliveries/dlv_1"),
        ("POST", "/v1/webhook-deliveries/dlv_1/redeliver"),
    ):
        body = {} if method in ("POST", "PATCH") else None
        assert client.request(method, path, json=body, headers=others).status_code == 403, (method, path)


def test_a_change_is_for_the_version_that_was_read(client: TestClient) -> None:
    path = f"/v1/webhook-endpoints/{add(client)['id']}"
    changed = client.patch(path, json={"version": 1, "types": ["invoice.drafted", "invoice.drafted"], "ordered": True})
    assert changed.json()["types"] == ["invoice.drafted"]
    assert (changed.json()["version"], changed.json()["url"]) == (2, URL)
    assert client.patch(path, json={"version": 1, "types": None}).status_code == 409
    assert client.patch(path, json={"types": None}, headers={"If-Match": '"1"'}).status_code == 412
    assert client.patch(path, json={"types": None}).status_code == 422
    disabled = client.patch(path, json={"version": 2, "enabled": False}).json()
    assert (disabled["enabled"], "disabled it" in disabled["reason"]) == (False, True)
    assert client.patch(path, json={"version": 3, "enabled": True}).json()["reason"] == ""
    log = client.get(f"/v1/audit-log?subject={disabled['id']}").json()["items"]
    assert [it["action"].partition(".")[2] for it in log] == ["changed", "changed", "changed", "created"]


def test_a_deleted_endpoint_is_gone_and_its_deliveries_can_be_read(client: TestClient) -> None:
    added = add(client)
    tell(client)
    path = f"/v1/webhook-endpoints/{added['id']}"
    gone = client.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert [client.request(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert client.get("/v1/webhook-endpoints").json()["items"] == []
    (delivery,) = client.get(f"/v1/webhook-deliveries?endpoint_id={added['id']}").json()["items"]
    assert delivery["state"] == "failed"
    again = client.post(f"/v1/webhook-deliveries/{delivery['id']}/redeliver", json={})
    assert (again.status_code, "deleted it" in again.json()["detail"]) == (409, True)
    log = client.get(f"/v1/audit-log?subject={added['id']}").json()["items"]
    assert [it["action"] for it in log] == ["webhook_endpoint.deleted", "webhook_endpoint.created"]


def test_a_trial_says_what_came_of_it_and_the_official_library_verifies_it(client: TestClient, receiver: Receiver) -> None:
    added = add(client, url=receiver.url, types=["invoice.finalized"])
    tried = do(client, added, "test").json()
    assert (tried["state"], tried["type"], tried["next_attempt_at"]) == ("delivered", "endpoint.test", None)
    (attempt,) = tried["attempts"]
    assert (attempt["number"], attempt["status"], attempt["answer"], attempt["error"]) == (1, 200, "thanks", "")
    (call,) = receiver.calls
    said = Webhook(added["secret"]).verify(call.body, call.headers)
    assert said["data"]["url"] == f"https://reckoner.example/v1/webhook-endpoints/{added['id']}"
    assert call.body.decode() == tried["body"]
    assert call.headers["webhook-id"] == tried["event_id"]
    receiver.behaviour = answering(500, "no")
    assert do(client, added, "test").json()["state"] == "failed"
    refused = client.post(f"/v1/webhook-deliveries/{tried['id']}/redeliver", json={})
    assert refused.status_code == 409


def test_after_a_rotation_the_receiver_may_verify_by_either_secret(client: TestClient, receiver: Receiver) -> None:
    added = add(client, url=receiver.url)
    rotated = do(client, added, "rotate-secret").json()
    assert rotated["secret"] != added["secret"]
    assert rotated["replaced_secret_until"] is not None
    do(client, added, "test")
    for secret in (added["secret"], rotated["secret"]):
        Webhook(secret).verify(receiver.calls[0].body, receiver.calls[0].headers)
    log = client.get(f"/v1/audit-log?subject={added['id']}").json()["items"]
    assert [it["action"] for it in log] == ["webhook_endpoint.secret_rotated", "webhook_endpoint.created"]
    assert not any(secret.removeprefix("whsec_") in str(log) for secret in (added["secret"], rotated["secret"]))


def test_deliveries_are_listed_and_delivered_again(client: TestClient) -> None:
    one, other = add(client), add(client, types=["collection.gap"])
    for number in range(3):
        tell(client, version=number)
    listed = client.get("/v1/webhook-deliveries?limit=2").json()
    assert [it["state"] for it in listed["items"]] == ["pending", "pending"]
    rest = client.get(f"/v1/webhook-deliveries?limit=2&cursor={listed['next_cursor']}").json()
    assert (len(rest["items"]), rest["next_cursor"]) == (1, None)

    def count(query: str) -> int:
        return len(client.get(f"/v1/webhook-deliveries?{query}").json()["items"])

    assert count(f"endpoint_id={one['id']}&state=pending&type=report.restated") == 3
    assert [count(it) for it in (f"endpoint_id={other['id']}", "state=failed", "type=invoice.drafted")] == [0, 0, 0]
    read = client.get(f"/v1/webhook-deliveries/{rest['items'][0]['id']}").json()
    assert (read["attempts"], json.loads(read["body"])["type"]) == ([], "report.restated")
    again = client.post(f"/v1/webhook-deliveries/{read['id']}/redeliver", json={}).json()
    assert again["next_attempt_at"] > read["next_attempt_at"]
    span = {"since": "2026-01-01T00:00:00Z"}
    assert do(client, one, "redeliver", span).json() == {"deliveries": 0}
    assert do(client, other, "redeliver", span).json() == {"deliveries": 0}
    refused = do(client, one, "redeliver", span | {"until": "2025-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/until")
    changed = client.patch(f"/v1/webhook-endpoints/{other['id']}", json={"version": 1, "types": None})
    assert changed.is_success
    assert do(client, other, "redeliver", span).json() == {"deliveries": 3}
    assert client.get("/v1/webhook-deliveries/dlv_unknown").status_code == 404
