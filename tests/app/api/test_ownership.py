"""Whose a project and its sessions are: a list as JSON or CSV, and rules."""

import csv
import io
import re
from contextlib import suppress
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.ownership import LONGEST_LIST, SessionList
from app.api.parties import LINE
from tests.app.api.parties import add_customer, add_entity

OWNERS, RULES = "/v1/projects/100/session-owners", "/v1/projects/100/session-rules"


@pytest.fixture
def customers(client: TestClient, new_project: dict[str, Any]) -> tuple[str, str]:
    """Two customers beside the project 100."""
    client.post("/v1/projects", json=new_project)
    entity = add_entity(client)["id"]
    return add_customer(client, entity)["id"], add_customer(client, entity, name="Bob")["id"]


def owned(client: TestClient) -> dict[str, str]:
    items = client.get(OWNERS, params={"limit": 200}).json()["items"]
    return {it["session_id"]: it["customer_id"] for it in items}


def test_a_project_is_given_to_a_customer_and_taken_back(client: TestClient, customers, new_project) -> None:
    ada, _ = customers
    address = "/v1/projects/100"
    assert client.get(address).json()["customer_id"] is None
    assert client.patch(address, json={"customer_id": ada}).json()["customer_id"] == ada
    assert client.patch(address, json={"name": "Other"}).json()["customer_id"] == ada
    assert client.get(address).json()["customer_id"] == ada
    unknown = client.patch(address, json={"customer_id": "cus_unknown", "name": "Not this"})
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["/customer_id"]
    assert client.get(address).json()["name"] == "Other"
    assert client.patch(address, json={"customer_id": None}).json()["customer_id"] is None
    added = client.post("/v1/projects", json=new_project | {"project_id": "200", "customer_id": ada})
    assert added.json()["customer_id"] == ada
    refused = client.post("/v1/projects", json=new_project | {"project_id": "300", "customer_id": "cus_unknown"})
    assert (refused.status_code, client.get("/v1/projects/300").status_code) == (422, 404)
    log = client.get("/v1/audit-log", params={"action": "project.assigned"}).json()["items"]
    assert [(it["subject"], it["detail"]["customer_id"]["is"]) for it in log] == [("200", ada), ("100", None), ("100", ada)]


def test_a_list_is_added_to_and_replaced(client: TestClient, customers) -> None:
    ada, bob = customers
    given = {"items": [{"session_id": "s1", "customer_id": ada}, {"session_id": "s2", "customer_id": ada}]}
    assert client.post(OWNERS, json=given).json() == {"added": 2, "changed": 0, "removed": 0}
    assert client.post(OWNERS, json=given).json() == {"added": 0, "changed": 0, "removed": 0}
    text = f'\ufeffsession_id,customer_id\r\ns2,{bob}\r\n"s,3",{bob}\r\n\r\n'
    assert client.post(OWNERS, json={"csv": text}).json() == {"added": 1, "changed": 1, "removed": 0}
    assert owned(client) == {"s1": ada, "s2": bob, "s,3": bob}
    assert client.put(OWNERS, json={"csv": f"session_id,customer_id\ns2,{ada}\n"}).json() == {
        "added": 0,
        "changed": 1,
        "removed": 2,
    }
    assert owned(client) == {"s2": ada}
    assert client.put(OWNERS, json={"items": []}).json() == {"added": 0, "changed": 0, "removed": 1}
    assert owned(client) == {}


