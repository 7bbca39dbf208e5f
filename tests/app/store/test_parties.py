"""Entities, customers and who owns what: kept whole, changed by one at a time, and every change is in the audit log."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.db import transaction
from app.errors import Conflict, InvalidRequest, NotFound, StaleVersion
from app.store import audit, customers, entities, ownership
from app.store.tables import ProjectRow
from billing.errors import InvalidMoney, InvalidSetting
from tests.app.conftest import NOW, on_one_database
from tests.app.money import ADDRESS, add_customer, add_entity

WHO: dict[str, Any] = {"actor": "key_1", "now": NOW}


def last(session: Session) -> tuple[str, str, str, dict[str, Any]]:
    (entry,) = audit.list_page(session, limit=1).items
    return entry.action, entry.actor, entry.subject, entry.detail


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@on_one_database
@given(name=texts, note=texts, bank=st.none() | st.fixed_dictionaries({"name": texts, "iban": texts, "bic": texts}))
def test_an_entity_comes_back_as_it_was(engine: Engine, name: str, note: str, bank: Any) -> None:
    with transaction(engine) as session:
        made = add_entity(session, timezone="Asia/Tokyo", legal_note=note, bank=bank, registration=name)
        session.expire_all()
        assert entities.get(session, made.id) == made
        session.rollback()


def test_a_customer_comes_back_as_it_was(engine: Engine) -> None:
    with transaction(engine) as session:
        more = {"formats": ["pdf", "ubl"], "four_eyes": True, "terms": {"days": 14, "text": "net"}, "reference": "4711"}
        made = add_customer(session, add_entity(session).id, **more)
    with transaction(engine, read_only=True) as session:
        assert customers.get(session, made.id) == made
        assert [it.id for it in customers.list_page(session, limit=9).items] == [made.id]
        assert len(entities.list_page(session, limit=9).items) == 1


@pytest.mark.parametrize(
    ("prefix", "zone", "pointer"),
    [
        *((prefix, "UTC", "/prefix") for prefix in ("", "acme", "A B", "A" * 17, "-A", "A\n")),
        *(("A", zone, "/timezone") for zone in ("Berlin", "")),
    ],
)
def test_a_prefix_or_time_zone_that_is_none_is_refused(engine: Engine, prefix: str, zone: str, pointer: str) -> None:
    with transaction(engine) as session, pytest.raises(InvalidSetting) as refused:
        add_entity(session, prefix, timezone=zone)
    assert refused.value.pointer == pointer


def test_two_entities_do_not_share_a_prefix(engine: Engine) -> None:
    with transaction(engine) as session:
        first = add_entity(session)
        with pytest.raises(Conflict, match="has the prefix ACME"):
            add_entity(session)
        with pytest.raises(Conflict, match="cannot be changed"):
            entities.update(session, first.id, expected_version=None, prefix="OTHER", **WHO)


def test_what_a_customer_refers_to_must_be_there(engine: Engine) -> None:
    with transaction(engine) as session:
        entity = add_entity(session).id
        for more, error in (
            ({"entity_id": "ent_unknown"}, InvalidRequest),
            ({"rate_card_id": "rc_unknown"}, InvalidRequest),
            ({"currency": "XXY"}, InvalidMoney),
            ({"formats": ["docx"]}, InvalidSetting),
        ):
            with pytest.raises(error):
                customers.create(
                    session,
                    customers.Customer(
                        **{"name": "A", "entity_id": entity, "currency": "EUR", **more}, address=ADDRESS, created_at=NOW
                    ),
                    actor="cli",
                )
        with pytest.raises(NotFound):
            customers.get(session, "cus_unknown")
        with pytest.raises(NotFound):
            entities.update(session, "ent_unknown", expected_version=None, **WHO)


def test_a_change_counts_the_version_on_and_says_what_it_was(engine: Engine) -> None:
    with transaction(engine) as session:
        entity = add_entity(session)
        customer = add_customer(session, entity.id)
        changed = customers.update(session, customer.id, expected_version=1, four_eyes=True, name="Ada Ltd", **WHO)
        assert (changed.version, changed.four_eyes, changed.currency) == (2, True, "EUR")
        said = {"name": {"was": "Ada", "is": "Ada Ltd"}, "four_eyes": {"was": False, "is": True}}
        assert last(session) == ("customer.changed", "key_1", customer.id, said)
        with pytest.raises(StaleVersion, match="has version 2, and this is for version 1"):
            customers.update(session, customer.id, expected_version=1, name="Eve", **WHO)
        assert customers.update(session, customer.id, expected_version=2, name="Ada Ltd", **WHO) == changed
        assert entities.update(session, entity.id, expected_version=1, email="a@b.example", **WHO).version == 2
        assert last(session) == ("entity.changed", "key_1", entity.id, {"email": {"was": "", "is": "a@b.example"}})
        with pytest.raises(StaleVersion):
            entities.update(session, entity.id, expected_version=1, email="", **WHO)


def test_of_changes_at_once_one_counts(engine: Engine) -> None:
    with transaction(engine) as session:
        customer = add_customer(session, add_entity(session).id)

    def attempt(name: str) -> bool:
        try:
            with transaction(engine) as session:
                customers.update(session, customer.id, expected_version=1, name=name, **WHO)
        except StaleVersion:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, "abcdef")) == 1


@pytest.fixture
def parties(engine: Engine, projects: None) -> tuple[str, str]:
    with transaction(engine) as session:
        entity = add_entity(session).id
        return add_customer(session, entity).id, add_customer(session, entity, "Bob").id


def owners(session: Session, *session_ids: str) -> list[str | None]:
    owner_of = ownership.owner_of(session, "100")
    return [owner_of(it) for it in session_ids]


def test_a_project_belongs_to_a_customer_or_to_nobody(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    with transaction(engine) as session:
        ownership.assign_project(session, "100", ada, **WHO)
        assert last(session) == ("project.assigned", "key_1", "100", {"customer_id": {"was": None, "is": ada}})
        assert [it.project_id for it in ownership.projects_of(session, ada)] == ["100"]
        assert not ownership.is_shared(session, "100")
        ownership.assign_project(session, "100", bob, **WHO)
        assert not ownership.projects_of(session, ada)
        ownership.assign_project(session, "100", None, **WHO)
        assert session.get_one(ProjectRow, "100").customer_id is None
        with pytest.raises(InvalidRequest):
            ownership.assign_project(session, "100", "cus_unknown", **WHO)
        with pytest.raises(NotFound):
            ownership.assign_project(session, "999", ada, **WHO)


def test_a_list_is_put_in_place_or_added_to(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    with transaction(engine) as session:
        put = ownership.import_sessions(session, "100", [("a", ada), ("b", bob), ("a", ada)], replace=True, **WHO)
        assert put == {"added": 2, "changed": 0, "removed": 0}
        more = ownership.import_sessions(session, "100", [("b", ada), ("c", bob)], replace=False, **WHO)
        assert more == {"added": 1, "changed": 1, "removed": 0}
        assert owners(session, "a", "b", "c", "d") == [ada, ada, bob, None]
        assert last(session)[0::2] == ("project.sessions_imported", "100")
        first = ownership.list_page(session, "100", limit=2)
        rest = ownership.list_page(session, "100", limit=2, cursor=first.next_cursor)
        assert [it.session_id for it in [*first.items, *rest.items]] == ["a", "b", "c"]
        less = ownership.import_sessions(session, "100", [("c", bob)], replace=True, **WHO)
        assert less == {"added": 0, "changed": 0, "removed": 2}
        seen = audit.list_page(session, limit=99).items
        ownership.import_sessions(session, "100", [("c", bob)], replace=True, **WHO)
        assert audit.list_page(session, limit=99).items == seen, "nothing changed, nothing is noted"


def test_a_list_that_cannot_be_used_changes_nothing(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    with transaction(engine) as session:
        with pytest.raises(InvalidRequest, match="session a has two customers") as refused:
            ownership.import_sessions(session, "100", [("a", ada), ("a", bob)], replace=True, **WHO)
        assert refused.value.pointer == "/items/1/customer_id"
        with pytest.raises(InvalidRequest, match="no customer cus_unknown"):
            ownership.import_sessions(session, "100", [("a", "cus_unknown")], replace=True, **WHO)
        assert not ownership.is_shared(session, "100")


def test_many_sessions_are_imported_at_once(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    names = [f"1_MX4xMDB-{number}" for number in range(12_000)]
    with transaction(engine) as session:
        ownership.import_sessions(session, "100", [(name, ada) for name in names], replace=True, **WHO)
        counts = ownership.import_sessions(session, "100", [(name, bob) for name in names[:11_000]], replace=True, **WHO)
        assert counts == {"added": 0, "changed": 11_000, "removed": 1000}


def test_the_list_counts_before_the_rules(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    with transaction(engine) as session:
        ownership.set_rules(session, "100", [("school-*", ada), ("*-exam", ada), ("club-*", bob)], **WHO)
        ownership.import_sessions(session, "100", [("school-9", bob)], replace=False, **WHO)
        assert owners(session, "school-1", "school-exam", "club-1", "school-9", "other") == [ada, ada, bob, bob, None]
        assert [it.project_id for it in ownership.projects_of(session, bob)] == ["100"]
        assert ownership.is_shared(session, "100")


def test_a_session_that_two_customers_claim_is_refused_by_name(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    with transaction(engine) as session:
        ownership.set_rules(session, "100", [("school-*", ada), ("*-exam", bob)], **WHO)
        with pytest.raises(Conflict, match="session school-exam of project 100 is claimed by rules of two customers"):
            owners(session, "school-1", "school-exam")
        ownership.import_sessions(session, "100", [("school-exam", bob)], replace=False, **WHO)
        assert owners(session, "school-exam") == [bob], "the list settles it"


def test_rules_are_put_in_place_of_those_before(engine: Engine, parties: tuple[str, str]) -> None:
    ada, bob = parties
    with transaction(engine) as session:
        ownership.set_rules(session, "100", [("a*", ada)], **WHO)
        ownership.set_rules(session, "100", [("b*", bob)], **WHO)
        assert [(it.pattern, it.customer_id) for it in ownership.rules_of(session, "100")] == [("b*", bob)]
        assert last(session) == ("project.rules_set", "key_1", "100", {"rules": {"was": {"a*": ada}, "is": {"b*": bob}}})
        with pytest.raises(InvalidRequest) as refused:
            ownership.set_rules(session, "100", [("b*", bob), ("b*", ada)], **WHO)
        assert refused.value.pointer == "/rules/1/pattern"
        with pytest.raises(InvalidRequest, match="There are 1001 rules"):
            ownership.set_rules(session, "100", [(f"{number}*", ada) for number in range(1001)], **WHO)
        ownership.set_rules(session, "100", [], **WHO)
        assert not ownership.is_shared(session, "100")
