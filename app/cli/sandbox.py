"""`reckoner sandbox`: the upstream look-alike, for trying out and for tests."""

import json
from datetime import timedelta
from typing import Annotated, Any

import typer

from app.clock import SystemClock
from app.errors import InvalidRequest
from app.sandbox.datafile import DatasetError
from app.sandbox.dataset import Dataset
from app.sandbox.generator import generate
from billing.period import day_of, parse_instant

GENERATED_DAYS = 35
"""How far back a generated company goes: a whole month, and the days around it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sandbox")(sandbox)


def sandbox(
    dataset: Annotated[typer.FileText | None, typer.Option(help="Who was connected and publishing when, as JSON.")] = None,
    seed: Annotated[int | None, typer.Option(help="Make up a company instead, always the same one for a seed.")] = None,
    now: Annotated[str | None, typer.Option(help="The instant at which its clock starts; otherwise the present.")] = None,
    host: Annotated[str, typer.Option(help="The address that it listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port that it listens on; 0 takes a free one.")] = 0,
) -> None:
    """Serve the upstream look-alike: POST /graphql, GET /v2/project, GET / (an explorer)."""
    from app.sandbox.server import serve  # here, because GraphQL takes half a second to load that no other command needs

    if dataset and seed is not None:
        raise typer.BadParameter("takes the place of --dataset; give one of the two", param_hint="--seed")
    start = parse_instant(now) if now else SystemClock().now()
    first_day = day_of(start) - timedelta(days=GENERATED_DAYS)
    content = _read(dataset) if dataset else generate(seed or 0, first_day, GENERATED_DAYS)
    serve(_load(content), start, host, port)


def _read(file: typer.FileText) -> Any:
    try:
        return json.load(file)
    except ValueError as error:
        raise InvalidRequest(f"{file.name} is no JSON: {error}") from None


def _load(content: Any) -> Dataset:
    try:
        return Dataset.load(content)
    except DatasetError as error:
        raise InvalidRequest(f"The dataset cannot be served: {error}") from None
