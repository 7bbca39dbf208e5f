"""Projects come back as they went in, and their secrets are nowhere to be read."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.auth import Vault
from app.db import transaction
from app.errors import Conflict, InvalidRequest, NotFound, Unavailable
from app.insights.tokens import Credentials, OpenTokCredentials, VonageCredentials
from app.store import audit, projects, rate_cards
from app.store.projects import Project
from billing.errors import InvalidSetting
from billing.model import Basis, ProjectTerms, Tolerance
from billing.tiers import KNOWN_PLANS, TierPlan
from tests.app.conftest import NOW
from tests.app.store.test_rate_cards import terms

VAULT = Vault("Zk3vQ9tLx7RbN2mWc8YdH5sJf1GpA6uE")
OPENTOK = OpenTokCredentials("100", "s3cret-of-100")
VONAGE = VonageCredentials("100", "78d335fa-323d-0114-9c3d-d6f0d48968cf", "-----BEGIN PRIVATE KEY-----\nMIIs3cret\n")


def _project(project_id: str = "100", **changes: Any) -> Project:
    return replace(Project(project_id, "Acme", OpenTokCredentials(project_id, "s3cret-of-100"), NOW), **changes)


def update(session: Session, project_id: str, **changes: Any) -> Project:
    return projects.update(session, VAULT, project_id, actor="cli", now=NOW, **changes)


@pytest.mark.parametrize("credentials", [OPENTOK, VONAGE])
def test_a_project_comes_back_as_it_went_in(engine: Engine, credentials: Credentials) -> None:
    made = _project(
        credentials=credentials,
        insights_url="http://localhost:1/graphql",
        basis=Basis.MEETING_LEVEL,
        cross_check=False,
        plan=KNOWN_PLANS[4],
        cycle_anchor_day=31,
        tolerance=Tolerance(1, Decimal("1E-7")),
    )
    with transaction(engine) as session:
        assert projects.create(session, VAULT, made) == made
    with transaction(engine, read_only=True) as session:
        found = projects.get(session, VAULT, "100")
    assert found == made
    assert found.terms() == ProjectTerms("100", Basis.MEETING_LEVEL, False, KNOWN_PLANS[4], Tolerance(1, Decimal("1E-7")))


def test_the_defaults_are_the_vendors(engine: Engine) -> None:
    with transaction(engine) as session:
        projects.create(session, VAULT, _project())
        terms = projects.get(session, VAULT, "100").terms()
    assert terms == ProjectTerms("100", Basis.PROJECT_LEVEL, True, KNOWN_PLANS[0], Tolerance(10_000, Decimal("0.000001")))


@pytest.mark.parametrize("credentials", [OPENTOK, VONAGE])
def test_secrets_are_nowhere_to_be_read(engine: Engine, credentials: Credentials) -> None:
    project = _project(credentials=credentials)
    with transaction(engine) as session:
        projects.create(session, VAULT, project)
        kept = str(session.execute(text("SELECT * FROM projects")).all())
    assert "s3cret" not in kept + repr(project)


def test_a_changed_secret_key_is_said_and_no_crash(engine: Engine) -> None:
    with transaction(engine) as session:
        projects.create(session, VAULT, _project())
        with pytest.raises(Unavailable, match="RECKONER_SECRET_KEY"):
            projects.get(session, Vault("Another-9tLx7RbN2mWc8YdH5sJf1GpA6uE"), "100")


def test_a_project_is_there_once(engine: Engine) -> None:
    with transaction(engine) as session:
        projects.create(session, VAULT, _project())
    with pytest.raises(Conflict, match="project 100 is there already"), transaction(engine) as session:
        projects.create(session, VAULT, _project(name="Other"))
    with transaction(engine) as session:
        assert projects.get(session, VAULT, "100").name == "Acme"


def test_what_is_not_there_is_said_to_be_missing(engine: Engine) -> None:
    with transaction(engine) as session:
        with pytest.raises(NotFound, match="no project 300"):
            projects.get(session, VAULT, "300")
        with pytest.raises(NotFound, match="no project 300"):
            update(session, "300", name="x")


def test_a_change_changes_that_and_nothing_else(engine: Engine) -> None:
    with transaction(engine) as session:
        made = projects.create(session, VAULT, _project())
    with transaction(engine) as session:
        changed = update(session, "100", name="New", credentials=VONAGE)
    assert changed == replace(made, name="New", credentials=VONAGE)
    with transaction(engine, read_only=True) as session:
        assert projects.get(session, VAULT, "100") == changed


def test_each_change_of_the_terms_is_in_the_audit_log_without_its_secrets(engine: Engine) -> None:
    """They decide what a report says, and so what may be invoiced without an override."""
    with transaction(engine) as session:
        projects.create(session, VAULT, _project())
        update(session, "100", cross_check=False, tolerance=Tolerance(1_000_000, Decimal("0.1")))
        update(session, "100", cross_check=False)
        update(session, "100", credentials=VONAGE)
        changed, *more = reversed(audit.list_page(session, subject="100", limit=9).items)
        assert (changed.actor, changed.action, changed.at) == ("cli", "project.changed", NOW)
        assert changed.detail == {
            "cross_check": {"was": True, "is": False},
            "tolerance_minutes": {"was": 10_000, "is": 1_000_000},
            "tolerance_relative": {"was": "0.000001", "is": "0.1"},
        }
        assert [it.detail for it in more] == [{"credentials": "replaced"}], "what changes nothing is not there"
        assert audit.check(session) == []


def test_a_rate_card_must_be_there_and_price_the_projects_tiers(engine: Engine) -> None:
    with transaction(engine) as session:
        made = projects.create(session, VAULT, _project(plan=TierPlan.of(["from1PlusPublishers"])))
        rate_cards.publish(session, terms(id="list"), NOW, actor="cli")
        assert update(session, "100", rate_card_id="list") == replace(made, rate_card_id="list")
        with pytest.raises(InvalidRequest, match="no rate card none") as refused:
            update(session, "100", rate_card_id="none")
        assert refused.value.pointer == "/rate_card_id"
        with pytest.raises(InvalidRequest, match="other tiers") as refused:
            update(session, "100", plan=KNOWN_PLANS[0])
        assert refused.value.pointer == "/tier_plan"
        with pytest.raises(InvalidRequest, match="other tiers"):
            projects.create(session, VAULT, _project("200", rate_card_id="list"))
        assert projects.get(session, VAULT, "100").rate_card_id == "list"
        assert update(session, "100", plan=KNOWN_PLANS[0], rate_card_id=None).rate_card_id is None


def test_two_changes_at_once_both_hold(engine: Engine) -> None:
    with transaction(engine) as session:
        projects.create(session, VAULT, _project())

    def change(changes: dict[str, Any]) -> None:
        with transaction(engine) as session:
            update(session, "100", **changes)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(change, [{"name": "New"}, {"credentials": VONAGE}, {"cycle_anchor_day": 15}]))
    with transaction(engine, read_only=True) as session:
        assert projects.get(session, VAULT, "100") == _project(name="New", credentials=VONAGE, cycle_anchor_day=15)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"cycle_anchor_day": 0}, "/cycle_anchor_day"),
        ({"cycle_anchor_day": 32}, "/cycle_anchor_day"),
        ({"tolerance": Tolerance(-1)}, "/tolerance/minutes"),
        ({"tolerance": Tolerance(1_000_000_001)}, "/tolerance/minutes"),
        ({"tolerance": Tolerance(0, Decimal("-0.1"))}, "/tolerance/relative"),
        ({"tolerance": Tolerance(0, Decimal("0.11"))}, "/tolerance/relative"),
        ({"tolerance": Tolerance(0, Decimal("NaN"))}, "/tolerance/relative"),
        ({"credentials": OpenTokCredentials("200", "s")}, "/credentials"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_and_nothing_is_written(
    engine: Engine, changes: dict[str, Any], pointer: str
) -> None:
    with transaction(engine) as session:
        made = projects.create(session, VAULT, _project())
    with pytest.raises(InvalidSetting) as refused, transaction(engine) as session:
        update(session, "100", **changes)
    assert refused.value.pointer == pointer
    with transaction(engine, read_only=True) as session:
        assert projects.get(session, VAULT, "100") == made


def test_a_list_comes_in_pages_also_when_some_are_as_old(engine: Engine) -> None:
    made = [_project(str(number), created_at=NOW + timedelta(seconds=number // 3)) for number in range(10)]
    with transaction(engine) as session:
        for project in made:
            projects.create(session, VAULT, project)
    listed, cursor = [], None
    with transaction(engine, read_only=True) as session:
        while len(listed) < 20:
            items, cursor = projects.list_page(session, VAULT, limit=4, cursor=cursor)
            listed += items
            if cursor is None:
                break
        with pytest.raises(InvalidRequest, match="cursor"):
            projects.list_page(session, VAULT, limit=4, cursor="no project")
    assert listed == sorted(made, key=lambda it: (it.created_at, it.project_id), reverse=True)
