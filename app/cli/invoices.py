"""`reckoner invoice`: from a period's reports to an issued invoice, and its notes."""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from app.api import invoices as api
from app.cli.given import checked, every
from app.cli.output import AsJson, Period, service, write, write_json, write_table
from app.db import transaction
from app.flows import invoice as flow
from app.flows import notes
from app.flows.exports import export_invoice
from app.store import invoices
from app.store.money_tables import Invoice
from billing.exports.formats import InvoiceFormat
from billing.invoice import Kind, Status
from billing.notes import LUMP, CreditLine
from billing.period import parse_period

app = typer.Typer(no_args_is_help=True, help="Invoices and notes: draft, approve, finalize, correct, export.")

InvoiceId = Annotated[str, typer.Argument(help="The id of an invoice or a note.")]
OfInvoice = Annotated[str, typer.Argument(help="The id of a finalized invoice.")]
Version = Annotated[int | None, typer.Option(min=1, help="Only while it has this version; else whichever it has.")]
Override = Annotated[str | None, typer.Option(help="Why it is invoiced although a report's verdict forbids it.")]
Reason = Annotated[str, typer.Option(help="Why, in a sentence.")]


@app.command()
def draft(
    customer_id: Annotated[str, typer.Argument(help="The customer's id.")],
    period: Period,
    override: Override = None,
    note: Annotated[str, typer.Option(help="Stands on the invoice.")] = "",
    as_json: AsJson = False,
) -> None:
    """Draft a customer's invoice of a period, from the newest reports of exactly that period."""
    days = parse_period(period).period
    given = {"first_day": str(days.first_day), "last_day": str(days.last_day)}
    checked(api.NewInvoice, {"customer_id": customer_id, "period": given, "notes": note, "override": _reason(override)})
    opened = service()
    now = opened.clock.now()
    with transaction(opened.engine) as session:
        made = flow.draft_invoice(session, customer_id, days, override=override, notes=note, actor="cli", now=now)
    _show(made, as_json)


@app.command()
def redraft(invoice_id: InvoiceId, override: Override = None, version: Version = None, as_json: AsJson = False) -> None:
    """Draft an invoice again from the newest reports, prices and details; an approval is taken back."""
    checked(api.Redrafting, {"override": _reason(override)})
    _step(flow.redraft, invoice_id, version, as_json, override=override)


@app.command()
def approve(invoice_id: InvoiceId, version: Version = None, as_json: AsJson = False) -> None:
    """Approve a draft. Where the customer asks for four eyes, one made on the command line is approved over REST."""
    _step(flow.approve, invoice_id, version, as_json)


@app.command()
def finalize(invoice_id: InvoiceId, version: Version = None, as_json: AsJson = False) -> None:
    """Issue what was approved: it gets its number, and never changes again."""
    _step(flow.finalize, invoice_id, version, as_json)


@app.command()
def void(invoice_id: InvoiceId, reason: Reason, version: Version = None, as_json: AsJson = False) -> None:
    """Give up a draft, or void what was finalized and has no note."""
    checked(api.Voiding, {"reason": reason})
    _step(flow.void, invoice_id, version, as_json, reason=reason)


