"""`reckoner report` and `reckoner verify`: read what was reconciled, and prove it."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from app.cli.output import AsJson, service, write, write_json, write_table
from app.db import transaction
from app.flows import exports
from app.flows import verify as proofs
from app.store import reports
from app.store.tables import Report
from billing.exports.formats import ReportFormat
from billing.tiers import Tier

ReportId = Annotated[str, typer.Argument(help="The report's id.")]

report_app = typer.Typer(no_args_is_help=True, help="Reports: show, export, verify.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(report_app, name="report")
    app.command("verify")(verify_all)


def show_report(report: Report, as_json: bool) -> None:
    """Print a stored report."""
    show_content(report.body, f"Report {report.id}, version {report.version}, sha256 {report.sha256}", as_json)


def show_content(body: bytes, name: str, as_json: bool) -> None:
    """Print what a report says: its canonical bytes, or the bridge and the discrepancies for people."""
    if as_json:
        write(body.decode())
        return
    content = json.loads(body)
    tiers = content["tier_plan"]
    write(content["period"]["explanation"])
    write(name)
    labels = [Tier.parse(tier).label for tier in tiers]
    rows = [
        (line["step"].replace("_", " "), *(line["minutes"].get(tier, "") for tier in tiers), line["total"])
        for line in content["bridge"]
    ]
    write_table(("minutes", *labels, "total"), rows, title=f"Project {content['project_id']}", right=(*labels, "total"))
    found = sorted(content["discrepancies"], key=lambda it: -abs(Decimal(it["total"])))
    if found:
        rows = [(it["code"], it["severity"], it["total"], it["summary"]) for it in found]
        write_table(("discrepancy", "severity", "minutes", "what it is"), rows, right=("minutes",))
    write(f"Verdict: {content['verdict']}")


@report_app.command()
def show(report_id: ReportId, as_json: AsJson = False) -> None:
    """Print a report."""
    show_report(_get(report_id), as_json)


@report_app.command()
def export(
    report_id: ReportId,
    format: Annotated[ReportFormat, typer.Option(help="The form.")] = ReportFormat.JSON,  # noqa: A002
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output without it.")] = None,
) -> None:
    """Write a report as a file."""
    _, file = exports.export_report(service().engine, report_id, format)
    if output:
        output.write_bytes(file.content)
    else:
        sys.stdout.buffer.write(file.content)


@report_app.command()
def verify(report_id: ReportId, as_json: AsJson = False) -> None:
    """Make a report again from its observations and compare it byte for byte; exit 1 if it differs."""
    _tell(proofs.verify(service().engine, report_id), f"The report {report_id} is exactly what its observations give.", as_json)


def verify_all(as_json: AsJson = False) -> None:
    """Check every hash, make every report again, and follow the audit log; exit 1 if anything differs."""
    good = "Every payload, report, rate card, invoice and entry of the audit log is what its hash says."
    _tell(proofs.verify_all(service().engine), good, as_json)


def _tell(findings: list[str], good: str, as_json: bool) -> None:
    if as_json:
        write_json({"verified": not findings, "findings": findings})
    elif not findings:
        write(good)
    if findings:
        for sentence in findings if not as_json else ():
            typer.echo(sentence, err=True)
        raise typer.Exit(1)


def _get(report_id: str) -> Report:
    with transaction(service().engine, read_only=True) as session:
        return reports.get(session, report_id)
