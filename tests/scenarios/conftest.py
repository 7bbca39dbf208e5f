"""Databases for the scenarios, and the tally of what they found."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import URL, Engine

from app import db
from tests.scenarios.tally import tally

__all__ = ["tally"]


@pytest.fixture
def postgres_engine(postgres_clone: Callable[[], URL]) -> Iterator[Engine]:
    """An engine on a new migrated PostgreSQL database."""
    engine = db.create_engine(postgres_clone().render_as_string(hide_password=False))
    yield engine
    engine.dispose()
