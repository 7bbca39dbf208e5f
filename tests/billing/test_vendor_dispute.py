"""The match and the dispute of any invoice: what is claimed adds up, and a letter has an end."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.discrepancy import Code
from billing.ratecard import CardHistory
from billing.vendor import BilledInvoice, BilledLine, Kind, core
from billing.vendor_dispute import Dispute
from billing.vendor_match import Basis, match, mismatches
from billing.vendor_minutes import Cause
from billing.vendor_variance import vary
from tests.billing.rate_cards import PERIOD, cards
from tests.billing.test_vendor_variance import CARD, LOW, TOLERANCE, WORLD, billed_lines, footed, units

REPORT = {"id": "rpt_1", "version": 1, "sha256": "0" * 64, "project_id": "100", "verdict": "balanced"}
BASIS = Basis([REPORT], {"id": "list", "versions": [1]}, ["A note."])
BODY = json.dumps(REPORT | {"days": []}).encode()
AT = datetime(2026, 11, 5, 12, tzinfo=UTC)


def dispute(invoice: BilledInvoice, matched: bytes) -> Dispute:
    return Dispute(invoice, core(invoice), matched, AT, [BODY], None)


@given(rate_card=cards(), lines=billed_lines(), unit=units(), off=st.decimals(-10, 10, places=0))
def test_what_is_claimed_adds_up(rate_card, lines, unit, off) -> None:
    total = rate_card.currency.round(sum((line.amount for line in lines), Decimal(0)) + off)
    invoice = BilledInvoice("vendor", "1", rate_card.currency, PERIOD, (), lines, total)
    variance = vary(invoice, [unit], CardHistory([rate_card]), TOLERANCE)
    content = match(invoice, variance, BASIS, TOLERANCE)
    assert content == match(invoice, variance, BASIS, TOLERANCE)
    matched = json.loads(content)
    amount = Decimal(matched["variance"]["amount"])
    assert sum(map(Decimal, matched["variance"]["parts"].values())) == amount
    letter = dispute(invoice, content).letter(matched, [])
    assert sum(Decimal(claim["amount"]) for claim in letter["claims"]) == amount == Decimal(letter["claimed"])
    for line in matched["lines"]:
        assert sum(Decimal(part["amount"]) for part in line["parts"].values()) == Decimal(line["difference"])
        assert sum(Decimal(part["minutes"]) for part in line["parts"].values()) == Decimal(line["minutes"])
        if line["state"] == "matched":
            assert not line["parts"].keys() & {Cause.PRICE, Cause.CREDIT, Cause.UNEXPLAINED}, line
            few = Decimal("0.01") + len(line["rows"])  # rows in whole minutes hide less than one each
            assert not line["rows"] or abs(Decimal(line["minutes"])) <= few + Decimal(line["our_quantity"] or 0) / 10**6
    found = list(mismatches(invoice, matched, "vin_1"))
    assert len(found) == sum(line["state"] != "matched" for line in matched["lines"])
    assert len({it.fingerprint(project) for project, it, _ in found}) == len(found), "each is a discrepancy of its own"
    assert {it.code for _, it, _ in found} <= {Code.VENDOR_INVOICE_MISMATCH}


def test_a_letter_of_a_thousand_faults_has_an_end() -> None:
    projects = [replace(WORLD, project_id=str(number)) for number in range(300)]
    right = Decimal(WORLD.used(PERIOD)[LOW]).scaleb(-6)
    lines = tuple(
        BilledLine(number, Kind.USAGE, LOW, it.project_id, right + number, Decimal("0.00395"), Decimal(200), "=1+1")
        for number, it in enumerate(projects, 1)
    )
    invoice = footed(BilledInvoice("vendor", "1", CARD.versions[0].currency, PERIOD, (), lines, Decimal(0)))
    content = match(invoice, vary(invoice, projects, CARD, TOLERANCE), BASIS, TOLERANCE)
    it = dispute(invoice, content)
    letter = it.letter(json.loads(content), [])
    assert len(letter["claims"]) == 201
    assert letter["claims"][-1]["label"].endswith("more, in evidence.csv")
    assert sum(Decimal(claim["amount"]) for claim in letter["claims"]) == Decimal(letter["claimed"])
    with zipfile.ZipFile(io.BytesIO(it.pack())) as archive:
        evidence = list(csv.DictReader(io.StringIO(archive.read("evidence.csv").decode())))
        form = list(csv.DictReader(io.StringIO(archive.read("dispute-form.csv").decode())))
    assert len(evidence) == len(json.loads(content)["lines"])
    assert sum(Decimal(row["value"]) for row in form) == Decimal(letter["claimed"])
    assert max(len(row["detail"]) for row in form) <= 4000
