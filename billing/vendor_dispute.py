"""The dispute of a vendor's invoice: what its form asks for, a letter, and the evidence, as one ZIP.

The vendor's form wants the API key or account, the period, the value and currency asked for, a reason of its list, and as much
detail as possible; its answer is a credit note. The same match gives the same bytes: the letter is dated by the match, and the
files in the ZIP bear no time.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from billing.exports import csv, pdf
from billing.money import Currency
from billing.report import days_of
from billing.vendor import BilledInvoice
from billing.vendor_minutes import Cause

REASONS: Mapping[Cause, str] = {
    Cause.VOLUME: "inaccurate volume",
    Cause.PRICE: "pricing error",
    Cause.TIER_MIX: "inaccurate volume",
    Cause.PERIOD: "inaccurate volume",
    Cause.ROUNDING: "pricing error",
    Cause.CREDIT: "pricing error",
    Cause.SPILLOVER: "inaccurate volume",
    Cause.UNEXPLAINED: "other",
}
"""The reason of the vendor's list (pricing error, fraud, service issue, inaccurate volume, other) that a cause is."""

EVIDENCE = (
    "kind rows project_id usage label state quantity unit_price amount our_quantity our_unit_price our_amount meeting_quantity "
    "minutes difference explanation"
).split()
DAYS = "project_id day usage project_level project_status meeting_level meeting_coverage observation_id report_id".split()
FORM = "api_key first_day last_day invoice_number reason value currency detail".split()

_CLAIMS = 200
"""Rows of the letter's table: those of most money; the rest are in the evidence and summed up in the last."""
_NOTES = 20
_LONGEST = 4_000
_RIGHT = (
    "What we hold to be right is the usage that your own Insights API states for these projects, at the prices of our rate "
    "card. Each row that differs is below."
)


@dataclass(frozen=True)
class Dispute:
    """A vendor's invoice, its match and the reports that it rests on, as they are kept; `sender` is an invoice's `entity`."""

    invoice: BilledInvoice
    body: bytes
    match: bytes
    matched_at: datetime
    reports: Sequence[bytes]
    sender: Mapping[str, Any] | None

    def pack(self) -> bytes:
        """The ZIP. Raises TooLargeToPrint for what no letter holds."""
        matched = msgspec.json.decode(self.match)
        files = {
            "evidence.csv": csv.table(EVIDENCE, ({key: _cell(line[key]) for key in EVIDENCE} for line in matched["lines"])),
            "days.csv": csv.table(DAYS, (row for report in self.reports for row in _days(msgspec.json.decode(report)))),
            "vendor-invoice.json": self.body,
            "match.json": self.match,
            **{f"report-{report['id']}.json": body for report, body in zip(matched["reports"], self.reports, strict=True)},
        }
        letter = self.letter(matched, sorted([*files, "dispute-form.csv"]))
        files |= {"letter.pdf": pdf.letter(letter), "dispute-form.csv": csv.table(FORM, _form(letter, matched))}
        sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
        return _zip(files | {"SHA256SUMS": sums.encode()})

    def letter(self, matched: Mapping[str, Any], enclosed: Sequence[str]) -> dict[str, Any]:
        """The letter, as `billing.exports.pdf.letter` prints it."""
        invoice, variance, period = self.invoice, matched["variance"], self.invoice.period
        claimed = f"a credit of {invoice.currency.code} {variance['amount']}"
        days = f"{period.first_day} to {period.last_day}, billing days in Pacific time"
        return {
            "date": str(self.matched_at.date()),
            "subject": f"Dispute of invoice {invoice.number}",
            "sender": self.sender,
            "recipient": invoice.vendor,
            "vendor": invoice.vendor,
            "number": invoice.number,
            "accounts": [report["project_id"] for report in matched["reports"]],
            "currency": invoice.currency.code,
            "period": days_of(period),
            "reason": _main_reason(variance["parts"]),
            "billed": variance["billed"],
            "ours": variance["expected"],
            "claimed": variance["amount"],
            "opening": [
                f"We dispute your invoice {invoice.number} for {days}, and ask for {claimed}.",
                _RIGHT,
                *matched["notes"][:_NOTES],
            ],
            "claims": _claims(matched["lines"], variance, invoice.currency),
            "parts": [
                {
                    "part": cause,
                    "label": cause.replace("_", " ").capitalize(),
                    "minutes": variance["minutes_by_part"][cause],
                    "amount": variance["parts"][cause],
                }
                for cause in Cause
            ],
            "closing": [
                f"Please issue {claimed}, or answer each row.",
                "The files enclosed hold every row, every billing day and the reports that they come from, with their hashes.",
            ],
            "enclosed": list(enclosed),
            "references": [
                {"name": f"Report {it['id']}, version {it['version']}", "sha256": it["sha256"]} for it in matched["reports"]
            ],
        }


