"""Changing SECRET_KEY: everything can be read at each step, and at the end without the old key; or nothing is changed."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.engine import Engine

from app import auth
from app.auth import Vault
from app.db import transaction
from app.errors import Unavailable
from app.flows.secrets import Rotated, rotate
from app.insights.tokens import OpenTokCredentials
from app.settings import Settings
from app.store import audit, projects, webhooks
from app.store.projects import Project

NOW = datetime(2026, 11, 5, 20, tzinfo=UTC)
OLD, NEW, LOST = (letter * 4 + "k3vQ9tLx7RbN2mWc8YdH5sJf1GpA6uE" for letter in "ABC")


def fill(engine: Engine, vault: Vault) -> str:
    """Two projects, and an endpoint with two secrets."""
    with transaction(engine) as session:
        for project_id in ("100", "200"):
            credentials = OpenTokCredentials(project_id=project_id, secret=f"secret of {project_id}")
            projects.create(session, vault, Project(project_id, "Acme", credentials, NOW))
        given = {"url": "https://example.com/", "description": "", "types": None, "projects": None, "ordered": False}
        endpoint = webhooks.create(session, vault, "first", actor="test", now=NOW, **given)
        webhooks.rotate(session, vault, endpoint.id, "second", actor="test", now=NOW)
        return endpoint.id


def everything(engine: Engine, vault: Vault, endpoint_id: str) -> list[str]:
    with transaction(engine, read_only=True) as session:
        found = [projects.get(session, vault, it).credentials.secret for it in ("100", "200")]
        return found + webhooks.secrets(vault, webhooks.get(session, endpoint_id), NOW)


def test_every_secret_can_be_read_at_each_step_and_at_the_end_without_the_old_key(engine: Engine) -> None:
    endpoint_id = fill(engine, Vault(OLD))
    secrets = ["secret of 100", "secret of 200", "second", "first"]
    between = Vault(NEW, OLD)
    assert everything(engine, between, endpoint_id) == secrets
    with transaction(engine) as session:
        assert rotate(session, between, actor="test", now=NOW) == Rotated(projects=2, webhook_endpoints=1)
    assert everything(engine, between, endpoint_id) == everything(engine, Vault(NEW), endpoint_id) == secrets
    with pytest.raises(Unavailable):
        everything(engine, Vault(OLD), endpoint_id)
    with transaction(engine) as session:
        assert rotate(session, between, actor="test", now=NOW) == Rotated(0, 0), "there is nothing more to do"
        actions = [it.action for it in audit.list_page(session, limit=10).items]
    assert actions.count("secrets.rotated") == 1


def test_a_secret_of_an_unknown_key_stops_it_before_anything_is_changed(engine: Engine) -> None:
    endpoint_id = fill(engine, Vault(OLD))
    with transaction(engine) as session:
        lost = OpenTokCredentials(project_id="300", secret="of another time")
        projects.create(session, Vault(LOST), Project("300", "Lost", lost, NOW))
    with pytest.raises(Unavailable, match="another RECKONER_SECRET_KEY"), transaction(engine) as session:
        rotate(session, Vault(NEW, OLD), actor="test", now=NOW)
    assert len(everything(engine, Vault(OLD), endpoint_id)) == 4


def test_the_old_key_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = Vault(OLD).encrypt("secret", context="100")
    monkeypatch.setenv("RECKONER_SECRET_KEY", NEW)
    with pytest.raises(Unavailable):
        auth.vault(Settings(_env_file=None)).decrypt(sealed, context="100")
    monkeypatch.setenv("RECKONER_OLD_SECRET_KEY", OLD)
    assert auth.vault(Settings(_env_file=None)).decrypt(sealed, context="100") == "secret"
