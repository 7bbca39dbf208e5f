"""`reckoner rates`: what minutes cost, and what they would cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
import yaml

from app.api import rate_cards as api
from app.cli.given import every, read
from app.cli.output import AsJson, service, write, write_json, write_table
from app.db import transaction
from app.errors import InvalidRequest
from app.flows import rates
from app.store import projects, rate_cards
from billing.errors import BillingError
from billing.period import parse_period
from billing.ratecard_file import dump, load_text
from billing.report import instant

app = typer.Typer(no_args_is_help=True, help="Rate cards: what a minute costs, version by version.")

File = Annotated[typer.FileText, typer.Argument(help="A rate card as JSON (*.json) or YAML, `-` for standard input.")]
CardId = Annotated[str, typer.Argument(help="The rate card's id.")]


@app.command()
def publish(
    file: File,
    card: Annotated[
        str | None, typer.Option(help="The card of which this is the next version, if it has no id itself.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a version of a rate card. It never changes; the same again is the version that is there."""
    document = _document(file)
    opened = service()
    with _named(file), transaction(opened.engine) as session:
        published = rate_cards.publish(session, document, opened.clock.now(), card, actor="cli")
        row = api.RateCard.of(rate_cards.find(session, published.id, published.version))
    if as_json:
        write_json(row)
    else:
        until = "" if published.effective_to is None else f" to {published.effective_to}"
        write(f"{published.id}, version {published.version}, counts from {published.effective_from}{until}.")


@app.command("list")
def list_cards(as_json: AsJson = False) -> None:
    """List the newest version of every rate card."""
    with transaction(service().engine, read_only=True) as session:
        found = every(lambda cursor: rate_cards.list_page(session, limit=200, cursor=cursor))
    if as_json:
        write_json([api.RateCard.of(row) for row in found])
    else:
        rows = [
            (it.id, it.version, it.name, it.currency, it.effective_from, it.effective_to, instant(it.published_at))
            for it in found
        ]
        write_table(("rate card", "version", "name", "currency", "from", "to", "published"), rows)


@app.command()
def show(
    card_id: CardId,
    version: Annotated[int | None, typer.Option(min=1, help="Not the newest, but this version.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a rate card as YAML, to be changed and published again, or as JSON."""
    with transaction(service().engine, read_only=True) as session:
        document = dump(rate_cards.get(session, card_id, version))
    if as_json:
        write_json(document)
    else:
        write(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


@app.command()
def assign(
    card_id: CardId, project_ids: Annotated[list[str], typer.Argument(help="The projects.", metavar="PROJECT...")]
) -> None:
    """Let projects have a rate card: their next reports are priced by it."""
    opened = service()
    with transaction(opened.engine) as session:
        for project_id in sorted(project_ids):
            projects.lock(session, project_id)  # all of them before the audit log, for which every other writer waits
        for project_id in project_ids:
            projects.update(session, opened.vault, project_id, actor="cli", now=opened.clock.now(), rate_card_id=card_id)
    write(f"The next reports of {', '.join(project_ids)} are priced by {card_id}.")


@app.command()
def diff(
    file: File,
    card: Annotated[str | None, typer.Option(help="The card to compare with; else the file's, or each project's own.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="A project; repeat. Else all that the card prices.")] = None,
    period: Annotated[str | None, typer.Option(help="Only reports inside 2026-10, or 2026-10-01..2026-10-31.")] = None,
    dated: Annotated[bool, typer.Option("--dated", help="Let it count on its own days only, not on all of a report.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Show each tier and other kind of usage too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what past reports would have come to at the rates of a file. Nothing is published."""
    document = _document(file)
    within = parse_period(period).period if period else None
    with _named(file), transaction(service().engine, read_only=True) as session:
        found = rates.diff(session, document, card_id=card, project_ids=project or (), period=within, dated=dated)
        compared = api.Compared(reports=[api.ComparedReport.of(it) for it in found])
    if as_json:
        write_json(compared)
    else:
        _show(compared, lines)


def _show(compared: api.Compared, lines: bool) -> None:
    if not compared.reports:
        write("There is no report of a project that the card prices; --project names others.")
        return
    rows: list[tuple[object, ...]] = []
    for it in compared.reports:
        what = (it.project_id, it.first_day, it.last_day, it.verdict)
        if lines:
            rows += [(*what, line.usage, line.quantity, line.old, line.new, line.difference) for line in it.lines]
        for name in ("subtotal", "total"):
            rows.append((*what, name, "", *(_amount(sums, name) for sums in (it.old, it.new, it.difference))))
    figures = ("minutes", "old", "new", "difference")
    write_table(("project", "first day", "last day", "verdict", "what", *figures), rows, right=figures)
    for it in compared.reports:
        for problem in it.problems:
            write(f"{it.report_id} ({it.project_id}, {it.first_day} to {it.last_day}): {problem}")


def _amount(sums: api.Sums | None, name: str) -> str:
    return f"{getattr(sums, name)} {sums.currency}" if sums else ""


def _document(file: typer.FileText) -> object:
    with _named(file):
        return load_text(read(file), "json" if _name(file).endswith(".json") else "yaml")


@contextmanager
def _named(file: typer.FileText) -> Iterator[None]:
    """Say of what cannot be used where in the file it stands."""
    try:
        yield
    except (BillingError, InvalidRequest) as error:
        place = ": ".join(part for part in (_name(file), error.pointer) if part)
        raise InvalidRequest(f"{place}: {error.message}", pointer=error.pointer, expected=error.expected) from None


def _name(file: typer.FileText) -> str:
    return getattr(file, "name", "<stdin>")
