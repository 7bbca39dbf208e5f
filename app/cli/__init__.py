"""The command `reckoner`: exit 0 when done, 1 when refused or failed with one line on stderr, 2 for wrong usage."""

import logging
import sys

import typer
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app import logs
from app.api import problems
from app.cli import (
    audit_log,
    closes,
    customers,
    invoices,
    keys,
    periods,
    projects,
    rates,
    reports,
    run,
    sandbox,
    secrets,
    vendor,
    webhooks,
)
from app.cli.output import AT_EXIT
from app.errors import ReckonerError
from app.insights.errors import InsightsError
from billing.errors import BillingError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Reconcile Vonage Video usage: align, collect, explain every minute, report, price, invoice.",
)
for module in (run, sandbox, periods, reports, closes, audit_log, secrets):
    module.register(app)
app.add_typer(keys.app, name="keys")
app.add_typer(projects.app, name="projects")
app.add_typer(rates.app, name="rates")
app.add_typer(customers.entities_app, name="entities")
app.add_typer(customers.app, name="customers")
app.add_typer(invoices.app, name="invoice")
app.add_typer(vendor.app, name="vendor")
app.add_typer(webhooks.app, name="webhooks")


def main() -> None:
    """Run the command line. A failure that is not a defect of ours is one sentence."""
    logs.configure("console", logging.ERROR)  # a command prints what it has to say; `serve` and `worker` log everything
    try:
        with AT_EXIT:
            app()
    except ValidationError as error:
        _fail("; ".join(_setting(item["loc"], item["msg"]) for item in error.errors(include_input=False)))
    except (ReckonerError, BillingError, InsightsError) as error:
        _fail(problems.problem(error, "").detail)
    except SQLAlchemyError as error:
        _fail(f"The database cannot be used: {error.orig if isinstance(error, DBAPIError) else error}")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _setting(path: tuple[int | str, ...], message: str) -> str:
    name = f"RECKONER_{str(path[0]).upper()}: " if path else ""
    return name + message.removeprefix("Value error, ")


def _fail(sentence: str) -> None:
    print(f"reckoner: {' '.join(sentence.split())}", file=sys.stderr)  # noqa: T201  the one line that the contract asks for
    sys.exit(1)
