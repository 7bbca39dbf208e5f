"""`reckoner audit-log`: who did what, and when."""

from typing import Annotated

import typer

from app.api.audit_log import Entry
from app.cli.given import every
from app.cli.output import AsJson, service, write_json, write_table
from app.db import transaction
from app.store import audit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit-log")(show_audit_log)


def show_audit_log(
    subject: Annotated[str | None, typer.Option(help="Only what was done to this: an invoice's, a customer's id.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what was done by this one.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as invoice.finalized.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the audit log, the last entry first. `reckoner verify` checks that none was changed or removed."""
    filters = {"subject": subject, "actor": actor, "action": action}
    with transaction(service().engine, read_only=True) as session:
        held = every(lambda cursor: audit.list_page(session, **filters, limit=200, cursor=cursor))
    found = [Entry.model_validate(it.model_dump()) for it in held]
    if as_json:
        write_json(found)
    else:
        rows = [(it.seq, it.at, it.actor, it.action, it.subject, it.detail.get("reason")) for it in found]
        write_table(("entry", "at", "by", "what", "to", "because"), rows, right=("entry",))
