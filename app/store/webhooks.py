"""Webhooks as they are kept: endpoints with their secrets, what happened, and the deliveries with their attempts.

Whoever changes a delivery holds the lock of its endpoint, so what is decided about one knows all the others of the endpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import String, cast, delete, exists, func, literal, update
from sqlmodel import Session, col, select

from app.auth import Vault
from app.errors import InvalidRequest, NotFound
from app.store import audit, jobs
from app.store.paging import Page, page
from app.store.tables import Job, ProjectRow, add_missing
from app.store.versions import changed, require_version
from app.store.webhook_tables import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent

JOB = "delivery"
"""The kind of the job that makes an attempt: its arguments are `delivery_id` and `turn`."""
OVERLAP = timedelta(hours=24)
"""How long a secret counts after it was replaced."""
MAX_SECRETS = 3
"""More are not signed with at once: of those that were replaced, the oldest counts no longer."""
_CHUNK = 500  # events that are looked through at once
_SAID = ("url", "description", "types", "projects", "ordered", "enabled", "reason")


class State(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def create(session: Session, vault: Vault, secret: str, *, actor: str, now: datetime, **given: Any) -> WebhookEndpoint:
    """Keep a new endpoint; `given` are its url, description, types, projects and ordered. Raises InvalidRequest for a project
    that is not there."""
    endpoint = WebhookEndpoint(id=f"we_{uuid4().hex[:24]}", enabled=True, secrets=[], created_at=now, changed_at=now, **given)
    endpoint.secrets = [_sealed(vault, endpoint, secret)]
    _require_projects(session, endpoint.projects)
    session.add(endpoint)
    session.flush()
    audit.record(session, at=now, actor=actor, action="webhook_endpoint.created", subject=endpoint.id, detail=_public(endpoint))
    return endpoint


def get(session: Session, endpoint_id: str, *, lock: bool = False, deleted: bool = False) -> WebhookEndpoint:
    """The endpoint of that id, locked if wanted. Raises NotFound, also for one that is deleted, unless that is asked for."""
    for_update = {"key_share": True} if lock else None
    found = session.get(WebhookEndpoint, endpoint_id, with_for_update=for_update, populate_existing=lock)
    if found is None or (found.deleted_at is not None and not deleted):
        raise NotFound(f"There is no webhook endpoint {endpoint_id}.")
    return found


def change(
    session: Session, endpoint_id: str, *, actor: str, now: datetime, expected_version: int | None, **changes: Any
) -> WebhookEndpoint:
    """Change some of an endpoint's url, description, types, projects, ordered and enabled. Raises NotFound, StaleVersion,
    or InvalidRequest for a project that is not there.

    One that is enabled again or has another address begins anew; one that is disabled gives up what is pending.
    """
    endpoint = get(session, endpoint_id, lock=True)
    require_version(f"The webhook endpoint {endpoint_id}", endpoint.version, expected_version)
    before = _public(endpoint)
    if changes.get("enabled", endpoint.enabled) != endpoint.enabled:
        changes |= {"reason": "" if changes["enabled"] else f"{actor} disabled it.", "failing_since": None}
        if not changes["enabled"]:
            give_up(session, endpoint, now)
    if changes.get("url", endpoint.url) != endpoint.url:
        changes |= {"failing_since": None}
    _require_projects(session, changes.get("projects"))
    _write(session, endpoint, now, **changes)
    if not endpoint.ordered:
        _call_up_all(session, endpoint, now)
    if difference := changed(before, _public(endpoint)):
        audit.record(session, at=now, actor=actor, action="webhook_endpoint.changed", subject=endpoint_id, detail=difference)
    return endpoint


def remove(session: Session, endpoint_id: str, *, actor: str, now: datetime) -> None:
    """Delete an endpoint: its secrets are forgotten, what is pending is given up, what was delivered can still be read."""
    endpoint = get(session, endpoint_id, lock=True)
    give_up(session, endpoint, now)
    _write(session, endpoint, now, enabled=False, reason=f"{actor} deleted it.", secrets=[], deleted_at=now)
    audit.record(session, at=now, actor=actor, action="webhook_endpoint.deleted", subject=endpoint_id)


def rotate(session: Session, vault: Vault, endpoint_id: str, secret: str, *, actor: str, now: datetime) -> WebhookEndpoint:
    """Sign with a new secret from now on, and for a day with the one before too. Raises NotFound."""
    endpoint = get(session, endpoint_id, lock=True)
    until = (now + OVERLAP).isoformat()
    newest, *older = [it for it in endpoint.secrets if _counts(it, now)]
    kept = [newest | {"until": until}, *older][: MAX_SECRETS - 1]
    _write(session, endpoint, now, secrets=[_sealed(vault, endpoint, secret), *kept])
    audit.record(session, at=now, actor=actor, action="webhook_endpoint.secret_rotated", subject=endpoint_id)
    return endpoint


def secrets(vault: Vault, endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """The secrets that count, the newest first. Raises Unavailable where another SECRET_KEY encrypted them."""
    return [vault.decrypt(it["sealed"], context=endpoint.id) for it in endpoint.secrets if _counts(it, now)]


def endpoints(session: Session, *, limit: int, cursor: str | None = None) -> Page[WebhookEndpoint]:
    """Endpoints that are not deleted, newest first. Raises InvalidRequest for a cursor that is none."""
    statement = select(WebhookEndpoint).where(col(WebhookEndpoint.deleted_at).is_(None))
    return page(session, statement, WebhookEndpoint.created_at, WebhookEndpoint.id, limit=limit, cursor=cursor)


def note_outcome(session: Session, endpoint: WebhookEndpoint, *, failed: bool, now: datetime) -> timedelta:
    """Take in how an attempt at a locked endpoint ended; how long it has failed by now."""
    if not failed:
        endpoint.failing_since = None
        return timedelta(0)
    endpoint.failing_since = endpoint.failing_since or now
    return now - endpoint.failing_since


def disable(session: Session, endpoint: WebhookEndpoint, reason: str, now: datetime) -> None:
    """Send nothing to a locked endpoint any longer, and give up what is pending."""
    give_up(session, endpoint, now)
    _write(session, endpoint, now, enabled=False, reason=reason)
    action = "webhook_endpoint.disabled"
    audit.record(session, at=now, actor="reckoner", action=action, subject=endpoint.id, detail={"reason": reason})


def publish(session: Session, event: WebhookEvent) -> None:
    """Keep an event, unless it is there already or nobody wants it, with a delivery to every enabled endpoint that wants it."""
    known = session.exec(select(WebhookEndpoint).where(col(WebhookEndpoint.deleted_at).is_(None))).all()
    wanting = [endpoint for endpoint in known if wants(endpoint, event)]
    if wanting and (seq := keep(session, event)) is not None:
        for endpoint in wanting:
            if endpoint.enabled:
                deliver(session, endpoint, seq, event.created_at)


def keep(session: Session, event: WebhookEvent) -> int | None:
    """The place of a new event in the order of all; None if it is there already."""
    if not add_missing(session, event):
        return None
    return session.exec(select(WebhookEvent.seq).where(WebhookEvent.id == event.id)).one()


def wants(endpoint: WebhookEndpoint, event: WebhookEvent) -> bool:
    """Whether an endpoint chose the event's type and one of its projects; what is about no project is for all but itself."""
    chosen = (endpoint.types is None or event.type in endpoint.types) and event.subject != endpoint.id
    projects, about = endpoint.projects, event.projects
    return chosen and (projects is None or about is None or not set(projects).isdisjoint(about))


