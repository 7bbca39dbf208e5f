"""Exports of stored reports: every form, costs at the versions of the rate card that the report names, and the large ones."""

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.db import transaction
from app.errors import Cancelled, InvalidRequest, NotFound
from app.flows import exports
from app.flows.exports import export_at_hand, export_report
from app.flows.steps import Unrecorded
from app.store import jobs, rate_cards
from app.store.jobs import State
from app.store.tables import Job, Report
from billing.exports import formats, pdf
from billing.exports.formats import ReportFormat
from billing.ratecard import CardHistory
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
    with transaction(priced.engine, read_only=True) as session:
        cards = CardHistory([rate_cards.get(session, "list", 1)])
    assert before[1] == formats.report(json.loads(report.body), ReportFormat.FOCUS, cards), "what is left out costs nothing"


def test_usage_without_a_price_has_no_cost(worked: Office) -> None:
    worked.collect(WORKED)
    report = worked.reconcile(WORKED)
    with pytest.raises(InvalidRequest, match="without a rate card"):
        export_report(worked.engine, report.id, ReportFormat.FOCUS)


def test_there_is_no_export_of_what_is_not_there(worked: Office) -> None:
    with pytest.raises(NotFound):
        export_report(worked.engine, "rpt_none", ReportFormat.CSV)


MADE_AT_ONCE = (ReportFormat.JSON, ReportFormat.FOCUS)


@pytest.fixture
def report(priced: Office, monkeypatch: pytest.MonkeyPatch) -> Report:
    """A report that is one byte larger than a request may export in any form that has a bound."""
    report = priced.reconcile(WORKED)
    for form in exports.AT_ONCE:
        monkeypatch.setitem(exports.AT_ONCE, form, len(report.body) - 1)
    return report


@pytest.mark.parametrize("form", ReportFormat)
def test_a_request_makes_exports_up_to_the_bound(
    priced: Office, report: Report, form: ReportFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = export_report(priced.engine, report.id, form)[1]
    beyond = export_at_hand(priced.engine, report.id, form)
    assert (beyond and beyond[1]) == (whole if form in MADE_AT_ONCE else None)
    monkeypatch.setitem(exports.AT_ONCE, form, len(report.body))
    at_bound = export_at_hand(priced.engine, report.id, form)
    assert at_bound
    assert at_bound[1] == whole


@pytest.mark.parametrize("form", exports.AT_ONCE)
def test_what_a_job_makes_is_what_a_request_would_and_is_kept_for_a_month(
    priced: Office, report: Report, form: ReportFormat
) -> None:
    engine, clock = priced.engine, priced.clock
    for _ in range(2):
        exports.make(engine, report.id, form, clock=clock, steps=Unrecorded())
    found = export_at_hand(engine, report.id, form)
    assert found
    stored, file = found
    assert file == export_report(engine, report.id, form)[1]
    assert (stored.id, stored.project_id, stored.first_day, stored.version) == (report.id, "100", report.first_day, 1)
    made = clock.now()
    for after, kept in ((exports.KEPT - timedelta(minutes=1), True), (exports.KEPT + timedelta(seconds=1), False)):
        with transaction(engine) as session:
            exports.tidy(session, made + after)
        assert bool(export_at_hand(engine, report.id, form)) is kept


def test_an_attempt_that_lost_its_job_keeps_nothing(priced: Office, report: Report) -> None:
    class Lost(Unrecorded):
        def record(self, session: Session, name: str, result: Any) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        exports.make(priced.engine, report.id, ReportFormat.CSV, clock=priced.clock, steps=Lost())
    assert export_at_hand(priced.engine, report.id, ReportFormat.CSV) is None


def test_the_same_export_is_one_job_until_it_has_ended_well_or_is_not_wanted(priced: Office, report: Report) -> None:
    def order(form: ReportFormat = ReportFormat.CSV) -> Job:
        return exports.order(priced.engine, report.id, form, clock=priced.clock)

    def put(state: State) -> None:
        with transaction(priced.engine) as session:
            session.get_one(Job, first.id).state = state

    first = order()
    assert (first.kind, first.project_id, first.state) == ("export", "100", State.QUEUED)
    assert order(ReportFormat.XLSX).id != first.id
    for state in (State.QUEUED, State.RUNNING, State.CANCELLING, State.FAILED):
        put(state)
        assert order().id == first.id, state
    put(State.CANCELLED)
    second = order()
    assert second.id != first.id
    first = second
    put(State.SUCCEEDED)
    assert order().id != first.id, "what was kept is not there any more"


def test_a_form_that_is_known_to_be_refused_is_refused_at_once(
    priced: Office, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "MAX_ROWS", 3)
    with pytest.raises(InvalidRequest, match="rows are too many for a PDF") as refused:
        exports.order(priced.engine, report.id, ReportFormat.PDF, clock=priced.clock)
    assert refused.value.parameter == "format"
    with transaction(priced.engine, read_only=True) as session:
        assert jobs.list_page(session, limit=9).items == []


def test_nothing_is_ordered_of_what_is_not_there(worked: Office) -> None:
    for ask in (export_at_hand, lambda *what: exports.order(*what, clock=worked.clock)):
        with pytest.raises(NotFound):
            ask(worked.engine, "rpt_none", ReportFormat.CSV)
