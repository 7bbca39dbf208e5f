"""The service in the test's process, on a new database, with an API key of every scope."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from app import auth
from app.db import transaction
from app.main import create_app
from app.settings import Settings

NOW = datetime(2026, 11, 5, 20, tzinfo=UTC)
ADMIN = "rk_bootstrap-of-the-tests"


@pytest.fixture
def address(sqlite_url: str) -> str:
    """The database; a module for which it matters takes both kinds instead."""
    return sqlite_url


@pytest.fixture
def settings(address: str) -> Settings:
    return Settings(database_url=address, bootstrap_key=ADMIN, now=NOW, _env_file=None)


@pytest.fixture
def works() -> bool:
    """Whether the service does the jobs too. To start and to stop what does them takes longer than most tests."""
    return False


@pytest.fixture
def client(settings: Settings, works: bool) -> Iterator[TestClient]:
    """A client with the admin's key."""
    with TestClient(create_app(settings, worker=works)) as client:
        client.headers["Authorization"] = f"Bearer {ADMIN}"
        yield client


@pytest.fixture
def key(client: TestClient) -> Callable[..., dict[str, str]]:
    """Makes headers with a key of these scopes."""

    def make(*scopes: str) -> dict[str, str]:
        with transaction(client.app.state.service.engine) as session:
            return {"Authorization": f"Bearer {auth.create_key(session, 'test', scopes, NOW)[1]}"}

    return make


@pytest.fixture
def new_project() -> dict[str, object]:
    return {"project_id": "100", "name": "Acme", "credentials": {"kind": "opentok", "secret": "project-secret"}}
