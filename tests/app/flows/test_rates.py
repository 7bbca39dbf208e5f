"""What a new version would have made of past reports: old and new side by side, and nothing kept."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.db import transaction
from app.errors import NotFound
from app.flows import rates
from app.store import ownership, rate_cards
from billing.errors import InvalidMoney
from billing.period import parse_period
from billing.pricing import Priced
from billing.tiers import KNOWN_PLANS
from tests.app.conftest import NOW, on_one_database
from tests.app.flows.conftest import Office
from tests.app.money import add_customer, add_entity

WORKED = "2026-10-31..2026-11-01"
SMALL, LARGE = KNOWN_PLANS[0].fields[:2]


def card(price: str = "0.01", *, above: str = "0.02", **changes: Any) -> dict[str, Any]:
    """Of the worked period's 210 and 75 minutes, 110 and 45 are of 31 October."""
    prices = {tier: {"model": "flat", "unit_price": above} for tier in KNOWN_PLANS[0].fields}
    return {
        "name": "List",
        "currency": "EUR",
        "effective_from": "2026-01-01",
        "tier_plan": list(KNOWN_PLANS[0].fields),
        "prices": prices | {SMALL: {"model": "flat", "unit_price": price}},
    } | changes


@pytest.fixture
def priced(worked: Office) -> Office:
    """The worked period, collected and reported, of a project with the card `list`: 2.10 and 1.50."""
    with transaction(worked.engine) as session:
        rate_cards.publish(session, card(id="list"), NOW, actor="cli")
        session.execute(text("UPDATE projects SET rate_card_id = 'list'"))
    worked.change(rate_card_id="list")
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    return worked


def diff(office: Office, document: object, **how: Any) -> list[rates.Repriced]:
    with transaction(office.engine, read_only=True) as session:
        return list(rates.diff(session, document, **how))


def totals(found: list[rates.Repriced]) -> list[tuple[Any, Any]]:
    def told(side: Priced | str) -> object:
        return str(side.total) if isinstance(side, Priced) else side

    return [(told(it.old), told(it.new)) for it in found]


def test_a_report_is_priced_at_both_rates(priced: Office) -> None:
    found = diff(priced, card("0.03", id="list", effective_from="2027-01-01"))
    assert totals(found) == [("3.60", "7.80")], "on all days of the report, though it begins later"
    assert found[0].report.id == priced.reconcile(WORKED).id
    assert totals(diff(priced, card("0.03"))) == totals(found), "without an id it is compared with the project's own"


def test_what_is_dated_counts_on_its_own_days_only(priced: Office) -> None:
    later = card("0.03", effective_from="2026-11-01")
    assert totals(diff(priced, later, dated=True)) == [("3.60", "5.60")], "100 minutes cost 0.02 more each"
    assert totals(diff(priced, card("0.03", effective_from="2027-01-01"), dated=True)) == [("3.60", "3.60")]


@on_one_database
@given(st.lists(st.decimals(0, 1, places=4), min_size=2, max_size=2))
def test_a_card_that_says_the_same_changes_nothing(priced: Office, prices: list[Decimal]) -> None:
    same = card(*(format(price, "f") for price in prices[:1]), above=format(prices[1], "f"))
    with transaction(priced.engine) as session:
        card_id = rate_cards.publish(session, same, NOW, actor="cli").id
    for dated in (False, True):
        ((old, new),) = totals(diff(priced, same, card_id=card_id, project_ids=["100"], dated=dated))
        assert old == new


def test_without_a_card_there_are_only_new_prices(worked: Office) -> None:
    worked.collect(WORKED)
    worked.reconcile(WORKED)
    assert totals(diff(worked, card())) == [("The project 100 has no rate card.", "3.60")]
    assert totals(diff(worked, card(id="new"))) == [("The project 100 has no rate card.", "3.60")]


def test_a_report_that_cannot_be_priced_says_why(priced: Office) -> None:
    others = KNOWN_PLANS[4].fields
    other = card(tier_plan=list(others), prices={tier: {"model": "flat", "unit_price": "1"} for tier in others})
    assert totals(diff(priced, other)) == [("3.60", f"The rate card 'List' (version 2) has no price for {SMALL}")]
    with transaction(priced.engine) as session:
        rate_cards.publish(session, card(id="late", effective_from="2026-11-01"), NOW, actor="cli")
    ((old, new),) = totals(diff(priced, card(), card_id="late", project_ids=["100"]))
    assert (old, new) == ("No version of the rate card 'List' is in effect on 2026-10-31", "3.60")


def test_a_report_of_a_release_without_money_says_so(priced: Office) -> None:
    content = msgspec.json.decode(priced.reconcile(WORKED).body)
    body = msgspec.json.encode({key: value for key, value in content.items() if key != "usage"})
    with transaction(priced.engine) as session:
        report = session.execute(text("SELECT * FROM reports")).mappings().one()
        row = dict(report) | {"id": "rpt_old", "version": 2, "supersedes": report["id"], "body": body}
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        session.execute(text(f"INSERT INTO reports ({columns}) VALUES ({values})"), row)
    ((old, new),) = totals(diff(priced, card()))
    assert old == new
    assert "reconcile the period again" in new


def test_of_every_period_the_newest_report_is_taken(priced: Office) -> None:
    priced.collect("2026-11-01..2026-11-01")
    priced.reconcile("2026-11-01..2026-11-01")
    with transaction(priced.engine) as session:
        rate_cards.publish(session, card("0.02", id="list"), NOW, actor="cli")
    second = priced.reconcile(WORKED)
    assert second.version == 2
    found = diff(priced, card())
    assert [(str(it.report.first_day), it.report.version) for it in found] == [("2026-11-01", 1), ("2026-10-31", 2)]
    assert diff(priced, card(), limit=1) == found[:1]
    assert diff(priced, card(), period=parse_period("2026-11").period) == found[:1]
    assert diff(priced, card(), period=parse_period("2026-10").period) == []
    assert diff(priced, card(), project_ids=["100"]) == found


def test_a_card_is_tried_on_the_projects_that_it_prices(priced: Office) -> None:
    with transaction(priced.engine) as session:
        rate_cards.publish(session, card(id="other"), NOW, actor="cli")
    assert diff(priced, card(id="other")) == []
    assert totals(diff(priced, card("0.03"), card_id="list")) == [("3.60", "7.80")]
    assert totals(diff(priced, card("0.03", id="other"), project_ids=["100"])) == [("3.60", "7.80")]
    assert totals(diff(priced, card("0.03", id="other"), card_id="list")) == [("3.60", "7.80")]


def test_a_customers_own_card_is_tried_on_what_the_customer_owns(priced: Office) -> None:
    with transaction(priced.engine) as session:
        rate_cards.publish(session, card("0.05", id="own"), NOW, actor="cli")
    assert diff(priced, card(id="own")) == []
    with transaction(priced.engine) as session:
        customer = add_customer(session, add_entity(session).id, rate_card_id="own")
        ownership.assign_project(session, "100", customer.id, actor="cli", now=NOW)
    assert totals(diff(priced, card("0.06", id="own"))) == [("12.00", "14.10")]


def test_what_cannot_be_tried_is_refused(priced: Office) -> None:
    with pytest.raises(NotFound, match="no project 404"):
        diff(priced, card(), project_ids=["404"])
    with pytest.raises(NotFound, match="no rate card none"):
        diff(priced, card(), card_id="none")
    with pytest.raises(InvalidMoney) as refused:
        diff(priced, card("free"))
    assert refused.value.pointer == f"/prices/{SMALL}/unit_price"
