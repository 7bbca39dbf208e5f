"""The vendor's invoices over REST: uploaded as they are or through a mapping, matched, disputed; and what is refused."""

import io
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.db import transaction
from app.store import rate_cards
from tests.app.api.conftest import NOW
from tests.app.api.desk import open_desk
from tests.app.api.test_errors import is_problem
from tests.app.flows.test_vendor import LARGE, SMALL, billed
from tests.billing.rate_cards import card

MAPPING = {
    "columns": {
        "usage": "Produkt",
        "quantity": "Minuten",
        "unit_price": "Preis",
        "amount": "Betrag",
        "kind": "Art",
        "text": "Text",
        "first_day": "Von",
        "last_day": "Bis",
    },
    "kinds": {"Verbrauch": "usage", "Gutschrift": "credit", "Summe": "total"},
    "usages": {"Video 1-2": SMALL, "Video 3-6": LARGE},
    "delimiter": ";",
    "numbers": {"decimal": ",", "thousands": ".", "negative": "trailing_minus"},
    "dates": "DD.MM.YYYY",
    "currency": "EUR",
}
HEADER = "\ufeffArt;Produkt;Minuten;Preis;Betrag;Text;Von;Bis\r\n"
FILE = HEADER + (
    'Verbrauch;Video 1-2;210,00;0,10;21,00;"Raum ""A""; Okt.";31.10.2026;01.11.2026\r\n'
    "Verbrauch;Video 3-6;75,00;0,20;15,00;;31.10.2026;01.11.2026\r\n"
    "Gutschrift;;;;5,00-;Kulanz;;\r\n"
    "Summe;;;;31,00;;;\r\n"
)


@pytest.fixture
def client(client: TestClient) -> TestClient:
    """The worked period, reported and priced at 0.10 and 0.20."""
    desk = open_desk(client)
    prices = {SMALL: {"model": "flat", "unit_price": "0.10"}, LARGE: {"model": "flat", "unit_price": "0.20"}}
    plan = desk.office.project.plan.fields
    document = card(prices, plan=plan, effective_from="2026-01-01")
    with transaction(client.app.state.service.engine) as session:
        published = rate_cards.publish(session, rate_cards.dump(document) | {"id": "vendor", "version": None}, NOW, actor="cli")
        session.execute(text("UPDATE projects SET rate_card_id = :card"), {"card": published.id})
    return client


