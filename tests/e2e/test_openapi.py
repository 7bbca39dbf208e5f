"""The OpenAPI document is true: what it allows and promises is what the service does, and its examples are real answers."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

from app.api.openapi import EXAMPLES, operations
from tests.e2e.conftest import ADMIN, Installation, installed

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def document(installation: Installation) -> dict:
    with installation.client() as client:
        return client.get("/openapi.json").json()


def test_every_operation_has_a_real_example(document: dict) -> None:
    recorded = json.loads(EXAMPLES.read_text())
    assert recorded.keys() == {operation["operationId"] for _, operation in operations(document)}


def test_every_example_is_what_its_schema_says(document: dict) -> None:
    checked = 0
    for _, operation in operations(document):
        for place in [operation.get("requestBody", {}), *operation["responses"].values()]:
            content = place.get("content", {}).get("application/json", {})
            if "example" in content and "schema" in content:
                schema = {**content["schema"], "components": document["components"]}
                jsonschema_rs.Draft202012Validator(schema).validate(content["example"])
                checked += 1
    assert checked > 25


def test_a_report_has_every_documented_field_and_no_other(document: dict, report: dict) -> None:
    schemas = document["components"]["schemas"]
    jsonschema_rs.Draft202012Validator({**schemas["Report"], "components": document["components"]}).validate(report)
    parts = {"Report": report, "BridgeStep": report["bridge"][0], "ReportDay": report["days"][0]}
    for name, part in (parts | {"Finding": report["discrepancies"][0]}).items():
        assert part.keys() == schemas[name]["properties"].keys(), name


CONTRACT = {
    "Alignment": "requested aligned added_days explanation",
    "Aligned": "first_day last_day start end days short_days long_days",
    "NewProject": "project_id name credentials insights_url basis cross_check tier_plan cycle_anchor_day tolerance",
    "Project": "project_id name insights_url basis cross_check tier_plan cycle_anchor_day tolerance",
    "OpenTok": "kind secret",
    "Vonage": "kind application_id private_key",
    "ToleranceTerms": "minutes relative",
    "NewCollection": "project_id period",
    "NewReconciliation": "project_id period collect",
    "NewEntity": "name prefix address tax_number bank timezone",
    "NewCustomer": "name entity_id address tax_number currency terms formats four_eyes rate_card_id tax",
    "NewInvoice": "customer_id period override notes",
    "Document": "id number status version customer_id entity currency period report_ids lines subtotal discount commitment tax "
    "total issued_on due_on sha256",
    "DocumentLine": "position project_id usage first_day last_day quantity allowance_used model bracket unit_price amount "
    "rate_card report_id",
    "Job": "state progress result problem",
    "Progress": "done total",
    "Report": "id version supersedes sha256 created_at project_id basis tier_plan period verdict explained_ratio totals bridge "
    "days discrepancies observations",
    "BridgeStep": "step minutes total amount",
    "ReportDay": "day hours project_level project_status meeting_level meeting_coverage difference",
    "Finding": "id fingerprint code severity status minutes total amount days sessions summary evidence",
    "NewRateCard": "id name version currency effective_from effective_to tier_plan prices usage_prices allowance commitment "
    "discounts tax rounding",
    "RateCard": "id name version currency effective_from effective_to tier_plan prices usage_prices allowance commitment "
    "discounts tax rounding",
    "Change": "status note assignee ignore_until",
    "NewVendorInvoice": "vendor number currency period lines total",
    "BilledLine": "line kind usage quantity unit_price amount text",
    "Match": "lines variance",
    "Variance": "minutes amount parts",
    "Problem": "type title status detail errors request_id upstream_code",
}
"""The names that others rely on: to lose or rename one is to break them."""


def test_no_promised_field_is_gone(document: dict, report: dict) -> None:
    for name, fields in CONTRACT.items():
        assert set(fields.split()) <= document["components"]["schemas"][name]["properties"].keys(), name
    assert {"requested", "aligned"} <= report["period"].keys()
    assert report["totals"].keys() == {"session_level", "meeting_level", "project_level"}
    for observation in report["observations"]:
        assert {"id", "kind", "sha256", "observed_at"} <= observation.keys()
        assert observation["kind"] in ("daily_usage", "meetings", "session_detail")


def test_every_list_goes_by_cursor_and_every_post_takes_an_idempotency_key(document: dict) -> None:
    lists = 0
    for method, operation in operations(document):
        given = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("Idempotency-Key" in given) == (method == "post")
        answered = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "Page_" in answered.get("$ref", ""):
            page = document["components"]["schemas"][answered["$ref"].rpartition("/")[2]]
            assert page["properties"].keys() == {"items", "next_cursor"}
            assert {"limit", "cursor"} <= given
            lists += 1
    assert lists > 10


def test_every_operation_says_what_it_is_for(document: dict) -> None:
    for _, operation in operations(document):
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]


def test_the_pages_load_nothing_from_elsewhere(installation: Installation) -> None:
    with installation.client() as client:
        page = client.get("/docs").text
        assert "http" not in page.replace("http-equiv", "")
        for file in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
            assert f"/static-offline-docs/{file}" in page
            assert client.get(f"/static-offline-docs/{file}").status_code == 200


def test_no_500_and_no_undocumented_answer(document: dict, tmp_path: Path) -> None:
    """Schemathesis, on an installation of its own: it also moves the clock."""
    with installed(tmp_path) as running:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "run", f"{running.url}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {ADMIN}", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Tested: {len(list(operations(document)))}\n" in done.stdout
        failures = [line for line in (tmp_path / "serve.log").read_text().splitlines() if '"status": 500' in line]
        assert not failures
