"""A legal entity and a customer over REST."""

from typing import Any

from fastapi.testclient import TestClient

ENTITY = {
    "name": "Acme GmbH",
    "prefix": "ACME",
    "address": {"line1": "Torstr. 1", "city": "Berlin", "postal_code": "10119", "country": "DE"},
}
CUSTOMER = {
    "name": "Ada SARL",
    "currency": "EUR",
    "address": {"line1": "1 rue de Rivoli", "city": "Paris", "postal_code": "75001", "country": "FR"},
}


def add_entity(client: TestClient, **more: Any) -> dict[str, Any]:
    """A legal entity."""
    return _added(client, "/v1/entities", ENTITY | more)


def add_customer(client: TestClient, entity_id: str, **more: Any) -> dict[str, Any]:
    """A customer of it."""
    return _added(client, "/v1/customers", CUSTOMER | {"entity_id": entity_id} | more)


def _added(client: TestClient, address: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(address, json=body)
    assert response.status_code == 201, response.text
    added: dict[str, Any] = response.json()
    return added
