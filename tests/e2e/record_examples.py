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
    _vendor_invoice(say)
    _invoice(say, client, dearer | {"id": published["id"]})
    _close(say, client)
    with receiving(answering(204)) as receiver:
        _webhooks(say, client, receiver)
    _jobs(say, client)
    return say.examples


def _vendor_invoice(say: Recorder) -> None:
    """The vendor's invoice of the worked period, from a file of its own: it bills the session level, 390 and 45 minutes."""
    mapping = {
        "columns": {"usage": "Product", "quantity": "Minutes", "unit_price": "Rate", "amount": "Charge", "kind": "Type"},
        "kinds": {"Usage": "usage", "Credit": "credit", "Total": "total"},
        "usages": {"Video 1-2": "from1To2Publishers", "Video 3-6": "from3To6Publishers"},
        "numbers": {"thousands": ",", "negative": "parentheses", "symbol": "$"},
        "currency": "USD",
    }
    say("put_vendor_mapping", "PUT", "/v1/vendor-mappings/vonage", mapping)
    say("get_vendor_mapping", "GET", "/v1/vendor-mappings/vonage")
    say("list_vendor_mappings", "GET", "/v1/vendor-mappings")
    content = (
        "Type,Product,Minutes,Rate,Charge\nUsage,Video 1-2,390.00,0.00395,$1.54\nUsage,Video 3-6,45.00,0.0041,$0.18\n"
        "Credit,Courtesy,,,($0.10)\nTotal,,,,$1.62\n"
    )
    given = {"mapping": "vonage", "content": content, "number": "INV-2026-10", "period": PERIOD}
    made = say("create_vendor_invoice", "POST", "/v1/vendor-invoices", given)
    say("create_vendor_invoice", "POST", "/v1/vendor-invoices", given)
    address = f"/v1/vendor-invoices/{made['id']}"
    say("get_vendor_invoice", "GET", address)
    say("list_vendor_invoices", "GET", "/v1/vendor-invoices?vendor=vonage")
    say("match_vendor_invoice", "POST", f"{address}/match")
    say("get_dispute_pack", "GET", f"{address}/dispute-pack")


def _invoice(say: Recorder, client: httpx.Client, dearer: dict[str, Any]) -> None:
    """The customer of the worked period, and its invoice with a note of each kind."""
    at_home = {"line1": "Torstr. 1", "city": "Berlin", "postal_code": "10119", "country": "DE"}
    abroad = {"line1": "1 rue de Rivoli", "city": "Paris", "postal_code": "75001", "country": "FR"}
    entity = say("create_entity", "POST", "/v1/entities", {"name": "Acme GmbH", "prefix": "ACME", "address": at_home})
    address = f"/v1/entities/{entity['id']}"
    say("get_entity", "GET", address)
    say("change_entity", "PATCH", address, {"version": 1, "tax_number": "DE123456788", "timezone": "Europe/Berlin"})
    say("list_entities", "GET", "/v1/entities")
    customer = {"name": "Ada SARL", "entity_id": entity["id"], "currency": "USD", "address": abroad, "four_eyes": True}
    bob = say("create_customer", "POST", "/v1/customers", customer | {"name": "Bob SARL"})
    ada = say("create_customer", "POST", "/v1/customers", customer | {"rate_card_id": dearer["id"]})
    address = f"/v1/customers/{ada['id']}"
    say("get_customer", "GET", address)
    say("change_customer", "PATCH", address, {"version": 1, "four_eyes": False, "purchase_order": "PO-4711"})
    say("list_customers", "GET", "/v1/customers")

    session = {"session_id": "1_MX4xMDB-worked-B", "customer_id": bob["id"]}
    say("add_session_owners", "POST", "/v1/projects/200/session-owners", {"items": [session]})
    csv = f"session_id,customer_id\n1_MX4xMDB-worked-B,{bob['id']}\n1_MX4xMDB-worked-C,{bob['id']}\n"
    say("replace_session_owners", "PUT", "/v1/projects/200/session-owners", {"csv": csv})
    say("list_session_owners", "GET", "/v1/projects/200/session-owners")
    rules = {"rules": [{"pattern": "1_MX4xMDB-school-*", "customer_id": bob["id"]}]}
    say("replace_session_rules", "PUT", "/v1/projects/200/session-rules", rules)
    say("get_session_rules", "GET", "/v1/projects/200/session-rules")
    say("change_project", "PATCH", "/v1/projects/100", {"rate_card_id": dearer["id"], "customer_id": ada["id"]})

    draft = say("create_invoice", "POST", "/v1/invoices", {"customer_id": ada["id"], "period": PERIOD, "notes": "Thank you."})
    address = f"/v1/invoices/{draft['id']}"
    say("redraft_invoice", "POST", f"{address}/redraft", {"version": 1})
    say("approve_invoice", "POST", f"{address}/approve", {"version": 1})
    say("finalize_invoice", "POST", f"{address}/finalize", {"version": 2})
    say("get_invoice", "GET", address)
    say("export_invoice", "GET", f"{address}/document?format=csv")
    lines = [{"position": 1, "amount": "0.50"}, {"position": 2}]
    note = say(
        "create_credit_note", "POST", f"{address}/credit-notes", {"version": 3, "lines": lines, "reason": "Agreed with Ada."}
    )
    void = {"version": 1, "reason": "The wrong lines were credited."}
    say("void_invoice", "POST", f"/v1/invoices/{note['id']}/void", void)
    client.post("/v1/rate-cards", json=dearer).raise_for_status()
    say("restate_invoice", "POST", f"{address}/restate", {"version": 3, "reason": "The price was agreed anew."})
    say("list_invoices", "GET", "/v1/invoices?status=draft")
    say("list_audit_log", "GET", f"/v1/audit-log?subject={draft['id']}")


def _close(say: Recorder, client: httpx.Client) -> None:
    """The worked period closed by hand, once its job has ended."""
    job = say("create_close", "POST", "/v1/closes", {"project_id": "100", "period": PERIOD})
    while client.get(f"/v1/jobs/{job['id']}").json()["state"] in ("queued", "running"):
        time.sleep(0.1)
    close = say("list_closes", "GET", "/v1/closes?state=closed")["items"][0]
    say("get_close", "GET", f"/v1/closes/{close['id']}")


def _jobs(say: Recorder, client: httpx.Client) -> None:
    """A job that waits behind another of its project, thought better of twice."""
    month, week = {"month": "2026-10"}, {"first_day": "2026-10-25", "last_day": "2026-10-31"}
    client.post("/v1/collections", json={"project_id": "100", "period": month}).raise_for_status()
    behind = client.post("/v1/collections", json={"project_id": "100", "period": week}).json()
    say("cancel_job", "POST", f"/v1/jobs/{behind['id']}/cancel", {})
    say("retry_job", "POST", f"/v1/jobs/{behind['id']}/retry", {})


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
