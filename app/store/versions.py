"""Optimistic locking: whoever changes something says which version of it he has seen."""

from collections.abc import Mapping
from typing import Any

from app.errors import StaleVersion


def require_version(what: str, version: int, expected: int | None) -> None:
    """Raise StaleVersion where somebody else was faster; None expects nothing."""
    if expected is not None and version != expected:
        raise StaleVersion(f"{what} has version {version}, and this is for version {expected}: read it again.")


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """For the audit log: every field that differs, as it was and as it is."""
    return {key: {"was": before.get(key), "is": value} for key, value in after.items() if before.get(key) != value}
