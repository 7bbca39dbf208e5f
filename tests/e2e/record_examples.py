"""Record the examples of the OpenAPI document: `python -m tests.e2e.record_examples`.

Plays the worked period against a running installation and keeps each operation's request and answer in app/api/examples.json,
all from one run, so that the ids in them belong together.
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from app.api.openapi import EXAMPLES
from billing.ratecard_file import dump, load_text, parse
from tests.app.webhooks.receiver import Receiver, answering, receiving
from tests.e2e.conftest import DATASET, NOW, PERIOD, installed

LIST_PRICES = Path(__file__).parents[2] / "docs" / "examples" / "list-prices.yaml"


class Recorder:
    """A client that keeps what it says and hears, by operation id."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.examples: dict[str, dict[str, Any]] = {}

    def __call__(self, operation: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        response = self._client.request(method, path, json=body, headers=headers)
        assert response.is_success, response.text
        example = self.examples.setdefault(operation, {"answers": {}})
        if body is not None:
            example["request"] = body
        if response.headers.get("content-type") == "application/json":
            example["answers"][str(response.status_code)] = response.json()
        return response.json() if example["answers"] else response.text


def record(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """An example of every operation."""
    say, dataset = Recorder(client), json.loads(DATASET.read_text())
    secret = dataset["projects"][0]["secret"]
    account = {"account_key": dataset["account"]["key"], "account_secret": dataset["account"]["secret"]}
    say("healthz", "GET", "/healthz")
    say("readyz", "GET", "/readyz")
    say("move_clock", "POST", "/development/clock", {"now": NOW})
    say("align", "GET", "/v1/periods/align?start=2026-10-31T00:00:00Z&end=2026-11-02T08:00:00Z")
    say("import_account", "POST", "/v1/projects/import", account)
    new = {"project_id": "200", "name": "Acme", "credentials": {"kind": "opentok", "secret": secret}, "cycle_anchor_day": 15}
    card = {key: value for key, value in dump(parse(load_text(LIST_PRICES.read_text(), "yaml"))).items() if value}
    published = say("publish_rate_card", "POST", "/v1/rate-cards", card | {"id": "list-prices-example"})
    say("list_rate_cards", "GET", "/v1/rate-cards")
    say("get_rate_card", "GET", f"/v1/rate-cards/{published['id']}")
    say("list_rate_card_versions", "GET", f"/v1/rate-cards/{published['id']}/versions")
    say("get_rate_card_version", "GET", f"/v1/rate-cards/{published['id']}/versions/1")
    say("create_project", "POST", "/v1/projects", new)
    say("change_project", "PATCH", "/v1/projects/100", {"rate_card_id": published["id"]})
    say("list_projects", "GET", "/v1/projects")
    say("get_project", "GET", "/v1/projects/100")
    wanted = {"project_id": "100", "period": PERIOD}
    say("create_collection", "POST", "/v1/collections", wanted)
    report = say("create_reconciliation", "POST", "/v1/reconciliations", wanted, Prefer="wait=60")
    say("create_reconciliation", "POST", "/v1/reconciliations", wanted)
    jobs = say("list_jobs", "GET", "/v1/jobs")["items"]
    say("get_job", "GET", f"/v1/jobs/{jobs[1]['id']}")
    say("get_coverage", "GET", "/v1/projects/100/coverage?period=2026-10-31..2026-11-01")
    say("list_reports", "GET", "/v1/reports?project_id=100")
    say("get_report", "GET", f"/v1/reports/{report['id']}")
    dearer = card | {"prices": card["prices"] | {"from1To2Publishers": {"model": "flat", "unit_price": "0.0045"}}}
    say("diff_rate_card", "POST", "/v1/rate-cards/diff", {"rate_card": dearer, "card_id": published["id"]})
    say("list_report_discrepancies", "GET", f"/v1/reports/{report['id']}/discrepancies?limit=1")
    say("get_evidence", "GET", f"/v1/reports/{report['id']}/evidence?session_id=1_MX4xMDB-worked-E")
    say("export_report", "GET", f"/v1/reports/{report['id']}/export?format=csv")
    found = say("list_discrepancies", "GET", "/v1/discrepancies?code=session_reuse_spillover")["items"][0]
    change = {"status": "acknowledged", "note": "One room for the whole team.", "assignee": "Ada"}
    say("change_discrepancy", "PATCH", f"/v1/discrepancies/{found['id']}", change)
    say("get_discrepancy", "GET", f"/v1/discrepancies/{found['id']}")
    _close(say, client)
    with receiving(answering(204)) as receiver:
        _webhooks(say, client, receiver)
    return say.examples


def _close(say: Recorder, client: httpx.Client) -> None:
    """The worked period closed by hand, once its job has ended."""
    job = say("create_close", "POST", "/v1/closes", {"project_id": "100", "period": PERIOD})
    while client.get(f"/v1/jobs/{job['id']}").json()["state"] in ("queued", "running"):
        time.sleep(0.1)
    close = say("list_closes", "GET", "/v1/closes?state=closed")["items"][0]
    say("get_close", "GET", f"/v1/closes/{close['id']}")


def _webhooks(say: Recorder, client: httpx.Client, receiver: Receiver) -> None:
    """An endpoint, which is a receiver here, from its beginning to its end."""
    new = {"url": "https://erp.example.com/reckoner", "types": ["report.restated", "invoice.finalized"]}
    path = f"/v1/webhook-endpoints/{say('create_webhook_endpoint', 'POST', '/v1/webhook-endpoints', new)['id']}"
    say("change_webhook_endpoint", "PATCH", path, {"version": 1, "types": ["reconciliation.completed"], "ordered": True})
    say("list_webhook_endpoints", "GET", "/v1/webhook-endpoints")
    say("get_webhook_endpoint", "GET", path)
    assert client.patch(path, json={"version": 2, "url": receiver.url}).is_success
    say("try_webhook_endpoint", "POST", f"{path}/test", {})
    say("rotate_webhook_secret", "POST", f"{path}/rotate-secret", {})
    wanted = {"project_id": "100", "period": {"first_day": "2026-11-01", "last_day": "2026-11-01"}}
    assert client.post("/v1/reconciliations", json=wanted, headers={"Prefer": "wait=60"}).status_code == 201
    while len(client.get("/v1/webhook-deliveries?state=delivered").json()["items"]) < 2:
        time.sleep(0.1)
    delivery = say("list_webhook_deliveries", "GET", "/v1/webhook-deliveries?type=reconciliation.completed")["items"][0]
    say("get_webhook_delivery", "GET", f"/v1/webhook-deliveries/{delivery['id']}")
    say("redeliver_webhook", "POST", f"/v1/webhook-deliveries/{delivery['id']}/redeliver", {})
    say("redeliver_webhooks_since", "POST", f"{path}/redeliver", {"since": "2026-11-05T00:00:00Z"})
    say("delete_webhook_endpoint", "DELETE", path)


if __name__ == "__main__":
    with TemporaryDirectory() as folder, installed(Path(folder)) as installation, installation.client() as client:
        EXAMPLES.write_text(json.dumps(record(client), indent=1, ensure_ascii=False) + "\n")
