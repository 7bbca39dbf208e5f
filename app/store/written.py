"""What was written, as the audit log tells it: whoever changes a document together with its hash must change the log too."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import Session, col, select

from app.store.money_tables import AuditEntry, Invoice, RateCardRow
from app.store.vendor_tables import VendorInvoice

_INVOICE = ("sha256", "status", "version", "number", "created_by", "approved_by")


def check(session: Session) -> Iterator[str]:
    """What is not as the audit log says that it was written last, not there any more, or there without a word, for `verify`."""
    said, there = _said(session), dict(_there(session))
    for name, it in said.items():
        if name not in there:
            yield f"The audit log tells of {name}, which is not there."
        elif wrong := [key for key, value in there[name].items() if it.get(key) != value]:
            yield f"The audit log tells of {name}, with another {' and '.join(wrong)} than it has."
    yield from (f"The audit log does not tell of {name}." for name in there if name not in said)


def _said(session: Session) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    entries = select(AuditEntry).order_by(col(AuditEntry.seq)).execution_options(yield_per=1000)
    for entry in session.exec(entries):
        match entry.action.split("."):
            case ["rate_card", "published"]:
                found[_card(entry.subject, entry.detail["version"])] = {"sha256": entry.detail["sha256"]}
            case ["vendor_invoice", "uploaded"]:
                found[_vendor(entry.subject)] = {"sha256": entry.detail["sha256"]}
            case ["invoice", step] if step != "overridden":
                it = found.setdefault(_invoice(entry.subject), {})
                it |= {key: value for key, value in entry.detail.items() if key in _INVOICE}
                if step in ("drafted", "redrafted"):
                    it |= {"created_by": entry.actor, "approved_by": None}
                elif step == "approved":
                    it["approved_by"] = entry.actor
    return found


def _there(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, version, sha256 in session.exec(select(RateCardRow.id, RateCardRow.version, RateCardRow.sha256)):
        yield _card(name, version), {"sha256": sha256}
    for name, sha256 in session.exec(select(VendorInvoice.id, VendorInvoice.sha256)):
        yield _vendor(name), {"sha256": sha256}
    columns = [col(getattr(Invoice, key)) for key in ("id", *_INVOICE)]
    for name, *values in session.execute(select(*columns).order_by(col(Invoice.created_at), col(Invoice.id))):
        yield _invoice(name), dict(zip(_INVOICE, values, strict=True))


def _card(name: str, version: int) -> str:
    return f"the rate card {name}, version {version}"


def _vendor(name: str) -> str:
    return f"the vendor's invoice {name}"


def _invoice(name: str) -> str:
    return f"the invoice {name}"