def deliver(
    session: Session, endpoint: WebhookEndpoint, event_seq: int, now: datetime, *, queue: bool = True
) -> WebhookDelivery:
    """A new delivery of an event, with the job of its first attempt; unless the caller makes that himself, within a minute."""
    delivery = WebhookDelivery(
        id=f"dlv_{uuid4().hex[:24]}",
        endpoint_id=endpoint.id,
        event_seq=event_seq,
        state=State.PENDING,
        next_at=now if queue else now + timedelta(minutes=1),
        created_at=now,
        changed_at=now,
    )
    session.add(delivery)
    session.flush()
    if queue:
        enqueue(session, delivery, now)
    return delivery


def due(session: Session, delivery: WebhookDelivery, at: datetime, now: datetime, *, tries: int) -> None:
    """The next turn of a delivery, and its job. A job of an earlier turn finds that it comes too late."""
    put(session, delivery, now, state=State.PENDING, turn=delivery.turn + 1, tries=tries, next_at=at)
    enqueue(session, delivery, now)


def enqueue(session: Session, delivery: WebhookDelivery, now: datetime) -> None:
    """The job of a delivery's turn; the same again is the same job. An endpoint has one at a time, so a slow one holds up
    nobody else."""
    jobs.add(
        session,
        JOB,
        f"{JOB} {delivery.id} {delivery.turn}",
        {"delivery_id": delivery.id, "turn": delivery.turn},
        now,
        partition=delivery.endpoint_id,
        run_at=delivery.next_at if delivery.next_at and delivery.next_at > now else None,
    )


