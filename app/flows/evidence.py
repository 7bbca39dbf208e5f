"""Evidence: what upstream itself said of one session, in the observations that a report rests on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from app.errors import NotFound
from app.store import observations
from app.store.payloads import SessionRows, meeting_rows
from app.store.tables import Report
from billing.facts import Kind, Observation


@dataclass(frozen=True)
class Window:
    """What one day's answer said of the session: its statement, and its meetings, also those created on other days."""

    observation: Observation
    rows: SessionRows


def session_evidence(session: Session, report: Report, session_id: str) -> Sequence[Window]:
    """Every meeting window of the report that names the session, in order of days. Raises NotFound if none does."""
    held = [it["id"] for it in json.loads(report.body)["observations"] if it["kind"] == Kind.MEETINGS]
    windows = [observations.get(session, observation_id) for observation_id in held]

    told = [(it, meeting_rows(observations.payload(session, it.sha256), session_id)) for it in windows]

    found = [Window(observation, rows) for observation, rows in told if rows]
    if not found:
        raise NotFound(f"No observation of the report {report.id} names that session.")
    return sorted(found, key=lambda window: window.observation.day)
