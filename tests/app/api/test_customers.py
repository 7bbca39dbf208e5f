"""Who invoices and who is invoiced: kept, answered, refused by name, and changed only by whoever read it."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.app.api.parties import CUSTOMER, ENTITY, add_customer, add_entity

KINDS = pytest.mark.parametrize("kind", ["entities", "customers"])


def add(client: TestClient, kind: str) -> dict[str, Any]:
    entity = add_entity(client)
    return entity if kind == "entities" else add_customer(client, entity["id"])


def test_an_entity_has_its_defaults(client: TestClient) -> None:
    response = client.post("/v1/entities", json=ENTITY)
    body = response.json()
    assert (response.status_code, response.headers["etag"]) == (201, '"1"')
    assert body.pop("id").startswith("ent_")
    assert body.pop("created_at").startswith("2026-11-05T20:00:0")
    assert body == ENTITY | {
        "version": 1,
        "address": ENTITY["address"] | {"line2": "", "region": ""},
        "tax_number": "",
        "registration": "",
        "email": "",
        "phone": "",
        "bank": None,
        "timezone": "UTC",
        "legal_note": "",
    }
    read = client.get(response.headers["location"])
    assert (read.json(), read.headers["etag"]) == (response.json(), '"1"')


def test_a_customer_has_its_defaults(client: TestClient) -> None:
    entity = add_entity(client)
    response = client.post("/v1/customers", json=CUSTOMER | {"entity_id": entity["id"]})
    body = response.json()
    assert (response.status_code, response.headers["etag"]) == (201, '"1"')
    assert body.pop("id").startswith("cus_")
    assert body.pop("created_at").startswith("2026-11-05T20:00:0")
    assert body == CUSTOMER | {
        "entity_id": entity["id"],
        "version": 1,
        "address": CUSTOMER["address"] | {"line2": "", "region": ""},
        "rate_card_id": None,
        "tax": None,
        "tax_number": "",
        "email": "",
        "reference": "",
        "purchase_order": "",
        "electronic_address": None,
        "terms": {"days": 30, "text": ""},
        "formats": ["pdf"],
        "four_eyes": False,
    }
    read = client.get(response.headers["location"])
    assert (read.json(), read.headers["etag"]) == (response.json(), '"1"')


@KINDS
def test_a_change_touches_what_it_states_and_is_for_one_version(client: TestClient, kind: str) -> None:
    before = add(client, kind)
    address = f"/v1/{kind}/{before['id']}"
    first = client.patch(address, json={"version": 1, "email": "ap@acme.example"})
    assert first.json() == before | {"version": 2, "email": "ap@acme.example"}
    assert first.headers["etag"] == '"2"'
    second = client.patch(address, json={"name": "Other"}, headers={"If-Match": '"2"'})
    assert second.json() == first.json() | {"version": 3, "name": "Other"}
    nothing = client.patch(address, json={"version": 3, "name": "Other"})
    assert (nothing.json(), nothing.headers["etag"]) == (second.json(), '"3"')


@KINDS
def test_whoever_read_an_older_version_changes_nothing(client: TestClient, kind: str) -> None:
    address = f"/v1/{kind}/{add(client, kind)['id']}"
    client.patch(address, json={"version": 1, "name": "First"})
    in_body = client.patch(address, json={"version": 1, "name": "Second"})
    in_header = client.patch(address, json={"name": "Second"}, headers={"If-Match": '"1"'})
    assert (in_body.status_code, in_header.status_code) == (409, 412)
    assert in_body.json()["detail"] == in_header.json()["detail"]
    assert "version 2" in in_body.json()["detail"]
    assert in_header.headers["content-type"] == "application/problem+json"
    assert client.get(address).json()["name"] == "First"


UNVERSIONED: list[tuple[dict, dict, str]] = [
    ({}, {}, "/version"),
    ({"version": None}, {}, "/version"),
    ({"version": 1}, {"If-Match": '"2"'}, "/version"),
    ({"version": 0}, {}, "/version"),
    ({"version": "1"}, {}, "/version"),
    ({"version": 2**31}, {}, "/version"),
    ({}, {"If-Match": "*"}, "If-Match"),
    ({}, {"If-Match": 'W/"1"'}, "If-Match"),
    ({}, {"If-Match": '"1", "2"'}, "If-Match"),
]


@KINDS
def test_a_change_says_which_version_it_is_for(client: TestClient, kind: str) -> None:
    before = add(client, kind)
    for version, header, place in UNVERSIONED:
        response = client.patch(f"/v1/{kind}/{before['id']}", json=version | {"name": "Other"}, headers=header)
        assert response.status_code == 422, (version, header)
        (error,) = response.json()["errors"]
        assert place in (error.get("pointer"), error.get("parameter"))
    assert client.get(f"/v1/{kind}/{before['id']}").json() == before


BOTH: list[tuple[dict, str]] = [
    ({"name": None}, "/name"),
    ({"name": ""}, "/name"),
    ({"name": " \t"}, "/name"),
    ({"name": "a\u0000b"}, "/name"),
    ({"name": "a\u2028b"}, "/name"),
    ({"name": "a\u0085b"}, "/name"),
    ({"name": "x" * 201}, "/name"),
    ({"address": None}, "/address"),
    ({"address": {"line1": "1 Road", "city": "Town"}}, "/address/country"),
    ({"address": {"line1": "1 Road", "city": "Town", "country": "ZZ"}}, "/address/country"),
    ({"address": {"line1": "1 Road", "city": "Town", "country": "de"}}, "/address/country"),
    ({"address": {"line1": "1 Road", "city": "Town", "country": "DE", "planet": "Earth"}}, "/address/planet"),
    ({"tax_number": "x" * 61}, "/tax_number"),
    ({"email": "nobody"}, "/email"),
    ({"email": "a@b\n"}, "/email"),
    ({"id": "mine"}, "/id"),
]
REFUSED: dict[str, list[tuple[dict, str]]] = {
    "entities": [
        *BOTH,
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"legal_note": "x" * 2001}, "/legal_note"),
        ({"legal_note": "a\u0007"}, "/legal_note"),
        ({"bank": {"iban": "DE02120300000000202052"}}, "/bank/iban"),
        ({"bank": {"iban": "DE02 1203 0000 0000 2020 51"}}, "/bank/iban"),
        ({"bank": {"iban": "DE02120300000000202051", "bic": "short"}}, "/bank/bic"),
        ({"logo": "https://example.org/logo.png"}, "/logo"),
    ],
    "customers": [
        *BOTH,
        ({"entity_id": "ent_unknown"}, "/entity_id"),
        ({"rate_card_id": "rc_unknown"}, "/rate_card_id"),
        ({"currency": "EURO"}, "/currency"),
        ({"currency": "XXX"}, "/currency"),
        ({"terms": {"days": 366}}, "/terms/days"),
        ({"terms": {"days": "30"}}, "/terms/days"),
        ({"formats": []}, "/formats"),
        ({"formats": ["docx"]}, "/formats/0"),
        ({"four_eyes": "yes"}, "/four_eyes"),
        ({"electronic_address": {"scheme": "EMAIL", "value": "a@b"}}, "/electronic_address/scheme"),
        ({"electronic_address": {"scheme": "ZZZZ", "value": "a@b"}}, "/electronic_address/scheme"),
        ({"electronic_address": {"scheme": "EM"}}, "/electronic_address/value"),
        ({"tax": ""}, "/tax"),
    ],
}


@KINDS
def test_what_cannot_be_is_refused_by_its_pointer(client: TestClient, kind: str) -> None:
    before = add(client, kind)
    complete = ENTITY | {"prefix": "OTHER"} if kind == "entities" else CUSTOMER | {"entity_id": before["entity_id"]}
    for wrong, pointer in REFUSED[kind]:
        answers = [
            client.post(f"/v1/{kind}", json=complete | wrong),
            client.patch(f"/v1/{kind}/{before['id']}", json={"version": 1} | wrong),
        ]
        for answer in answers:
            assert answer.status_code == 422, (wrong, answer.text)
            assert pointer in [error.get("pointer") for error in answer.json()["errors"]], (wrong, answer.text)
            assert "\\x" not in answer.json()["detail"], "a person reads it, not a pattern"
    assert client.get(f"/v1/{kind}").json() == {"items": [before], "next_cursor": None}


def test_a_prefix_is_one_entity_s_for_good(client: TestClient) -> None:
    entity = add_entity(client)
    again = client.post("/v1/entities", json=ENTITY | {"name": "Another"})
    assert (again.status_code, again.json()["detail"]) == (409, "Another legal entity has the prefix ACME.")
    changed = client.patch(f"/v1/entities/{entity['id']}", json={"version": 1, "prefix": "OTHER"})
    assert [error["pointer"] for error in changed.json()["errors"]] == ["/prefix"]
    for prefix in ("acme", "-A", "A-", "", "X" * 17, "A/B", 'A"B'):
        refused = client.post("/v1/entities", json=ENTITY | {"prefix": prefix})
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/prefix"], prefix


def test_everything_that_may_be_said_is_kept(client: TestClient) -> None:
    bank = {"name": "A Bank", "iban": "DE02120300000000202051", "bic": "BYLADEM1001"}
    said = {"tax_number": "DE123456789", "registration": "HRB 1", "email": "a@b.example", "phone": "+49 30 1", "bank": bank}
    entity = add_entity(client, **said, timezone="Europe/Berlin", legal_note="Line 1\nLine 2")
    assert {key: entity[key] for key in said} == said
    more = {
        "name": "Ünïcode & Söhne <GmbH>",
        "formats": ["pdf", "facturx"],
        "four_eyes": True,
        "tax": "DE VAT 7",
        "terms": {"days": 0, "text": "At once."},
        "electronic_address": {"scheme": "0204", "value": "991-12345-67"},
    }
    customer = add_customer(client, entity["id"], **more)
    assert {key: customer[key] for key in more} == more
    assert client.get(f"/v1/customers/{customer['id']}").json() == customer


@KINDS
def test_a_list_goes_page_by_page_newest_first(client: TestClient, kind: str) -> None:
    entity = add_entity(client)
    ids = [entity["id"]] if kind == "entities" else []
    for number in range(4):
        more = add_entity(client, prefix=f"E{number}") if kind == "entities" else add_customer(client, entity["id"])
        ids.append(more["id"])
    seen, cursor = [], {}
    while True:
        page = client.get(f"/v1/{kind}", params={"limit": 2} | cursor).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ids[::-1]
    assert client.get(f"/v1/{kind}", params={"cursor": "nonsense"}).json()["errors"][0]["parameter"] == "cursor"


@KINDS
def test_only_an_admin_writes_them(client: TestClient, key, kind: str) -> None:
    it = add(client, kind)
    for scope in ("invoice", "read"):
        assert client.post(f"/v1/{kind}", json={}, headers=key(scope)).status_code == 403
        assert client.patch(f"/v1/{kind}/{it['id']}", json={"version": 1}, headers=key(scope)).status_code == 403
    assert client.get(f"/v1/{kind}/{it['id']}", headers=key("read")).json() == it


def test_the_same_post_again_adds_nothing(client: TestClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = (client.post("/v1/entities", json=ENTITY, headers=key) for _ in range(2))
    assert (first.content, first.headers["location"], first.headers["etag"]) == (
        again.content,
        again.headers["location"],
        again.headers["etag"],
    )
    assert again.headers["idempotency-replayed"] == "true"


def test_the_audit_log_says_who_did_what(client: TestClient) -> None:
    customer = add_customer(client, add_entity(client)["id"])
    client.patch(f"/v1/customers/{customer['id']}", json={"version": 1, "tax_number": "FR1"})
    log = client.get("/v1/audit-log").json()["items"]
    assert [(it["seq"], it["action"]) for it in log] == [
        (3, "customer.changed"),
        (2, "customer.created"),
        (1, "entity.created"),
    ]
    assert log[0]["detail"] == {"tax_number": {"was": "", "is": "FR1"}}
    assert all(it["actor"].startswith("bootstrap (") for it in log)
    assert [it["previous_sha256"] for it in log] == [log[1]["sha256"], log[2]["sha256"], ""]

    def found(**query: str) -> list[int]:
        return [it["seq"] for it in client.get("/v1/audit-log", params=query).json()["items"]]

    assert found(subject=customer["id"]) == [3, 2]
    assert found(action="entity.created") == [1]
    assert found(actor=log[0]["actor"], limit="2") == [3, 2]
    assert found(actor="cli") == []
    page = client.get("/v1/audit-log", params={"limit": 2}).json()
    assert client.get("/v1/audit-log", params={"limit": 2, "cursor": page["next_cursor"]}).json() == {
        "items": [log[2]],
        "next_cursor": None,
    }
    assert client.get("/v1/audit-log", params={"cursor": "x"}).json()["errors"][0]["parameter"] == "cursor"
    assert client.get("/v1/audit-log", params={"subject": "\u0000"}).json()["errors"][0]["parameter"] == "subject"
