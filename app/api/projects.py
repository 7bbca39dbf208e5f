"""Projects of the vendor's: how to read each, and the terms on which it is reconciled."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, Discriminator, Field, WithJsonSchema
from sqlmodel import Session

from app.api.access import Actor, Administers, Operation, Reads
from app.api.schemas import (
    NOT_FOUND,
    OUR_ID,
    PRINTABLE,
    READS,
    WRITES,
    Changes,
    Cursor,
    Instant,
    Limit,
    Page,
    Strict,
    documented,
)
from app.db import transaction
from app.flows.projects import import_projects
from app.insights import client
from app.service import Service
from app.settings import HttpUrl
from app.store import ownership, plans, projects, rate_cards
from billing.minutes import format_minutes, parse_minutes
from billing.model import Basis, Tolerance
from billing.tiers import KNOWN_PLANS, TierPlan

router = APIRouter(prefix="/projects", tags=["projects"], route_class=Operation)

ProjectId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["100"])]
InPath = Annotated[ProjectId, Path(description="The vendor's id of the project, its API key")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE, examples=["Acme"])]
Secret = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
Plan = Annotated[
    list[Annotated[str, Field(max_length=40)]],
    Field(min_length=1, max_length=40),
    AfterValidator(TierPlan.of),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1, "examples": [list(KNOWN_PLANS[0].fields)]}),
]
RateCardId = Annotated[str, Field(pattern=rate_cards.ID, examples=["list-prices-example"])]
Decimals = Annotated[str, Field(pattern=r"^\d{1,4}(\.\d{1,6})?$")]


def _rsa_key(text: str) -> str:
    """Refuse now what could not sign a token later."""
    try:
        if isinstance(load_pem_private_key(text.encode(), password=None), RSAPrivateKey):
            return text
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise ValueError("Expected an RSA private key in PEM form, without a password")


class OpenTok(Strict):
    """Credentials of an OpenTok project."""

    kind: Literal["opentok"]
    secret: Secret


class Vonage(Strict):
    """Credentials of a Vonage application with Video."""

    kind: Literal["vonage"]
    application_id: Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")]
    private_key: Annotated[str, Field(min_length=1, max_length=16_384, description="RSA, PEM"), AfterValidator(_rsa_key)]


Credentials = Annotated[OpenTok | Vonage, Discriminator("kind")]


class ToleranceTerms(Strict):
    """What a day's difference in one tier may be: the larger of the two."""

    minutes: Decimals = Field("0.01", description="Absolute, in minutes, at most 1000")
    relative: Annotated[str, Field(pattern=r"^0(\.\d{1,12})?$", description="Relative, at most 0.1")] = "0.000001"

    def value(self) -> Tolerance:
        """The tolerance that it is."""
        return Tolerance(parse_minutes(self.minutes), Decimal(self.relative))


class Terms(Strict):
    """What may be left to its default, and changed later."""

    insights_url: HttpUrl | None = Field(None, max_length=500, description="Upstream's GraphQL address, if not the default")
    basis: Basis = Field(Basis.PROJECT_LEVEL, description="The level that is invoiced")
    cross_check: bool = Field(True, strict=True, description="False for a project without the Advanced Insights add-on")
    tier_plan: Plan = Field(list(KNOWN_PLANS[0].fields), validate_default=True)
    cycle_anchor_day: Annotated[
        int, Field(strict=True, ge=1, le=31, description="The day of the month on which billing cycles start")
    ] = 1
    tolerance: ToleranceTerms = ToleranceTerms()
    rate_card_id: RateCardId | None = Field(
        None, description="The rate card that its reports are priced by: what the vendor charges, for the same tiers"
    )
    customer_id: Annotated[str, Field(pattern=OUR_ID)] | None = Field(
        None, description="Who is invoiced for it; of a shared project, for what no other customer's session used"
    )
    collect_automatically: bool = Field(
        True, strict=True, description="Whether it is collected by plan. False for a project that upstream knows no longer"
    )


class NewProject(Terms):
    """A project to add."""

    project_id: ProjectId
    name: Name
    credentials: Credentials

    def value(self, created_at: datetime) -> projects.Project:
        """The project that it is."""
        return projects.Project(project_id=self.project_id, created_at=created_at, **_changes(self, self.project_id))


class ProjectChange(Changes, Terms):
    """What to change; all that is left out stays."""

    name: Name = ""
    credentials: Credentials | None = None


class CredentialsKind(BaseModel):
    """Of what kind the credentials are; they themselves are never answered."""

    kind: Literal["opentok", "vonage"]


