"""`reckoner keys`: who may call the REST service."""

from typing import Annotated

import typer
from pydantic import BaseModel

from app import auth
from app.api.schemas import Instant
from app.cli.output import AsJson, service, write, write_json, write_table
from app.db import transaction

app = typer.Typer(no_args_is_help=True, help="API keys of the REST service.")


class Key(BaseModel):
    """An API key, without its text."""

    id: str
    name: str
    scopes: list[str]
    created_at: Instant
    revoked_at: Instant | None


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[list[auth.Scope], typer.Option(help="What it may do; repeat for several.")],
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this once: only its hash is kept."""
    opened = service()
    with transaction(opened.engine) as session:
        key, text = auth.create_key(session, name, scope, opened.clock.now())
    if as_json:
        write_json(Key.model_validate(key, from_attributes=True).model_dump(mode="json") | {"key": text})
    else:
        write(text)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the API keys, revoked ones too."""
    with transaction(service().engine, read_only=True) as session:
        keys = [Key.model_validate(key, from_attributes=True) for key in auth.list_keys(session)]
    if as_json:
        write_json(keys)
    else:
        rows = [(key.id, key.name, " ".join(key.scopes), key.created_at, key.revoked_at) for key in keys]
        write_table(("id", "name", "scopes", "created", "revoked"), rows)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="Its id, from `keys list`.")]) -> None:
    """Make an API key useless from now on."""
    opened = service()
    with transaction(opened.engine) as session:
        key = auth.revoke_key(session, key_id, opened.clock.now())
    write(f"The API key {key.id} ({key.name}) is revoked.")
