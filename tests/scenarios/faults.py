"""Planting faults: each on a day or session of its own, so that what a report must say of it is beyond doubt."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tests.scenarios.case import Case, Collection
from tests.scenarios.company import Company, text
from tests.scenarios.oracle import truth
from tests.scenarios.world import DAY, HOUR, MINUTE, PACIFIC, TIERS, Meeting, World, after, day_of, days, midnight

PROJECT = "100"


def morning(random: Random, day: date) -> int:
    """A time of a day at which it is plain whether the usage of the days before is published: not 36 to 48 hours after one."""
    return midnight(day) + random.randrange(HOUR, 10 * HOUR) // 3 * 3 + 1


class Planter:
    """Plants faults on days and sessions of their own, so that what a report must say of each is beyond doubt."""

    def __init__(self, random: Random, case: Case) -> None:
        self.random, self.case = random, case
        self.days: set[date] = set()
        self.sessions: set[str] = set()

    @property
    def filled(self) -> list[str]:
        """The tiers outside the plan that upstream fills."""
        tiers = World(self.case.dataset, PROJECT).project["tiers"]
        return [tier for tier in TIERS if tier not in self.case.plan and (tiers == "all" or tier in tiers)]

    def free_days(self) -> list[tuple[date, dict[str, int]]]:
        """Days of the period in order, with nothing planted yet and both sources whole; and all their tiers."""
        world = World({**self.case.dataset, "faults": []}, PROJECT)
        sound = [it.day for it in truth(self.case).days if (it.status, it.coverage) == ("final", "complete")]
        free = [(day, world.states(world.used(day), {})) for day in sound if day not in self.days]
        self.random.shuffle(free)
        return free

    def free_meetings(self, *, inside: bool = True) -> Iterator[tuple[str, Meeting]]:
        """Meetings with minutes, of sessions with nothing planted yet, on a free day (or wholly outside the period)."""
        free = {day for day, _ in self.free_days()}
        found = [
            (session, meeting)
            for session, meetings in World(self.case.dataset, PROJECT).meetings(10**15)
            for meeting in meetings
            if session not in self.sessions and len(meeting.by_day) == 1 and meeting.histogram
            if (day_of(meeting.created) == day_of((meeting.ended or 0) - 1))
            if not inside or day_of(meeting.created) in free
        ]
        self.random.shuffle(found)
        return iter(found)

    def add(self, kind: str, **rest: Any) -> bool:
        """Plant one fault, and keep its day and session from others."""
        if "day" in rest:
            self.days.add(rest["day"])
            rest["day"] = str(rest["day"])
        if "session_id" in rest:
            self.sessions.add(rest["session_id"])
        self.case.dataset["faults"].append({"kind": kind, "project_id": PROJECT, **rest})
        return True

    def amount(self, most: int) -> str:
        """Some micro-minutes up to `most`, clearly more than the tolerance, as a decimal text; empty where that cannot be."""
        least = 2 * max(self.case.tolerance, int(self.case.relative * 10**11), 10_000)
        return _minutes(self.random.randrange(least, most)) if most > least else ""

    def taken(self, tiers: dict[str, int]) -> tuple[str, str]:
        """A tier of the plan with enough minutes to take some from, and how many."""
        for tier in self.random.sample(self.case.plan, len(self.case.plan)):
            if amount := self.amount(tiers[tier]):
                return tier, amount
        return "", ""

    def shuffled_plan(self) -> list[str]:
        return self.random.sample(self.case.plan, len(self.case.plan))

    # The kinds of fault; each tells whether there was room for it.

    def plant_dropped(self) -> bool:
        for day, tiers in self.free_days():
            if any(tiers[tier] > 2 * max(self.case.tolerance, 10_000) for tier in self.case.plan):
                return self.add("project_day_dropped", day=day)
        return False

    def plant_day_raised(self) -> bool:
        for day, _ in self.free_days():
            tier = self.random.choice(self.case.plan)
            return self.add("project_day_adjusted", day=day, tier=tier, minutes=self.amount(90_000_000), alone=False)
        return False

    def plant_day_lowered(self) -> bool:
        for day, tiers in self.free_days():
            tier, amount = self.taken(tiers)
            if tier:
                return self.add("project_day_adjusted", day=day, tier=tier, minutes=f"-{amount}", alone=False)
        return False

    def plant_within_tolerance(self) -> bool:
        """A difference of at most the tolerance: it stays in the residual line and is named by nobody."""
        if self.case.tolerance < 10_000:
            return False
        small = 9_000 if self.case.misaligned is None else self.case.tolerance
        for day, _ in self.free_days():
            tier = self.random.choice(self.case.plan)
            return self.add("project_day_adjusted", day=day, tier=tier, minutes=_minutes(small), alone=False)
        return False

    def plant_shifted(self) -> bool:
        for day, tiers in self.free_days():
            source, amount = self.taken(tiers)
            if source:
                target = next(tier for tier in self.shuffled_plan() if tier != source)
                return self.add("tier_shifted", day=day, **{"from": source, "to": target}, minutes=amount, alone=False)
        return False

    def plant_restated(self) -> bool:
        """Seen final before, and again after it was restated."""
        settled = self.case.collections[-1].at
        at = settled - self.random.randrange(HOUR, DAY)
        before = at - self.random.randrange(MINUTE, 20 * HOUR) // 3 * 3 + 1
        if before < midnight(after(self.case.last)) + 48 * HOUR:
            return False
        for day, tiers in self.free_days():
            tier, amount = self.taken(tiers)
            if not tier:
                continue
            earlier = Collection(before, self.case.first, self.case.last)
            self.case = replace(self.case, collections=(*self.case.collections[:-1], earlier, self.case.collections[-1]))
            sign = self.random.choice(["", "-"])
            return self.add("restated", day=day, tier=tier, minutes=sign + amount, at=text(at), alone=False)
        return False

    def plant_restated_unseen(self) -> bool:
        """Restated before it was ever observed final, so nobody can know."""
        for day, _ in self.free_days():
            tier, at = self.random.choice(self.case.plan), text(midnight(after(day)) + HOUR)
            return self.add("restated", day=day, tier=tier, minutes=self.amount(90_000_000), at=at, alone=False)
        return False

    def plant_meeting_raised(self) -> bool:
        return self._meeting_fault(
            "meeting_adjusted", lambda tiers: (self.random.choice(self.case.plan), self.amount(90_000_000))
        )

    def plant_meeting_lowered(self) -> bool:
        def lowered(tiers: dict[str, int]) -> tuple[str, str]:
            tier, amount = self.taken(tiers)
            return tier, f"-{amount}"

        return self._meeting_fault("meeting_adjusted", lowered)

    def plant_meeting_elsewhere(self) -> bool:
        """A meeting outside the period, of a room that is used in it."""
        return self._meeting_fault(
            "meeting_adjusted", lambda tiers: (self.random.choice(self.case.plan), self.amount(90_000_000)), inside=False
        )

    def plant_conflict(self) -> bool:
        return self._meeting_fault(
            "meeting_conflict", lambda tiers: (self.random.choice(self.case.plan), self.amount(90_000_000))
        )

    def _meeting_fault(
        self, kind: str, change: Callable[[dict[str, int]], tuple[str, str]], *, inside: bool = True, alone: bool = False
    ) -> bool:
        world = World(self.case.dataset, PROJECT)
        for session, meeting in self.free_meetings(inside=inside):
            tier, amount = change(world.states(meeting.histogram, {}))
            if not tier or (not inside and self.case.first <= day_of(meeting.created) <= self.case.last):
                continue
            self.days.add(day_of(meeting.created))
            created = text(meeting.created)
            return self.add(kind, session_id=session, meeting_created_at=created, tier=tier, minutes=amount, alone=alone)
        return False

    def plant_hidden(self) -> bool:
        for session, meeting in self.free_meetings():
            if any(in_plan > 2 * max(self.case.tolerance, 10_000) for in_plan in self._plan_minutes(meeting)):
                self.days.add(day_of(meeting.created))
                return self.add("meeting_hidden", session_id=session, meeting_created_at=text(meeting.created))
        return False

    def _plan_minutes(self, meeting: Meeting) -> list[int]:
        states = World(self.case.dataset, PROJECT).states(meeting.histogram, {})
        return [states[tier] for tier in self.case.plan]

    def plant_session_total(self) -> bool:
        for session, _ in self.free_meetings():
            tier = self.random.choice(self.case.plan)
            return self.add(
                "session_total_adjusted", session_id=session, tier=tier, minutes=self.amount(90_000_000), alone=False
            )
        return False

    def plant_unplanned_day(self) -> bool:
        for day, tiers in self.free_days():
            tier, amount = self._unplanned(tiers)
            if tier:
                return self.add("project_day_adjusted", day=day, tier=tier, minutes=amount, alone=True)
        return False

    def plant_overlap_day(self) -> bool:
        for day, tiers in self.free_days():
            tier, amount = self._overlapping(tiers)
            if tier:
                return self.add("project_day_adjusted", day=day, tier=tier, minutes=amount, alone=True)
        return False

    def plant_unplanned_meeting(self) -> bool:
        return self._meeting_fault("meeting_adjusted", self._unplanned, alone=True)

    def plant_overlap_meeting(self) -> bool:
        return self._meeting_fault("meeting_adjusted", self._overlapping, alone=True)

    def _unplanned(self, tiers: dict[str, int]) -> tuple[str, str]:
        """A tier outside the plan, and enough to lift it above all the plan's tiers that overlap it."""
        for tier in self.random.sample(self.filled, len(self.filled)):
            most = sum(tiers[it] for it in self.case.plan if TIERS[it][0] <= TIERS[tier][1] and TIERS[tier][0] <= TIERS[it][1])
            return tier, _minutes(most - tiers[tier] + int(Decimal(self.amount(90_000_000)) * 1_000_000))
        return "", ""

    def _overlapping(self, tiers: dict[str, int]) -> tuple[str, str]:
        """A tier outside the plan, and enough to press it below all the plan's tiers within it, but not to nothing."""
        for tier in self.random.sample(self.filled, len(self.filled)):
            least = sum(tiers[it] for it in self.case.plan if TIERS[tier][0] <= TIERS[it][0] and TIERS[it][1] <= TIERS[tier][1])
            if amount := self.amount(least - 1):
                taken = int(Decimal(amount) * 1_000_000)
                if taken < least:
                    return tier, _minutes(least - tiers[tier] - taken)
        return "", ""

    def plant_http(self) -> bool:
        ways: list[dict[str, object]] = [
            {"status": 500},
            {"status": 503, "retry_after": 0},
            {"status": 429, "retry_after": 0},
            {"timeout": True},
            {"truncated": True},
            {"html": True},
            {"error_code": 1012},
            {"error_code": 1020},
        ]
        for operation in self.random.sample(["projectData", "sessionSummaries", "sessions"], self.random.randrange(1, 3)):
            calls = [self.random.randrange(1, 4)]
            self.add("http", operation=operation, calls=calls, **self.random.choice(ways))
        return True

    # What the collector left undone.

    def plant_early(self) -> bool:
        """Collected for the last time before the last days were final."""
        at = morning(self.random, after(self.case.last) + timedelta(days=self.random.randrange(2)))
        before = tuple(it for it in self.case.collections[:-1] if it.at < at)
        return self._history(*before, Collection(at, self.case.first, self.case.last))

    def plant_interrupted(self) -> bool:
        """Collected while meetings of the night went on, and later only what the last day needs; rooms are told of twice."""
        night = midnight(self.case.last) + self.random.randrange(20 * MINUTE, 3 * HOUR) // 3 * 3 + 1
        beyond = after(self.case.last)
        company = Company(self.random, self.case.first, self.case.last)
        for _ in range(4):
            company.through_the_night(PROJECT, midnight(self.case.last))
        self.case.dataset["sessions"] += company.sessions
        return self._history(Collection(night, self.case.first, self.case.last), Collection(self.case.as_of, beyond, beyond))

    def plant_late(self) -> bool:
        """Collected so late that upstream had forgotten the meetings of the first days, or of all."""
        forgotten = self.random.choice(days(self.case.first - timedelta(days=1), self.case.last))
        at = midnight(forgotten + timedelta(days=21)) + self.random.randrange(12 * HOUR, 20 * HOUR) // 3 * 3 + 1
        return self._history(Collection(at, self.case.first, self.case.last))

    def plant_gaps(self) -> bool:
        """Collected day by day with days left out, and at last when only the daily usage was still to be had."""
        every = [(morning(self.random, after(day)), day) for day in days(self.case.first, self.case.last)]
        kept = [Collection(at, day, day) for at, day in every if self.random.random() < 0.5]
        at = midnight(self.case.last + timedelta(days=self.random.randrange(23, 60))) + 12 * HOUR + 1
        return self._history(*kept, Collection(at, self.case.first, self.case.last))

    def plant_part(self) -> bool:
        """Only the later days were ever collected; the report may be asked for long after."""
        if self.case.first == self.case.last:
            return False
        part = Collection(self.case.as_of, after(self.case.first), self.case.last)
        self._history(part)
        if self.random.random() < 0.5:
            self.case = replace(self.case, as_of=midnight(self.case.last + timedelta(days=100)))
        return True

    def plant_maintenance(self) -> bool:
        """Asked while the session level was under maintenance."""
        evening = midnight(day_of(self.case.as_of)) + 22 * HOUR + 1
        local = datetime.fromtimestamp(evening // 1000, PACIFIC)
        return local.hour == 22 and self._history(Collection(evening, self.case.first, self.case.last))

    def _history(self, *collections: Collection) -> bool:
        self.case = replace(self.case, collections=collections, as_of=collections[-1].at)
        return True


KINDS = [name.removeprefix("plant_") for name in vars(Planter) if name.startswith("plant_")]
HISTORIES = ["early", "interrupted", "late", "gaps", "part", "maintenance"]


def _minutes(micro: int) -> str:
    """Micro-minutes as a decimal text."""
    return str(Decimal(micro).scaleb(-6))