def upload(client: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post("/v1/vendor-invoices", json=body)
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/vendor-invoices/{response.json()['id']}"
    made: dict[str, Any] = response.json()
    return made


def test_an_invoice_is_uploaded_matched_and_listed(client: TestClient) -> None:
    made = upload(client, billed("300.00"))
    assert made["match"]["variance"]["parts"]["volume"] == "9.00"
    assert client.get(f"/v1/vendor-invoices/{made['id']}").json() == made
    assert client.post("/v1/vendor-invoices", json=billed("300.00")).status_code == 200
    is_problem(client.post("/v1/vendor-invoices", json=billed()), 409)
    (listed,) = client.get("/v1/vendor-invoices?vendor=vonage").json()["items"]
    assert listed["id"] == made["id"]
    assert client.get("/v1/vendor-invoices?vendor=other").json()["items"] == []
    assert client.post(f"/v1/vendor-invoices/{made['id']}/match").json() == made["match"]
    (found,) = client.get("/v1/discrepancies?code=vendor_invoice_mismatch").json()["items"]
    assert (found["project_id"], found["severity"], found["amount"], found["total"]) == ("100", "high", "9.00", "90.000000")
    assert found["evidence"]["vendor_invoice"] == made["id"]


def test_a_file_is_read_by_the_mapping_of_its_vendor(client: TestClient) -> None:
    kept = client.put("/v1/vendor-mappings/vonage", json=MAPPING)
    assert kept.status_code == 200, kept.text
    assert (
        client.get("/v1/vendor-mappings/vonage").json() == kept.json() == client.get("/v1/vendor-mappings").json()["items"][0]
    )
    made = upload(client, {"mapping": "vonage", "content": FILE, "number": "R-7"})
    assert [(line["line"], line["kind"], line["amount"], line["text"]) for line in made["lines"]] == [
        (2, "usage", "21.00", 'Raum "A"; Okt.'),
        (3, "usage", "15.00", ""),
        (4, "credit", "-5.00", "Kulanz"),
    ]
    assert (made["total"], made["period"]) == ("31.00", {"first_day": "2026-10-31", "last_day": "2026-11-01"})
    assert {cause: part for cause, part in made["match"]["variance"]["parts"].items() if part != "0.00"} == {"credit": "-5.00"}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("Verbrauch;Video 1-2;210,00;0,10;21.00;;;", "row 2, column 'Betrag': '21.00' cannot be used"),
        ("Verbrauch;Video 1-2;210,00;0,10;;;;", "row 2, column 'Betrag': '' cannot be used"),
        ("Verbrauch;Video 1-2;viele;0,10;21,00;;;", "row 2, column 'Minuten': 'viele' cannot be used"),
        ("Verbrauch;Video 99;210,00;0,10;21,00;;;", "row 2, column 'Produkt': 'Video 99' cannot be used"),
        ("Gebühr;Video 1-2;210,00;0,10;21,00;;;", "row 2, column 'Art': 'Gebühr' cannot be used"),
        ("Verbrauch;Video 1-2;210,00;0,10;21,00;;31.02.2026;", "row 2, column 'Von': '31.02.2026' cannot be used"),
        ("Verbrauch;Video 1-2;210,00-;0,10;21,00;;;", "row 2, column 'Minuten': '-210.00' cannot be used"),
        ("Gutschrift;;;;5,00;;;", "row 2, column 'Betrag': a credit that adds to the invoice"),
        ("Verbrauch;Video 1-2;210,00;0,10;21,00", "row 2 has 5 cells"),
        ('Verbrauch;"Video 1-2;210,00', "row 2 is no CSV"),
    ],
)
def test_what_does_not_parse_is_refused_with_row_and_column(client: TestClient, row: str, why: str) -> None:
    client.put("/v1/vendor-mappings/vonage", json=MAPPING)
    body = {"mapping": "vonage", "content": HEADER + row, "number": "R-7", "period": {"month": "2026-10"}}
    problem = is_problem(client.post("/v1/vendor-invoices", json=body), 422)
    assert why in problem["detail"]
    assert [error["pointer"] for error in problem["errors"]] == ["/content"]
    assert client.get("/v1/vendor-invoices").json()["items"] == [], "nothing is kept"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"lines": []}, "/lines"),
        ({"currency": "EUX"}, "/currency"),
        ({"total": "1.001"}, "/total"),
        ({"period": {"month": "2026-13"}}, "/period/month"),
        ({"vendor": "../x"}, "/vendor"),
        ({"lines": [{"line": 1, "kind": "usage", "usage": SMALL, "quantity": "1", "amount": "NaN"}]}, "/lines/0/amount"),
        ({"lines": [{"line": 1, "kind": "usage", "usage": SMALL, "quantity": "1", "amount": 0.1}]}, "/lines/0/amount"),
        ({"lines": [{"line": 1, "kind": "usage", "usage": "Video", "quantity": "1", "amount": "1"}]}, "/lines/0/usage"),
        ({"lines": [{"line": 1, "kind": "usage", "usage": SMALL, "amount": "1"}]}, "/lines/0/quantity"),
        ({"lines": [{"line": 1, "kind": "credit", "amount": "1"}]}, "/lines/0/amount"),
        ({"lines": [{"line": 1, "kind": "other", "amount": "1"}] * 2}, "/lines/1/line"),
    ],
)
def test_an_invoice_that_cannot_be_used_names_the_field(client: TestClient, change: dict[str, Any], pointer: str) -> None:
    problem = is_problem(client.post("/v1/vendor-invoices", json=billed() | change), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"columns": {"usage": "a", "quantity": "b"}}, "/columns"),
        ({"usages": {"x": "Video"}}, "/usages/x"),
        ({"dates": "D.M.Y"}, "/dates"),
        ({"numbers": {"decimal": ",", "thousands": ","}}, "/numbers/thousands"),
        ({"columns": {"usage": "a", "quantity": "b", "amount": "c"}}, "/kinds"),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(client: TestClient, change: dict[str, Any], pointer: str) -> None:
    problem = is_problem(client.put("/v1/vendor-mappings/vonage", json=MAPPING | change), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


def test_a_file_of_an_unknown_vendor_is_refused(client: TestClient) -> None:
    is_problem(client.post("/v1/vendor-invoices", json={"mapping": "nobody", "content": "x", "number": "1"}), 404)


def test_more_rows_than_fit_in_a_spreadsheet_page(client: TestClient) -> None:
    client.put("/v1/vendor-mappings/vonage", json=MAPPING)
    rows = "Verbrauch;Video 1-2;0,03;0,10;0,003;;;\r\n" * 20_000
    body = {"mapping": "vonage", "content": HEADER + rows, "number": "R-8", "period": {"month": "2026-10"}}
    made = upload(client, body)
    assert (len(made["lines"]), made["total"]) == (20_000, "60.00")
    assert "no report" in made["unmatched"]


def test_the_pack_is_a_zip(client: TestClient) -> None:
    made = upload(client, billed("300.00"))
    response = client.get(f"/v1/vendor-invoices/{made['id']}/dispute-pack")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="dispute-{made["id"]}.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
    again = upload(client, billed(number="2"))
    is_problem(client.get(f"/v1/vendor-invoices/{again['id']}/dispute-pack"), 409)
