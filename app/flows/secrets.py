"""Changing SECRET_KEY: what is stored is encrypted again, under the present key."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, select

from app.auth import Vault
from app.store import audit
from app.store.tables import ProjectRow
from app.store.webhook_tables import WebhookEndpoint


@dataclass(frozen=True)
class Rotated:
    """Whose secrets were encrypted under another key before."""

    projects: int
    webhook_endpoints: int


def rotate(session: Session, vault: Vault, *, actor: str, now: datetime) -> Rotated:
    """Encrypt every stored secret under the vault's present key; again changes nothing.

    Raises Unavailable, with nothing changed, if one was encrypted with a key that the vault does not know.
    """
    projects = endpoints = 0
    for project in session.exec(select(ProjectRow).with_for_update()):
        renewed = vault.renew(project.credentials, context=project.project_id)
        projects += renewed != project.credentials
        project.credentials = renewed
    for endpoint in session.exec(select(WebhookEndpoint).with_for_update()):
        secrets = [it | {"sealed": vault.renew(it["sealed"], context=endpoint.id)} for it in endpoint.secrets]
        endpoints += secrets != endpoint.secrets
        endpoint.secrets = secrets
    if projects or endpoints:
        detail = {"projects": projects, "webhook_endpoints": endpoints}
        audit.record(session, at=now, actor=actor, action="secrets.rotated", subject="installation", detail=detail)
    return Rotated(projects, endpoints)