class Project(BaseModel):
    """A project."""

    project_id: ProjectId
    name: str
    credentials: CredentialsKind
    insights_url: str | None
    basis: Basis
    cross_check: bool
    tier_plan: list[str]
    cycle_anchor_day: int
    tolerance: ToleranceTerms
    rate_card_id: str | None
    customer_id: str | None
    collect_automatically: bool
    created_at: Instant

    @classmethod
    def of(cls, project: projects.Project) -> "Project":
        """The JSON of a project."""
        return cls(
            project_id=project.project_id,
            name=project.name,
            credentials=CredentialsKind(
                kind="vonage" if isinstance(project.credentials, client.VonageCredentials) else "opentok"
            ),
            insights_url=project.insights_url,
            basis=project.basis,
            cross_check=project.cross_check,
            tier_plan=list(project.plan.fields),
            cycle_anchor_day=project.cycle_anchor_day,
            tolerance=ToleranceTerms(
                minutes=format_minutes(project.tolerance.minutes), relative=format(project.tolerance.relative, "f")
            ),
            rate_card_id=project.rate_card_id,
            customer_id=project.customer_id,
            collect_automatically=project.collect_automatically,
            created_at=project.created_at,
        )


class Account(Strict):
    """An account of the vendor's. Its secret is used once, to list the projects, and not kept."""

    account_key: ProjectId
    account_secret: Secret


class Imported(BaseModel):
    """What became of the account's projects: those added, and those left as they are with the reason."""

    imported: list[Project]
    skipped: dict[ProjectId, str]


@router.post("", status_code=201, summary="Add a project", responses=WRITES)
def create_project(service: Administers, actor: Actor, new: NewProject, response: Response) -> Project:
    """Keep a project and, encrypted, its credentials. Upstream is not asked."""
    project = new.value(service.clock.now())
    with transaction(service.engine) as session:
        projects.create(session, service.vault, project)
        project = _assigned(session, service, project, new, actor)
    response.headers["Location"] = f"/v1/projects/{project.project_id}"
    return Project.of(project)


@router.get("", summary="List projects", responses=READS)
def list_projects(service: Reads, limit: Limit = 50, cursor: Cursor = None) -> Page[Project]:
    """All projects, newest first."""
    with transaction(service.engine, read_only=True) as session:
        page = projects.list_page(session, service.vault, limit=limit, cursor=cursor)
    return Page(items=[Project.of(project) for project in page.items], next_cursor=page.next_cursor)


@router.post("/import", summary="Add all projects of an account", responses=WRITES | documented(502))
def import_account(service: Administers, account: Account) -> Imported:
    """Ask upstream for the account's projects and add those that are new, with their secrets and default terms."""
    result = import_projects(
        service.engine,
        service.vault,
        account.account_key,
        account.account_secret,
        url=service.settings.accounts_url,
        clock=service.clock,
    )
    return Imported(imported=[Project.of(project) for project in result.imported], skipped=dict(result.skipped))


@router.get("/{project_id}", summary="Read a project", responses=READS | NOT_FOUND)
def get_project(service: Reads, project_id: InPath) -> Project:
    """One project."""
    return Project.of(service.project(project_id))


@router.patch("/{project_id}", summary="Change a project", responses=WRITES | NOT_FOUND)
def change_project(service: Administers, actor: Actor, project_id: InPath, change: ProjectChange) -> Project:
    """Change some fields. Reports that exist stay as they are; the next one follows the new terms."""
    with transaction(service.engine) as session:
        now = service.clock.now()
        before = projects.get(session, service.vault, project_id)
        project = projects.update(session, service.vault, project_id, actor=actor, now=now, **_changes(change, project_id))
        plans.follow(session, before, project, now)
        return Project.of(_assigned(session, service, project, change, actor))


def _assigned(
    session: Session, service: Service, project: projects.Project, body: NewProject | ProjectChange, actor: str
) -> projects.Project:
    """The project, given to the customer that the body states."""
    if "customer_id" not in body.model_fields_set:
        return project
    ownership.assign_project(session, project.project_id, body.customer_id, actor=actor, now=service.clock.now())
    return projects.get(session, service.vault, project.project_id)


_ELSEWHERE = {"project_id", "credentials", "tier_plan", "tolerance", "customer_id"}


def _changes(body: NewProject | ProjectChange, project_id: str) -> dict[str, Any]:
    """The fields of `app.store.projects.Project` that the body states (for a new project: all of them)."""
    stated = set(type(body).model_fields) if isinstance(body, NewProject) else body.model_fields_set
    values = {name: getattr(body, name) for name in stated - _ELSEWHERE}
    if "tier_plan" in stated:
        values["plan"] = body.tier_plan
    if "tolerance" in stated:
        values["tolerance"] = body.tolerance.value()
    if body.credentials:
        values["credentials"] = _credentials(project_id, body.credentials)
    return values


def _credentials(project_id: str, given: OpenTok | Vonage) -> client.Credentials:
    if isinstance(given, OpenTok):
        return client.OpenTokCredentials(project_id, given.secret)
    return client.VonageCredentials(project_id, given.application_id, given.private_key)
