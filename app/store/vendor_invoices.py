"""The vendor's invoices, kept once for each number, with the answer of the last match; and how each vendor's files are read."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from app.errors import Conflict, NotFound
from app.store import audit
from app.store.paging import Page, page
from app.store.tables import add_missing
from app.store.vendor_tables import VendorInvoice, VendorMappingRow
from app.store.versions import changed
from billing.report import instant
from billing.vendor import BilledInvoice, core, digest, parse
from billing.vendor_mapping import VendorMapping


def save(session: Session, invoice: BilledInvoice, *, actor: str, now: datetime) -> tuple[VendorInvoice, bool]:
    """Keep an invoice; true with it if it is new. The same again is the one that is there; either way it is locked.

    Raises Conflict for another of its number.
    """
    body = core(invoice)
    identity = sha256(f"{invoice.vendor}\n{invoice.number}".encode()).hexdigest()
    row = VendorInvoice(
        id=f"vin_{identity[:24]}",
        vendor=invoice.vendor,
        number=invoice.number,
        currency=invoice.currency.code,
        first_day=invoice.period.first_day,
        last_day=invoice.period.last_day,
        total=invoice.currency.text(invoice.total),
        sha256=digest(body),
        body=body,
        created_at=now,
    )
    if add_missing(session, row):
        said = {"vendor": row.vendor, "number": row.number, "sha256": row.sha256}
        audit.record(session, at=now, actor=actor, action="vendor_invoice.uploaded", subject=row.id, detail=said)
        return get(session, row.id, lock=True), True
    held = get(session, row.id, lock=True)
    if held.sha256 != row.sha256:
        raise Conflict(f"The invoice {invoice.number} of {invoice.vendor} is there already, with another content: {held.id}.")
    return held, False


def get(session: Session, invoice_id: str, *, lock: bool = False) -> VendorInvoice:
    """The invoice of that id; locked, so that two matches of it follow each other. Raises NotFound."""
    if row := session.get(VendorInvoice, invoice_id, with_for_update=lock, populate_existing=lock):
        return row
    raise NotFound(f"There is no vendor's invoice {invoice_id}.")


def billed(row: VendorInvoice) -> BilledInvoice:
    """What the vendor billed."""
    return parse(msgspec.json.decode(row.body))


def document(row: VendorInvoice) -> bytes:
    """The invoice as it is answered: its own JSON with its name and its match."""
    said = msgspec.json.decode(row.body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(
        {
            "id": row.id,
            **said,
            "sha256": row.sha256,
            "created_at": instant(row.created_at),
            "match": msgspec.Raw(row.match) if row.match else None,
            "matched_at": row.matched_at and instant(row.matched_at),
            "unmatched": row.unmatched,
        }
    )


def keep_match(session: Session, row: VendorInvoice, match: bytes | None, unmatched: str, now: datetime) -> None:
    """The answer of a match, or why there is none: then the answer of the one before goes too."""
    row.sqlmodel_update({"match": match, "matched_at": now if match else None, "unmatched": unmatched})
    session.add(row)
    session.flush()


def list_page(session: Session, *, vendor: str | None = None, limit: int, cursor: str | None = None) -> Page[VendorInvoice]:
    """Invoices of one vendor or of all, newest first, without their bodies. Raises InvalidRequest for a bad cursor."""
    statement = select(VendorInvoice).options(defer(VendorInvoice.body, raiseload=True))  # type: ignore[arg-type]  # a column
    if vendor is not None:
        statement = statement.where(VendorInvoice.vendor == vendor)
    return page(session, statement, VendorInvoice.created_at, VendorInvoice.id, limit=limit, cursor=cursor)


def check(session: Session) -> Iterator[str]:
    """What is wrong with any invoice, a sentence each, for `verify`."""
    for row in session.exec(select(VendorInvoice).order_by(col(VendorInvoice.id))):
        if digest(row.body) != row.sha256:
            yield f"The vendor's invoice {row.id} does not say what its hash says."


def put_mapping(session: Session, vendor: str, mapping: VendorMapping, *, actor: str, now: datetime) -> VendorMappingRow:
    """Keep how a vendor's files are read from now on; what was uploaded stays as it was read."""
    body = msgspec.to_builtins(mapping)
    row = session.get(VendorMappingRow, vendor, with_for_update=True)
    if row is None:
        row = VendorMappingRow(vendor=vendor, body=body, created_at=now, changed_at=now)
        if not add_missing(session, row):
            raise Conflict(f"Another mapping of {vendor} was kept at the same moment.")
        detail = changed({}, body)
    elif row.body == body:
        return row
    else:
        detail = changed(row.body, body)
        row.sqlmodel_update({"body": body, "changed_at": now})
        session.add(row)
        session.flush()
    audit.record(session, at=now, actor=actor, action="vendor_mapping.changed", subject=vendor, detail=detail)
    return row


def get_mapping(session: Session, vendor: str) -> VendorMappingRow:
    """The mapping of a vendor. Raises NotFound."""
    if row := session.get(VendorMappingRow, vendor):
        return row
    raise NotFound(f"There is no mapping of the vendor {vendor}.")


def mapping_of(row: VendorMappingRow) -> VendorMapping:
    """The mapping that a row keeps."""
    body: Mapping[str, Any] = row.body
    return msgspec.convert(body, VendorMapping)


def list_mappings(session: Session, *, limit: int, cursor: str | None = None) -> Page[VendorMappingRow]:
    """Mappings, newest first. Raises InvalidRequest for a bad cursor."""
    return page(
        session, select(VendorMappingRow), VendorMappingRow.created_at, VendorMappingRow.vendor, limit=limit, cursor=cursor
    )
