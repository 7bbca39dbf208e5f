"""A desk that invoices the worked period over REST: its project is reconciled, and belongs to the customer Ada."""

import json
from dataclasses import dataclass
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response

from app.clock import MovableClock
from app.db import transaction
from app.insights.client import OpenTokCredentials
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Upstream
from app.store import projects, rate_cards
from app.store.projects import Project
from tests.app.api.conftest import NOW
from tests.app.api.parties import add_customer, add_entity
from tests.app.flows.books import CARD, WORKED
from tests.app.flows.conftest import SECRET, Office
from tests.app.flows.conftest import WORKED as DATASET

PERIOD = {"first_day": "2026-10-31", "last_day": "2026-11-01"}


@dataclass
class Desk:
    """The client, the customer, and the office that collects and reconciles."""

    client: TestClient
    customer: dict[str, Any]
    office: Office

    def post(self, path: str, body: Any = None, **headers: str) -> Response:
        return self.client.post(f"/v1/invoices{path}", json=body or {}, headers=headers)

    def draft(self, **more: Any) -> Response:
        return self.post("", {"customer_id": self.customer["id"], "period": PERIOD} | more)

    def step(self, invoice: dict[str, Any], step: str, **more: Any) -> dict[str, Any]:
        """A step of the version at hand, which succeeds."""
        response = self.post(f"/{invoice['id']}/{step}", {"version": invoice["version"]} | more)
        assert response.is_success, response.text
        done: dict[str, Any] = response.json()
        return done

    def issue(self, invoice: dict[str, Any]) -> dict[str, Any]:
        return self.step(self.step(invoice, "approve"), "finalize")

    def get(self, invoice: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/invoices/{invoice['id']}").json()
        return found


def open_desk(client: TestClient, *faults: dict[str, Any], reconciled: bool = True, **customer: Any) -> Desk:
    """A desk on the worked period with faults."""
    service, clock = client.app.state.service, MovableClock(NOW)
    dataset = json.loads(DATASET.read_text()) | {"faults": list(faults)}
    project = Project("100", "Acme", OpenTokCredentials("100", SECRET), NOW)
    with transaction(service.engine) as session:
        projects.create(session, service.vault, project)
        rate_cards.publish(session, CARD, NOW, actor="cli")
    office = Office(service.engine, project, Upstream(Dataset.load(dataset), clock), clock)
    office.collect(WORKED)
    if reconciled:
        office.reconcile(WORKED)
    added = add_customer(client, add_entity(client, tax_number="DE123456789")["id"], rate_card_id="rc_books", **customer)
    assert client.patch("/v1/projects/100", json={"customer_id": added["id"]}).is_success
    return Desk(client, added, office)
