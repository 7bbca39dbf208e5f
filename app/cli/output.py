"""How commands print: tables for people, JSON for programs, a progress bar on a terminal only."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import msgspec
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.db import is_current, upgrade
from app.errors import Unavailable
from app.jobs.worker import prepare
from app.service import Service
from app.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ProjectId = Annotated[str, typer.Argument(help="The vendor's id of the project, its API key.")]
Period = Annotated[str, typer.Argument(help="2026-10, 2026-10-01..2026-10-31, or START..END with instants.")]

AT_EXIT = ExitStack()
"""What a command leaves to `main` to close."""


def service() -> Service:
    """The service of the environment's settings, with a database of this release. Raises Unavailable if it is not migrated.

    Only the default SQLite file of a development installation is migrated without being asked.
    """
    settings = Settings()
    opened = Service.of(settings)
    AT_EXIT.callback(opened.engine.dispose)
    if is_current(opened.engine):
        return opened
    default = Settings.model_fields["database_url"].default
    if settings.environment != "development" or settings.database_url != default:
        raise Unavailable("The database has not this release's tables; run `reckoner migrate`.")
    prepare(settings.database_url)
    upgrade(opened.engine)
    return opened


def write(text: str) -> None:
    """Print text as it is, at once."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def write_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    plain = msgspec.to_builtins(value, enc_hook=lambda model: model.model_dump(mode="json"))
    write(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode())


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` hold figures."""
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console()
    # A pipe has no width: there a table is as wide as it needs, so that no figure is cut.
    (console if console.is_terminal else Console(width=max(console.measure(table).maximum, 200))).print(table)


def write_one(item: BaseModel, as_json: bool) -> None:
    """One thing, as JSON or as a record."""
    if as_json:
        write_json(item)
    else:
        write_record(item)


def write_record(record: BaseModel) -> None:
    """Print a record, one field a line."""
    write_table(("field", "value"), record.model_dump(mode="json").items())


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that is told (done, total); nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