def put(session: Session, delivery: WebhookDelivery, now: datetime, **changes: Any) -> None:
    """Write a delivery whose endpoint is locked."""
    delivery.sqlmodel_update(changes | {"changed_at": now})
    session.add(delivery)
    session.flush()


def give_up(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    """All that is pending for a locked endpoint has failed. It can be asked for again."""
    pending = update(WebhookDelivery).where(col(WebhookDelivery.endpoint_id) == endpoint.id)
    pending = pending.where(col(WebhookDelivery.state) == State.PENDING)
    session.execute(pending.values(state=State.FAILED, next_at=None, changed_at=now))


def delivery(
    session: Session, delivery_id: str, *, lock: bool = False
) -> tuple[WebhookEndpoint, WebhookDelivery, WebhookEvent]:
    """A delivery between its endpoint and its event, with the endpoint locked if wanted. Raises NotFound."""
    found = session.get(WebhookDelivery, delivery_id)
    if found is None:
        raise NotFound(f"There is no webhook delivery {delivery_id}.")
    endpoint = get(session, found.endpoint_id, lock=lock, deleted=True)
    if lock:
        session.refresh(found)
    return endpoint, found, session.get_one(WebhookEvent, found.event_seq)


def deliveries(
    session: Session,
    *,
    endpoint_id: str | None = None,
    state: str | None = None,
    type: str | None = None,  # noqa: A002  the word of the body
    limit: int,
    cursor: str | None = None,
) -> tuple[Page[WebhookDelivery], dict[int, WebhookEvent]]:
    """Deliveries, newest first, and their events. Raises InvalidRequest for a cursor that is none."""
    statement = select(WebhookDelivery)
    if type is not None:
        statement = statement.join(WebhookEvent).where(WebhookEvent.type == type)
    for column, value in ((WebhookDelivery.endpoint_id, endpoint_id), (WebhookDelivery.state, state)):
        if value is not None:
            statement = statement.where(column == value)
    found = page(session, statement, WebhookDelivery.created_at, WebhookDelivery.id, limit=limit, cursor=cursor)
    of_them = select(WebhookEvent).where(col(WebhookEvent.seq).in_([it.event_seq for it in found.items]))
    return found, {event.seq: event for event in session.exec(of_them) if event.seq is not None}


def begin_attempt(session: Session, delivery: WebhookDelivery, now: datetime) -> int:
    """Write down that an attempt begins; its number."""
    last = session.exec(select(func.max(WebhookAttempt.number)).where(WebhookAttempt.delivery_id == delivery.id)).one()
    number = (last or 0) + 1
    error = "It was interrupted: its process ended before there was an answer."
    session.add(WebhookAttempt(delivery_id=delivery.id, number=number, at=now, error=error))
    session.flush()
    return number


def end_attempt(session: Session, delivery_id: str, number: int, **outcome: Any) -> None:
    """Write down what came of an attempt."""
    attempt = session.get_one(WebhookAttempt, (delivery_id, number))
    attempt.sqlmodel_update(outcome)
    session.add(attempt)
    session.flush()


def attempts(session: Session, delivery_ids: Sequence[str]) -> Mapping[str, Sequence[WebhookAttempt]]:
    """The attempts of each delivery, the first one first."""
    statement = select(WebhookAttempt).where(col(WebhookAttempt.delivery_id).in_(delivery_ids))
    found: dict[str, list[WebhookAttempt]] = {delivery_id: [] for delivery_id in delivery_ids}
    for attempt in session.exec(statement.order_by(col(WebhookAttempt.number))):
        found[attempt.delivery_id].append(attempt)
    return found


def of_subject(session: Session, endpoint: WebhookEndpoint, subject: str) -> WebhookDelivery | None:
    """The first pending delivery about a subject: the one whose turn it is where the order counts."""
    statement = select(WebhookDelivery).join(WebhookEvent).where(WebhookDelivery.endpoint_id == endpoint.id)
    statement = statement.where(WebhookDelivery.state == State.PENDING, WebhookEvent.subject == subject)
    return session.exec(statement.order_by(col(WebhookDelivery.event_seq)).limit(1)).first()


def next_due(session: Session, delivery_id: str, now: datetime) -> WebhookDelivery | None:
    """What is due at the endpoint of a delivery, the first that happened first."""
    endpoint_id = select(WebhookDelivery.endpoint_id).where(WebhookDelivery.id == delivery_id).scalar_subquery()
    statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    statement = statement.where(WebhookDelivery.state == State.PENDING, col(WebhookDelivery.next_at) <= now)
    return session.exec(statement.order_by(col(WebhookDelivery.event_seq)).limit(1)).first()


def events_between(session: Session, since: datetime, until: datetime) -> Iterator[WebhookEvent]:
    """What happened from an instant on, before another, in order."""
    statement = select(WebhookEvent).where(WebhookEvent.created_at >= since, WebhookEvent.created_at < until)
    statement, last = statement.order_by(col(WebhookEvent.seq)).limit(_CHUNK), 0
    while found := session.exec(statement.where(col(WebhookEvent.seq) > last)).all():
        yield from found
        last = found[-1].seq or 0


def held(session: Session, endpoint_id: str, event_seqs: Sequence[int]) -> dict[int, WebhookDelivery]:
    """The deliveries of these events to an endpoint, by event."""
    statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    return {it.event_seq: it for it in session.exec(statement.where(col(WebhookDelivery.event_seq).in_(event_seqs)))}


def overdue(session: Session, before: datetime, *, limit: int) -> Sequence[WebhookDelivery]:
    """The pending deliveries whose turn came before an instant and that have no job, the longest overdue first."""
    statement = select(WebhookDelivery).where(WebhookDelivery.state == State.PENDING, col(WebhookDelivery.next_at) < before)
    key = literal(f"{JOB} ") + col(WebhookDelivery.id) + " " + cast(col(WebhookDelivery.turn), String)
    has_job = exists().where(col(Job.key) == key, col(Job.state).in_(jobs.UNFINISHED))
    return session.exec(statement.where(~has_job).order_by(col(WebhookDelivery.next_at)).limit(limit)).all()


def forget(session: Session, before: datetime) -> None:
    """Delete what was to be delivered before an instant and has ended, with its attempts, and the events nobody waits for."""
    ended = select(WebhookDelivery.id).where(WebhookDelivery.created_at < before, WebhookDelivery.state != State.PENDING)
    connection = session.connection()
    connection.execute(delete(WebhookAttempt).where(col(WebhookAttempt.delivery_id).in_(ended)))
    connection.execute(delete(WebhookDelivery).where(col(WebhookDelivery.id).in_(ended)))
    waiting = exists().where(col(WebhookDelivery.event_seq) == WebhookEvent.seq)
    connection.execute(delete(WebhookEvent).where(col(WebhookEvent.created_at) < before, ~waiting))


def _call_up_all(session: Session, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Nothing waits for what comes before it any longer."""
    waiting = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.state == State.PENDING)
    for delivery in session.exec(waiting.where(col(WebhookDelivery.next_at).is_(None))):
        due(session, delivery, now, now, tries=delivery.tries)


def _require_projects(session: Session, chosen: Sequence[str] | None) -> None:
    """One that is mistyped would never be told of."""
    wanted = set(chosen or ())
    known = session.exec(select(ProjectRow.project_id).where(col(ProjectRow.project_id).in_(wanted))).all()
    for place, project_id in enumerate(chosen or ()):
        if project_id not in known:
            message = f"There is no project {project_id}."
            raise InvalidRequest(message, pointer=f"/projects/{place}", expected="the id of a project")


def _write(session: Session, endpoint: WebhookEndpoint, now: datetime, **changes: Any) -> None:
    endpoint.sqlmodel_update(changes | {"version": endpoint.version + 1, "changed_at": now})
    session.add(endpoint)
    session.flush()


def _public(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in _SAID}


def _sealed(vault: Vault, endpoint: WebhookEndpoint, secret: str) -> dict[str, Any]:
    return {"sealed": vault.encrypt(secret, context=endpoint.id), "until": None}


def _counts(secret: Mapping[str, Any], now: datetime) -> bool:
    return secret["until"] is None or datetime.fromisoformat(secret["until"]) > now
