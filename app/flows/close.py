"""Closing a billing cycle: reconcile it, and draft the invoices of the customers whose projects are all reconciled for it.

An attempt is several transactions, and may be killed between any two of them: each step finds what an earlier attempt has done.
A report is made only where something is new since the last, an invoice drafted only where the period never had one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.clock import Clock
from app.db import transaction
from app.errors import Interrupted, ReckonerError
from app.flows.invoice import draft_invoice
from app.flows.reconcile import reconcile
from app.flows.restate import follow, has_changed
from app.flows.schedule import key_of
from app.flows.steps import GoOn, free
from app.store import closes, invoices, jobs, ownership, plans, reports
from app.store.close_tables import Close
from app.store.closes import Cycles
from app.store.money_tables import Invoice
from app.store.projects import Project
from app.store.tables import Job, Report
from billing.closing import RETRY, Outcome, Settled, State, conclude, due, final_at, first_day, has_aged, moved_away, ready_at
from billing.coverage import DAILY_RETENTION
from billing.errors import BillingError
from billing.minutes import format_minutes
from billing.period import AlignedPeriod, BillingPeriod, day_of, next_day, resolve
from billing.report import instant

UNATTENDED = "reckoner"
"""Who drafts what nobody asked for, in the audit log."""
CLOSE, RESTATE = "close", "restate"
"""The kinds of the jobs: a period is closed, or closed again because something of it has changed."""
LOOK = timedelta(hours=1)
"""How often a period that is closed is looked at for what has changed, and one that waits for a collection under way."""
MARGIN = timedelta(minutes=10)
"""An answer of upstream may be stored so long after it was given."""
CHUNK = 50
"""Periods of one transaction."""

Item = TypeVar("Item")
FindProject = Callable[[str], Project]
"""From a project's id to the project with its credentials. Raises NotFound or Unavailable."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class DueClose:
    """A period that is to be closed, by a job of this kind."""

    kind: str
    project_id: str
    period: BillingPeriod

    @property
    def key(self) -> str:
        """What its job is for."""
        return f"{self.kind} {self.project_id} {self.period.first_day}..{self.period.last_day}"

    def queue(self, session: Session, now: datetime, **more: str) -> Job:
        """Its job: the one that is unfinished already, else a new one, which knows `more`."""
        days = {"first_day": str(self.period.first_day), "last_day": str(self.period.last_day)}
        arguments = {"project_id": self.project_id, "period": days, **more}
        return jobs.add(session, self.kind, self.key, arguments, now, project_id=self.project_id)


@dataclass(frozen=True)
class _Done:
    """What an attempt leaves; None is what an earlier one left."""

    outcome: Outcome
    report_id: str | None = None
    invoice_ids: list[str] | None = None


def tick(engine: Engine, now: datetime, go_on: GoOn = free) -> list[Job]:
    """Queue what is due to be closed of the projects that run unattended, and is not queued yet; the jobs that are new."""
    due_now = due_closes(engine, now, go_on)
    with transaction(engine, read_only=True) as session:
        under_way = closes.under_way(session, (CLOSE, RESTATE))
    queued = list[Job]()
    for some in _chunks([it for it in due_now if it.key not in under_way], go_on):
        with transaction(engine) as session:
            queued += [it.queue(session, now) for it in some]
    return queued


def due_closes(engine: Engine, now: datetime, go_on: GoOn = free) -> list[DueClose]:
    """What is to be closed at `now`, the oldest period first: cycles that are ready, attempts to be made again, and closed
    periods of which something has changed. Asked again before that is done, the answer is the same."""
    with transaction(engine, read_only=True) as session:
        cycles = list(closes.cycles(session))
    ready = [(it.project_id, period) for it in cycles for period in due(now, it.anchor_day, _since(it))]
    for some in _chunks(ready, go_on):
        with transaction(engine) as session:
            closes.add_all(session, some, now, is_cycle=True)
    with transaction(engine, read_only=True) as session:
        found = [DueClose(CLOSE, it.project_id, _period(it)) for it in closes.awaited(session, now)]
    return found + [DueClose(RESTATE, it.project_id, _period(it)) for it in _changed(engine, now, go_on)]