def _claims(lines: Sequence[Mapping[str, Any]], variance: Mapping[str, Any], currency: Currency) -> list[dict[str, Any]]:
    """The lines that differ, those of most money first, and what follows from them in discounts and tax."""
    differing = [line for line in lines if line["state"] != "matched" and Decimal(line["difference"])]
    differing.sort(key=lambda line: -abs(Decimal(line["difference"])))
    shown, rest = differing[:_CLAIMS], differing[_CLAIMS:]
    claims = [
        {
            "rows": line["rows"][:20],
            "usage": line["usage"] or "",
            "label": line["label"],
            "project_id": line["project_id"],
            "billed_quantity": line["quantity"],
            "our_quantity": line["our_quantity"],
            "unit": "minute",
            "billed_unit_price": line["unit_price"],
            "our_unit_price": line["our_unit_price"],
            "billed_amount": line["amount"],
            "our_amount": line["our_amount"],
            "amount": line["difference"],
            "reason": _main_reason({cause: part["amount"] for cause, part in line["parts"].items()}),
            "detail": line["explanation"],
        }
        for line in shown
    ]
    if rest:
        sums = [_sum(rest, key) for key in ("amount", "our_amount", "difference")]
        claims.append(_summed(f"{len(rest)} more, in evidence.csv", sums[0], sums[1], sums[2], currency))
    follows = Decimal(variance["amount"]) - _sum(differing, "difference")
    if follows:
        claims.append(_summed("Discounts, tax and rounding that go with it", Decimal(0), Decimal(0), follows, currency))
    return claims


def _sum(lines: Sequence[Mapping[str, Any]], key: str) -> Decimal:
    return sum((Decimal(line[key]) for line in lines), Decimal(0))


def _summed(label: str, billed: Decimal, ours: Decimal, amount: Decimal, currency: Currency) -> dict[str, Any]:
    return {
        "rows": [],
        "usage": "",
        "label": label,
        "project_id": None,
        **dict.fromkeys(("billed_quantity", "our_quantity", "billed_unit_price", "our_unit_price")),
        "unit": "minute",
        "billed_amount": currency.text(billed),
        "our_amount": currency.text(ours),
        "amount": currency.text(amount),
        "reason": "other",
        "detail": "",
    }


def _main_reason(parts: Mapping[str, str]) -> str:
    """The reason of most money."""
    by_reason: dict[str, Decimal] = {}
    for cause, amount in parts.items():
        reason = REASONS[Cause(cause)]
        by_reason[reason] = by_reason.get(reason, Decimal(0)) + Decimal(amount)
    return max(by_reason, key=lambda reason: abs(by_reason[reason]), default="other")


def _form(letter: Mapping[str, Any], matched: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the vendor's form asks for, a row for each reason; their values add up to what is claimed."""
    values: dict[str, Decimal] = {}
    for part in letter["parts"]:
        reason = REASONS[part["part"]]
        values[reason] = values.get(reason, Decimal(0)) + Decimal(part["amount"])
    said: dict[str, list[str]] = {reason: [] for reason in values}
    for claim in letter["claims"]:
        said[claim["reason"]].append(f"{claim['label']}: {claim['detail'] or claim['amount']}")
    return [
        {
            "api_key": " ".join(letter["accounts"]),
            "first_day": letter["period"]["first_day"],
            "last_day": letter["period"]["last_day"],
            "invoice_number": letter["number"],
            "reason": reason,
            "value": format(value, "f"),
            "currency": letter["currency"],
            "detail": " ".join([*said[reason], *matched["notes"]])[:_LONGEST],
        }
        for reason, value in values.items()
        if value
    ]


def _days(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The project level beside the meeting level, of each day and usage."""
    rows = []
    for day in report["days"]:
        same = {key: day[key] for key in ("day", "project_status", "meeting_coverage", "observation_id")}
        same |= {"project_id": report["project_id"], "report_id": report["id"]}
        for usage, minutes in (day["project_level"] | day["usage"]).items():
            rows.append(same | {"usage": usage, "project_level": minutes, "meeting_level": day["meeting_level"].get(usage)})
    return rows


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _zip(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # of 1980: a time of its own would make every pack another file
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    return out.getvalue()
