"""Reports in their chain of versions, and the life of a discrepancy from one to the next."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine
from sqlmodel import Session

from app.db import transaction
from app.errors import InvalidRequest, NotFound
from app.store import discrepancies, reports
from app.store.tables import Discrepancy, Report
from billing.report import core_of, digest
from tests.app.conftest import NOW, on_one_database

pytestmark = pytest.mark.usefixtures("projects")


def _finding(name: str, total: str = "1.000000", project_id: str = "100") -> dict[str, Any]:
    return {
        "id": f"dsc_{project_id}_{name}",
        "fingerprint": f"{project_id} {name}",
        "code": "residual",
        "severity": "high",
        "status": "open",
        "total": total,
        "summary": f"{total} minutes on day {name}",
    }


def _core(
    findings: Sequence[str | dict[str, Any]] = (), month: int = 10, project_id: str = "100", last: int = 30, **more: Any
) -> bytes:
    found = [_finding(it, project_id=project_id) if isinstance(it, str) else it for it in findings]
    aligned = {"first_day": f"2026-{month}-01", "last_day": f"2026-{month}-{last}"}
    content = {
        "project_id": project_id,
        "period": {"aligned": aligned},
        "verdict": "unexplained",
        "discrepancies": found,
        **more,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _save(engine: Engine, core: bytes, minutes: int = 0) -> Report:
    with transaction(engine) as session:
        return reports.save(session, core, created_at=NOW + timedelta(minutes=minutes)).report


def _statuses(session: Session) -> dict[str, str]:
    return {row.id.removeprefix("dsc_100_"): row.status for row in discrepancies.list_page(session, limit=100).items}


def _steps(session: Session, name: str) -> list[str]:
    return [event.what for event in discrepancies.history(session, f"dsc_100_{name}")]


def test_versions_follow_each_other(engine: Engine) -> None:
    first, second = _save(engine, _core(["a"])), _save(engine, _core(["b"]), 1)
    assert (first.version, first.supersedes) == (1, None)
    assert (second.version, second.supersedes) == (2, first.id)
    with transaction(engine, read_only=True) as session:
        kept = reports.get(session, second.id)
        assert reports.find(session, "100", date(2026, 10, 1), date(2026, 10, 30)) == kept
        assert core_of(kept.body) == _core(["b"])
        assert kept.sha256 == digest(_core(["b"]))
        content = json.loads(kept.body)
        assert content["id"] == second.id
        assert content["supersedes"] == first.id
        assert content["created_at"] == "2026-11-03T12:01:00Z"


def test_the_same_again_is_the_same_report(engine: Engine) -> None:
    first = _save(engine, _core(["a"]))
    assert _save(engine, _core(["a"]), 1).id == first.id
    back = [_save(engine, _core(["b"]), 2), _save(engine, _core(["a"]), 3)]
    assert [it.version for it in back] == [2, 3], "what was superseded can be true again, as a new version"
    with transaction(engine, read_only=True) as session:
        assert _steps(session, "a") == ["opened", "resolved", "reopened"]


def test_each_project_and_period_has_its_own_chain(engine: Engine) -> None:
    made = [_save(engine, _core()), _save(engine, _core(month=11)), _save(engine, _core(project_id="200"))]
    assert [it.version for it in made] == [1, 1, 1]
    with transaction(engine, read_only=True) as session:
        assert reports.find(session, "200", date(2026, 11, 1), date(2026, 11, 30)) is None
        assert [it.id for it in reports.list_page(session, project_id="200", limit=10).items] == [made[2].id]


def test_reports_made_at_once_are_counted_one_after_the_other(engine: Engine) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda number: _save(engine, _core([f"{number}"])), range(6)))
    made.sort(key=lambda it: it.version)
    assert [it.version for it in made] == [1, 2, 3, 4, 5, 6]
    assert [it.supersedes for it in made] == [None, *(it.id for it in made[:-1])]


def test_a_list_comes_in_pages(engine: Engine) -> None:
    made = [_save(engine, _core(month=month), month // 12).id for month in (10, 11, 12)]
    with transaction(engine, read_only=True) as session:
        first = reports.list_page(session, limit=2)
        second = reports.list_page(session, limit=2, cursor=first.next_cursor)
        assert first.items[0].id == made[2], "newest first"
        assert {it.id for it in (*first.items, *second.items)} == set(made)
        assert (len(second.items), second.next_cursor) == (1, None)
        with pytest.raises(InvalidRequest, match="cursor"):
            reports.list_page(session, limit=2, cursor="x")
        with pytest.raises(NotFound, match="no report x"):
            reports.get(session, "x")


def test_a_discrepancy_is_opened_seen_resolved_and_opened_again(engine: Engine) -> None:
    for minute, found in enumerate((["a", "b"], ["b", "c"], ["a", "b", "c"])):
        last = _save(engine, _core(found), minute)
    with transaction(engine, read_only=True) as session:
        assert _statuses(session) == {"a": "open", "b": "open", "c": "open"}
        assert [_steps(session, name) for name in "abc"] == [
            ["opened", "resolved", "reopened"],
            ["opened", "seen", "seen"],
            ["opened", "seen"],
        ]
        row = discrepancies.get(session, "dsc_100_a")
        assert (row.opened_at, row.changed_at, row.report_id) == (NOW, NOW + timedelta(minutes=2), last.id)
        assert [event.actor for event in discrepancies.history(session, "dsc_100_c")][-1] == last.id


def test_the_last_finding_is_shown(engine: Engine) -> None:
    _save(engine, _core([_finding("a", "1.000000")]))
    _save(engine, _core([_finding("a", "2.500000")]), 1)
    with transaction(engine, read_only=True) as session:
        assert discrepancies.get(session, "dsc_100_a").finding["summary"] == "2.500000 minutes on day a"
        assert [event.detail["total"] for event in discrepancies.history(session, "dsc_100_a")] == ["1.000000", "2.500000"]


def test_a_report_that_covers_the_period_resolves_what_it_no_longer_has(engine: Engine) -> None:
    straddle = _finding("s") | {"code": "boundary_straddle"}
    _save(engine, _core(["a", "b", straddle], last=20))
    _save(engine, _core(["b"], last=10), minutes=1)  # holds a part of it only
    with transaction(engine) as session:
        assert _statuses(session) == {"a": "open", "b": "open", "s": "open"}
    _save(engine, _core(), minutes=2)
    with transaction(engine) as session:
        assert _statuses(session) == {"a": "resolved", "b": "resolved", "s": "open"}, "a longer period ends elsewhere"


def test_another_period_resolves_nothing_here(engine: Engine) -> None:
    _save(engine, _core(["a"]))
    _save(engine, _core(["b"], month=11), 1)
    _save(engine, _core([], month=11), 2)
    with transaction(engine, read_only=True) as session:
        assert _statuses(session) == {"a": "open", "b": "resolved"}


@on_one_database
@given(chain=st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=6))
def test_what_is_open_is_what_the_newest_report_has(engine: Engine, chain: list[set[str]]) -> None:
    with Session(engine) as session:  # rolled back, so that every example begins with nothing
        for number, found in enumerate(chain):
            reports.save(session, _core(sorted(found)), created_at=NOW + timedelta(minutes=number))
        statuses = _statuses(session)
        assert {name for name, status in statuses.items() if status == "open"} == chain[-1]
        assert set(statuses) == set().union(*chain)


def _edit(engine: Engine, minute: int = 1, **changes: Any) -> Discrepancy:
    with transaction(engine) as session:
        return discrepancies.edit(session, "dsc_100_a", changes, actor="key_1", now=NOW + timedelta(minutes=minute))


def test_what_people_say_stays(engine: Engine) -> None:
    _save(engine, _core(["a"]))
    edited = _edit(engine, status="acknowledged", note="asked the vendor", assignee="Ada")
    assert (edited.status, edited.note, edited.assignee) == ("acknowledged", "asked the vendor", "Ada")
    _save(engine, _core(["a", "b"]), 2)
    with transaction(engine, read_only=True) as session:
        row = discrepancies.get(session, "dsc_100_a")
        assert (row.status, row.note, row.assignee) == ("acknowledged", "asked the vendor", "Ada")
        event = discrepancies.history(session, row.id)[1]
        assert (event.what, event.actor) == ("edited", "key_1")
        assert event.detail == {"status": "acknowledged", "note": "asked the vendor", "assignee": "Ada"}


def test_an_edit_that_changes_nothing_is_no_step(engine: Engine) -> None:
    _save(engine, _core(["a"]))
    assert _edit(engine, status="open", note="").changed_at == NOW
    with transaction(engine, read_only=True) as session:
        assert _steps(session, "a") == ["opened"]


def test_what_a_person_resolved_and_is_found_again_is_open(engine: Engine) -> None:
    _save(engine, _core(["a"]))
    _edit(engine, status="resolved")
    _save(engine, _core(["a", "b"]), 2)
    with transaction(engine, read_only=True) as session:
        assert _statuses(session)["a"] == "open"
        assert _steps(session, "a") == ["opened", "edited", "reopened"]


@pytest.mark.parametrize(
    ("until", "status"), [(None, "ignored"), (NOW + timedelta(minutes=9), "ignored"), (NOW + timedelta(minutes=5), "open")]
)
def test_what_is_ignored_stays_so_until_its_instant(engine: Engine, until: datetime | None, status: str) -> None:
    _save(engine, _core(["a"]))
    _edit(engine, status="ignored", ignore_until=until)
    _save(engine, _core(["a", "b"]), 5)
    with transaction(engine, read_only=True) as session:
        assert _statuses(session)["a"] == status


def test_leaving_the_ignored_forgets_until_when(engine: Engine) -> None:
    _save(engine, _core(["a"]))
    _edit(engine, status="ignored", ignore_until=NOW + timedelta(days=1))
    assert _edit(engine, 2, note="later").ignore_until == NOW + timedelta(days=1)
    assert _edit(engine, 3, status="open").ignore_until is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ignore_until": NOW + timedelta(days=1)},
        {"status": "open", "ignore_until": NOW + timedelta(days=1)},
        {"status": "ignored", "ignore_until": NOW},
    ],
)
def test_an_instant_that_makes_no_sense_is_refused(engine: Engine, changes: dict[str, Any]) -> None:
    _save(engine, _core(["a"]))
    with pytest.raises(InvalidRequest) as refused:
        _edit(engine, **changes)
    assert refused.value.pointer == "/ignore_until"


def test_discrepancies_are_listed_by_what_is_asked_for(engine: Engine) -> None:
    _save(engine, _core(["a", "b"]))
    _save(engine, _core(["b"]), 1)
    _save(engine, _core(["x"], project_id="200"))
    with transaction(engine, read_only=True) as session:

        def listed(**wanted: str) -> list[str]:
            return [row.id for row in discrepancies.list_page(session, limit=10, **wanted).items]

        assert listed(project_id="100") == ["dsc_100_b", "dsc_100_a"]
        assert listed(status="resolved") == ["dsc_100_a"]
        assert listed(project_id="200", status="open", code="residual") == ["dsc_200_x"]
        assert listed(code="tier_shift") == []
        with pytest.raises(NotFound, match="no discrepancy x"):
            discrepancies.get(session, "x")


def test_more_discrepancies_than_one_query_holds(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discrepancies, "_CHUNK", 7)
    many = [f"{number:02}" for number in range(50)]
    _save(engine, _core(many))
    _save(engine, _core(many[:-1]), 1)
    with transaction(engine, read_only=True) as session:
        statuses = _statuses(session)
        assert statuses.pop("49") == "resolved"
        assert set(statuses.values()) == {"open"}
        assert all(_steps(session, name) == ["opened", "seen"] for name in statuses)
