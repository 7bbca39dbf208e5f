"""How Alembic reaches the database: in the transaction it is handed, or, from its own command line, at DATABASE_URL."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from sqlalchemy.engine import Connection
from sqlmodel import SQLModel

from app.db import create_engine
from app.settings import Settings
from app.store import tables  # noqa: F401  The models register themselves.


def render_item(_type: str, item: Any, _context: object) -> str | Literal[False]:
    # A migration must not change its meaning with the application: it names plain types.
    return f"sa.{item.impl_instance!r}" if isinstance(item, sa.TypeDecorator) else False


def migrate(connection: Connection) -> None:
    # SQLite cannot alter a table in place: Alembic copies it in a batch.
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_item=render_item, render_as_batch=True)
    context.run_migrations()


if (handed := context.config.attributes.get("connection")) is not None:
    migrate(handed)
else:
    with create_engine(Settings().database_url).begin() as own:
        migrate(own)
