"""Whose usage it is: a project belongs to a customer, or is shared by session: by an imported list, else by rules.

A list names sessions, a rule is a glob of session ids in which `*` stands for anything. What the list names counts before any
rule; rules of two customers that claim the same session are refused when they do.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import insert
from sqlmodel import Session, col, delete, select

from app.errors import Conflict, InvalidRequest, NotFound
from app.store import audit
from app.store.money_tables import CustomerRow, SessionOwner, SessionRule
from app.store.paging import Page
from app.store.tables import ProjectRow
from billing.sharing import matches

MAX_RULES = 1000
_CHUNK = 5_000  # rows in one statement: both databases bound its parameters


def assign_project(session: Session, project_id: str, customer_id: str | None, *, actor: str, now: datetime) -> None:
    """Give a project to a customer, or to nobody. Raises NotFound, or InvalidRequest for a customer that is not there."""
    row = _locked(session, project_id)
    if row.customer_id == customer_id:
        return
    if customer_id is not None:
        _require_customers(session, {customer_id}, "/customer_id")
    detail = {"customer_id": {"was": row.customer_id, "is": customer_id}}
    row.customer_id = customer_id
    session.flush()
    audit.record(session, at=now, actor=actor, action="project.assigned", subject=project_id, detail=detail)


def import_sessions(
    session: Session, project_id: str, owners: Iterable[tuple[str, str]], *, replace: bool, actor: str, now: datetime
) -> dict[str, int]:
    """Take in a list of (session id, customer id), in place of the one before or added to it; how many were added, changed
    and removed comes back. Raises NotFound, or InvalidRequest for an unknown customer or a session with two of them."""
    _locked(session, project_id)
    wanted: dict[str, str] = {}
    for place, (session_id, customer_id) in enumerate(owners):
        if wanted.setdefault(session_id, customer_id) != customer_id:
            raise InvalidRequest(
                f"The session {session_id} has two customers.", pointer=f"/items/{place}/customer_id", expected="one of each"
            )
    _require_customers(session, set(wanted.values()), "/items")
    held = _listed(session, project_id)
    removed = [key for key in held if key not in wanted] if replace else []
    written = {key: customer for key, customer in wanted.items() if held.get(key) != customer}
    gone = [*removed, *(key for key in written if key in held)]
    for start in range(0, len(gone), _CHUNK):
        chunk = col(SessionOwner.session_id).in_(gone[start : start + _CHUNK])
        session.exec(delete(SessionOwner).where(col(SessionOwner.project_id) == project_id, chunk))
    rows = [{"project_id": project_id, "session_id": key, "customer_id": customer} for key, customer in written.items()]
    if rows:  # many at once: row by row through the ORM a large list would take minutes
        session.connection().execute(insert(SessionOwner), rows)
    changed = sum(key in held for key in written)
    counts = {"added": len(written) - changed, "changed": changed, "removed": len(removed)}
    if any(counts.values()):
        audit.record(session, at=now, actor=actor, action="project.sessions_imported", subject=project_id, detail=counts)
    return counts


def set_rules(
    session: Session, project_id: str, rules: Sequence[tuple[str, str]], *, actor: str, now: datetime
) -> Sequence[SessionRule]:
    """Put rules of (pattern, customer id) in place of those before. Raises NotFound, or InvalidRequest for one that is none."""
    _locked(session, project_id)
    wanted: dict[str, str] = {}
    for place, (pattern, customer_id) in enumerate(rules):
        if wanted.setdefault(pattern, customer_id) != customer_id:
            raise InvalidRequest(
                f"The pattern {pattern!r} is there for two customers.",
                pointer=f"/rules/{place}/pattern",
                expected="one of each",
            )
    if len(wanted) > MAX_RULES:
        raise InvalidRequest(f"There are {len(wanted)} rules.", pointer="/rules", expected=f"at most {MAX_RULES}")
    _require_customers(session, set(wanted.values()), "/rules")
    before = {it.pattern: it.customer_id for it in rules_of(session, project_id)}
    if wanted != before:
        session.exec(delete(SessionRule).where(col(SessionRule.project_id) == project_id))
        session.add_all(SessionRule(project_id=project_id, pattern=key, customer_id=it) for key, it in wanted.items())
        session.flush()
        detail = {"rules": {"was": before, "is": wanted}}
        audit.record(session, at=now, actor=actor, action="project.rules_set", subject=project_id, detail=detail)
    return rules_of(session, project_id)


def lock(session: Session, project_ids: Collection[str]) -> None:
    """Let nobody else change or bill these projects until the transaction ends. In order: so no two wait for each other."""
    these = select(ProjectRow.project_id).where(col(ProjectRow.project_id).in_(project_ids))
    session.exec(these.order_by(col(ProjectRow.project_id)).with_for_update(key_share=True)).all()


def rules_of(session: Session, project_id: str) -> Sequence[SessionRule]:
    """The rules of a project, by pattern."""
    statement = select(SessionRule).where(SessionRule.project_id == project_id).order_by(col(SessionRule.pattern))
    return session.exec(statement.execution_options(populate_existing=True)).all()


def list_page(session: Session, project_id: str, *, limit: int, cursor: str | None = None) -> Page[SessionOwner]:
    """The list of a project's sessions and their customers, by session id; the cursor is the last one's."""
    statement = select(SessionOwner).where(SessionOwner.project_id == project_id)
    if cursor is not None:
        statement = statement.where(SessionOwner.session_id > cursor)
    rows = session.exec(statement.order_by(col(SessionOwner.session_id)).limit(limit + 1)).all()
    return Page(rows[:limit], rows[limit - 1].session_id if len(rows) > limit else None)


def is_shared(session: Session, project_id: str) -> bool:
    """Whether some of a project's sessions are given to customers."""
    tables: Iterable[type[SessionOwner] | type[SessionRule]] = (SessionOwner, SessionRule)
    return any(session.exec(select(it.project_id).where(it.project_id == project_id).limit(1)).first() for it in tables)