@app.command()
def credit(
    invoice_id: OfInvoice,
    reason: Reason,
    everything: Annotated[bool, typer.Option("--all", help="All that is left of it.")] = False,
    line: Annotated[list[str] | None, typer.Option(help="A line's position, or POSITION=AMOUNT; repeat.")] = None,
    commitment: Annotated[str | None, typer.Option(help="So much of the commitment's true-up.")] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Draft a credit note, by line or of all that is left. It is approved and finalized like an invoice."""
    given = {"all": everything, "lines": [_line(it) for it in line or ()], "commitment": commitment, "reason": reason}
    new = checked(api.NewCreditNote, given)
    lines = None if new.all else [CreditLine(it.position, it.amount) for it in new.lines]
    _step(notes.credit, invoice_id, version, as_json, lines=lines, commitment=new.commitment, reason=reason)


@app.command()
def restate(
    invoice_id: OfInvoice,
    reason: Reason = api.RESTATED,
    override: Override = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Draft the credit or debit note of what the newest reports and prices make of a finalized invoice."""
    checked(api.Restatement, {"reason": reason, "override": _reason(override)})
    _step(notes.restate, invoice_id, version, as_json, reason=reason, override=override)


@app.command("list")
def list_invoices(
    customer: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those of this status.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only those of this kind.")] = None,
    period: Annotated[str | None, typer.Option(help="Only those with a day of 2026-10, or 2026-10-01..2026-10-31.")] = None,
    as_json: AsJson = False,
) -> None:
    """List invoices and notes, newest first."""
    days = parse_period(period).period if period else None
    filters = {"customer_id": customer, "status": status, "kind": kind}
    with transaction(service().engine, read_only=True) as session:
        held = every(lambda cursor: invoices.list_page(session, **filters, period=days, limit=200, cursor=cursor))
    found = [api.InvoiceSummary.of(it) for it in held]
    if as_json:
        write_json(found)
        return
    rows = [
        (it.id, it.kind, it.number, it.status, it.customer_id, f"{it.first_day} to {it.last_day}", f"{it.total} {it.currency}")
        for it in found
    ]
    write_table(("id", "kind", "number", "status", "customer", "period", "total"), rows, right=("total",))


@app.command()
def show(invoice_id: InvoiceId, as_json: AsJson = False) -> None:
    """Print an invoice or a note."""
    with transaction(service().engine, read_only=True) as session:
        invoice = invoices.get(session, invoice_id)
    _show(invoice, as_json)


@app.command()
def export(
    invoice_id: InvoiceId,
    format: Annotated[InvoiceFormat, typer.Option(help="The form.")] = InvoiceFormat.PDF,  # noqa: A002
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output without it.")] = None,
) -> None:
    """Write an invoice or a note as a file."""
    _, file = export_invoice(service().engine, invoice_id, format)
    if output:
        output.write_bytes(file.content)
    else:
        sys.stdout.buffer.write(file.content)


def _step(step: Callable[..., Invoice | None], invoice_id: str, version: int | None, as_json: bool, **more: Any) -> None:
    opened = service()
    now = opened.clock.now()
    with transaction(opened.engine) as session:
        done = step(session, invoice_id, actor="cli", now=now, expected_version=version, **more)
    if done is not None:
        _show(done, as_json)
    elif as_json:
        write_json(None)
    else:
        write("Nothing differs, so there is no note.")


def _show(invoice: Invoice, as_json: bool) -> None:
    """Print the document: its own bytes, or its lines and sums for people."""
    body = invoices.document(invoice).decode()
    if as_json:
        write(body)
        return
    it = json.loads(body)
    title = f"{it['kind'].replace('_', ' ').capitalize()} {it['number'] or it['id']} for {it['customer']['name']}"
    lines = [(line["position"], line["project_id"], line["text"], *_priced(line), line["amount"]) for line in it["lines"]]
    sums = [(discount["text"], f"-{discount['amount']}") for discount in it["discounts"]]
    sums += [("True-up to the commitment", it["commitment"])] if Decimal(it["commitment"]) else []
    sums += [(f"{tax['name']}, {tax['percent']} % of {tax['base']}", tax["amount"]) for tax in it["taxes"]]
    sums += [("Total", it["total"])]
    figures = ("minutes", "unit price", it["currency"])
    rows = [*lines, *(("", "", text, "", "", amount) for text, amount in sums)]
    write_table(("line", "project", "for", *figures), rows, title=title, right=figures)
    due = f", due on {it['due_on']}" if it["due_on"] else ""
    issued = f", issued on {it['issued_on']}{due}" if it["issued_on"] else ""
    write(f"{it['id']}, version {it['version']}, is {it['status']}{issued}.")


def _priced(line: dict[str, Any]) -> tuple[str, str]:
    """The minutes and their price; a lump of money has neither."""
    return ("", "") if line["unit"] == LUMP else (line["quantity"], line["unit_price"])


def _reason(override: str | None) -> dict[str, str] | None:
    return None if override is None else {"reason": override}


def _line(text: str) -> dict[str, object]:
    """A line to credit; a position that is no number stays as it is, to be refused by its name."""
    position, given, amount = text.partition("=")
    number: object = int(position) if position.isascii() and position.isdigit() and len(position) < 10 else position
    return {"position": number} | ({"amount": amount} if given else {})
