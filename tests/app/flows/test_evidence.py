"""Evidence: the rows of one session in every window that a report rests on."""

import pytest

from app.db import transaction
from app.errors import NotFound
from app.flows.evidence import session_evidence
from app.store import reports
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"


def test_a_session_is_shown_as_upstream_told_it_in_each_window(worked: Office) -> None:
    worked.collect(WORKED)
    report = worked.reconcile(WORKED)
    worked.collect(WORKED)
    with transaction(worked.engine, read_only=True) as session:
        windows = session_evidence(session, reports.get(session, report.id), "1_MX4xMDB-worked-B")
    assert [str(it.observation.day) for it in windows] == ["2026-10-30", "2026-11-01"], "not the later observations"
    for window in windows:
        assert window.rows.statement["from1To2Publishers"] == 180_000_000
        assert [it.minutes["from1To2Publishers"] for it in window.rows.meetings] == [60_000_000, 40_000_000, 80_000_000]


def test_a_session_that_no_window_names_is_not_found(worked: Office) -> None:
    worked.collect(WORKED)
    report = worked.reconcile(WORKED)
    with transaction(worked.engine, read_only=True) as session, pytest.raises(NotFound):
        session_evidence(session, reports.get(session, report.id), "1_MX4xMDB-worked-Z")
