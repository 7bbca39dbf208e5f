"""Nobody asks for anything: a running service collects a month by plan, closes it, and notices when its past changes."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.demo.rest import Rest
from tests.app.flows.books import CARD
from tests.e2e import hurried
from tests.e2e.conftest import ADMIN, DATASET, started

ADDED = "2026-10-15T20:00:00Z"
NIGHT = "2026-11-01T07:06:00Z"
"""The month's last day has ended, and upstream's latency is over. It is the night in which the clocks go back."""
FINAL = "2026-11-03T08:06:00Z"
READY = "2026-11-03T13:00:30Z"
LATER = "2026-11-12T08:06:00Z"
RESTATED = {"kind": "restated", "project_id": "100", "day": "2026-10-31", "tier": "from1To2Publishers", "minutes": 100}
ADDRESS = {"line1": "Torstr. 1", "city": "Berlin", "postal_code": "10119", "country": "DE"}


@dataclass
class Unattended:
    """A running service, spoken to by REST; its clock and upstream's are moved together."""

    rest: Rest

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """What a list holds, the newest first."""
        found: list[dict[str, Any]] = self.rest.get(path, **query)["items"]
        return found

    def at(self, instant: str) -> None:
        """Move both clocks, once nothing is under way: between the two, a token would be out of date."""
        self.until(lambda: not any(self.items("/v1/jobs", state=state) for state in ("queued", "running")))
        self.rest.move_clocks(datetime.fromisoformat(instant))

    def until(self, come: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not come():
            assert time.monotonic() < end, json.dumps(self.items("/v1/jobs")[:4], indent=1)
            time.sleep(0.1)

    def coverage(self, first_day: str, last_day: str = "") -> list[dict[str, Any]]:
        """The sources of each day, daily usage first."""
        period = f"{first_day}..{last_day or first_day}"
        found: list[dict[str, Any]] = self.rest.get("/v1/projects/100/coverage", period=period)["coverage"]
        return found

    def collected(self, first_day: str, last_day: str) -> list[tuple[str, str]]:
        """The days and sources of a period of which all is known."""
        known = [it for it in self.coverage(first_day, last_day) if it["status"] in ("complete", "final", "no_usage")]
        return [(it["day"], it["source"]) for it in known]


@pytest.fixture
def unattended(database_url: str, tmp_path: Path) -> Iterator[Unattended]:
    """The service and upstream, which will restate a day; a project and whom it is invoiced to."""
    dataset = json.loads(DATASET.read_text()) | {"faults": [RESTATED | {"at": "2026-11-10T00:00:00Z"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    with started(tmp_path, {}, "sandbox", "--dataset", "dataset.json", "--now", ADDED) as sandbox:
        environment = {
            "RECKONER_DATABASE_URL": database_url,
            "RECKONER_INSIGHTS_URL": f"{sandbox}/graphql",
            "RECKONER_BOOTSTRAP_KEY": ADMIN,
            "RECKONER_SECRET_KEY": "2b7e151628aed2a6abf7158809cf4f3c",
            "RECKONER_LOG_FORMAT": "json",
            "RECKONER_NOW": ADDED,
        }
        program = (sys.executable, Path(hurried.__file__))
        with started(tmp_path, environment, "serve", "--port", "0", program=program) as url, Rest(url, ADMIN, sandbox) as rest:
            rest.post("/v1/rate-cards", CARD)
            entity = rest.post("/v1/entities", {"name": "Example GmbH", "prefix": "EX", "address": ADDRESS})
            customer = rest.post(
                "/v1/customers",
                {"name": "Ada", "entity_id": entity["id"], "currency": "EUR", "address": ADDRESS, "rate_card_id": CARD["id"]},
            )
            credentials = {"kind": "opentok", "secret": dataset["projects"][0]["secret"]}
            rest.move_clocks(datetime.fromisoformat(ADDED))
            rest.post(
                "/v1/projects",
                {"project_id": "100", "name": "Acme", "credentials": credentials, "customer_id": customer["id"]},
            )
            yield Unattended(rest)


def test_a_month_is_collected_closed_and_followed_without_a_word(unattended: Unattended) -> None:
    it = unattended
    it.until(lambda: len(it.collected("2026-09-30", "2026-10-14")) == 2 * 15 - 2)
    it.at(NIGHT)
    it.until(lambda: ("2026-10-30", "meetings") in it.collected("2026-10-30", "2026-10-31"))
    assert it.items("/v1/closes") == []
    it.at(FINAL)
    it.until(lambda: len(it.collected("2026-10-01", "2026-10-31")) == 2 * 31)
    it.at(READY)
    it.until(lambda: it.items("/v1/closes", state="closed"))
    (close,), (invoice,) = it.items("/v1/closes"), it.items("/v1/invoices")
    assert (close["first_day"], close["last_day"], close["attempts"]) == ("2026-10-01", "2026-10-31", 1)
    assert (close["reason"], close["invoice_ids"]) == ("It is reconciled and invoiced.", [invoice["id"]])

    for step in ("approve", "finalize"):
        invoice = it.rest.post(f"/v1/invoices/{invoice['id']}/{step}", {"version": invoice["version"]})
    it.at(LATER)
    it.until(lambda: datetime.fromisoformat(it.coverage("2026-10-31")[0]["observed_at"]) >= datetime.fromisoformat(LATER))
    it.at(LATER.replace("08:", "09:"))
    it.until(lambda: len(it.items("/v1/invoices")) == 2)
    (note,) = it.items("/v1/invoices", kind="debit_note")
    assert (note["status"], note["total"]) == ("draft", "1.19")
    assert it.rest.get(f"/v1/invoices/{invoice['id']}") == invoice
    (found,) = it.items("/v1/discrepancies", code="restated")
    assert (found["severity"], found["days"]) == ("high", ["2026-10-31"])
    assert it.items("/v1/jobs", state="failed") == []
