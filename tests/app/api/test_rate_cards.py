"""Rate cards over REST: published once for good, read by version, refused by the path of what is wrong."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from hypothesis import given

from app.api.rate_cards import NewRateCard
from billing.ratecard import RateCard
from billing.ratecard_file import dump
from tests.app.store.test_rate_cards import terms
from tests.billing.rate_cards import cards

FLAT = {"model": "flat", "unit_price": "0.004"}
TIER = "from1PlusPublishers"


@pytest.fixture
def address(database_url: str) -> str:
    return database_url


@given(card=cards())
def test_the_schema_takes_every_card_that_can_be_parsed(card: RateCard) -> None:
    """REST checks a document twice: by the library's words, and by the schema that it publishes."""
    document = {key: value for key, value in dump(card).items() if key not in ("id", "version")}
    assert NewRateCard.model_validate(document).document() == document


def test_a_card_is_published_and_read_version_by_version(client: TestClient) -> None:
    first = client.post("/v1/rate-cards", json=terms(id="list"))
    second = client.post("/v1/rate-cards", json=terms(id="list", note="Other"))
    assert [it.status_code for it in (first, second)] == [201, 201]
    assert second.headers["location"] == "/v1/rate-cards/list/versions/2"
    assert client.get(first.headers["location"]).json() == first.json()
    assert client.get("/v1/rate-cards/list").json() == second.json()
    assert client.get("/v1/rate-cards/list/versions").json() == {"items": [second.json(), first.json()], "next_cursor": None}
    assert client.get("/v1/rate-cards").json() == {"items": [second.json()], "next_cursor": None}
    body = first.json()
    assert len(body.pop("sha256")) == 64
    assert body.pop("published_at").startswith("2026-11-05T20:00:0")
    assert body == terms(id="list", version=1) | {
        "effective_to": None,
        "usage_prices": {},
        "allowance": None,
        "commitment": None,
        "discounts": [],
        "tax": None,
        "taxes": [],
        "rounding": {"quantity_decimals": 2, "quantity_mode": "half_up", "amount_mode": "half_up", "per": "line"},
        "note": "",
    }


def test_what_was_read_can_be_changed_and_published_unless_somebody_was_faster(client: TestClient) -> None:
    read = client.post("/v1/rate-cards", json=terms()).json()
    assert read["id"].startswith("rc_")
    document = {key: value for key, value in read.items() if key not in ("sha256", "published_at")}
    again = client.post("/v1/rate-cards", json=document)
    assert again.json() == read, "the same again is the version that is there"
    assert client.post("/v1/rate-cards", json=document | {"note": "Ada's"}).json()["version"] == 2
    stale = client.post("/v1/rate-cards", json=document | {"note": "Ben's"})
    assert (stale.status_code, stale.json()["detail"].split(";")[1]) == (409, " read it again.")


def test_a_repeated_request_publishes_once(client: TestClient) -> None:
    header = {"Idempotency-Key": "k"}
    answers = [client.post("/v1/rate-cards", json=terms(), headers=header).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(client.get("/v1/rate-cards").json()["items"]) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"currency": "XXX"}, "/currency"),
        ({"effective_from": "2026-02-30"}, "/effective_from"),
        ({"effective_to": "2026-01-01"}, "/effective_to"),
        ({"tier_plan": ["from1To2Publishers"]}, "/tier_plan"),
        ({"prices": {}}, f"/prices/{TIER}"),
        ({"prices": {TIER: FLAT | {"unit_price": 0.004}}}, f"/prices/{TIER}/unit_price"),
        ({"prices": {TIER: {"model": "graduated", "brackets": []}}}, f"/prices/{TIER}/brackets"),
        ({"usage_prices": {"minutes": FLAT}}, "/usage_prices/minutes"),
        ({"tax": {"name": "VAT", "percent": "0", "category": "S"}}, "/tax/category"),
        ({"colour": "red"}, "/colour"),
        ({"id": "no id"}, "/id"),
        ({"version": 0}, "/version"),
        ({"version": "1"}, "/version"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(client: TestClient, change: dict, pointer: str) -> None:
    response = client.post("/v1/rate-cards", json=terms(**change))
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    tried = client.post("/v1/rate-cards/diff", json={"rate_card": terms(**change)})
    assert [error["pointer"] for error in tried.json()["errors"]] == [f"/rate_card{pointer}"]
    assert client.get("/v1/rate-cards").json()["items"] == []


@pytest.mark.parametrize("body", [[], 7, "card", {}])
def test_what_is_no_card_at_all_is_refused(client: TestClient, body: object) -> None:
    assert client.post("/v1/rate-cards", json=body).status_code == 422


def test_only_an_admin_publishes_and_who_reads_may_try_one_out(client: TestClient, key: Callable[..., dict]) -> None:
    reader = key("read", "invoice", "reconcile", "collect")
    assert client.post("/v1/rate-cards", json=terms(), headers=reader).status_code == 403
    assert client.get("/v1/rate-cards", headers=reader).status_code == 200
    assert client.post("/v1/rate-cards/diff", json={"rate_card": terms()}, headers=reader).json() == {"reports": []}
    assert client.get("/v1/rate-cards", headers=key("invoice")).status_code == 403


def test_what_is_not_there_is_404(client: TestClient) -> None:
    client.post("/v1/rate-cards", json=terms(id="list"))
    for path in ("none", "none/versions", "none/versions/1", "list/versions/2"):
        assert client.get(f"/v1/rate-cards/{path}").status_code == 404, path
    for path in ("list/versions/0", f"list/versions/{2**31}", "list/versions/x", "no%20id"):
        assert client.get(f"/v1/rate-cards/{path}").status_code == 422, path
    for wrong in ({"card_id": "none"}, {"project_ids": ["none"]}):
        assert client.post("/v1/rate-cards/diff", json={"rate_card": terms()} | wrong).status_code == 404, wrong


def test_a_project_has_a_rate_card_that_prices_its_tiers(client: TestClient, new_project: dict) -> None:
    client.post("/v1/rate-cards", json=terms(id="list"))
    refused = client.post("/v1/projects", json=new_project | {"rate_card_id": "list"})
    assert refused.json()["errors"][0]["pointer"] == "/rate_card_id"
    added = client.post("/v1/projects", json=new_project | {"tier_plan": [TIER], "rate_card_id": "list"})
    assert (added.status_code, added.json()["rate_card_id"]) == (201, "list")
    assert client.patch("/v1/projects/100", json={"name": "Other"}).json()["rate_card_id"] == "list"
    assert client.patch("/v1/projects/100", json={"rate_card_id": None}).json()["rate_card_id"] is None