def projects_of(session: Session, customer_id: str) -> list[ProjectRow]:
    """The projects that a customer owns, or has sessions of, by id."""
    owned = select(ProjectRow.project_id).where(ProjectRow.customer_id == customer_id)
    listed = select(SessionOwner.project_id).where(SessionOwner.customer_id == customer_id)
    ruled = select(SessionRule.project_id).where(SessionRule.customer_id == customer_id)
    found = col(ProjectRow.project_id).in_(owned.union(listed, ruled))
    return list(session.exec(select(ProjectRow).where(found).order_by(col(ProjectRow.project_id))).all())


def customers_of(session: Session, project_id: str) -> list[str]:
    """The ids of the customers who own a project, or have sessions of it."""
    owner = select(ProjectRow.customer_id).where(ProjectRow.project_id == project_id)
    listed = select(SessionOwner.customer_id).where(SessionOwner.project_id == project_id)
    ruled = select(SessionRule.customer_id).where(SessionRule.project_id == project_id)
    found = select(CustomerRow.id).where(col(CustomerRow.id).in_(owner.union(listed, ruled)))
    return list(session.exec(found.order_by(col(CustomerRow.id))).all())


def owner_of(session: Session, project_id: str) -> Callable[[str], str | None]:
    """Whose each session of a project is; None is nobody's. What it returns raises Conflict where two customers claim one."""
    listed = _listed(session, project_id)
    rules = rules_of(session, project_id)

    def owner(session_id: str) -> str | None:
        if session_id in listed:
            return listed[session_id]
        claims = {it.customer_id: it.pattern for it in rules if matches(it.pattern, session_id)}
        if len(claims) > 1:
            named = " and ".join(f"{customer} by {pattern!r}" for customer, pattern in sorted(claims.items()))
            raise Conflict(f"The session {session_id} of project {project_id} is claimed by rules of two customers: {named}.")
        return next(iter(claims), None)

    return owner


def _listed(session: Session, project_id: str) -> dict[str, str]:
    statement = select(SessionOwner.session_id, SessionOwner.customer_id).where(SessionOwner.project_id == project_id)
    return dict(session.execute(statement).all())


def _locked(session: Session, project_id: str) -> ProjectRow:
    row = session.get(ProjectRow, project_id, with_for_update={"key_share": True}, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no project {project_id}.")
    return row


def _require_customers(session: Session, wanted: set[str], pointer: str) -> None:
    known = set(session.exec(select(CustomerRow.id)).all())
    if unknown := sorted(wanted - known):
        raise InvalidRequest(f"There is no customer {unknown[0]}.", pointer=pointer, expected="ids of customers")