@given(
    rows=st.lists(
        st.tuples(st.from_regex(re.compile(LINE), fullmatch=True), st.from_regex(r"cus_[a-f0-9]{1,24}", fullmatch=True))
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_csv_says_what_was_written_into_it(rows: list[tuple[str, str]], end: str) -> None:
    owners = [(session[:500], customer) for session, customer in rows if session]
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([("session_id", "customer_id"), *owners])
    assert SessionList.model_validate({"csv": text.getvalue()}).owners() == owners


@given(text=st.text() | st.text().map("session_id,customer_id\n".__add__))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValidationError):
        owners = SessionList.model_validate({"csv": text}).owners()
        assert all(session and customer for session, customer in owners)


def test_a_long_list_goes_page_by_page(client: TestClient, customers) -> None:
    ada, _ = customers
    given = [{"session_id": f"s{number:04}", "customer_id": ada} for number in range(450)]
    assert client.post(OWNERS, json={"items": given}).json()["added"] == 450
    seen: list[dict[str, str]] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = client.get(OWNERS, params=query).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == given


def test_a_list_that_cannot_be_read_is_refused_by_its_place_and_nothing_is_kept(client: TestClient, customers) -> None:
    ada, bob = customers
    head = "session_id,customer_id\n"
    both = [{"session_id": "s", "customer_id": ada}, {"session_id": "s", "customer_id": bob}]
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({}, "", "one of the fields"),
        ({"items": [], "csv": head}, "", "one of the fields"),
        ({"items": None}, "/items", ""),
        ({"items": [{"session_id": "", "customer_id": ada}]}, "/items/0/session_id", ""),
        ({"items": [{"session_id": "a\nb", "customer_id": ada}]}, "/items/0/session_id", ""),
        ({"items": [{"session_id": "s", "customer_id": "cus_unknown"}]}, "/items", "cus_unknown"),
        ({"items": both}, "/items/1/customer_id", "two customers"),
        ({"items": both * (LONGEST_LIST // 2) + both}, "/items", ""),
        ({"csv": 5}, "/csv", "text"),
        ({"csv": ""}, "/csv", "session_id,customer_id"),
        ({"csv": f"customer_id,session_id\n{ada},s\n"}, "/csv", "session_id,customer_id"),
        ({"csv": f"{head}s,{ada}\nt\n"}, "/csv", "line 3 has 1 cells"),
        ({"csv": f"{head}s,{ada},more\n"}, "/csv", "line 2 has 3 cells"),
        ({"csv": f"{head}s,{ada}\n,{ada}\n"}, "/csv", "line 3: session_id"),
        ({"csv": f"{head}s,Ada\n"}, "/csv", "line 2: customer_id"),
        ({"csv": f'{head}"s,{ada}\n'}, "/csv", "line 2 is no CSV"),
        ({"csv": f"{head}s,cus_unknown\n"}, "/csv", "cus_unknown"),
        ({"csv": f"{head}s,{ada}\ns,{bob}\n"}, "/csv", "two customers"),
        ({"csv": head + f"s,{ada}\n" * (LONGEST_LIST + 1)}, "/csv", f"at most {LONGEST_LIST}"),
    ]
    for body, pointer, words in refused:
        for response in (client.post(OWNERS, json=body), client.put(OWNERS, json=body)):
            assert response.status_code == 422, (body, response.text)
            (error,) = response.json()["errors"]
            assert error["pointer"] == pointer, (body, error)
            assert words in error["detail"]
    assert owned(client) == {}


def test_rules_are_replaced_as_a_whole(client: TestClient, customers) -> None:
    ada, bob = customers
    assert client.get(RULES).json() == {"rules": []}
    rules = [{"pattern": "1_*", "customer_id": ada}, {"pattern": "2_*-b", "customer_id": bob}]
    assert client.put(RULES, json={"rules": rules[::-1]}).json() == {"rules": rules}
    assert client.get(RULES).json() == {"rules": rules}
    refused: list[tuple[list[dict[str, str]], str]] = [
        ([{"pattern": "", "customer_id": ada}], "/rules/0/pattern"),
        ([{"pattern": "x" * 201, "customer_id": ada}], "/rules/0/pattern"),
        ([{"pattern": "x"}], "/rules/0/customer_id"),
        ([{"pattern": "x", "customer_id": "cus_unknown"}], "/rules"),
        ([{"pattern": "x", "customer_id": ada}, {"pattern": "x", "customer_id": bob}], "/rules/1/pattern"),
        ([{"pattern": str(number), "customer_id": ada} for number in range(1001)], "/rules"),
    ]
    for wrong, pointer in refused:
        response = client.put(RULES, json={"rules": wrong})
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert client.get(RULES).json() == {"rules": rules}
    assert client.put(RULES, json={"rules": []}).json() == {"rules": []}


def test_a_put_takes_json_only(client: TestClient, customers) -> None:
    for address in (OWNERS, RULES):
        assert client.put(address, content=b"session_id", headers={"Content-Type": "text/csv"}).status_code == 415
