"""A vendor's invoice for the worked period: matched with its report, followed by discrepancies, disputed."""

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import text

from app.db import transaction
from app.errors import Conflict, InvalidRequest, NotFound
from app.flows import vendor as flow
from app.flows.verify import verify_all
from app.store import audit, discrepancies, rate_cards, vendor_invoices
from billing.tiers import KNOWN_PLANS
from billing.vendor import parse
from tests.app.conftest import NOW
from tests.app.flows.conftest import Office
from tests.app.money import add_entity

WORKED = "2026-10-31..2026-11-01"
SMALL, LARGE = KNOWN_PLANS[0].fields[:2]
"""210 and 75 minutes were used; the session level has 390 and 45."""


def publish(office: Office, **changes: Any) -> None:
    prices = {tier: {"model": "flat", "unit_price": "0.10"} for tier in KNOWN_PLANS[0].fields}
    document = {
        "id": "list",
        "name": "List",
        "currency": "EUR",
        "effective_from": "2026-01-01",
        "tier_plan": list(KNOWN_PLANS[0].fields),
        "prices": prices | {LARGE: {"model": "flat", "unit_price": "0.20"}},
    }
    with transaction(office.engine) as session:
        rate_cards.publish(session, document | changes, NOW, actor="cli")


@pytest.fixture
def collected(worked: Office) -> Office:
    """The worked period and the days around it, and a project with the card `list`: 21.00 and 15.00."""
    publish(worked)
    with transaction(worked.engine) as session:
        session.execute(text("UPDATE projects SET rate_card_id = 'list'"))
    worked.change(rate_card_id="list")
    worked.collect("2026-10-28..2026-11-03")
    return worked


@pytest.fixture
def office(collected: Office) -> Office:
    collected.reconcile(WORKED)
    return collected


