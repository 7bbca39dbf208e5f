"""Exports of stored reports: every form, and costs at the versions of the rate card that the report names."""

import csv
import io
import json
from decimal import Decimal

import pytest
from sqlalchemy import text

from app.db import transaction
from app.errors import InvalidRequest, NotFound
from app.flows.exports import export_report
from app.store import rate_cards
from billing.exports.formats import ReportFormat
from billing.tiers import KNOWN_PLANS
from tests.app.conftest import NOW
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"
PLAN = KNOWN_PLANS[0].fields


def publish(office: Office, unit_price: str) -> None:
    """A version of the card `list`: every tier at one price."""
    document = {
        "id": "list",
        "name": "List",
        "currency": "EUR",
        "effective_from": "2026-01-01",
        "tier_plan": list(PLAN),
        "prices": {tier: {"model": "flat", "unit_price": unit_price} for tier in PLAN},
    }
    with transaction(office.engine) as session:
        rate_cards.publish(session, document, NOW, actor="cli")


@pytest.fixture
def priced(worked: Office) -> Office:
    """The worked period's project with a rate card, its period collected."""
    publish(worked, "0.01")
    with transaction(worked.engine) as session:
        session.execute(text("UPDATE projects SET rate_card_id = 'list'"))
    worked.change(rate_card_id="list")
    worked.collect(WORKED)
    return worked


def test_a_report_is_exported_in_every_form_and_always_as_the_same_bytes(priced: Office) -> None:
    report = priced.reconcile(WORKED)
    begins = {"json": b'{"id":"rpt_', "csv": b"report_id,", "xlsx": b"PK", "pdf": b"%PDF-", "focus": b"AvailabilityZone,"}
    for form in ReportFormat:
        stored, file = export_report(priced.engine, report.id, form)
        assert stored.id == report.id
        assert file.content.startswith(begins[form])
        assert export_report(priced.engine, report.id, form)[1] == file
    assert export_report(priced.engine, report.id, ReportFormat.JSON)[1].content == report.body


def test_costs_are_those_of_the_versions_that_the_report_names(priced: Office) -> None:
    """285 minutes at 0.01; what is published afterwards changes nothing."""
    report = priced.reconcile(WORKED)
    before = export_report(priced.engine, report.id, ReportFormat.FOCUS)
    publish(priced, "0.05")
    assert export_report(priced.engine, report.id, ReportFormat.FOCUS) == before
    rows = csv.DictReader(io.StringIO(before[1].content.decode()))
    bridge = {line["step"]: line["amount"] for line in json.loads(report.body)["bridge"]}
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(bridge["project_level"]) == Decimal("2.85")


def test_usage_without_a_price_has_no_cost(worked: Office) -> None:
    worked.collect(WORKED)
    report = worked.reconcile(WORKED)
    with pytest.raises(InvalidRequest, match="without a rate card"):
        export_report(worked.engine, report.id, ReportFormat.FOCUS)


def test_there_is_no_export_of_what_is_not_there(worked: Office) -> None:
    with pytest.raises(NotFound):
        export_report(worked.engine, "rpt_none", ReportFormat.CSV)
