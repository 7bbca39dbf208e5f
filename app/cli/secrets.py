"""`reckoner rotate-secrets`: leaving an old SECRET_KEY behind."""

import typer

from app.cli.output import service, write
from app.db import transaction
from app.flows import secrets


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rotate-secrets")(rotate)


def rotate() -> None:
    """Encrypt every stored secret under RECKONER_SECRET_KEY, so that RECKONER_OLD_SECRET_KEY is needed no more."""
    opened = service()
    with transaction(opened.engine) as session:
        done = secrets.rotate(session, opened.vault, actor="cli", now=opened.clock.now())
    write(
        f"Encrypted again: the credentials of {done.projects} projects, the secrets of {done.webhook_endpoints} webhook "
        "endpoints. Nothing needs the old key any more."
    )
