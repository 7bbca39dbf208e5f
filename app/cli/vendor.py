"""`reckoner vendor`: what the vendor bills, held against what was used."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from app.api.vendor_invoices import NewVendorInvoice, VendorFile, VendorInvoiceSummary
from app.api.vendor_mappings import Mapping as KeptMapping
from app.api.vendor_mappings import NewMapping
from app.cli.given import checked, every, read
from app.cli.output import AsJson, service, write, write_json, write_table
from app.db import transaction
from app.errors import InvalidRequest
from app.flows import vendor as flow
from app.store import vendor_invoices
from app.store.vendor_tables import VendorInvoice
from billing.period import parse_period
from billing.vendor import parse

app = typer.Typer(no_args_is_help=True, help="The vendor's invoices: upload, match with what was used, dispute.")

InvoiceId = Annotated[str, typer.Argument(help="The id of a vendor's invoice.")]


@app.command()
def upload(
    file: Annotated[typer.FileText, typer.Argument(help="The invoice: with --mapping the vendor's own file, else JSON.")],
    mapping: Annotated[str | None, typer.Option(help="The vendor whose mapping reads the file.")] = None,
    number: Annotated[str | None, typer.Option(help="The invoice's number, if the file does not say it.")] = None,
    period: Annotated[str | None, typer.Option(help="Its period, if the file does not say it: 2026-10, or DAY..DAY.")] = None,
    currency: Annotated[str | None, typer.Option(help="Its currency, if neither file nor mapping says it.")] = None,
    total: Annotated[str | None, typer.Option(help="Its total, if the file does not say it.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="A project that it is for, if not the account; repeat.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep what the vendor billed, and match it if there is a report of its period. The same again is the one that is there."""
    content = read(file)
    given = {"number": number, "currency": currency, "total": total, "project_ids": project or []}
    days = parse_period(period).requested if period else None
    opened = service()
    with transaction(opened.engine) as session:
        if mapping is None:
            if any((number, currency, total, project, period)):
                raise InvalidRequest("What stands in the file cannot be given beside it: the options go with --mapping.")
            invoice = parse(checked(NewVendorInvoice, _object(content, file.name)).document())
        else:
            said = checked(VendorFile, {"mapping": mapping, "content": content, "period": days, **given})
            known = vendor_invoices.mapping_of(vendor_invoices.get_mapping(session, said.mapping))
            invoice = known.read(said.content, said.given()).invoice()
        row, _ = flow.upload(session, invoice, actor="cli", now=opened.clock.now())
    _show(row, as_json)


@app.command("list")
def list_invoices(as_json: AsJson = False) -> None:
    """List the vendors' invoices, newest first."""
    with transaction(service().engine, read_only=True) as session:
        rows = every(lambda cursor: vendor_invoices.list_page(session, limit=200, cursor=cursor))
        found = [VendorInvoiceSummary.model_validate(row, from_attributes=True) for row in rows]
    if as_json:
        write_json(found)
    else:
        cells = [(it.id, it.vendor, it.number, it.first_day, it.last_day, it.currency, it.total, it.unmatched) for it in found]
        write_table(
            ("id", "vendor", "number", "from", "to", "currency", "total", "not matched, because"), cells, right=("total",)
        )


@app.command()
def show(invoice_id: InvoiceId, as_json: AsJson = False) -> None:
    """Print a vendor's invoice and its match."""
    with transaction(service().engine, read_only=True) as session:
        row = vendor_invoices.get(session, invoice_id)
    _show(row, as_json)


@app.command()
def match(invoice_id: InvoiceId, as_json: AsJson = False) -> None:
    """Match an invoice again, with the newest reports of its period."""
    opened = service()
    with transaction(opened.engine) as session:
        row = flow.rematch(session, invoice_id, now=opened.clock.now())
    _show(row, as_json)


@app.command()
def dispute(
    invoice_id: InvoiceId,
    output: Annotated[Path, typer.Option(help="The ZIP to write.")],
    entity: Annotated[str | None, typer.Option(help="The legal entity that disputes it, where there are several.")] = None,
) -> None:
    """Write a ZIP with what the vendor's dispute form asks for: its fields, a letter, the evidence, the reports."""
    with transaction(service().engine, read_only=True) as session:
        _, content = flow.dispute_pack(session, invoice_id, entity)
    output.write_bytes(content)


@app.command()
def mapping(
    vendor: Annotated[str, typer.Argument(help="The vendor's name.")],
    file: Annotated[typer.FileText | None, typer.Argument(help="The mapping as JSON; without it, it is printed.")] = None,
) -> None:
    """Print how a vendor's files are read, as JSON, or keep a new mapping."""
    opened = service()
    with transaction(opened.engine, read_only=file is None) as session:
        if file is None:
            row = vendor_invoices.get_mapping(session, vendor)
        else:
            given = checked(NewMapping, _object(read(file), file.name)).value()
            row = vendor_invoices.put_mapping(session, vendor, given, actor="cli", now=opened.clock.now())
        kept = KeptMapping.of(row)
    write_json(kept)


def _object(content: str, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(content.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise InvalidRequest(f"{name} is no JSON.") from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"{name} is no JSON object.")
    return found


def _show(row: VendorInvoice, as_json: bool) -> None:
    document = vendor_invoices.document(row)
    if as_json:
        write(document.decode())
        return
    write(f"{row.id}: invoice {row.number} of {row.vendor}, {row.first_day} to {row.last_day}, {row.currency} {row.total}")
    matched = json.loads(document)["match"]
    if matched is None:
        write(f"Not matched: {row.unmatched}")
        return
    columns = ("rows", "what", "state", "billed", "used", "meetings", "billed amount", "our amount", "difference")
    lines = [
        (
            _rows(line["rows"]),
            line["label"],
            line["state"].replace("_", " "),
            line["quantity"],
            line["our_quantity"],
            line["meeting_quantity"],
            line["amount"],
            line["our_amount"],
            line["difference"],
        )
        for line in matched["lines"]
    ]
    write_table(columns, lines, title=f"Minutes, and {row.currency} before discounts and tax", right=columns[3:])
    variance = matched["variance"]
    parts = [
        (cause.replace("_", " "), variance["minutes_by_part"][cause], amount)
        for cause, amount in variance["parts"].items()
        if Decimal(amount) or Decimal(variance["minutes_by_part"][cause])
    ]
    parts.append(("variance", variance["minutes"], variance["amount"]))
    write_table(("part", "minutes", row.currency), parts, right=("minutes", row.currency))
    for note in matched["notes"]:
        write(note)


def _rows(rows: list[int]) -> str:
    return ", ".join(map(str, rows)) if len(rows) <= 6 else f"{rows[0]}, {rows[1]} … {rows[-1]} ({len(rows)})"
