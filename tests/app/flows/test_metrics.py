"""The installation's figures: each is what the rows say, and none is told where there is nothing to tell."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.clock import SystemClock
from app.db import transaction
from app.flows import metrics
from app.store.close_tables import Close
from app.store.plan_tables import CollectionGap, CollectionPlan
from app.store.tables import Discrepancy, Job, ObservationRow, PayloadRow, ProjectRow, Report, RequestWindow, WorkerRow
from app.store.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent
from billing.closing import ready_at
from billing.facts import Kind
from billing.model import Verdict
from billing.period import BillingPeriod, day_of

NOW = datetime(2026, 11, 3, 20, tzinfo=UTC)
YESTERDAY = date(2026, 11, 2)
DAYS = 20
"""Those that have ended, from 14 October on: of the 13th, upstream has forgotten the morning."""

pytestmark = pytest.mark.usefixtures("projects")  # 100 and 200


def told(engine: Engine, now: datetime = NOW) -> dict[tuple[str, ...], float]:
    """Every sample: its name and the values of its labels."""
    with transaction(engine, read_only=True) as session:
        families = list(metrics.read(session, now))
    return {
        (sample.name.removeprefix("reckoner_"), *map(str, sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def keep(engine: Engine, *rows: Any) -> None:
    with transaction(engine) as session:
        for row in rows:
            session.add(row)
            session.flush()


def ago(**delta: float) -> datetime:
    return NOW - timedelta(**delta)


def observation(project_id: str, kind: Kind, day: date, *, complete: bool = True) -> ObservationRow:
    row = {"project_id": project_id, "kind": kind, "day": day, "observed_at": NOW, "sha256": "x", "requests": 1, "reason": ""}
    return ObservationRow(id=f"{project_id} {kind} {day} {complete}", complete=complete, **row)


def test_a_new_installation_tells_zeros_and_nothing_that_it_cannot_know(engine: Engine) -> None:
    there = {("projects",): 2, ("upstream_window_limit",): 95}
    wanting = {("days", source, "wanting"): 2 * DAYS for source in ("daily_usage", "meetings")}
    assert {key: value for key, value in told(engine).items() if value} == there | wanting
    assert ("job_lag_seconds", "collection") not in told(engine)
    assert {key[1] for key in told(engine) if key[0] == "reports"} == set(Verdict)


def test_days_are_collected_or_wanting(engine: Engine) -> None:
    keep(engine, PayloadRow(sha256="x", content=b"", size=0, created_at=NOW))
    keep(
        engine,
        observation("100", Kind.MEETINGS, YESTERDAY, complete=False),
        observation("100", Kind.MEETINGS, YESTERDAY),
        observation("200", Kind.MEETINGS, YESTERDAY, complete=False),
        observation("200", Kind.MEETINGS, date(2026, 10, 13)),
        observation("200", Kind.MEETINGS, date(2026, 11, 3)),
        observation("200", Kind.DAILY_USAGE, YESTERDAY),
        observation("200", Kind.DAILY_USAGE, date(2026, 10, 14)),
    )
    found = told(engine)
    assert (found["days", "meetings", "collected"], found["days", "meetings", "wanting"]) == (1, 2 * DAYS - 1)
    assert (found["days", "daily_usage", "collected"], found["days", "daily_usage", "wanting"]) == (2, 2 * DAYS - 2)
    with transaction(engine) as session:
        session.get_one(ProjectRow, "100").collect_automatically = False
        session.get_one(ProjectRow, "200").cross_check = False
    found = told(engine)
    assert (found["days", "meetings", "collected"], found["days", "meetings", "wanting"]) == (0, 0)
    assert (found["days", "daily_usage", "collected"], found["days", "daily_usage", "wanting"]) == (2, DAYS - 2)


def test_days_at_risk_and_lost_are_the_gaps_of_the_plan(engine: Engine) -> None:
    def gap(day: int, state: str, gone_at: datetime) -> CollectionGap:
        return CollectionGap(
            project_id="100", kind="meetings", day=date(2026, 10, day), state=state, gone_at=gone_at, told_at=NOW
        )

    keep(engine, gap(15, "at_risk", NOW + timedelta(days=1)), gap(10, "lost", ago(days=3)), gap(1, "lost", ago(days=12)))
    keep(engine, CollectionPlan(project_id="100", look_at=ago(minutes=7), looked_at=ago(hours=1)))
    found = told(engine)
    assert (found["days", "meetings", "at_risk"], found["days", "meetings", "lost"]) == (1, 1)
    assert found["days", "daily_usage", "at_risk"] == 0
    assert found["plan_lag_seconds",] == 420


def report(version: int, verdict: str, *, month: int = 10, supersedes: str | None = None) -> Report:
    days = {"first_day": date(2026, month, 1), "last_day": date(2026, month, 28)}
    row = {"project_id": "100", "version": version, "verdict": verdict, "supersedes": supersedes, "body": b"", **days}
    return Report(id=f"r{month}.{version}", sha256="", created_at=NOW, **row)


def test_only_the_newest_report_of_a_recent_period_counts(engine: Engine) -> None:
    keep(engine, report(1, "incomplete"), report(2, "balanced", supersedes="r10.1"))
    keep(engine, report(1, "unexplained", month=9), report(1, "unexplained", month=6))
    verdicts = {key[1]: value for key, value in told(engine).items() if key[0] == "reports" and value}
    assert verdicts == {"balanced": 1, "unexplained": 1}


def test_money_is_added_up_by_currency_without_signs_of_what_is_unresolved(engine: Engine) -> None:
    keep(engine, report(1, "unexplained"))

    def discrepancy(number: int, status: str, money: Mapping[str, Any]) -> Discrepancy:
        days = {"first_day": date(2026, 10, 1), "last_day": date(2026, 10, 28)}
        row = {"project_id": "100", "report_id": "r10.1", "code": "residual", "severity": "high", "finding": {}, **days}
        return Discrepancy(
            id=str(number), fingerprint=str(number), status=status, opened_at=NOW, changed_at=NOW, **row, **money
        )

    given = [("open", "10.10", "EUR"), ("acknowledged", "-0.20", "EUR"), ("open", "5", "USD"), ("resolved", "99", "USD")]
    for number, (status, amount, currency) in enumerate([*given, ("ignored", "7", "USD")]):
        keep(engine, discrepancy(number, status, {"amount": Decimal(amount), "currency": currency}))
    keep(engine, discrepancy(9, "open", {}))
    found = {key[1:]: value for key, value in told(engine).items() if key[0] == "discrepancies_open_amount"}
    assert found == {("residual", "high", "EUR"): 10.3, ("residual", "high", "USD"): 5}
    assert told(engine)["discrepancies_open", "residual", "high"] == 4


def test_closes_that_wait_are_told_by_their_age(engine: Engine) -> None:
    def close(month: int, state: str, created_at: datetime, next_attempt_at: datetime | None) -> Close:
        days = {"first_day": date(2026, month, 1), "last_day": date(2026, month, 28)}
        times = {"created_at": created_at, "changed_at": NOW, "next_attempt_at": next_attempt_at, "seen_until": NOW}
        return Close(id=str(month), project_id="100", is_cycle=True, state=state, reason="", **days, **times)

    keep(engine, close(10, "waiting", ago(days=2), NOW), close(9, "closed", ago(days=33), None))
    keep(engine, close(3, "failed", ago(days=200), None))
    found = told(engine)
    assert [found["closes", state] for state in ("waiting", "closed", "failed")] == [1, 1, 0]
    assert found["close_oldest_waiting_seconds",] == 2 * 86400


def test_a_close_that_was_asked_for_early_does_not_wait_before_its_data_is_final(engine: Engine) -> None:
    times = {"created_at": ago(days=40), "changed_at": NOW, "next_attempt_at": NOW, "seen_until": NOW}
    for last in (day_of(NOW), day_of(NOW - timedelta(days=4))):
        days = {"first_day": last, "last_day": last, "is_cycle": False}
        keep(engine, Close(id=f"{last}", project_id="100", state="waiting", reason="", **days, **times))
    since = ready_at(BillingPeriod(last, last))
    assert told(engine)["close_oldest_waiting_seconds",] == (NOW - since).total_seconds() > 86400


def test_jobs_lag_from_when_they_were_due(engine: Engine) -> None:
    def job(number: int, kind: str, state: str, updated_at: datetime, run_at: datetime | None = None) -> Job:
        times = {"created_at": ago(days=9), "updated_at": updated_at, "run_at": run_at}
        return Job(id=str(number), kind=kind, key=str(number), partition=str(number), arguments={}, state=state, **times)

    keep(
        engine,
        job(1, "collection", "queued", ago(minutes=2)),
        job(2, "collection", "queued", ago(minutes=3)),
        job(3, "collection", "running", ago(hours=5)),
        job(4, "delivery", "queued", ago(hours=5), ago(minutes=1)),
        job(5, "delivery", "queued", ago(hours=5), NOW + timedelta(hours=1)),
        job(6, "close", "failed", ago(hours=5)),
        job(7, "close", "failed", ago(days=8)),
        job(8, "close", "succeeded", ago(hours=5)),
    )
    found = told(engine)
    assert (found["job_lag_seconds", "collection"], found["job_lag_seconds", "delivery"]) == (180, 60)
    assert (found["jobs", "collection", "queued"], found["jobs", "collection", "running"]) == (2, 1)
    assert found["jobs_failed", "close"] == 1
    assert ("jobs", "close", "succeeded") not in found


def test_a_worker_that_is_silent_is_not_alive(engine: Engine) -> None:
    now = SystemClock().now()
    for name, seen_at in (("one", now), ("two", now), ("dead", now - timedelta(minutes=1))):
        keep(engine, WorkerRow(id=name, place="", started_at=now, seen_at=seen_at))
    assert told(engine)["workers_alive",] == 2


def test_webhooks_wait_and_endpoints_fail(engine: Engine) -> None:
    def endpoint(name: str, **given: Any) -> WebhookEndpoint:
        defaults = {
            "url": "",
            "description": "",
            "types": None,
            "projects": None,
            "ordered": False,
            "enabled": True,
            "secrets": [],
        }
        return WebhookEndpoint(id=name, created_at=NOW, changed_at=NOW, **(defaults | given))

    keep(engine, endpoint("a"), endpoint("b", failing_since=ago(hours=3)), endpoint("c", enabled=False))
    keep(engine, endpoint("d", enabled=False, deleted_at=NOW))
    for seq, (state, age) in enumerate([("pending", 1), ("pending", 4), ("delivered", 9)], start=1):
        keep(engine, WebhookEvent(seq=seq, id=str(seq), type="t", subject="s", projects=None, data={}, created_at=NOW))
        times = {"created_at": ago(hours=age), "changed_at": NOW}
        keep(engine, WebhookDelivery(id=str(seq), endpoint_id="a", event_seq=seq, state=state, **times))
    found = told(engine)
    assert (found["webhook_deliveries_pending",], found["webhook_oldest_pending_seconds",]) == (2, 4 * 3600)
    assert [found["webhook_endpoints", state] for state in ("working", "failing", "disabled")] == [1, 1, 1]
    assert found["webhook_failing_seconds",] == 3 * 3600


def test_the_limit_of_upstream_is_told_as_used_and_as_booked(engine: Engine) -> None:
    stamps = [int((NOW.timestamp() + second) * 1e6) for second in (-60, -30, -1, 0, 5, 12.5)]
    keep(engine, RequestWindow(scope="address", stamps=stamps))
    found = told(engine)
    assert (found["upstream_window_requests",], found["upstream_queue_seconds",]) == (3, 12.5)


def test_the_number_of_queries_does_not_grow_with_the_data(engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    told(engine)
    before = len(statements)
    keep(engine, report(1, "balanced"), report(1, "balanced", month=9))
    statements.clear()
    told(engine)
    assert len(statements) == before <= 25
