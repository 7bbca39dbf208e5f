"""What `/metrics` tells of the installation: read from its database, so that it is the same whichever process is asked.

Every query is bounded by what is retained or unfinished, not by how long the installation has run, and no label names a project
or an endpoint. Amounts of money are added up exactly; what Prometheus makes of them is a float, for alarms and charts only.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Executable, and_, case, exists, func, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from app.store import jobs, workers
from app.store.close_tables import Close
from app.store.discrepancies import Status
from app.store.limiter import LIMIT, WINDOW
from app.store.plan_tables import CollectionGap, CollectionPlan
from app.store.tables import Discrepancy, Job, ObservationRow, ProjectRow, Report, RequestWindow
from app.store.webhook_tables import WebhookDelivery, WebhookEndpoint
from app.store.webhooks import State as Delivery
from billing.closing import State as CloseState
from billing.closing import ready_at
from billing.collection_plan import Risk
from billing.coverage import MEETING_RETENTION
from billing.facts import Kind
from billing.model import Verdict
from billing.period import BillingPeriod, day_of, next_day

RECENT = timedelta(days=7)
"""How long after it was lost a day counts as lost, and how long after it failed a job as failed."""
PERIODS = timedelta(days=70)
"""Reports of periods that ended longer ago are left out: the month before the last one is in."""
_SOURCES = (Kind.DAILY_USAGE, Kind.MEETINGS)


def read(session: Session, now: datetime) -> Iterator[Metric]:
    """Every figure as it is at `now` (zone-aware)."""
    yield _gauge("projects", "Projects.", _rows(session, select(func.count()).select_from(ProjectRow)))
    yield from _days(session, now)
    yield from _findings(session, now)
    yield from _closes(session, now)
    yield from _jobs(session, now)
    yield from _webhooks(session, now)
    yield from _upstream(session, now)


def _gauge(name: str, what: str, rows: Iterable[Sequence[Any]], *labels: str) -> Metric:
    """A family of one sample for each row: its labels, then its value; of rows with the same labels the last counts."""
    family = GaugeMetricFamily(f"reckoner_{name}", what, labels=labels)
    for key, value in {tuple(row[:-1]): row[-1] for row in rows}.items():
        family.add_metric(key, float(value))
    return family


def _rows(session: Session, statement: Executable) -> Sequence[Sequence[Any]]:
    return session.connection().execute(statement).all()


def _age(session: Session, statement: Executable, now: datetime) -> list[tuple[float]]:
    """How long ago the instant is that the statement gives; 0 if it gives none."""
    since = session.connection().execute(statement).scalar_one()
    return [(max(0.0, (now - since).total_seconds()) if since else 0.0,)]


def _days(session: Session, now: datetime) -> Iterator[Metric]:
    rows: list[Sequence[Any]] = [(kind, risk, 0) for kind in _SOURCES for risk in Risk]
    first, today = next_day(day_of(now - MEETING_RETENTION)), day_of(now)
    days = (today - first).days
    for kind in _SOURCES:
        found = _held(session, kind, first, today)
        rows.append((kind, "collected", sum(held * projects for held, projects in found)))
        rows.append((kind, "wanting", sum((days - held) * projects for held, projects in found)))
    gaps = select(col(CollectionGap.kind), col(CollectionGap.state), func.count()).where(
        col(CollectionGap.gone_at) >= now - RECENT
    )
    rows += _rows(session, gaps.group_by(col(CollectionGap.kind), col(CollectionGap.state)))
    yield _gauge(
        "days",
        "Days of the projects that are collected by plan: collected and wanting of the 20 or 21 last ones; of those that "
        "upstream forgets, at_risk, and lost within 7 days.",
        rows,
        *("source", "state"),
    )
    behind = _age(session, select(func.min(col(CollectionPlan.look_at))), now)
    yield _gauge("plan_lag_seconds", "How long the project waits to be planned that waits longest.", behind)


def _held(session: Session, kind: Kind, first: date, end: date) -> Sequence[Sequence[Any]]:
    """Of how many days there is a complete observation, with the number of projects of which that is so.

    It is asked of each project, through an index: the observations of all are too many to be read.
    """
    held = (
        select(func.count(col(ObservationRow.day).distinct()))
        .where(col(ObservationRow.project_id) == ProjectRow.project_id, col(ObservationRow.kind) == kind)
        .where(col(ObservationRow.day) >= first, col(ObservationRow.day) < end, col(ObservationRow.complete))
        .scalar_subquery()
        .label("held")
    )
    each = select(held).select_from(ProjectRow).where(col(ProjectRow.collect_automatically))
    if kind is Kind.MEETINGS:
        each = each.where(col(ProjectRow.cross_check))
    of_each = each.subquery()
    return _rows(session, select(of_each.c.held, func.count()).group_by(of_each.c.held))


def _findings(session: Session, now: datetime) -> Iterator[Metric]:
    newer = aliased(Report)
    same = and_(
        col(newer.project_id) == col(Report.project_id),
        col(newer.first_day) == col(Report.first_day),
        col(newer.last_day) == col(Report.last_day),
    )
    newest = ~exists().where(same, col(newer.version) > col(Report.version))
    recent = select(col(Report.verdict), func.count()).where(col(Report.last_day) >= day_of(now - PERIODS), newest)
    verdicts = [*((verdict, 0) for verdict in Verdict), *_rows(session, recent.group_by(col(Report.verdict)))]
    yield _gauge("reports", "Newest reports of the periods that ended within 70 days.", verdicts, "verdict")

    counts, amounts = Counter[tuple[str, ...]](), dict[tuple[str | None, ...], Decimal]()
    of_each = select(col(Discrepancy.code), col(Discrepancy.severity), col(Discrepancy.currency), col(Discrepancy.amount))
    unresolved = of_each.where(col(Discrepancy.status).in_((Status.OPEN, Status.ACKNOWLEDGED)))
    for code, severity, currency, amount in session.connection().execute(unresolved):
        counts[code, severity] += 1
        if amount is not None:
            key = (code, severity, currency)
            amounts[key] = amounts.get(key, Decimal(0)) + abs(amount)
    open_ones = [(*key, count) for key, count in counts.items()]
    yield _gauge("discrepancies_open", "Discrepancies that nobody resolved or ignored.", open_ones, "code", "severity")
    yield _gauge(
        "discrepancies_open_amount",
        "What they come to, each without its sign, where a rate card prices them.",
        [(*key, amount) for key, amount in amounts.items()],
        *("code", "severity", "currency"),
    )


def _closes(session: Session, now: datetime) -> Iterator[Metric]:
    recent = select(col(Close.state), func.count()).where(col(Close.created_at) >= now - PERIODS).group_by(col(Close.state))
    states = [*((state, 0) for state in CloseState), *_rows(session, recent)]
    yield _gauge("closes", "Closes of billing cycles that fell due within 70 days.", states, "state")
    waiting = select(col(Close.last_day), func.min(col(Close.created_at))).where(
        col(Close.state) == CloseState.WAITING, col(Close.next_attempt_at).is_not(None)
    )
    # One that was asked for by hand before its data was final does not wait for anything but that.
    since = (
        max(asked, ready_at(BillingPeriod(last, last))) for last, asked in _rows(session, waiting.group_by(col(Close.last_day)))
    )
    longest = max((0.0, *((now - it).total_seconds() for it in since)))
    yield _gauge("close_oldest_waiting_seconds", "How long the close waits that waits longest.", [(longest,)])


def _jobs(session: Session, now: datetime) -> Iterator[Metric]:
    unfinished = select(col(Job.kind), col(Job.state), func.count()).where(col(Job.state).in_(jobs.UNFINISHED))
    states = _rows(session, unfinished.group_by(col(Job.kind), col(Job.state)))
    yield _gauge("jobs", "Jobs that have not ended.", states, "kind", "state")

    due_at = case((col(Job.run_at) > col(Job.updated_at), col(Job.run_at)), else_=col(Job.updated_at))
    due = select(col(Job.kind), func.min(due_at)).where(col(Job.state) == jobs.State.QUEUED, due_at <= now)
    lags = [(kind, (now - since).total_seconds()) for kind, since in _rows(session, due.group_by(col(Job.kind)))]
    yield _gauge("job_lag_seconds", "How long the job has waited that is due for longest.", lags, "kind")

    failed = select(col(Job.kind), func.count()).where(col(Job.state) == jobs.State.FAILED, col(Job.updated_at) >= now - RECENT)
    failures = _rows(session, failed.group_by(col(Job.kind)))
    yield _gauge("jobs_failed", "Jobs that failed within 7 days and were not tried again.", failures, "kind")
    yield _gauge("workers_alive", "Processes that run jobs.", [(workers.count(session),)])


def _webhooks(session: Session, now: datetime) -> Iterator[Metric]:
    pending = col(WebhookDelivery.state) == Delivery.PENDING
    count = _rows(session, select(func.count()).select_from(WebhookDelivery).where(pending))
    yield _gauge("webhook_deliveries_pending", "Deliveries that were not made yet.", count)
    oldest = _age(session, select(func.min(col(WebhookDelivery.created_at))).where(pending), now)
    yield _gauge("webhook_oldest_pending_seconds", "How old the oldest of them is.", oldest)

    failing = col(WebhookEndpoint.failing_since).is_not(None)
    state = case((~col(WebhookEndpoint.enabled), "disabled"), (failing, "failing"), else_="working")
    known = select(state, func.count()).where(col(WebhookEndpoint.deleted_at).is_(None)).group_by(state)
    endpoints = [*((name, 0) for name in ("working", "failing", "disabled")), *_rows(session, known)]
    yield _gauge("webhook_endpoints", "Webhook endpoints.", endpoints, "state")
    first = _age(session, select(func.min(col(WebhookEndpoint.failing_since))).where(col(WebhookEndpoint.enabled)), now)
    yield _gauge("webhook_failing_seconds", "How long the endpoint has failed that fails for longest.", first)


def _upstream(session: Session, now: datetime) -> Iterator[Metric]:
    row = session.get(RequestWindow, "address")
    ages = [now.timestamp() - stamp / 1e6 for stamp in (row.stamps if row else ())]
    used = sum(0 <= age < WINDOW for age in ages)
    yield _gauge("upstream_window_requests", "Requests to upstream in the window that its limit counts.", [(used,)])
    yield _gauge("upstream_window_limit", "How many Reckoner lets through in it.", [(LIMIT,)])
    yield _gauge("upstream_queue_seconds", "How far ahead the limit is booked.", [(max([0.0, *(-age for age in ages)]),)])