def _since(it: Cycles) -> date:
    return first_day(it.created_at, it.anchor_day) if it.last_day is None else next_day(it.last_day)


def close(
    engine: Engine,
    find_project: FindProject,
    project_id: str,
    period: BillingPeriod,
    *,
    clock: Clock,
    actor: str = UNATTENDED,
) -> Close:
    """Attempt to close a project's period; what came of it is in the row, with its reason in a sentence.

    What somebody can put right is a reason to wait until tomorrow; so is anything else, and is raised then. Raises NotFound for
    an unknown project.
    """
    now = clock.now()
    with transaction(engine) as session:
        close_id = closes.add(session, project_id, period, now, is_cycle=False).id
        closes.begin(session, close_id, now, now + RETRY)
    try:
        done = _attempt(engine, find_project, project_id, period, clock, actor)
    except Interrupted:
        raise
    except (ReckonerError, BillingError) as error:
        done = _Done(Outcome(State.WAITING, _sentence(error), now + RETRY))
    except Exception:
        inside = _Done(Outcome(State.WAITING, "It failed inside, and the log says how.", now + RETRY))
        _put_down(engine, close_id, inside, now)
        raise
    return _put_down(engine, close_id, done, now)


def _attempt(
    engine: Engine, find_project: FindProject, project_id: str, period: BillingPeriod, clock: Clock, actor: str
) -> _Done:
    now = clock.now()
    if now < final_at(period):
        ready = ready_at(period)
        return _Done(Outcome(State.WAITING, f"It is closed from {instant(ready)} on, when its data is final.", ready))
    with transaction(engine, read_only=True) as session:
        behind = plans.is_behind(session, project_id, key_of(project_id), now)
    report = _report(engine, find_project(project_id), period, clock)
    with transaction(engine, read_only=True) as session:
        customers = ownership.customers_of(session, project_id)
        moved = _billed_before_it_moved(session, project_id, customers, period, now)
    if moved:
        return _Done(moved_away(project_id, moved.customer_id, str(moved.number)), report.id)
    settled = [_settle(engine, customer_id, period, actor, now) for customer_id in customers]
    outcome = conclude(msgspec.json.decode(report.body), settled, now, LOOK if behind else RETRY)
    return _Done(outcome, report.id, [invoice_id for it in settled for invoice_id in it.invoice_ids])


def _billed_before_it_moved(
    session: Session, project_id: str, customers: Sequence[str], period: BillingPeriod, now: datetime
) -> Invoice | None:
    """The invoice of these days to a customer that the project belongs to no longer: nobody else is to be invoiced for them."""
    if ownership.is_shared(session, project_id):
        return None
    issued = (invoice for invoice, _ in invoices.resting_on(session, project_id, period, now))
    return next((it for it in issued if it.customer_id not in customers), None)


def _report(engine: Engine, project: Project, period: BillingPeriod, clock: Clock) -> Report:
    """The newest report of the period, made again only if it would say something else by now: another reading that says the
    same would only make a version that lists it."""
    with transaction(engine, read_only=True) as session:
        newest = reports.find(session, project.project_id, period.first_day, period.last_day)
        if newest is not None:
            content = msgspec.json.decode(newest.body)
            if _is_on_terms(content, project) and not has_aged(content, clock.now()) and not has_changed(session, newest):
                return newest
    return reconcile(engine, project, _asked(newest, period), clock=clock)


def _is_on_terms(content: Mapping[str, Any], project: Project) -> bool:
    """Whether a report was made on the terms that the project has now."""
    terms = project.terms()
    tolerance = {"minutes": format_minutes(terms.tolerance.minutes), "relative": format(terms.tolerance.relative, "f")}
    now = (terms.basis, terms.cross_check, list(terms.plan.fields), tolerance, project.rate_card_id)
    card = content["rate_card"] and content["rate_card"]["id"]
    return now == (content["basis"], content["cross_check"], content["tier_plan"], content["tolerance"], card)


