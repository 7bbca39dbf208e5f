"""`reckoner period`, `collect`, `reconcile`: from a period to its report."""

from typing import Annotated

import typer

from app.api.periods import Alignment
from app.cli.output import AsJson, Period, ProjectId, progress, service, write, write_json, write_record, write_table
from app.cli.reports import show_content, show_report
from app.flows.collect import CollectionResult, collect
from app.flows.reconcile import look_back, reconcile
from app.service import Service
from billing import report
from billing.period import AlignedPeriod, parse_instant, parse_period


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("period")(show_period)
    app.command("collect")(collect_period)
    app.command("reconcile")(reconcile_period)


def show_period(period: Period, as_json: AsJson = False) -> None:
    """Show the billing period that a request becomes, in Pacific time and in UTC."""
    alignment = Alignment.of(parse_period(period))
    if as_json:
        write_json(alignment)
    else:
        write(alignment.explanation)
        write_record(alignment.aligned)


def collect_period(project_id: ProjectId, period: Period, as_json: AsJson = False) -> None:
    """Ask upstream for what a period needs, and keep every answer."""
    result = _collect(service(), project_id, parse_period(period))
    if as_json:
        write_json(
            {
                "observations": [{"kind": it.kind, "day": it.day, "complete": it.complete} for it in result.observations],
                "not_collected": [{"kind": it.kind, "day": it.day, "reason": it.reason} for it in result.not_collected],
            }
        )
    else:
        write(f"{len(result.observations)} observations stored.")
        if result.not_collected:
            rows = [(it.kind, it.day, it.reason) for it in result.not_collected]
            write_table(("what", "day", "why not"), rows, title="Not collected")


def reconcile_period(
    project_id: ProjectId,
    period: Period,
    collect: Annotated[bool, typer.Option(help="Collect first.")] = True,
    known_at: Annotated[
        str | None,
        typer.Option(help="Look back to this instant: nothing is asked or stored, and nothing observed since counts."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reconcile a period and print its report."""
    opened, aligned = service(), parse_period(period)
    if known_at is not None:
        instant = parse_instant(known_at, "/known_at")
        core = look_back(opened.engine, opened.project(project_id), aligned, instant)
        show_content(core, f"As it was known at {report.instant(instant)}; not stored", as_json)
        return
    if collect:
        _collect(opened, project_id, aligned)
    show_report(reconcile(opened.engine, opened.project(project_id), aligned, clock=opened.clock), as_json)


def _collect(opened: Service, project_id: str, aligned: AlignedPeriod) -> CollectionResult:
    project = opened.project(project_id)
    with progress(f"Collecting {aligned.period.first_day} to {aligned.period.last_day}") as told:
        return collect(
            opened.engine, project, aligned.period, client_factory=opened.insights, clock=opened.clock, progress=told
        )