def billed(small: str = "210.00", large: str = "75.00", *more: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An invoice for these minutes, at the card's prices."""
    lines = [
        {"kind": "usage", "usage": usage, "quantity": quantity, "unit_price": price, "amount": amount(quantity, price)}
        for usage, quantity, price in ((SMALL, small, "0.10"), (LARGE, large, "0.20"))
    ]
    numbered = [{"line": place, **line} for place, line in enumerate([*lines, *more], 1)]
    period = {"first_day": "2026-10-31", "last_day": "2026-11-01"}
    return {"vendor": "vonage", "number": "INV-1", "currency": "EUR", "period": period, "lines": numbered} | changes


def amount(quantity: str, price: str) -> str:
    return str((Decimal(quantity) * Decimal(price)).quantize(Decimal("0.01")))


def upload(office: Office, document: dict[str, Any]) -> tuple[str, bool]:
    with transaction(office.engine) as session:
        row, is_new = flow.upload(session, parse(document), actor="cli", now=office.clock.now())
        return row.id, is_new


def read(office: Office, invoice_id: str) -> dict[str, Any]:
    with transaction(office.engine, read_only=True) as session:
        return json.loads(vendor_invoices.document(vendor_invoices.get(session, invoice_id)))


def rematch(office: Office, invoice_id: str) -> dict[str, Any]:
    with transaction(office.engine) as session:
        return json.loads(flow.rematch(session, invoice_id, now=office.clock.now()).match)


def parts(match: dict[str, Any]) -> dict[str, str]:
    return {cause: value for cause, value in match["variance"]["parts"].items() if Decimal(value)}


def found(office: Office) -> list[tuple[str, str, str]]:
    with transaction(office.engine, read_only=True) as session:
        rows = discrepancies.list_page(session, code="vendor_invoice_mismatch", limit=100).items
        return sorted((row.finding["evidence"]["usage"] or "", row.status, row.finding["amount"]) for row in rows)


def test_what_was_used_is_matched_three_ways(office: Office) -> None:
    invoice = read(office, upload(office, billed())[0])
    match = invoice["match"]
    assert [line["state"] for line in match["lines"]] == ["matched", "matched"]
    first = match["lines"][0]
    assert (first["quantity"], first["our_quantity"], first["meeting_quantity"]) == ("210.000000",) * 3
    assert (first["unit_price"], first["our_unit_price"], first["amount"], first["our_amount"]) == (
        "0.10",
        "0.10",
        "21.00",
        "21.00",
    )
    variance = match["variance"]
    assert (variance["billed"], variance["expected"], variance["amount"], variance["minutes"]) == (
        "36.00",
        "36.00",
        "0.00",
        "0.000000",
    )
    assert list(variance["parts"]) == sorted("volume price tier_mix period rounding credit spillover unexplained".split())
    assert [report["project_id"] for report in match["reports"]] == ["100"]
    assert match["rate_card"] == {"id": "list", "versions": [1]}
    assert found(office) == []


def test_billing_the_session_level_is_spillover(office: Office) -> None:
    match = read(office, upload(office, billed("390.00", "45.00"))[0])["match"]
    assert parts(match) == {"spillover": "12.00"}
    assert match["variance"]["minutes_by_part"]["spillover"] == "150.000000"
    assert found(office) == [(SMALL, "open", "18.00"), (LARGE, "open", "-6.00")]


def test_billing_other_days_is_period(office: Office) -> None:
    days = {day["day"]: day for day in json.loads(office.reconcile("2026-11-01..2026-11-02").body)["days"]}
    small, large = (sum(Decimal(day["project_level"][tier]) for day in days.values()) for tier in (SMALL, LARGE))
    assert (small, large) != (210, 75)
    match = read(office, upload(office, billed(f"{small:.2f}", f"{large:.2f}"))[0])["match"]
    assert parts(match).keys() == {"period"}
    assert match["notes"] == ["What was billed is what was used from 2026-11-01 to 2026-11-02."]


def test_billing_by_the_days_of_utc_is_period(office: Office) -> None:
    """Session C's 60 minutes of 3-6 are in the evening before the period, and D's 20 of 1-2 in its last."""
    match = read(office, upload(office, billed("190.00", "135.00"))[0])["match"]
    assert parts(match) == {"period": "10.00"}
    assert match["variance"]["minutes_by_part"]["period"] == "40.000000"
    assert match["notes"] == ["What was billed is what was used in the period by the days of UTC."]


def test_a_mismatch_outlives_reports_and_ends_with_a_match(office: Office) -> None:
    dear = [{"kind": "usage", "usage": "hlsMinutes", "quantity": "10", "unit_price": "0.5", "amount": "5.00"}]
    invoice_id, _ = upload(office, billed("300.00", "75.00", *dear))
    assert found(office) == [(SMALL, "open", "9.00"), ("hlsMinutes", "open", "5.00")]
    before = office.reconcile(WORKED)
    office.collect(WORKED)
    assert office.reconcile(WORKED).id != before.id
    assert [status for _, status, _ in found(office)] == ["open", "open"], "another report does not resolve them"

    publish(office, prices={tier: {"model": "flat", "unit_price": "0.10"} for tier in KNOWN_PLANS[0].fields})
    match = rematch(office, invoice_id)
    assert match["rate_card"]["versions"] == [2]
    assert found(office)[1] == (LARGE, "open", "7.50")
    publish(office, usage_prices={"hlsMinutes": {"model": "flat", "unit_price": "0.50"}})
    rematch(office, invoice_id)
    assert found(office) == [(SMALL, "open", "9.00"), (LARGE, "resolved", "7.50"), ("hlsMinutes", "open", "5.00")]
    history = _history(office, SMALL)
    assert [step for step, _ in history] == ["opened", "seen", "seen"]
    assert {actor for _, actor in history} == {invoice_id}


def _history(office: Office, usage: str) -> Sequence[tuple[str, str]]:
    with transaction(office.engine, read_only=True) as session:
        rows = discrepancies.list_page(session, code="vendor_invoice_mismatch", limit=100).items
        row = next(row for row in rows if row.finding["evidence"]["usage"] == usage)
        return [(event.what, event.actor) for event in discrepancies.history(session, row.id)]


def test_the_same_again_is_the_same_and_another_content_is_refused(office: Office) -> None:
    first, is_new = upload(office, billed())
    assert is_new
    assert upload(office, billed()) == (first, False)
    assert upload(office, billed(total="36.00", period={"start": "2026-10-31T07:00:00Z", "end": "2026-11-02T08:00:00Z"})) == (
        first,
        False,
    ), "in other words"
    with pytest.raises(Conflict, match=f"INV-1 of vonage is there already, with another content: {first}"):
        upload(office, billed("210.01"))
    assert upload(office, billed(vendor="opentok"))[1], "a number is the vendor's"
    with transaction(office.engine, read_only=True) as session:
        said = [entry.action for entry in audit.list_page(session, limit=10).items]
    assert said.count("vendor_invoice.uploaded") == 2


def test_uploads_at_once_make_one_invoice(office: Office) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: upload(office, billed("300.00")), range(8)))
    assert len({invoice_id for invoice_id, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    with ThreadPoolExecutor(4) as pool:
        matches = list(pool.map(lambda _: rematch(office, made[0][0]), range(4)))
    assert all(match == matches[0] for match in matches)
    assert [step for step, _ in _history(office, SMALL)] == ["opened", *["seen"] * 4]


def test_without_a_report_it_is_kept_unmatched_and_matched_later(collected: Office) -> None:
    invoice_id, _ = upload(collected, billed())
    invoice = read(collected, invoice_id)
    assert invoice["match"] is None
    assert "The project 100 has no report of 2026-10-31..2026-11-01: reconcile it" in invoice["unmatched"]
    with pytest.raises(Conflict, match="has no report"):
        rematch(collected, invoice_id)
    collected.reconcile(WORKED)
    assert parts(rematch(collected, invoice_id)) == {}
    assert read(collected, invoice_id)["unmatched"] == ""


def test_what_is_uploaded_again_is_matched_if_it_could_not_be_before(collected: Office) -> None:
    invoice_id, _ = upload(collected, billed())
    collected.reconcile(WORKED)
    assert upload(collected, billed()) == (invoice_id, False)
    assert read(collected, invoice_id)["match"] is not None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"currency": "USD"}, "The invoice is in USD, and the rate card list in EUR"),
        ({"project_ids": ["404"]}, "the project 404, which is not here"),
    ],
)
def test_what_cannot_be_matched_says_why(office: Office, change: dict[str, Any], why: str) -> None:
    assert why in read(office, upload(office, billed(**change))[0])["unmatched"]


