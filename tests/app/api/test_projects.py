"""Projects: what is kept, what is answered, what is refused."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.db import transaction

PLAN = ["from1To2Publishers", "from3To6Publishers", "from7To8Publishers", "from9To10Publishers"]
PLAN += ["from11To35Publishers", "from36PlusPublishers"]

REFUSED: list[tuple[dict, str]] = [
    ({"project_id": "101"}, "/project_id"),
    ({"name": None}, "/name"),
    ({"name": ""}, "/name"),
    ({"name": "a\u0000b"}, "/name"),
    ({"cycle_anchor_day": 0}, "/cycle_anchor_day"),
    ({"cycle_anchor_day": "1"}, "/cycle_anchor_day"),
    ({"cross_check": "yes"}, "/cross_check"),
    ({"basis": "both"}, "/basis"),
    ({"tolerance": {"minutes": "1000.5"}}, "/tolerance/minutes"),
    ({"tolerance": {"minutes": 0.01}}, "/tolerance/minutes"),
    ({"tolerance": {"relative": "0.2"}}, "/tolerance/relative"),
    ({"tier_plan": []}, "/tier_plan"),
    ({"tier_plan": ["from1To2Publishers", "from2PlusPublishers"]}, "/tier_plan"),
    ({"insights_url": "file:///etc/passwd"}, "/insights_url"),
    ({"insights_url": "https://user:secret@example.org/"}, "/insights_url"),
    ({"insights_url": "http://example.org:port/"}, "/insights_url"),
    ({"insights_url": "http://example..org/\u2028"}, "/insights_url"),
    ({"credentials": {"kind": "vonage", "secret": "x"}}, "/credentials/application_id"),
    ({"credentials": {"kind": "opentok", "secret": "", "vonage": 1}}, "/credentials/secret"),
    ({"credentials": {"kind": "other"}}, "/credentials"),
    ({"rate_card_id": "none"}, "/rate_card_id"),
    ({"rate_card_id": "no id"}, "/rate_card_id"),
]


@pytest.fixture
def address(database_url: str) -> str:
    return database_url


def test_a_new_project_has_the_defaults_of_the_contract(client: TestClient, new_project) -> None:
    response = client.post("/v1/projects", json=new_project)
    assert response.status_code == 201
    body = response.json()
    assert body.pop("created_at").startswith("2026-11-05T20:00:0")
    assert body == {
        "project_id": "100",
        "name": "Acme",
        "credentials": {"kind": "opentok"},
        "insights_url": None,
        "basis": "project_level",
        "cross_check": True,
        "tier_plan": PLAN,
        "cycle_anchor_day": 1,
        "tolerance": {"minutes": "0.010000", "relative": "0.000001"},
        "rate_card_id": None,
        "customer_id": None,
        "collect_automatically": True,
    }
    assert client.get(response.headers["location"]).json() == response.json()


def test_of_many_at_once_one_adds_it(client: TestClient, new_project) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/projects", json=new_project).status_code, range(8)))
    assert sorted(answers) == [201] + [409] * 7


def test_a_secret_is_never_answered_nor_kept_in_clear(client: TestClient, new_project) -> None:
    answers = [
        client.post("/v1/projects", json=new_project, headers={"Idempotency-Key": "k"}),
        client.get("/v1/projects"),
        client.get("/v1/projects/100"),
        client.patch("/v1/projects/100", json={"credentials": {"kind": "opentok", "secret": "project-secret"}}),
    ]
    assert all(answer.is_success and "project-secret" not in answer.text for answer in answers)
    with transaction(client.app.state.service.engine) as session:
        for table in ("projects", "idempotency_keys"):
            rows = session.execute(text(f"SELECT * FROM {table}")).all()
            assert rows
            assert "project-secret" not in str(rows)


def test_a_vonage_application_needs_a_key_that_can_sign(client: TestClient, new_project) -> None:
    rsa_key, other = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    pem = [it.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() for it in (rsa_key, other)]
    vonage = {"kind": "vonage", "application_id": "6b7ee1b4-8e1c-4b6e-9c0f-3f0f4f1d2a10"}
    for wrong in ("secret of no use", pem[1], pem[0][:-100]):
        refused = client.post("/v1/projects", json=new_project | {"credentials": vonage | {"private_key": wrong}})
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/credentials/private_key"]
        assert wrong not in refused.text
    added = client.post("/v1/projects", json=new_project | {"credentials": vonage | {"private_key": pem[0]}})
    assert added.json()["credentials"] == {"kind": "vonage"}
    assert client.patch("/v1/projects/100", json={"name": "B"}).json()["credentials"] == {"kind": "vonage"}


def test_a_change_touches_what_it_states_and_nothing_else(client: TestClient, new_project) -> None:
    before = client.post("/v1/projects", json=new_project).json()
    change = {
        "basis": "meeting_level",
        "tolerance": {"minutes": "0.5"},
        "tier_plan": ["from11To35Publishers", "from1To10Publishers", "from36PlusPublishers"],
        "insights_url": "https://insights.example.org/graphql",
    }
    after = client.patch("/v1/projects/100", json=change).json()
    assert after == before | {
        "basis": "meeting_level",
        "tolerance": {"minutes": "0.500000", "relative": "0.000001"},
        "tier_plan": ["from1To10Publishers", "from11To35Publishers", "from36PlusPublishers"],
        "insights_url": "https://insights.example.org/graphql",
    }
    assert client.patch("/v1/projects/100", json={"insights_url": None}).json()["insights_url"] is None
    assert client.patch("/v1/projects/100", json={}).json()["basis"] == "meeting_level"


def test_what_cannot_be_is_refused_by_its_pointer(client: TestClient, new_project) -> None:
    client.post("/v1/projects", json=new_project)
    before = client.get("/v1/projects/100").json()
    for change, pointer in REFUSED:
        response = client.patch("/v1/projects/100", json=change)
        assert response.status_code == 422, change
        assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert client.get("/v1/projects/100").json() == before


def test_a_list_goes_page_by_page_newest_first(client: TestClient, new_project) -> None:
    for number in range(5):
        client.post("/v1/projects", json=new_project | {"project_id": str(number)})
    seen: list[str] = []
    query: dict[str, object] = {"limit": 2}
    while True:
        page = client.get("/v1/projects", params=query).json()
        seen += [item["project_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ["4", "3", "2", "1", "0"]


def test_a_bad_page_is_refused_by_name(client: TestClient) -> None:
    for listing in ("/v1/projects", "/v1/reports", "/v1/jobs", "/v1/discrepancies"):
        for query in ({"cursor": "nonsense"}, {"cursor": "\x00"}, {"cursor": ""}, {"limit": 0}, {"limit": 201}, {"limit": "x"}):
            response = client.get(listing, params=query)
            assert response.status_code == 422, (listing, query)
            assert [error["parameter"] for error in response.json()["errors"]] == list(query)
