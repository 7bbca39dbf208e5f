"""Reconciling: from the observations in the store to a stored report."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.clock import Clock
from app.db import transaction
from app.flows import notify
from app.store import invoices, observations, rate_cards, reports
from app.store.money_tables import Invoice
from app.store.payloads import decode_daily, decode_details, decode_meetings
from app.store.projects import Project
from app.store.tables import Report
from billing import report
from billing.amounts import Amounts, amounts
from billing.coverage import MEETING_RETENTION, DailyReading
from billing.discrepancy import Code
from billing.facts import Kind, MeetingDay, Observation
from billing.invoiced import Invoiced, after_invoicing
from billing.model import Evidence, Reconciliation
from billing.period import AlignedPeriod, BillingPeriod, microseconds
from billing.ratecard import CardHistory, RateCard
from billing.reconcile import reconcile as balance


def reconcile(engine: Engine, project: Project, aligned: AlignedPeriod, *, clock: Clock) -> Report:
    """The report of a period: a new version, or the newest one where nothing has changed since."""
    now = clock.now()
    core = _core(engine, project, aligned, None, now)
    with transaction(engine) as session:
        saved = reports.save(session, core, created_at=now)
        notify.reconciled(session, saved, now)
    return saved.report


def look_back(engine: Engine, project: Project, aligned: AlignedPeriod, known_at: datetime) -> bytes:
    """The core of the report as it would have been at `known_at` (zone-aware), from what had been observed by then.

    It is answered and not stored: a look back must not supersede what is known since.
    """
    return _core(engine, project, aligned, known_at, known_at)


def _core(engine: Engine, project: Project, aligned: AlignedPeriod, known_at: datetime | None, as_of: datetime) -> bytes:
    terms = project.terms()
    with transaction(engine, read_only=True) as session:
        evidence = gather(session, _held(session, terms.project_id, aligned.period, known_at), as_of)
        cards = rate_cards.history(session, project.rate_card_id, known_at).versions if project.rate_card_id else ()
        found = balance(aligned, terms, evidence)
        invoiced = _invoiced(session, found, as_of)
        reconciliation = after_invoicing(found, lambda _: invoiced)
        return report.build(reconciliation, priced(reconciliation, project.rate_card_id, cards))


def _invoiced(session: Session, found: Reconciliation, as_of: datetime) -> list[Invoiced]:
    """The invoices that rest on the project's usage in the period, read only where something was restated."""
    if not any(it.code is Code.RESTATED for it in found.discrepancies):
        return []
    resting = invoices.resting_on(session, found.terms.project_id, found.aligned.period, as_of)
    return [Invoiced(it.id, str(it.number), _period(it), _readings(session, report_id)) for it, report_id in resting]


def _period(invoice: Invoice) -> BillingPeriod:
    return BillingPeriod(invoice.first_day, invoice.last_day)


def _readings(session: Session, report_id: str) -> dict[tuple[Kind, date], str]:
    """What a report rests on, by kind and billing day; it lists them in order of time, and the last counts."""
    listed = msgspec.json.decode(reports.get(session, report_id).body)["observations"]
    return {(Kind(it["kind"]), date.fromisoformat(it["day"])): it["sha256"] for it in listed}


def priced(it: Reconciliation, card_id: str | None, cards: Sequence[RateCard]) -> Amounts | None:
    """The money of a reconciliation at these versions of a rate card; None without a card."""
    return amounts(it, card_id, CardHistory(cards)) if card_id else None


def gather(session: Session, held: Iterable[Observation], as_of: datetime) -> Evidence:
    """The evidence that these observations hold, to be used while the session is open: meetings are read one day at a time."""
    by_kind: dict[Kind, list[Observation]] = {kind: [] for kind in Kind}
    for observation in held:
        by_kind[observation.kind].append(observation)
    windows = {observation.day: observation for observation in sorted(by_kind[Kind.MEETINGS], key=lambda it: it.observed_at)}
    superseded = [observation for observation in by_kind[Kind.MEETINGS] if observation not in windows.values()]
    said = {observation.sha256 for observation in by_kind[Kind.DAILY_USAGE]}
    usage = {sha256: decode_daily(observations.payload(session, sha256)) for sha256 in said}
    details = [decode_details(observations.payload(session, it.sha256)) for it in by_kind[Kind.SESSION_DETAIL]]
    return Evidence(
        daily=[DailyReading(it, usage[it.sha256]) for it in by_kind[Kind.DAILY_USAGE]],
        meetings=(_window(session, it) for it in windows.values()),
        details=[detail for told in details for detail in told],
        detail_observations=by_kind[Kind.SESSION_DETAIL],
        as_of=as_of,
        superseded=(_window(session, it) for it in superseded),
    )


def _window(session: Session, observation: Observation) -> tuple[Observation, MeetingDay]:
    def read() -> bytes:
        return observations.payload(session, observation.sha256)

    return observation, decode_meetings(read(), again=read)


def _held(session: Session, project_id: str, period: BillingPeriod, known_at: datetime | None) -> list[Observation]:
    """Every observation of the period's daily usage, and what was read last of the meetings and details that may reach into it.

    Of a window that was complete before with another answer, the first complete reading is held too: it may be restated.
    """
    reach = (period.first_day - timedelta(days=1), period.last_day, known_at)
    return [
        *observations.history(session, project_id, Kind.DAILY_USAGE, period.first_day, period.last_day, known_at),
        *_reaching(session, project_id, period, known_at),
        *_first_and_latest(observations.history(session, project_id, Kind.MEETINGS, *reach)),
        *observations.latest(session, project_id, Kind.SESSION_DETAIL, *reach).values(),
    ]


def _reaching(session: Session, project_id: str, period: BillingPeriod, known_at: datetime | None) -> list[Observation]:
    """Still older windows of which a meeting lasted into the period, and their details: upstream is not asked for them, but
    where days were collected one by one they are held."""
    older = (period.first_day - MEETING_RETENTION, period.first_day - timedelta(days=2), known_at)
    windows = observations.latest(session, project_id, Kind.MEETINGS, *older)
    start = microseconds(period.start)
    found = []
    for day, detail in observations.latest(session, project_id, Kind.SESSION_DETAIL, *older).items():
        told = decode_details(observations.payload(session, detail.sha256))
        if day in windows and any(end > start for meeting in told for _, end in meeting.connections):
            found += [windows[day], detail]
    return found


def _first_and_latest(history: Sequence[Observation]) -> list[Observation]:
    """The latest observation of each day, and the first complete one where its answer was another."""
    latest = {observation.day: observation for observation in history}
    first = {observation.day: observation for observation in reversed(history) if observation.complete}
    return [*latest.values(), *(it for day, it in first.items() if it.sha256 != latest[day].sha256)]