def test_a_project_without_a_card_cannot_be_matched(worked: Office) -> None:
    assert "No project has a rate card" in read(worked, upload(worked, billed())[0])["unmatched"]
    assert (
        "The project 100 has no rate card"
        in read(worked, upload(worked, billed(number="2", project_ids=["100"]))[0])["unmatched"]
    )


def test_a_day_that_is_not_known_is_noted(worked_with, engine) -> None:
    office = worked_with(now="2026-11-02T20:00:00Z")
    publish(office)
    with transaction(engine) as session:
        session.execute(text("UPDATE projects SET rate_card_id = 'list'"))
    office.collect(WORKED)
    office.reconcile(WORKED)
    match = read(office, upload(office, billed())[0])["match"]
    assert match["notes"] == ["The project level of project 100 is not final or not known on 2026-10-31, 2026-11-01."]


def test_without_a_cross_check_the_meetings_tell_nothing(collected: Office) -> None:
    collected.change(cross_check=False)
    collected.reconcile(WORKED)
    match = read(collected, upload(collected, billed("390.00", "45.00"))[0])["match"]
    assert [line["meeting_quantity"] for line in match["lines"]] == [None, None]
    assert parts(match) == {"tier_mix": "-3.00", "volume": "15.00"}, "nobody knows of the session level"


def test_a_card_of_other_tiers_cannot_match(office: Office) -> None:
    other = KNOWN_PLANS[3].fields
    prices = {tier: {"model": "flat", "unit_price": "0.10"} for tier in other}
    publish(office, tier_plan=list(other), prices=prices)
    assert "other tiers than the rate card" in read(office, upload(office, billed())[0])["unmatched"]


def test_verification_finds_a_changed_invoice(office: Office) -> None:
    invoice_id, _ = upload(office, billed())
    assert verify_all(office.engine) == []
    with transaction(office.engine) as session:
        session.execute(text("UPDATE vendor_invoices SET sha256 = 'forged'"))
    assert verify_all(office.engine) == [
        f"The vendor's invoice {invoice_id} does not say what its hash says.",
        f"The audit log tells of the vendor's invoice {invoice_id}, with another sha256 than it has.",
    ]


