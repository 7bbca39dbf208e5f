"""`reckoner projects`: which projects are reconciled, and on what terms."""

import sys
from typing import Annotated

import typer

from app.api import projects as api
from app.cli.given import checked, every, read
from app.cli.output import AsJson, ProjectId, service, write_json, write_one, write_table
from app.db import transaction
from app.errors import InvalidRequest
from app.flows.projects import import_projects
from app.store import projects
from billing.model import Basis

app = typer.Typer(no_args_is_help=True, help="The projects that are reconciled.")

SecretFile = Annotated[
    typer.FileText | None, typer.Option(help="A file with the secret, `-` for standard input; without it, you are asked.")
]


@app.command()
def add(
    project_id: ProjectId,
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    secret_file: SecretFile = None,
    application_id: Annotated[str, typer.Option(help="For a Vonage application: its id.")] = "",
    private_key_file: Annotated[typer.FileText | None, typer.Option(help="For a Vonage application: its private key.")] = None,
    basis: Annotated[Basis, typer.Option(help="The level that is invoiced.")] = Basis.PROJECT_LEVEL,
    cross_check: Annotated[bool, typer.Option(help="Whether it has the Advanced Insights add-on.")] = True,
    tier: Annotated[list[str] | None, typer.Option(help="A tier of its plan, as upstream names it; repeat.")] = None,
    cycle_anchor_day: Annotated[int, typer.Option(min=1, max=31, help="The day on which billing cycles start.")] = 1,
    insights_url: Annotated[str | None, typer.Option(help="Upstream's GraphQL address, if not the default.")] = None,
    rate_card: Annotated[str | None, typer.Option(help="The rate card that its reports are priced by.")] = None,
    collect_automatically: Annotated[bool, typer.Option(help="Whether it is collected by plan.")] = True,
    as_json: AsJson = False,
) -> None:
    """Add a project. No secret is ever taken from the command line itself, which other users of the machine can read."""
    if application_id or private_key_file:
        if not (application_id and private_key_file):
            raise InvalidRequest("A Vonage application needs both --application-id and --private-key-file.")
        credentials = {"kind": "vonage", "application_id": application_id, "private_key": read(private_key_file)}
    else:
        credentials = {"kind": "opentok", "secret": _secret(secret_file, "Project secret")}
    given = {
        "project_id": project_id,
        "name": name or project_id,
        "credentials": credentials,
        "insights_url": insights_url,
        "basis": basis,
        "cross_check": cross_check,
        "cycle_anchor_day": cycle_anchor_day,
        "rate_card_id": rate_card,
        "collect_automatically": collect_automatically,
    }
    new = checked(api.NewProject, given | ({"tier_plan": tier} if tier else {}))
    opened = service()
    project = new.value(opened.clock.now())
    with transaction(opened.engine) as session:
        projects.create(session, opened.vault, project)
    write_one(api.Project.of(project), as_json)


@app.command("list")
def list_projects(as_json: AsJson = False) -> None:
    """List the projects."""
    opened = service()
    with transaction(opened.engine, read_only=True) as session:
        held = every(lambda cursor: projects.list_page(session, opened.vault, limit=200, cursor=cursor))
    found = [api.Project.of(project) for project in held]
    if as_json:
        write_json(found)
    else:
        rows = [(it.project_id, it.name, it.basis, it.cross_check, it.cycle_anchor_day, it.rate_card_id) for it in found]
        write_table(("project", "name", "basis", "cross-check", "cycle starts on", "rate card"), rows)


@app.command("import")
def import_account(
    account_key: Annotated[str, typer.Argument(help="The account's API key.")],
    secret_file: SecretFile = None,
    as_json: AsJson = False,
) -> None:
    """Add all projects of an account. The account's secret is used once and not kept."""
    secret = _secret(secret_file, "Account secret")
    opened = service()
    result = import_projects(
        opened.engine, opened.vault, account_key, secret, url=opened.settings.accounts_url, clock=opened.clock
    )
    imported = [api.Project.of(project) for project in result.imported]
    if as_json:
        write_json(api.Imported(imported=imported, skipped=dict(result.skipped)))
    else:
        added = [(it.project_id, f"added: {it.name}") for it in imported]
        write_table(("project", "what became of it"), [*added, *result.skipped.items()])


def _secret(file: typer.FileText | None, prompt: str) -> str:
    if file:
        return read(file).strip()
    if not sys.stdin.isatty():
        raise InvalidRequest("A secret is asked for on a terminal only; elsewhere give --secret-file, `-` for standard input.")
    secret: str = typer.prompt(prompt, hide_input=True)
    return secret
