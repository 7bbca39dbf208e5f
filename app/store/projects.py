"""Projects of the vendor's: how to read each, and the terms on which it is reconciled."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import Session, col, or_, select

from app.auth import Vault
from app.errors import Conflict, InvalidRequest, NotFound
from app.insights.tokens import Credentials, OpenTokCredentials, VonageCredentials
from app.store import audit, rate_cards
from app.store.money_tables import CustomerRow
from app.store.paging import Page, page
from app.store.tables import ProjectRow, add_missing
from app.store.versions import changed
from billing.errors import InvalidSetting
from billing.model import Basis, ProjectTerms, Tolerance
from billing.tiers import KNOWN_PLANS, TierPlan

MAX_TOLERANCE = Tolerance(minutes=1_000_000_000, relative=Decimal("0.1"))
"""More would call a thousand minutes a day, or a tenth of them, nothing."""


@dataclass(frozen=True)
class Project:
    """A project and its terms. Raises InvalidSetting for one out of its range; `credentials` stays out of its repr.

    `rate_card_id` is what the vendor charges, and `customer_id` whose the project is: `app.store.ownership` changes it.
    `collect_automatically` says whether the collection plan is carried out.
    """

    project_id: str
    name: str
    credentials: Credentials = field(repr=False)
    created_at: datetime
    insights_url: str | None = None
    basis: Basis = Basis.PROJECT_LEVEL
    cross_check: bool = True
    plan: TierPlan = KNOWN_PLANS[0]
    cycle_anchor_day: int = 1
    tolerance: Tolerance = field(default_factory=Tolerance)
    rate_card_id: str | None = None
    customer_id: str | None = None
    collect_automatically: bool = True

    def __post_init__(self) -> None:
        if self.credentials.project_id != self.project_id:
            raise InvalidSetting("the credentials are another project's", pointer="/credentials")
        if not 1 <= self.cycle_anchor_day <= 31:
            raise InvalidSetting(
                f"{self.cycle_anchor_day} is no day of a month", pointer="/cycle_anchor_day", expected="a day from 1 to 31"
            )
        if not 0 <= self.tolerance.minutes <= MAX_TOLERANCE.minutes:
            raise InvalidSetting(
                "the tolerance is out of its range", pointer="/tolerance/minutes", expected="minutes from 0 to 1000"
            )
        if not self.tolerance.relative.is_finite() or not 0 <= self.tolerance.relative <= MAX_TOLERANCE.relative:
            raise InvalidSetting(
                "the tolerance is out of its range", pointer="/tolerance/relative", expected="a part from 0 to 0.1"
            )

    def terms(self) -> ProjectTerms:
        """What its reports depend on."""
        return ProjectTerms(self.project_id, self.basis, self.cross_check, self.plan, self.tolerance)


def create(session: Session, vault: Vault, project: Project) -> Project:
    """Keep a new project. Raises Conflict if it is there already, InvalidRequest for a rate card that it cannot have."""
    _require_card(session, project, "/rate_card_id")
    if not add_missing(session, _row(vault, project)):
        raise Conflict(f"The project {project.project_id} is there already.")
    return project


def get(session: Session, vault: Vault, project_id: str) -> Project:
    """The project of that id. Raises NotFound."""
    return _value(vault, _found(session.get(ProjectRow, project_id), project_id))


def lock(session: Session, project_id: str) -> ProjectRow:
    """The row of a project, which nobody else changes until this transaction ends. Raises NotFound."""
    return _found(session.get(ProjectRow, project_id, with_for_update={"key_share": True}), project_id)


def update(session: Session, vault: Vault, project_id: str, *, actor: str, now: datetime, **changes: Any) -> Project:
    """Change some of its fields; reports that exist stay as they are. Raises NotFound, InvalidSetting or InvalidRequest.

    What a report says and may be invoiced for follows from them, so each change is in the audit log.
    """
    row = lock(session, project_id)
    before, said = _value(vault, row), _said(row)
    project = replace(before, **changes)
    if project == before:
        return before
    if {"rate_card_id", "plan"} & changes.keys():
        _require_card(session, project, "/rate_card_id" if "rate_card_id" in changes else "/tier_plan")
    detail = changed(said, _said(session.merge(_row(vault, project))))
    if project.credentials != before.credentials:
        detail["credentials"] = "replaced"
    session.flush()
    audit.record(session, at=now, actor=actor, action="project.changed", subject=project_id, detail=detail)
    return project


def list_page(session: Session, vault: Vault, *, limit: int, cursor: str | None = None) -> Page[Project]:
    """Projects, newest first. Raises InvalidRequest for a cursor that is none."""
    rows, next_cursor = page(
        session, select(ProjectRow), ProjectRow.created_at, ProjectRow.project_id, limit=limit, cursor=cursor
    )
    return Page([_value(vault, row) for row in rows], next_cursor)


def rate_cards_of(session: Session, priced_by: str | None = None) -> dict[str, str | None]:
    """Each project's rate card, by project; with `priced_by` only of those whose card, or whose customer's card, that is."""
    statement = select(ProjectRow.project_id, ProjectRow.rate_card_id)
    if priced_by is not None:
        customers = select(CustomerRow.id).where(CustomerRow.rate_card_id == priced_by)
        statement = statement.where(or_(col(ProjectRow.rate_card_id) == priced_by, col(ProjectRow.customer_id).in_(customers)))
    return dict(session.exec(statement).all())


def _require_card(session: Session, project: Project, pointer: str) -> None:
    """Refuse a rate card that is not there, or that has no version for the tiers of which the reports of the project speak."""
    if project.rate_card_id is None:
        return
    try:
        versions = rate_cards.history(session, project.rate_card_id).versions
    except NotFound as error:
        raise InvalidRequest(error.message, pointer=pointer, expected="the id of a published rate card") from None
    if project.plan not in [card.plan for card in versions]:
        raise InvalidRequest(
            f"The rate card {project.rate_card_id} prices other tiers than the project's tier_plan.",
            pointer=pointer,
            expected="a rate card and a tier_plan with the same tiers",
        )


def _found(row: ProjectRow | None, project_id: str) -> ProjectRow:
    if row is None:
        raise NotFound(f"There is no project {project_id}.")
    return row


def _said(row: ProjectRow) -> dict[str, Any]:
    return row.model_dump(exclude={"credentials", "created_at"})


def _value(vault: Vault, row: ProjectRow) -> Project:
    secrets = json.loads(vault.decrypt(row.credentials, context=row.project_id))
    kind = {"opentok": OpenTokCredentials, "vonage": VonageCredentials}[secrets.pop("kind")]
    return Project(
        project_id=row.project_id,
        name=row.name,
        credentials=kind(project_id=row.project_id, **secrets),
        created_at=row.created_at,
        insights_url=row.insights_url,
        basis=Basis(row.basis),
        cross_check=row.cross_check,
        plan=TierPlan.of(row.tier_plan),
        cycle_anchor_day=row.cycle_anchor_day,
        tolerance=Tolerance(row.tolerance_minutes, row.tolerance_relative),
        rate_card_id=row.rate_card_id,
        customer_id=row.customer_id,
        collect_automatically=row.collect_automatically,
    )


def _row(vault: Vault, project: Project) -> ProjectRow:
    match project.credentials:
        case OpenTokCredentials(secret=secret):
            secrets = {"kind": "opentok", "secret": secret}
        case VonageCredentials(application_id=application_id, private_key=private_key):
            secrets = {"kind": "vonage", "application_id": application_id, "private_key": private_key}
    return ProjectRow(
        project_id=project.project_id,
        name=project.name,
        credentials=vault.encrypt(json.dumps(secrets), context=project.project_id),
        insights_url=project.insights_url,
        basis=project.basis,
        cross_check=project.cross_check,
        tier_plan=list(project.plan.fields),
        cycle_anchor_day=project.cycle_anchor_day,
        tolerance_minutes=project.tolerance.minutes,
        tolerance_relative=project.tolerance.relative,
        rate_card_id=project.rate_card_id,
        customer_id=project.customer_id,
        collect_automatically=project.collect_automatically,
        created_at=project.created_at,
    )
