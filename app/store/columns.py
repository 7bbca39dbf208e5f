"""The types of the tables' columns, the same on SQLite and PostgreSQL, and how constraints are named."""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import DateTime, Dialect, String, TypeDecorator
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""A constraint without a name could never be dropped on SQLite."""


class Instant(TypeDecorator[datetime]):
    """A zone-aware instant to the microsecond, in UTC both ways. SQLite keeps it as text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive instant, which means nothing."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no offset from UTC")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say again that it is UTC: SQLite forgets, PostgreSQL answers in the session's zone."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal as text: SQLite's numbers would pass it through a float."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        """Refuse what is not a finite Decimal."""
        if value is not None and not (isinstance(value, Decimal) and value.is_finite()):
            raise ValueError(f"{value!r} is no finite Decimal")
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        """The same Decimal, digit by digit."""
        return None if value is None else Decimal(value)