def _asked(newest: Report | None, period: BillingPeriod) -> AlignedPeriod:
    """The period as its reports ask for it: in other words it would be another report."""
    if newest is not None:
        asked = resolve(msgspec.json.decode(newest.body)["period"]["requested"])
        if asked.on_midnights:
            return asked
    return resolve({"first_day": str(period.first_day), "last_day": str(period.last_day)})


def _settle(engine: Engine, customer_id: str, period: BillingPeriod, actor: str, now: datetime) -> Settled:
    """Draft the customer's invoice of the period if it never had one, else let that follow the newest reports."""
    refusal = ""
    try:
        with transaction(engine) as session:
            if (held := invoices.of_period(session, customer_id, period)) is None:
                draft_invoice(session, customer_id, period, actor=actor, now=now)
                owned = [row.project_id for row in ownership.projects_of(session, customer_id)]
                closes.hurry(session, owned, period, now)
            elif held.status in invoices.LIVING:
                follow(session, held, actor=actor, now=now)
    except (ReckonerError, BillingError) as error:
        refusal = _sentence(error)
    with transaction(engine, read_only=True) as session:
        held = invoices.of_period(session, customer_id, period)
        documents = [held, *invoices.notes_of(session, held.id)] if held else []
    given_up = held is not None and held.status not in invoices.LIVING
    return Settled(customer_id, [it.id for it in documents], refusal, given_up)


def _put_down(engine: Engine, close_id: str, done: _Done, began_at: datetime) -> Close:
    with transaction(engine) as session:
        return closes.conclude(
            session,
            close_id,
            done.outcome,
            began_at,
            seen_until=began_at - MARGIN,
            report_id=done.report_id,
            invoice_ids=done.invoice_ids,
        )


def _changed(engine: Engine, now: datetime, go_on: GoOn) -> list[Close]:
    """The closed periods whose newest report or invoice their close has not seen, or of which upstream has said something else
    since."""
    found = list[Close]()
    with transaction(engine, read_only=True) as session:
        waiting = closes.done(session, day_of(now - DAILY_RETENTION), now - LOOK - MARGIN)
    for some in _chunks(waiting, go_on):
        with transaction(engine, read_only=True) as session:
            found += (changed := [it for it in some if _has_changed(session, it)])
        with transaction(engine, durable=False) as session:
            closes.seen(session, [it.id for it in some if it not in changed], now - MARGIN)
    return found


def _has_changed(session: Session, it: Close) -> bool:
    if closes.newest_report(session, it) != it.report_id or (it.state == State.FAILED and _is_invoiced_since(session, it)):
        return True
    return closes.has_news(session, it) and _differs(session, it)


def _is_invoiced_since(session: Session, it: Close) -> bool:
    """Whether somebody has invoiced with an override what could not be invoiced."""
    held = (invoices.of_period(session, customer, _period(it)) for customer in ownership.customers_of(session, it.project_id))
    return any(invoice.id not in it.invoice_ids for invoice in held if invoice)


def _chunks(items: Sequence[Item], go_on: GoOn) -> Iterator[Sequence[Item]]:
    """A few at a time: at the turn of a month thousands are due, and SQLite has one writer."""
    for start in range(0, len(items), CHUNK):
        go_on()
        yield items[start : start + CHUNK]


def _differs(session: Session, it: Close) -> bool:
    assert it.report_id
    try:
        return has_changed(session, reports.get(session, it.report_id))
    except Exception as error:
        # One project's broken payload must not hold up the others: its own job says what is wrong.
        _log.error("a closed period cannot be looked at", project_id=it.project_id, exc_info=error)
        return True


def _period(it: Close) -> BillingPeriod:
    return BillingPeriod(it.first_day, it.last_day)


def _sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."
