"""The schedule: once a minute somebody asks what is to be done, of every project, and leaves the jobs for it.

The plan itself is `billing.collection_plan`. What is kept beside it only says when to look next, what was asked for in vain and
which gaps were told; without it the plan would be the same, only slower and louder.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.db import transaction
from app.flows.collect import Wanted
from app.flows.steps import GoOn, free
from app.insights.calendar import maintenance_until
from app.store import jobs, observations, plans
from app.store.payloads import decode_meetings
from app.store.plan_tables import CollectionPlan
from app.store.tables import Job, ProjectRow
from app.webhooks.events import EventType, emit
from billing.collection_plan import (
    SHORTEST_PAUSE,
    Agree,
    Due,
    Gap,
    Held,
    Risk,
    again_at,
    due,
    gaps,
    gone_at,
    held,
    next_look,
    same_meetings,
)
from billing.coverage import DAILY_RETENTION, MEETING_RETENTION
from billing.facts import Kind, MeetingDay, Observation
from billing.period import day_of, day_start
from billing.report import instant

JOB = "collection"
"""The kind of the jobs; their arguments are read by `wanted`."""
PATIENCE = timedelta(minutes=5)
"""When to look again at a project whose last job is not done."""

MOST_AGREEMENTS = 100_000
_AGREEMENTS: dict[tuple[str, str, date], bool] = {}
"""Whether two payloads agree on a day, which never changes: a room that is used every day would be compared at each look."""
_log = structlog.get_logger()


def tick(engine: Engine, now: datetime, go_on: GoOn = free) -> list[Job]:
    """Queue what is due now of every project that is collected by plan; the jobs that are new.

    Each project is looked at in a transaction of its own, by one process: what is wrong with one holds up no other, and what is
    not committed is found due again.
    """
    with transaction(engine, read_only=True) as session:
        waiting = plans.to_look_at(session, now)
    queued = []
    for project_id in waiting:
        go_on()
        try:
            with transaction(engine, durable=False) as session:
                if job := look(session, project_id, now):
                    queued.append(job)
        except Exception as error:
            _log.error("a project cannot be planned", project_id=project_id, exc_info=error)
    return queued


def wanted(arguments: Mapping[str, Any]) -> Wanted:
    """What a planned collection is to ask for, from the arguments of its job."""
    daily, windows = ([date.fromisoformat(day) for day in arguments[name]] for name in ("daily", "windows"))
    return Wanted(daily, windows)


def key_of(project_id: str) -> str:
    """What the planned collections of a project are for: one at a time."""
    return f"{JOB} of {project_id} by plan"


def look(session: Session, project_id: str, now: datetime) -> Job | None:
    """Queue what is due of one project, tell of its gaps, and say when to look again. At most one job of it is under way."""
    if not (found := plans.look(session, project_id, now)):
        return None
    project, plan = found
    key, back_at = key_of(project_id), maintenance_until(now)
    under_way = plans.is_unfinished(session, key)
    known, told = _held(session, project, plan, now), plans.told(session, project_id)

    todo = due(now, known, cross_check=project.cross_check, closed=back_at is not None, agree=_agree(session))
    asked = _still_asked(plan, todo, now, closed=back_at is not None)
    ready = [] if under_way else _ready(todo, asked, now)
    first = {(it.kind, it.day) for it in ready if _name(it) not in asked}
    wanting = gaps(now, known, cross_check=project.cross_check, since=min(plan.looked_at, now))

    job = jobs.add(session, JOB, key, _arguments(project_id, ready), now, project_id=project_id) if ready else None
    for it in ready:
        asked[_name(it)] = [asked.get(_name(it), (0,))[0] + 1, now.isoformat()]
    for gap in wanting:
        # What is only now asked for the first time, after downtime, will be here in a minute. (Nothing lost is asked for.)
        if told.pop((gap.kind, gap.day), None) != gap.risk and (gap.kind, gap.day) not in first:
            _tell(session, project_id, gap, now)
    for (kind, day), risk in told.items():
        if risk is Risk.AT_RISK:
            plans.forget(session, project_id, kind, day)
    waits = [now + PATIENCE] if under_way else [_again_at(asked, it) for it in todo]
    plan.sqlmodel_update({"look_at": min([next_look(now, back_at), *waits]), "looked_at": now, "asked": asked})
    return job


def _held(session: Session, project: ProjectRow, plan: CollectionPlan, now: datetime) -> Held:
    """All readings of the meetings that upstream still had at the last look, and the newest of the daily usage."""
    since, today = min(plan.looked_at, now), day_of(now)
    daily = (project.project_id, Kind.DAILY_USAGE, day_of(since - DAILY_RETENTION), today)
    windows = (project.project_id, Kind.MEETINGS, day_of(since - MEETING_RETENTION), today)
    readings = [*observations.latest(session, *daily).values()]
    return held([*readings, *observations.history(session, *windows)] if project.cross_check else readings)


def _agree(session: Session) -> Agree:
    """Compare the meetings of two readings, read from the store only where their hashes differ."""

    def told(of: Observation) -> MeetingDay:
        return decode_meetings(observations.payload(session, of.sha256))

    def agree(one: Observation, other: Observation) -> bool:
        if one.sha256 == other.sha256:
            return True
        pair = (one.sha256, other.sha256, one.day)
        if pair not in _AGREEMENTS:
            if len(_AGREEMENTS) >= MOST_AGREEMENTS:
                _AGREEMENTS.clear()
            _AGREEMENTS[pair] = same_meetings(one.day, told(one), told(other))
        return _AGREEMENTS[pair]

    return agree


def _name(it: Due) -> str:
    return f"{it.kind} {it.day}"


def _still_asked(plan: CollectionPlan, todo: list[Due], now: datetime, *, closed: bool) -> dict[str, Any]:
    """What was asked for and is still due; in maintenance, of the meetings too. Nothing of a time to come."""
    if plan.looked_at > now:
        return {}
    names = {_name(it) for it in todo}
    return {name: it for name, it in plan.asked.items() if name in names or (closed and name.startswith(Kind.MEETINGS))}


def _ready(todo: list[Due], asked: Mapping[str, Any], now: datetime) -> list[Due]:
    """What to ask for now: if there is anything, all that was not asked for just now, so that what fails together stays so."""
    if not any(_again_at(asked, it) <= now for it in todo):
        return []
    just_now = (now - SHORTEST_PAUSE).isoformat()
    return [it for it in todo if _name(it) not in asked or asked[_name(it)][1] <= just_now]


def _again_at(asked: Mapping[str, Any], it: Due) -> datetime:
    """From when on something due may be asked for."""
    if _name(it) not in asked:
        return day_start(it.day)
    times, at = asked[_name(it)]
    return again_at(datetime.fromisoformat(at), times, gone_at(it.kind, it.day))


def _arguments(project_id: str, ready: list[Due]) -> dict[str, Any]:
    days = {kind: [str(it.day) for it in ready if it.kind is kind] for kind in Kind}
    return {"project_id": project_id, "daily": days[Kind.DAILY_USAGE], "windows": days[Kind.MEETINGS]}


def _tell(session: Session, project_id: str, gap: Gap, now: datetime) -> None:
    data = {"project_id": project_id, "kind": gap.kind, "day": str(gap.day), "state": gap.risk, "gone_at": instant(gap.gone_at)}
    emit(session, EventType.COLLECTION_GAP, project_id=project_id, subject=f"{project_id} {gap.day}", data=data, now=now)
    plans.tell(session, project_id, gap, now)