def test_rows_that_name_their_project(office: Office) -> None:
    document = billed()
    for line in document["lines"]:
        line["project_id"] = "100"
    match = read(office, upload(office, document)[0])["match"]
    assert [(line["project_id"], line["state"]) for line in match["lines"]] == [("100", "matched")] * 2


def test_many_rows_are_each_matched_once(office: Office) -> None:
    """More than the 5,000 that others stop at."""
    row = {"kind": "usage", "usage": SMALL, "unit_price": "0.10", "quantity": "0.03", "amount": "0.003"}
    document = billed("0.00", "75.00", *[row] * 7000)
    match = read(office, upload(office, document)[0])["match"]
    assert parts(match) == {}
    assert sorted(row for line in match["lines"] for row in line["rows"]) == list(range(1, 7003))


def pack(office: Office, invoice_id: str, entity_id: str | None = None) -> bytes:
    with transaction(office.engine, read_only=True) as session:
        return flow.dispute_pack(session, invoice_id, entity_id)[1]


def test_the_pack_holds_what_the_form_asks_for(office: Office) -> None:
    formula = {"kind": "other", "amount": "7.00", "text": "=HYPERLINK()"}
    invoice_id, _ = upload(office, billed("300.00", "75.00", formula))
    office.at("2026-11-07T20:00:00Z")
    content = pack(office, invoice_id)
    assert content == pack(office, invoice_id), "the same match gives the same bytes"
    rematch(office, invoice_id)
    assert content == pack(office, invoice_id), "also when it was matched again"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    invoice = read(office, invoice_id)
    report = invoice["match"]["reports"][0]["id"]
    assert files.keys() == {
        "SHA256SUMS",
        "days.csv",
        "dispute-form.csv",
        "evidence.csv",
        "letter.pdf",
        "match.json",
        f"report-{report}.json",
        "vendor-invoice.json",
    }
    form = list(csv.DictReader(io.StringIO(files["dispute-form.csv"].decode())))
    assert [(row["reason"], row["value"]) for row in form] == [("inaccurate volume", "9.00"), ("other", "7.00")]
    assert {(row["api_key"], row["first_day"], row["last_day"], row["currency"]) for row in form} == {
        ("100", "2026-10-31", "2026-11-01", "EUR")
    }
    assert "90.00 minutes more than the project level has" in form[0]["detail"]
    evidence = list(csv.DictReader(io.StringIO(files["evidence.csv"].decode())))
    assert [(row["state"], row["difference"]) for row in evidence] == [
        ("differs", "9.00"),
        ("matched", "0.00"),
        ("not_in_usage", "7.00"),
    ]
    days = list(csv.DictReader(io.StringIO(files["days.csv"].decode())))
    assert sum(Decimal(row["project_level"]) for row in days if row["usage"] == SMALL) == 210
    letter = "".join(page.extract_text() for page in PdfReader(io.BytesIO(files["letter.pdf"])).pages)
    letter = " ".join(letter.split())
    for said in ("Dispute of invoice INV-1", "EUR 16.00", "inaccurate volume", "31 October – 1 November 2026", "Other charges"):
        assert said in letter, said


def test_the_pack_is_in_the_name_of_an_entity(office: Office) -> None:
    invoice_id, _ = upload(office, billed("300.00"))
    with transaction(office.engine) as session:
        one = add_entity(session)
    assert pack(office, invoice_id) == pack(office, invoice_id, one.id)
    with transaction(office.engine) as session:
        add_entity(session, "OTHER")
    with pytest.raises(InvalidRequest, match="several legal entities"):
        pack(office, invoice_id)
    assert pack(office, invoice_id, one.id)
    with pytest.raises(NotFound):
        pack(office, invoice_id, "ent_404")
    assert asdict(one)["name"] == "Acme GmbH"


def test_there_is_no_pack_without_a_claim(office: Office, collected: Office) -> None:
    with pytest.raises(Conflict, match="nothing to dispute"):
        pack(office, upload(office, billed())[0])
    with pytest.raises(Conflict, match="not matched yet: The invoice is in USD"):
        pack(office, upload(office, billed(number="2", currency="USD"))[0])
