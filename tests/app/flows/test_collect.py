"""Collecting: what a period needs and no more, a day whole or not at all, an answer seen before stored once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func
from sqlmodel import select

from app.db import transaction
from app.flows.collect import WORKERS, CollectionFailed, CollectionResult, Wanted, collect, needed_by, plan
from app.insights.calendar import maintenance_until
from app.insights.client import DetailAnswer, InsightsClient
from app.insights.errors import InsightsError, InvalidCredentials, InvalidQuery, NeedsAdvancedInsights
from app.store import observations
from app.store.payloads import decode_daily, decode_details
from app.store.tables import ObservationRow, PayloadRow
from billing.coverage import DAILY_RETENTION, MEETING_RETENTION
from billing.facts import Kind, key64
from billing.period import BillingPeriod, day_start
from tests.app.flows.conftest import Office

WORKED = "2026-10-31..2026-11-01"
BEFORE, FIRST, LAST = date(2026, 10, 30), date(2026, 10, 31), date(2026, 11, 1)


def kept(office: Office) -> set[tuple[Kind, date]]:
    with transaction(office.engine, read_only=True) as session:
        return {(Kind(row.kind), row.day) for row in session.exec(select(ObservationRow))}


def count(office: Office, table: type[Any]) -> int:
    with transaction(office.engine, read_only=True) as session:
        return session.exec(select(func.count()).select_from(table)).one()


WHOLE = {
    (Kind.DAILY_USAGE, FIRST),
    (Kind.DAILY_USAGE, LAST),
    *((Kind.MEETINGS, day) for day in (BEFORE, FIRST, LAST)),
    *((Kind.SESSION_DETAIL, day) for day in (BEFORE, FIRST, LAST)),
}
"""What the worked period needs: C, F and D each cross a midnight, so each window has its detail."""


def test_the_worked_period_needs_these_answers_and_no_more(worked: Office) -> None:
    seen: list[tuple[int, int]] = []
    result = worked.collect(WORKED, progress=lambda done, total: seen.append((done, total)))
    assert kept(worked) == {(it.kind, it.day) for it in result.observations} == WHOLE
    assert result.not_collected == []
    assert all(it.complete and not it.reason for it in result.observations)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert worked.upstream.calls == Counter(projectData=1, sessionSummaries=3, sessions=3)


def test_exactly_the_days_that_are_wanted_are_collected(worked: Office) -> None:
    """The daily usage in one request, of which the days between are not kept; the meetings of their own days alone."""
    far = date(2026, 9, 1)
    result = collect(
        worked.engine,
        worked.project,
        Wanted([far, FIRST], [LAST]),
        client_factory=worked.client,
        clock=worked.clock,
        progress=lambda *_: None,
    )
    wanted = {(Kind.DAILY_USAGE, far), (Kind.DAILY_USAGE, FIRST), (Kind.MEETINGS, LAST), (Kind.SESSION_DETAIL, LAST)}
    assert kept(worked) == {(it.kind, it.day) for it in result.observations} == wanted
    assert worked.upstream.calls == Counter(projectData=1, sessionSummaries=1, sessions=1)


def test_what_is_kept_is_what_upstream_said(worked: Office) -> None:
    worked.collect(WORKED)
    with transaction(worked.engine, read_only=True) as session:
        (daily,) = observations.history(session, "100", Kind.DAILY_USAGE, FIRST, FIRST)
        (detail,) = observations.history(session, "100", Kind.SESSION_DETAIL, FIRST, FIRST)
        usage = decode_daily(observations.payload(session, daily.sha256))
        meetings = decode_details(observations.payload(session, detail.sha256))
    assert usage is not None
    assert (usage.tiers["from1To2Publishers"], usage.tiers["from3To6Publishers"]) == (110_000_000, 45_000_000)
    assert [(it.session, len(it.connections), len(it.publishing)) for it in meetings] == [(key64("1_MX4xMDB-worked-F"), 3, 3)]


def test_collecting_again_asks_again_and_adds_no_payload(worked: Office) -> None:
    worked.collect(WORKED)
    payloads, calls = count(worked, PayloadRow), Counter(worked.upstream.calls)
    worked.collect(WORKED)
    assert count(worked, PayloadRow) == payloads
    assert count(worked, ObservationRow) == 2 * len(WHOLE)
    assert worked.upstream.calls == calls + calls


def test_a_left_out_day_is_observed_as_left_out(worked: Office) -> None:
    worked.at("2026-11-02T10:00:00Z")
    worked.collect(WORKED)
    with transaction(worked.engine, read_only=True) as session:
        daily = observations.latest(session, "100", Kind.DAILY_USAGE, FIRST, LAST)
        assert decode_daily(observations.payload(session, daily[LAST].sha256)) is None
    assert not daily[LAST].complete
    assert daily[LAST].reason == "observed less than 48 hours after the day ended"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ("2026-11-02T07:45:00Z", "observed before the day ended"),
        ("2026-11-02T08:03:00Z", "observed less than 5 minutes after the day ended"),
        ("2026-11-02T08:10:00Z", "one of its meetings had not ended"),
        ("2026-11-02T08:30:00Z", ""),
    ],
)
def test_a_window_is_complete_only_when_nothing_can_be_added_to_it(worked: Office, now: str, reason: str) -> None:
    worked.at(now)
    worked.collect(WORKED)
    with transaction(worked.engine, read_only=True) as session:
        window = observations.latest(session, "100", Kind.MEETINGS, LAST, LAST)[LAST]
    assert (window.complete, window.reason) == (not reason, reason)


def test_without_the_add_on_only_daily_usage_is_asked_for(worked: Office) -> None:
    worked.change(cross_check=False)
    result = worked.collect(WORKED)
    assert kept(worked) == {(Kind.DAILY_USAGE, FIRST), (Kind.DAILY_USAGE, LAST)}
    assert worked.upstream.calls == Counter(projectData=1)
    assert {it.day for it in result.not_collected} == {BEFORE, FIRST, LAST}
    assert {it.reason for it in result.not_collected} == {
        "the project is not cross-checked: it has no Advanced Insights add-on"
    }


def test_a_day_that_fails_does_not_undo_the_others_and_is_named(worked_with: Callable[..., Office]) -> None:
    office = worked_with(faults=[http("sessions", [2], error_code=1005)])
    with pytest.raises(CollectionFailed, match=r"^Not all was collected. meetings of 2026-1\d-\d\d: ") as failed:
        office.collect(WORKED)
    ((_, error),) = failed.value.failures
    assert isinstance(error, InvalidQuery)
    lost = WHOLE - kept(office)
    assert {kind for kind, _ in lost} == {Kind.MEETINGS, Kind.SESSION_DETAIL}
    assert len({day for _, day in lost}) == 1, "a window and its detail are kept together or not at all"
    assert {(it.kind, it.day) for it in failed.value.result.observations} == kept(office)


def test_what_failed_alike_is_said_once_with_what_helps(worked_with: Callable[..., Office]) -> None:
    office = worked_with(faults=[http("sessionSummaries", [1, 2, 3], error_code=1014)])
    with pytest.raises(CollectionFailed) as failed:
        office.collect(WORKED)
    assert failed.value.code == 1014
    said = str(failed.value)
    assert said.count("Upstream refused") == 1
    assert said.endswith("; a project without the add-on is reconciled with cross_check set to false.")


def test_a_month_of_failures_fits_a_sentence() -> None:
    alike = [(f"meetings of 2026-10-{day:02}", InsightsError("Upstream is away.")) for day in range(1, 32)]
    other = ("daily usage", InsightsError("Upstream refused", code=1005))
    failed = CollectionFailed([*reversed(alike), other], CollectionResult([], []))
    assert str(failed) == (
        "Not all was collected. daily usage: Upstream refused; "
        "meetings of 2026-10-01, meetings of 2026-10-02, meetings of 2026-10-03, and 28 more: Upstream is away."
    )
    assert failed.code == 1005


def test_a_crash_in_the_middle_leaves_whole_days_only(worked: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    real = observations.record

    def record(*arguments: Any, kind: Kind, day: date, **more: Any) -> Any:
        if (kind, day) == (Kind.SESSION_DETAIL, FIRST):
            raise MemoryError
        return real(*arguments, kind=kind, day=day, **more)

    monkeypatch.setattr(observations, "record", record)
    with pytest.raises(MemoryError):
        worked.collect(WORKED)
    left = kept(worked)
    assert not left & {(Kind.MEETINGS, FIRST), (Kind.SESSION_DETAIL, FIRST)}
    for day in (BEFORE, LAST):
        assert ((Kind.MEETINGS, day) in left) == ((Kind.SESSION_DETAIL, day) in left)
    monkeypatch.undo()
    worked.collect(WORKED)
    assert kept(worked) == WHOLE


def test_an_interruption_ends_the_collection_and_keeps_what_it_had(worked: Office) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worked.collect("2026-10-20..2026-11-03", progress=stop)
    assert kept(worked)
    assert sum(worked.upstream.calls.values()) < 25, "days that had not begun were not asked for"


def test_what_no_day_could_answer_is_not_asked_for_every_day(worked: Office) -> None:
    credentials = replace(worked.project.credentials, secret="another-secret-0123456789abcdef01234567")
    worked.change(credentials=credentials)
    with pytest.raises(CollectionFailed) as failed:
        worked.collect("2026-10-17..2026-11-05")
    assert isinstance(failed.value.failures[0][1], InvalidCredentials)
    assert failed.value.code == 1020
    assert kept(worked) == set()
    assert len(failed.value.failures) <= 1 + WORKERS, "the daily usage, and the windows that were asked for at once"


def test_a_project_without_the_add_on_says_so_and_keeps_its_daily_usage(worked_with: Callable[..., Office]) -> None:
    office = worked_with(advanced_insights=False)
    with pytest.raises(CollectionFailed, match="Advanced Insights") as failed:
        office.collect(WORKED)
    assert all(isinstance(error, NeedsAdvancedInsights) for _, error in failed.value.failures)
    assert kept(office) == {(Kind.DAILY_USAGE, FIRST), (Kind.DAILY_USAGE, LAST)}


def test_nothing_to_ask_for_asks_nothing(worked: Office) -> None:
    worked.at("2026-10-30T06:00:00Z")
    result = worked.collect(WORKED)
    assert not worked.upstream.calls
    assert {it.reason for it in result.not_collected} == {"the day has not begun"}
    assert len(result.not_collected) == 5


def test_maintenance_closes_the_windows_only(worked: Office) -> None:
    worked.at("2026-11-07T06:15:00Z")  # 22:15 in Los Angeles
    result = worked.collect(WORKED)
    assert worked.upstream.calls == Counter(projectData=1)
    assert {it.reason for it in result.not_collected} == {"upstream is in maintenance until 2026-11-07T07:30Z"}


# --- the plan ---

PERIODS = st.builds(
    lambda first, days: BillingPeriod(first, first + timedelta(days=days)),
    st.dates(date(2026, 1, 1), date(2027, 1, 1)),
    st.integers(0, 99),
)


@given(
    period=PERIODS,
    cross_check=st.booleans(),
    now=st.datetimes(datetime(2025, 12, 1), datetime(2027, 6, 1), timezones=st.just(UTC)),
)
def test_the_plan_asks_for_every_day_that_can_be_had_or_says_why_not(
    period: BillingPeriod, cross_check: bool, now: datetime
) -> None:
    asked = plan(needed_by(period), cross_check, now)
    told = Counter((it.kind, it.day) for it in asked.not_collected)
    told.update((Kind.DAILY_USAGE, day) for day in asked.daily)
    told.update((Kind.MEETINGS, day) for day in asked.windows)
    wanted = Counter((Kind.DAILY_USAGE, day) for day in period.days)
    wanted.update((Kind.MEETINGS, day) for day in [period.first_day - timedelta(days=1), *period.days])
    assert told == wanted
    assert all(it.reason for it in asked.not_collected)
    for day in asked.daily:
        assert now - DAILY_RETENTION <= day_start(day) < now
    for day in asked.windows:
        assert cross_check
        assert maintenance_until(now) is None
        assert now - MEETING_RETENTION < day_start(day) < now
    if cross_check and maintenance_until(now) is None:
        for day in period.days:
            if day_start(day) < now and day_start(day) - now > timedelta(minutes=11) - MEETING_RETENTION:
                assert day in asked.windows


def http(operation: str, calls: list[int], **what: Any) -> dict[str, Any]:
    return {"kind": "http", "project_id": "100", "operation": operation, "calls": calls, **what}


def test_what_is_read_while_maintenance_begins_is_not_kept(worked: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may lack something, and would count for more than what was read before."""
    worked.at("2026-11-07T04:59:50Z")
    answer = worked.transport.handle_request

    def last_answer(request: httpx.Request) -> httpx.Response:
        try:
            return answer(request)
        finally:
            if b"sessionSummaries" not in request.content:
                worked.at("2026-11-07T05:00:10Z")

    monkeypatch.setattr(worked.transport, "handle_request", last_answer)
    with pytest.raises(CollectionFailed, match="meetings of 2026-11-01: Upstream is in maintenance until 2026-11-07T07:30Z"):
        collect(
            worked.engine,
            worked.project,
            Wanted([], [LAST]),
            client_factory=worked.client,
            clock=worked.clock,
            progress=lambda *_: None,
        )
    assert worked.upstream.calls == Counter(sessionSummaries=1, sessions=1), "all was answered"
    assert kept(worked) == set()


def test_no_window_is_begun_once_maintenance_has(worked: Office) -> None:
    worked.at("2026-11-07T04:59:50Z")
    with pytest.raises(CollectionFailed, match="in maintenance"):
        worked.collect("2026-10-25..2026-11-05", progress=lambda *_: worked.at("2026-11-07T05:00:10Z"))
    assert worked.upstream.calls["sessionSummaries"] <= 2 * WORKERS < 13


def test_a_detail_that_upstream_does_not_have_is_said(worked: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was connected is then known in part; the meetings themselves are all there."""
    ask = InsightsClient.details

    def lacking(client: InsightsClient, *arguments: Any) -> DetailAnswer:
        return replace(ask(client, *arguments), missing=1)

    monkeypatch.setattr(InsightsClient, "details", lacking)
    found = {(it.kind, it.complete, it.reason) for it in worked.collect(WORKED).observations if it.day == LAST}
    assert found == {
        (Kind.DAILY_USAGE, True, ""),
        (Kind.MEETINGS, True, ""),
        (Kind.SESSION_DETAIL, False, "1 of 1 meetings were not in the answer"),
    }
