"""The period by the days of UTC, against worlds whose every meeting is known."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.period import BillingPeriod, microseconds, next_day
from billing.vendor_zone import in_utc, needed
from tests.billing.world import MINUTE, PLAN, Meeting, Room, instant, window

PERIODS = (
    BillingPeriod(date(2026, 10, 5), date(2026, 10, 7)),
    BillingPeriod(date(2026, 11, 1), date(2026, 11, 1)),  # 25 hours
    BillingPeriod(date(2026, 3, 7), date(2026, 3, 8)),  # 23 hours at its end
)


class Late(Meeting):
    """Everybody comes when the meeting is half over: in proportion to time its minutes are told wrong."""

    def inside(self, start: int, end: int) -> int:
        return super().inside(max(start, (self.created + self.end) // 2), end)


@st.composite
def rooms(draw, period: BillingPeriod, kind: type[Meeting] = Meeting) -> list[Room]:
    """Rooms around the period, each with one meeting or two."""
    first = instant(period.first_day - timedelta(days=2))
    last = instant(next_day(period.last_day))
    found = []
    for number in range(draw(st.integers(1, 6))):
        meetings = []
        for place in range(draw(st.integers(1, 2))):
            created = draw(st.integers(first // MINUTE, last // MINUTE - 1)) * MINUTE
            length = draw(st.integers(1, 26 * 60)) * MINUTE
            meetings.append(kind(created, created + length, draw(st.integers(1, 40)), id=f"m{place}"))
        found.append(Room(f"room-{number}", meetings))
    return found


def midnight(day: date) -> int:
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def truth(found: list[Room], period: BillingPeriod) -> tuple[dict[str, int], dict[str, int]]:
    """By tier: what was used in the billing days of the period, and in the days of UTC of the same names."""
    billing, utc = dict.fromkeys(PLAN.fields, 0), dict.fromkeys(PLAN.fields, 0)
    for meeting in (meeting for room in found for meeting in room.meetings):
        (tier,) = meeting.minutes
        billing[tier] += meeting.inside(microseconds(period.start), microseconds(period.end))
        utc[tier] += meeting.inside(midnight(period.first_day), midnight(next_day(period.last_day)))
    return billing, utc


@given(st.data(), st.sampled_from(PERIODS))
def test_with_the_detail_the_hours_are_exact(data: st.DataObject, period: BillingPeriod) -> None:
    found = data.draw(rooms(period))
    used, utc = truth(found, period)
    details = [meeting.detail(room.id) for room in found for meeting in room.meetings]
    zone = in_utc(used, [window(found, day) for day in needed(period)], details, period, PLAN)
    for tier in PLAN.fields:
        assert abs(zone.minutes[tier] - utc[tier]) <= 24, "two edges, a rounding for each meeting"
        assert zone.error[tier] == 0


@given(st.data(), st.sampled_from(PERIODS))
def test_without_it_they_are_within_the_error_that_is_stated(data: st.DataObject, period: BillingPeriod) -> None:
    found = data.draw(rooms(period, Late))
    used, utc = truth(found, period)
    zone = in_utc(used, [window(found, day) for day in needed(period)], [], period, PLAN)
    for tier in PLAN.fields:
        assert abs(zone.minutes[tier] - utc[tier]) <= zone.error[tier] + 24


def test_what_no_meeting_tells_stays() -> None:
    period = PERIODS[0]
    zone = in_utc({"hlsMinutes": 5}, [window([], day) for day in needed(period)], [], period, PLAN)
    assert zone.minutes == {"hlsMinutes": 5}
