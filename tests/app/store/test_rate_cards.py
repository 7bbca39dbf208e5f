"""Rate cards are published version by version, and what was published stays as it was."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from app.db import transaction
from app.errors import Conflict, InvalidRequest, NotFound, StaleVersion
from app.store import audit, rate_cards
from billing.errors import BillingError
from billing.ratecard import RateCard
from billing.ratecard_file import dump, load_text
from tests.app.conftest import NOW, on_one_database

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "list-prices.yaml"


def terms(**changes: Any) -> dict[str, Any]:
    """A small rate card of one tier."""
    return {
        "name": "Small",
        "currency": "EUR",
        "effective_from": "2026-10-01",
        "tier_plan": ["from1PlusPublishers"],
        "prices": {"from1PlusPublishers": {"model": "flat", "unit_price": "0.004"}},
    } | changes


def publish(engine: Engine, document: object, **where: Any) -> RateCard:
    with transaction(engine) as session:
        return rate_cards.publish(session, document, NOW, actor="cli", **where)


@on_one_database
@given(prices=st.lists(st.decimals(0, 1000, places=6), min_size=1, max_size=4))
def test_every_version_comes_back_as_it_was_published(engine: Engine, prices: list) -> None:
    made, known = [], ""
    for price in dict.fromkeys(format(price, "f") for price in prices):
        document = terms(prices={"from1PlusPublishers": {"model": "flat", "unit_price": price}})
        made.append(publish(engine, document, card_id=known or None))
        known = made[0].id
    assert [card.version for card in made] == list(range(1, len(made) + 1))
    with transaction(engine, read_only=True) as session:
        assert [rate_cards.get(session, known, card.version) for card in made] == made
        assert rate_cards.get(session, known) == made[-1]
        assert rate_cards.history(session, known).versions == made
        assert list(rate_cards.check(session)) == []


def test_the_example_that_is_shipped_can_be_published(engine: Engine) -> None:
    document = load_text(EXAMPLE.read_text(), "yaml")
    card = publish(engine, document)
    assert (card.id, card.version) == ("list-prices-example", 1)
    assert "example" in card.name
    assert "example" in card.note
    assert publish(engine, document) == card


@pytest.mark.parametrize("statement", ["UPDATE rate_cards SET body = ''", "DELETE FROM rate_cards"])
def test_a_published_version_never_changes(engine: Engine, statement: str) -> None:
    card = publish(engine, terms())
    with pytest.raises(DBAPIError, match="rate_cards is append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    with transaction(engine, read_only=True) as session:
        assert rate_cards.get(session, card.id) == card


def test_a_version_counts_from_its_first_day_and_the_one_before_it_until_then(engine: Engine) -> None:
    first = publish(engine, terms(id="list"))
    second = publish(engine, terms(id="list", effective_from="2026-10-16"))
    with transaction(engine, read_only=True) as session:
        history = rate_cards.history(session, "list")
    assert history.on(date(2026, 10, 15)) == first
    assert history.on(date(2026, 10, 16)) == second


def test_the_same_again_is_the_version_that_is_there(engine: Engine) -> None:
    first = publish(engine, terms(id="list"))
    assert publish(engine, dump(first)) == first
    second = publish(engine, terms(id="list", note="Other"))
    assert publish(engine, terms(note="Other"), card_id="list") == second
    assert publish(engine, terms(), card_id="list").version == 3, "back to the first terms is a new version"
    assert publish(engine, terms()).id != publish(engine, terms()).id, "without an id each is a card of its own"


def test_a_document_of_a_version_that_is_not_the_newest_any_more_is_stale(engine: Engine) -> None:
    read = dump(publish(engine, terms(id="list")))
    assert publish(engine, read | {"note": "Ada's"}).version == 2
    with pytest.raises(StaleVersion, match="version 3 of the rate card list, the document says '1'"):
        publish(engine, read | {"note": "Ben's"})
    assert publish(engine, terms(id="list", version="3")).version == 3, "it may also state which one it is to be"
    with pytest.raises(StaleVersion, match="version 1"):
        publish(engine, terms(id="lsit", version=3))


def test_who_published_which_version_is_in_the_audit_log(engine: Engine) -> None:
    for _ in range(2):
        publish(engine, terms(id="list"))
    with transaction(engine, read_only=True) as session:
        entries = audit.list_page(session, subject="list", limit=10).items
        assert [(it.actor, it.action, it.detail["version"], it.at) for it in entries] == [
            ("cli", "rate_card.published", 1, NOW)
        ]
        assert entries[0].detail["sha256"] == rate_cards.find(session, "list").sha256


def test_of_many_at_once_each_is_a_version_or_refused(engine: Engine) -> None:
    def attempt(number: int) -> int:
        try:
            return publish(engine, terms(id="list", note=str(number))).version
        except Conflict:
            return 0

    with ThreadPoolExecutor(8) as pool:
        versions = [version for version in pool.map(attempt, range(8)) if version]
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert versions
    with transaction(engine, read_only=True) as session:
        assert len(rate_cards.history(session, "list").versions) == len(versions)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (terms(id="no id"), "/id"),
        (terms(id=7), "/id"),
        (terms(currency="XXX"), "/currency"),
        (terms(prices={}), "/prices/from1PlusPublishers"),
        (
            terms(prices={"from1PlusPublishers": {"model": "flat", "unit_price": 0.004}}),
            "/prices/from1PlusPublishers/unit_price",
        ),
        ([], ""),
    ],
)
def test_what_cannot_be_is_refused_by_its_path_and_nothing_is_kept(engine: Engine, document: object, pointer: str) -> None:
    with pytest.raises((BillingError, InvalidRequest)) as refused:
        publish(engine, document)
    assert refused.value.pointer == pointer
    with transaction(engine, read_only=True) as session:
        assert rate_cards.list_page(session, limit=1).items == []


def test_what_is_not_there_is_said_to_be_missing(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no rate card none"):
        publish(engine, terms(), card_id="none")
    publish(engine, terms(id="list"))
    with pytest.raises(InvalidRequest, match="another rate card's") as refused:
        publish(engine, terms(id="other"), card_id="list")
    assert refused.value.pointer == "/id"
    with transaction(engine, read_only=True) as session:
        with pytest.raises(NotFound, match="no rate card list, version 2"):
            rate_cards.get(session, "list", 2)
        for missing in (rate_cards.get, rate_cards.history):
            with pytest.raises(NotFound, match="no rate card none"):
                missing(session, "none")


def test_a_list_shows_the_newest_version_of_each_card(engine: Engine) -> None:
    with transaction(engine) as session:
        for number in range(5):
            rate_cards.publish(session, terms(id=f"card-{number}"), NOW + timedelta(seconds=number // 2), actor="cli")
        rate_cards.publish(session, terms(id="card-0", note="Other"), NOW + timedelta(days=1), actor="cli")
    listed, cursor = [], None
    with transaction(engine, read_only=True) as session:
        while len(listed) < 10:
            items, cursor = rate_cards.list_page(session, limit=2, cursor=cursor)
            listed += [(row.id, row.version) for row in items]
            if cursor is None:
                break
        with pytest.raises(InvalidRequest, match="cursor"):
            rate_cards.list_page(session, limit=2, cursor="no card")
    assert listed == [("card-4", 1), ("card-3", 1), ("card-2", 1), ("card-1", 1), ("card-0", 2)]


def test_versions_are_listed_newest_first(engine: Engine) -> None:
    for number in range(5):
        publish(engine, terms(id="list", note=str(number)))
    listed, cursor = [], None
    with transaction(engine, read_only=True) as session:
        while len(listed) < 10:
            items, cursor = rate_cards.list_versions(session, "list", limit=2, cursor=cursor)
            listed += [row.version for row in items]
            if cursor is None:
                break
        for wrong in ("x", "", "-1", "9" * 20):
            with pytest.raises(InvalidRequest, match="cursor"):
                rate_cards.list_versions(session, "list", limit=2, cursor=wrong)
        with pytest.raises(NotFound):
            rate_cards.list_versions(session, "none", limit=2)
    assert listed == [5, 4, 3, 2, 1]


def test_a_changed_version_is_found(sqlite_engine: Engine) -> None:
    publish(sqlite_engine, terms(id="list"))
    with transaction(sqlite_engine) as session:
        session.execute(text("DROP TRIGGER rate_cards_no_update"))
        session.execute(text("UPDATE rate_cards SET body = CAST(replace(CAST(body AS TEXT), '0.004', '0.005') AS BLOB)"))
        assert list(rate_cards.check(session)) == ["The rate card list, version 1, does not say what its hash says."]
