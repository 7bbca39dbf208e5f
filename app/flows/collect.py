"""Collecting: ask upstream for what a billing period needs and no more, and keep every answer as an observation.

A period needs the daily usage of its days, and the meetings created on them and on the day before, which may reach into it;
for every meeting over a Pacific midnight also who was connected, while upstream still knows. Every collection asks anew;
an answer that was given before is stored once.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

from sqlalchemy.engine import Engine

from app.clock import Clock
from app.db import transaction
from app.flows.steps import Steps, Unrecorded
from app.insights.calendar import maintenance_until
from app.insights.client import DetailAnswer, InsightsClient, MeetingsAnswer
from app.insights.errors import (
    InsightsError,
    InvalidCredentials,
    NeedsAdvancedInsights,
    NotAuthorised,
    ProjectNotFound,
    UpstreamUnavailable,
)
from app.store import observations
from app.store.payloads import encode_daily
from app.store.projects import Project
from billing.collection_plan import MARGIN
from billing.coverage import DAILY_RETENTION, FINAL_AFTER, MEETING_LATENCY, MEETING_RETENTION
from billing.facts import Kind, Observation
from billing.period import BillingPeriod, day_start, next_day
from billing.tiers import KNOWN_FIELDS

WORKERS = 6
"""Days collected at once: upstream answers in seconds, so a few hide its delay; the limiter sets the pace in any case."""
HOPELESS = (InvalidCredentials, NotAuthorised, ProjectNotFound, NeedsAdvancedInsights)
"""What upstream says of one window it would say of the others too: they are not asked for."""

Answers = Sequence[Mapping[str, Any]]
"""What one step is to keep: the arguments of `app.store.observations.record`."""
ClientFactory = Callable[[Project], InsightsClient]
Progress = Callable[[int, int], None]
"""Told how many answers of how many are stored. What it raises ends the collection; days already stored stay."""


@dataclass(frozen=True)
class NotCollected:
    """What upstream was not asked for, and why."""

    kind: Kind
    day: date
    reason: str


@dataclass(frozen=True)
class Wanted:
    """The days whose daily usage is wanted, and those whose meetings are: each in order."""

    daily: Sequence[date]
    windows: Sequence[date]


@dataclass(frozen=True)
class Plan:
    """What to ask for: the daily usage of these days in one query, and the meetings created on those. Both in order."""

    daily: Sequence[date]
    windows: Sequence[date]
    not_collected: Sequence[NotCollected]


@dataclass(frozen=True)
class CollectionResult:
    """The observations of one collection, and what was left out of it."""

    observations: Sequence[Observation]
    not_collected: Sequence[NotCollected]


class CollectionFailed(InsightsError):
    """Upstream did not answer for some days, each named with what went wrong; the days of `result` are stored all the same."""

    def __init__(self, failures: Sequence[tuple[str, InsightsError]], result: CollectionResult) -> None:
        wanting: dict[str, list[str]] = {}
        for what, error in sorted(failures, key=lambda it: it[0]):
            wanting.setdefault(str(error).rstrip("."), []).append(what)
        sentences = [f"{_first(whats, ', ')}: {why}" for why, whats in wanting.items()]
        if any(isinstance(error, NeedsAdvancedInsights) for _, error in failures):
            sentences.append("a project without the add-on is reconciled with cross_check set to false")
        code = next((error.code for _, error in failures if error.code), None)
        super().__init__(f"Not all was collected. {_first(sentences, '; ')}.", code=code)
        self.failures = failures
        self.result = result


def _first(items: Sequence[str], separator: str) -> str:
    """The first three, and how many more there are: a month of failures fits a sentence."""
    return separator.join([*items[:3], *([f"and {len(items) - 3} more"] if len(items) > 3 else [])])


def collect(
    engine: Engine,
    project: Project,
    wanted: BillingPeriod | Wanted,
    *,
    client_factory: ClientFactory,
    clock: Clock,
    progress: Progress,
    steps: Steps | None = None,
) -> CollectionResult:
    """Collect what a period needs of a project, or exactly the days that are `wanted`, the oldest first; each answer is stored
    in a transaction of its own, whole or not at all.

    Each answer is a step: what was stored before an interruption is not asked for again.

    Raises CollectionFailed once everything was tried, if upstream failed for some of it.
    """
    steps = steps or Unrecorded()
    wanted = needed_by(wanted) if isinstance(wanted, BillingPeriod) else wanted
    todo = _not_done(plan(wanted, project.cross_check, clock.now()), steps)
    tiers = sorted({*KNOWN_FIELDS, *project.plan.fields})
    failures: list[tuple[str, InsightsError]] = []
    stored: list[Observation] = []
    given_up = Event()

    def step(what: str, ask: Callable[[], Answers]) -> list[Observation]:
        """The observations of one answer, asked for and stored now, or known from before an interruption."""
        if (known := steps.done(what)) is not None:
            with transaction(engine, read_only=True) as session:
                return [observations.get(session, observation_id) for observation_id in known]
        answers = ask()
        with transaction(engine) as session:
            kept = [observations.record(session, project_id=project.project_id, **answer) for answer in answers]
            steps.record(session, what, [it.id for it in kept])
        return kept

    def window(day: date) -> list[Observation]:
        if given_up.is_set():
            return []
        try:
            return step(_meetings_of(day), lambda: _window(client, day, tiers, clock))
        except HOPELESS:
            given_up.set()
            raise

    with client_factory(project) as client, ThreadPoolExecutor(WORKERS, thread_name_prefix="collect") as pool:
        futures: dict[Future[list[Observation]], str] = {}
        if days := todo.daily:
            what = f"daily usage of {days[0]} to {days[-1]}"
            futures[pool.submit(step, what, partial(_daily, client, days, tiers))] = what
        for day in todo.windows:
            futures[pool.submit(window, day)] = _meetings_of(day)
        try:
            for done, future in enumerate(as_completed(futures), 1):
                try:
                    stored += future.result()
                except InsightsError as error:
                    failures.append((futures[future], error))
                progress(done, len(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    result = CollectionResult(sorted(stored, key=lambda it: (it.day, it.kind)), todo.not_collected)
    if failures:
        raise CollectionFailed(failures, result)
    return result


def _meetings_of(day: date) -> str:
    return f"meetings of {day}"


def _not_done(todo: Plan, steps: Steps) -> Plan:
    """The plan with the windows that were stored before an interruption, although upstream may have forgotten them by now."""
    known = [it for it in todo.not_collected if it.kind is Kind.MEETINGS and steps.done(_meetings_of(it.day)) is not None]
    left_out = [it for it in todo.not_collected if it not in known]
    return Plan(todo.daily, sorted([*todo.windows, *(it.day for it in known)]), left_out)


def needed_by(period: BillingPeriod) -> Wanted:
    """What a period needs: its days, and the meetings of the day before too."""
    return Wanted(period.days, [period.first_day - timedelta(days=1), *period.days])


def plan(wanted: Wanted, cross_check: bool, now: datetime) -> Plan:
    """What of it upstream can be asked for at `now`: what has begun, is retained, and is not in maintenance."""
    left_out: list[NotCollected] = []

    def possible(kind: Kind, day: date, retention: timedelta, closed: str) -> bool:
        start = day_start(day)
        if start >= now:
            reason = "the day has not begun"
        elif start < now - retention:
            reason = "upstream keeps it no longer"
        else:
            reason = closed
        if reason:
            left_out.append(NotCollected(kind, day, reason))
        return not reason

    days = [day for day in wanted.daily if possible(Kind.DAILY_USAGE, day, DAILY_RETENTION, "")]
    until = maintenance_until(now)
    closed = f"upstream is in maintenance until {until:%Y-%m-%dT%H:%MZ}" if until else ""
    if not cross_check:
        closed = "the project is not cross-checked: it has no Advanced Insights add-on"
    windows = [day for day in wanted.windows if possible(Kind.MEETINGS, day, MEETING_RETENTION - MARGIN, closed)]
    return Plan(days, windows, left_out)


def _daily(client: InsightsClient, days: Sequence[date], tiers: Sequence[str]) -> Answers:
    """One query for all days. A day left out of the answer is an observation too: upstream was asked and said nothing.

    Days between them that are not wanted are answered too and not kept: one request is less of a burden than several.
    """
    answer, wanted = client.daily_usage(BillingPeriod(days[0], days[-1]), tiers), set(days)
    return [
        {
            "kind": Kind.DAILY_USAGE,
            "day": day,
            "observed_at": answer.observed_at,
            "payload": encode_daily(usage),
            "requests": answer.requests,
            "complete": (final := answer.observed_at >= day_start(next_day(day)) + FINAL_AFTER),
            "reason": "" if final else "observed less than 48 hours after the day ended",
        }
        for day, usage in answer.days.items()
        if day in wanted
    ]


def _window(client: InsightsClient, day: date, tiers: Sequence[str], clock: Clock) -> Answers:
    """The meetings created on a day, with the detail of those over a midnight: one billing day, whole or not at all.

    Not if upstream goes into maintenance meanwhile: nobody knows what it says then, and an earlier answer is worth more.
    """
    _require_service(clock)
    meetings = client.meetings(day, tiers)
    detail = client.details(meetings.crossers) if meetings.crossers else None
    _require_service(clock)
    reason = _why_incomplete(day, meetings)
    answers: list[tuple[Kind, MeetingsAnswer | DetailAnswer, str]] = [(Kind.MEETINGS, meetings, reason)]
    if detail:
        lacking = f"{detail.missing} of {len(meetings.crossers)} meetings were not in the answer" if detail.missing else ""
        answers.append((Kind.SESSION_DETAIL, detail, reason or lacking))
    return [
        {
            "kind": kind,
            "day": day,
            "observed_at": answer.observed_at,
            "payload": answer.payload,
            "requests": answer.requests,
            "complete": not why,
            "reason": why,
        }
        for kind, answer, why in answers
    ]


def _require_service(clock: Clock) -> None:
    if until := maintenance_until(clock.now()):
        raise UpstreamUnavailable(f"Upstream is in maintenance until {until:%Y-%m-%dT%H:%MZ}.")


def _why_incomplete(day: date, meetings: MeetingsAnswer) -> str:
    end = day_start(next_day(day))
    if meetings.observed_at < end:
        return "observed before the day ended"
    if meetings.observed_at < end + MEETING_LATENCY:
        return "observed less than 5 minutes after the day ended"
    if meetings.live:
        return f"{meetings.live} of its meetings had not ended" if meetings.live > 1 else "one of its meetings had not ended"
    return ""
