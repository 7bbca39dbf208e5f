"""Verifying: a report is made again byte for byte; whatever is tampered with is found."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app.errors import NotFound
from app.flows.verify import verify, verify_all
from app.store.tables import Report
from billing import report as made
from billing.report import Envelope
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"


@pytest.fixture
def report(worked: Office) -> Report:
    worked.collect(WORKED)
    return worked.reconcile(WORKED)


def tamper(engine: Engine, statement: str, **values: object) -> None:
    """Do what only somebody with the database in his hands can do: the triggers that refuse it are dropped first."""
    with engine.begin() as connection:
        for table in ("payloads", "observations", "reports"):
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"DROP TRIGGER {table}_append_only ON {table}"))
            else:
                connection.execute(text(f"DROP TRIGGER {table}_no_update"))
                connection.execute(text(f"DROP TRIGGER {table}_no_delete"))
        assert connection.execute(text(statement), values).rowcount == 1


def test_a_report_is_what_its_observations_give(worked: Office, report: Report) -> None:
    assert verify(worked.engine, report.id) == []
    assert verify_all(worked.engine) == []


def test_it_stays_so_when_more_is_known_and_terms_have_changed(worked: Office, report: Report) -> None:
    worked.at("2026-12-24T20:00:00Z")
    worked.collect(WORKED)
    worked.change(cross_check=False)
    second = worked.reconcile(WORKED)
    assert verify(worked.engine, report.id) == verify(worked.engine, second.id) == []
    assert verify_all(worked.engine) == []


@pytest.mark.parametrize("period", ["2026-10", "2026-10-31T01:00:00Z..2026-11-01T23:00:00+01:00", "1793430000..1793606400000"])
def test_so_is_a_report_of_any_form_of_period(worked: Office, period: str) -> None:
    worked.collect(WORKED)
    assert verify(worked.engine, worked.reconcile(period).id) == []


def test_an_unknown_report_is_not_found(worked: Office) -> None:
    with pytest.raises(NotFound):
        verify(worked.engine, "rpt_unknown")


def test_a_changed_report_is_found(worked: Office, report: Report) -> None:
    body = report.body.replace(b'"285.000000"', b'"284.000000"')
    tamper(worked.engine, "UPDATE reports SET body = :body", body=body)
    assert verify(worked.engine, report.id) == [f"The report {report.id} does not say what its hash says."]


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"id":'], ids=["empty", "no object", "cut"])
def test_a_report_that_cannot_be_read_is_found(worked: Office, report: Report, body: bytes) -> None:
    tamper(worked.engine, "UPDATE reports SET body = :body", body=body)
    assert verify(worked.engine, report.id) == [f"The report {report.id} cannot be read."]


@pytest.mark.parametrize("change", ["verdict = 'unexplained'", "first_day = '2026-10-30'", "last_day = '2026-11-02'"])
def test_a_report_that_is_listed_as_what_it_is_not_is_found(worked: Office, report: Report, change: str) -> None:
    tamper(worked.engine, f"UPDATE reports SET {change}")
    problem = f"The report {report.id} is listed with another project, period or verdict than its own."
    assert verify(worked.engine, report.id) == [problem]


def test_a_report_changed_together_with_its_hash_is_found(worked: Office, report: Report) -> None:
    content = json.loads(report.body)
    content["verdict"] = "explained"
    core = made.core_of(json.dumps(content).encode())
    body = made.document(core, Envelope(report.id, report.version, report.supersedes, report.created_at))
    tamper(worked.engine, "UPDATE reports SET body = :body, sha256 = :sha256", body=body, sha256=made.digest(core))
    problem = f"The report {report.id} says something else than what its observations give, in verdict."
    assert verify(worked.engine, report.id) == [problem]


def test_a_changed_observation_is_found(worked: Office, report: Report) -> None:
    held = json.loads(report.body)["observations"]
    first, other = (it for it in held if it["kind"] == "daily_usage")
    tamper(worked.engine, "UPDATE observations SET sha256 = :sha256 WHERE id = :id", id=first["id"], sha256=other["sha256"])
    (problem,) = verify(worked.engine, report.id)
    assert "observations" in problem


def test_a_lost_observation_is_found(worked: Office, report: Report) -> None:
    lost = json.loads(report.body)["observations"][0]["id"]
    tamper(worked.engine, "DELETE FROM observations WHERE id = :id", id=lost)
    problem = f"The report {report.id} cannot be made again: There is no observation {lost}."
    assert verify(worked.engine, report.id) == [problem]


CHANGES: list[Callable[[bytes], bytes]] = [lambda it: it[:-9], lambda it: it.replace(b"1", b"2", 1), lambda _: b"{}"]


@pytest.mark.parametrize("kind", ["daily_usage", "meetings", "session_detail"])
@pytest.mark.parametrize("change", CHANGES, ids=["cut", "edited", "emptied"])
def test_a_changed_payload_is_found(worked: Office, report: Report, kind: str, change: Callable[[bytes], bytes]) -> None:
    sha256 = next(it["sha256"] for it in json.loads(report.body)["observations"] if it["kind"] == kind)
    with worked.engine.begin() as connection:
        content = connection.execute(text("SELECT content FROM payloads WHERE sha256 = :it"), {"it": sha256}).scalar_one()
    changed = change(bytes(content))
    tamper(worked.engine, "UPDATE payloads SET content = :content WHERE sha256 = :it", content=changed, it=sha256)
    problems = verify(worked.engine, report.id)
    assert problems
    assert all(sha256 in problem for problem in problems)
    assert verify_all(worked.engine)
