"""docs/webhooks.md says what the code does."""

import re

from fastapi.testclient import TestClient

from app.flows import deliver
from app.main import create_app
from app.settings import Settings
from app.store.webhooks import MAX_SECRETS, OVERLAP
from app.webhooks.events import EventType
from app.webhooks.reference import PAGE, renewed
from app.webhooks.schedule import PATIENCE
from app.webhooks.sender import SECONDS


def test_the_reference_is_current() -> None:
    page = PAGE.read_text()
    assert page == renewed(page), "python -m app.webhooks.reference writes it anew"


def test_every_event_is_told_of() -> None:
    assert set(re.findall(r"^## `(.+)`$", PAGE.read_text(), re.MULTILINE)) == set(EventType)


def test_every_address_is_one_of_the_service(sqlite_url: str) -> None:
    app = create_app(Settings(database_url=sqlite_url, _env_file=None), worker=False)
    with TestClient(app):
        paths = app.openapi()["paths"]
    told = re.findall(r"`(GET|POST|PATCH) (/v1/[^`?]*)`", PAGE.read_text())
    assert len(told) > 5
    assert all(method.lower() in paths[path] for method, path in told)


def test_the_figures_in_the_text_are_those_of_the_code() -> None:
    assert (SECONDS, PATIENCE.days, OVERLAP.total_seconds() / 3600, MAX_SECRETS) == (15, 5, 24, 3)
    assert (deliver.KEPT.days, deliver.AT_ONCE) == (90, 1000)
