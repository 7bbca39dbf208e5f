"""`reckoner close`: close what is due, or one period of a project."""

from typing import Annotated

import structlog
import typer
from sqlalchemy.exc import SQLAlchemyError

from app.api.closes import Close
from app.cli.output import AsJson, service, write, write_json, write_table
from app.db import transaction
from app.errors import InvalidRequest, ReckonerError
from app.flows.close import close, due_closes
from app.service import Service
from app.store import closes
from billing.period import BillingPeriod, parse_period

_log = structlog.get_logger()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("close")(close_periods)


def close_periods(
    project: Annotated[str | None, typer.Option(help="Only this project.")] = None,
    period: Annotated[str | None, typer.Option(help="This period of it, due or not, such as 2026-10.")] = None,
    as_json: AsJson = False,
) -> None:
    """Close the billing cycles that are due: reconcile them, and draft the invoices. Or close one period of a project.

    Exit 1 if one of them failed inside; one that waits for something is no failure, and says what it waits for.
    """
    opened = service()
    if period and not project:
        raise InvalidRequest("A period is of a project: name it with --project.")
    if project and period:
        wanted = [(project, parse_period(period).period)]
    else:
        found = [(it.project_id, it.period) for it in due_closes(opened.engine, opened.clock.now())]
        wanted = [it for it in found if project in (None, it[0])]
    closed = [_close(opened, *it) for it in wanted]
    done = [it for it, _ in closed]
    if as_json:
        write_json(done)
    elif done:
        rows = [(it.project_id, it.first_day, it.last_day, it.state, it.reason, ", ".join(it.invoice_ids)) for it in done]
        write_table(("project", "first day", "last day", "state", "why", "invoices"), rows)
    else:
        write("Nothing is due.")
    if broken := [it.project_id for it, failed in closed if failed]:
        typer.echo(f"reckoner: It failed inside for project {', '.join(broken)}; the others are done.", err=True)
        raise typer.Exit(1)


def _close(opened: Service, project_id: str, period: BillingPeriod) -> tuple[Close, bool]:
    """What became of a close, and whether it failed inside: then the others are closed all the same."""
    try:
        return Close.of(close(opened.engine, opened.project, project_id, period, clock=opened.clock)), False
    except (ReckonerError, SQLAlchemyError):
        raise
    except Exception:
        _log.exception("a close failed", project_id=project_id)
    with transaction(opened.engine, read_only=True) as session:
        return Close.of(closes.get(session, closes.id_of(project_id, period))), True
