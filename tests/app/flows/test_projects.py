"""Importing an account's projects: those that are new, on default terms, without what the account may not give."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from app.auth import Vault
from app.clock import MovableClock
from app.db import transaction
from app.flows import projects as flow
from app.flows.projects import ImportResult, import_projects
from app.insights.client import OpenTokCredentials, list_projects
from app.insights.errors import InsightsError
from app.insights.limits import ClientLimits
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.store import projects
from tests.app.flows.conftest import VAULT, WORKED, Office

CLOCK = MovableClock(datetime(2026, 11, 6, 20, tzinfo=UTC))


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account with an active, a suspended and a deleted project."""
    dataset = json.loads(WORKED.read_text())
    (active,) = dataset["projects"]
    for project_id, status in (("200", "SUSPENDED"), ("300", "DELETED")):
        dataset["projects"].append(
            active | {"id": project_id, "status": status, "name": "", "secret": f"secret-of-{project_id}"}
        )
    transport = SandboxTransport(Upstream(Dataset.load(dataset), CLOCK))
    ours = partial(list_projects, transport=transport, limits=ClientLimits(attempts=1))
    monkeypatch.setattr(flow, "list_projects", ours)


def imported(engine: Engine, vault: Vault = VAULT, secret: str = "account-secret") -> ImportResult:
    return import_projects(engine, vault, "9000", secret, url="http://sandbox/v2/project", clock=CLOCK)


def kept(engine: Engine) -> dict[str, Any]:
    with transaction(engine, read_only=True) as session:
        return {it.project_id: (it.name, it.credentials) for it in projects.list_page(session, VAULT, limit=10).items}


def test_all_projects_that_still_exist_are_imported(engine: Engine) -> None:
    result = imported(engine)
    assert [it.project_id for it in result.imported] == ["100", "200"]
    assert result.skipped == {"300": "upstream has deleted it"}
    assert kept(engine)["200"] == ("200", OpenTokCredentials("200", "secret-of-200"))


def test_a_project_that_is_here_stays_as_it_is(worked: Office) -> None:
    before = kept(worked.engine)["100"]
    result = imported(worked.engine)
    assert [it.project_id for it in result.imported] == ["200"]
    assert result.skipped == {"100": "it is there already", "300": "upstream has deleted it"}
    assert kept(worked.engine)["100"] == before


def test_a_refused_account_imports_nothing(engine: Engine) -> None:
    with pytest.raises(InsightsError):
        imported(engine, secret="guessed")
    assert kept(engine) == {}
