"""Projects of an account: ask upstream which there are, and keep those that are new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Engine

from app.auth import Vault
from app.clock import Clock
from app.db import transaction
from app.errors import Conflict
from app.insights.client import OpenTokCredentials, list_projects
from app.insights.limits import ClientLimits
from app.store import projects
from app.store.projects import Project

PATIENCE = ClientLimits(read=20, call=30, attempts=2, longest_pause=2)
"""Somebody waits for the answer: better to say soon that upstream is busy than to hold on for as long as a collection may."""


@dataclass(frozen=True)
class ImportResult:
    """What became of an account's projects; `skipped` has the reason by project id."""

    imported: Sequence[Project]
    skipped: Mapping[str, str]


def import_projects(
    engine: Engine, vault: Vault, account_key: str, account_secret: str, *, url: str, clock: Clock
) -> ImportResult:
    """Add all projects of an account that are not here yet, on default terms. Raises InsightsError.

    The account's secret is not kept. A deleted project is left out: upstream answers nothing for it.
    """
    found = list_projects(account_key, account_secret, url=url, clock=clock, limits=PATIENCE)

    wanted = [it for it in found if it.status != "DELETED"]
    skipped = {it.id: "upstream has deleted it" for it in found if it.status == "DELETED"}

    imported: list[Project] = []
    with transaction(engine) as session:
        for it in wanted:
            project = Project(it.id, it.name or it.id, OpenTokCredentials(it.id, it.secret), clock.now())
            try:
                imported.append(projects.create(session, vault, project))
            except Conflict:
                skipped[it.id] = "it is there already"
    return ImportResult(imported, skipped)
