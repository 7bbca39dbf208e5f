"""`reckoner webhooks`: who is told of what happens."""

from typing import Annotated

import typer

from app.api import webhook_deliveries as deliveries
from app.api import webhook_endpoints as api
from app.cli.given import checked, every
from app.cli.output import AsJson, service, write, write_json, write_one, write_table
from app.db import transaction
from app.errors import InvalidRequest
from app.flows import deliver
from app.store import webhooks
from app.webhooks.events import EventType
from app.webhooks.signing import new_secret
from billing.period import parse_instant

app = typer.Typer(no_args_is_help=True, help="Webhooks: who is told of what happens.")

EndpointId = Annotated[str, typer.Argument(help="The endpoint's id, from `webhooks list`.")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are sent: https, to a public address.")],
    type: Annotated[list[EventType] | None, typer.Option(help="An event to be told of; repeat. Else all.")] = None,  # noqa: A002
    project: Annotated[list[str] | None, typer.Option(help="A project to be told of; repeat. Else all.")] = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="Tell of each subject in order.")] = False,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its secret, this once: it is kept encrypted."""
    given = {"url": url, "types": type or None, "projects": project or None, "ordered": ordered, "description": description}
    new = checked(api.NewEndpoint, given)
    opened, secret = service(), new_secret()
    opened.sender.require(new.url)
    with transaction(opened.engine) as session:
        made = webhooks.create(session, opened.vault, secret, actor="cli", now=opened.clock.now(), **new.model_dump())
    told = api.EndpointWithSecret.of(made, secret=secret)
    write_one(told, as_json)


@app.command("list")
def list_endpoints(as_json: AsJson = False) -> None:
    """List the endpoints, and why those are disabled that are."""
    with transaction(service().engine, read_only=True) as session:
        found = every(lambda cursor: webhooks.endpoints(session, limit=200, cursor=cursor))
    if as_json:
        write_json([api.Endpoint.of(it) for it in found])
    else:
        rows = [
            (it.id, it.url, " ".join(it.types or ["all"]), " ".join(it.projects or ["all"]), it.enabled, it.reason)
            for it in found
        ]
        write_table(("id", "url", "events", "projects", "enabled", "why not"), rows)


@app.command("test")
def try_endpoint(endpoint_id: EndpointId, as_json: AsJson = False) -> None:
    """Send a test event and show what came of it; exit 1 if it was not taken."""
    opened = service()
    with transaction(opened.engine) as session:
        made = deliver.send_test(session, endpoint_id, now=opened.clock.now())
    told = deliveries.tried(opened, made)
    attempt = told.attempts[-1]
    if as_json:
        write_json(told)
    else:
        write(f"{told.state}: {attempt.status or attempt.error}, after {attempt.milliseconds} ms")
    if told.state != webhooks.State.DELIVERED:
        raise typer.Exit(1)


@app.command()
def redeliver(
    target: Annotated[str, typer.Argument(help="A delivery, or with --since an endpoint, by its id.")],
    since: Annotated[str | None, typer.Option(help="All that happened from 2026-11-01T00:00:00Z on.")] = None,
    until: Annotated[str | None, typer.Option(help="And before then.")] = None,
) -> None:
    """Deliver one again, or all that an endpoint wants since an instant. Whoever runs the jobs sends them."""
    if until is not None and since is None:
        raise InvalidRequest("--until goes with --since.")
    opened = service()
    with transaction(opened.engine) as session:
        now = opened.clock.now()
        if since is None:
            deliver.redeliver(session, target, now=now)
            count = 1
        else:
            end = None if until is None else parse_instant(until)
            count = deliver.redeliver_since(session, target, parse_instant(since), end, now=now)
    write(f"{count} {'delivery is' if count == 1 else 'deliveries are'} to be made.")
