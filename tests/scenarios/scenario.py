"""Seeded scenarios: a small company, a history of collections, and in half of them one to three planted faults."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from random import Random
from typing import Any

from tests.scenarios.case import Case, Collection
from tests.scenarios.company import Company, text
from tests.scenarios.faults import HISTORIES, KINDS, PROJECT, Planter, morning
from tests.scenarios.world import HOUR, MINUTE, TIERS, after, days, midnight

NEIGHBOUR = "200"
PLANS = [
    tuple(f"from{name}Publishers" for name in names.split())
    for names in (
        "1To2 3To6 7To8 9To10 11To35 36Plus",
        "1To2 3To6 7To8 9To10 11To35 36To40 41Plus",
        "1To4 5To8 9To10 11To20 21To35 36To40 41Plus",
        "1To8 9To10 11To35 36Plus",
        "1To10 11To35 36Plus",
        "1To25 26To35 36Plus",
        "1To2 3To25 26To35 36Plus",
    )
]
FIRST_DAYS = [
    date(2024, 2, 27),
    date(2024, 12, 29),
    date(2025, 3, 7),
    date(2025, 3, 8),
    date(2025, 3, 9),
    date(2025, 10, 30),
    date(2025, 11, 1),
    date(2025, 11, 2),
    date(2026, 2, 27),
    date(2026, 3, 8),
    date(2026, 10, 31),
    date(2026, 11, 1),
]


@dataclass(frozen=True)
class Scenario:
    """A case to be reconciled, and how the period is asked for."""

    seed: int
    case: Case
    requested: dict[str, Any]
    planted: tuple[str, ...]
    grain: int

    @property
    def exact(self) -> bool:
        """Whether every figure is a whole number of micro-minutes."""
        return self.grain % 3 == 0


def scenario(seed: int, *, faults: bool, grain: int = 3) -> Scenario:
    """The scenario of a seed, always the same."""
    random = Random(seed)
    first = random.choice(FIRST_DAYS) if random.random() < 0.5 else date(2024, 1, 1) + timedelta(days=random.randrange(1000))
    last = first + timedelta(days=random.choice([0, 1, 1, 2, 3, 4]))
    plan = random.choice([PLANS[0], *PLANS])
    company = Company(random, first, last, grain)
    company.draw(PROJECT, random.randrange(8, 36))
    company.draw(NEIGHBOUR, 2)
    tolerance = random.choice([10_000, 10_000, 10_000, 500_000]) if grain % 3 else random.choice([10_000, 10_000, 500_000, 0])
    dataset = {
        "account": {"key": "9000", "secret": "account-secret"},
        "projects": [_project(PROJECT, _filled(random, plan)), _project(NEIGHBOUR, "all")],
        "sessions": company.sessions,
        "faults": [],
    }
    settled = _settled(random, last)
    case = Case(
        dataset=dataset,
        project_id=PROJECT,
        plan=plan,
        first=first,
        last=last,
        collections=(*_earlier(random, first, last), Collection(settled, first, last)),
        as_of=settled,
        tolerance=tolerance,
        relative=random.choice([Fraction(0), Fraction(1, 1_000_000), Fraction(1, 1_000_000), Fraction(1, 10_000)]),
        cross_check=faults or random.random() > 0.05,
    )
    case, requested = _ask(random, case)
    planted: list[str] = []
    if faults:
        planter = Planter(random, case)
        wanted = [KINDS[seed // 2 % len(KINDS)], *random.choices(KINDS, k=random.randrange(3))]
        # What changes the collections comes first: the other faults need days that are final and whole.
        for kind in sorted(dict.fromkeys(wanted), key=lambda kind: (kind not in HISTORIES, wanted.index(kind))):
            if not (kind in HISTORIES and any(it in HISTORIES for it in planted)) and getattr(planter, f"plant_{kind}")():
                planted.append(kind)
        if not planted and planter.plant_http():
            planted.append("http")
        case = planter.case
    return Scenario(seed, case, requested, tuple(planted), grain)


def _project(project_id: str, tiers: object) -> dict[str, Any]:
    return {
        "id": project_id,
        "secret": f"project-{project_id}-secret-0123456789abcdef0123456789abcdef",
        "name": f"Company {project_id}",
        "tiers": tiers,
        "created_at": "2023-01-15T00:00:00Z",
    }


def _filled(random: Random, plan: tuple[str, ...]) -> object:
    """Which tiers upstream fills: all, only the plan's, or the plan's and some that overlap."""
    others = [tier for tier in TIERS if tier not in plan]
    return random.choice(["all", "all", list(plan), [*plan, *random.sample(others, 3)]])


def _settled(random: Random, last: date) -> int:
    """When all is final and still retained, outside maintenance: in the morning or the afternoon, some days later."""
    return midnight(last + timedelta(days=random.randrange(5, 12))) + random.randrange(9 * HOUR, 20 * HOUR) // 3 * 3 + 1


def _earlier(random: Random, first: date, last: date) -> list[Collection]:
    """Collections while the period ran: none, one a day of that day, or one a day of the whole period."""
    style = random.choice(["none", "none", "daily", "whole"])
    if style == "none":
        return []
    every = [(morning(random, after(day)), day) for day in days(first, last) if random.random() < 0.9]
    return [Collection(at, day if style == "daily" else first, day if style == "daily" else last) for at, day in every]


def _ask(random: Random, case: Case) -> tuple[Case, dict[str, Any]]:
    """Put the request for the period: mostly by its days, else by instants that are aligned to it."""
    start, end = midnight(case.first), midnight(after(case.last))
    match random.choice(["days"] * 6 + ["instants", "cover", "within"]):
        case "days":
            return case, {"first_day": str(case.first), "last_day": str(case.last)}
        case "instants":
            return case, {"start": text(start), "end": text(end), "alignment": random.choice(["strict", "cover", "nearest"])}
        case "cover":
            late, early = random.choice([(HOUR, 0), (0, 2 * HOUR), (5 * MINUTE, 3)])
            partly = {case.first} if late else set[date]()
            partly |= {case.last} if early else set()
            return replace(case, misaligned=tuple(sorted(partly))), {"start": text(start + late), "end": text(end - early)}
        case _:
            asked = {"start": text(start - HOUR), "end": text(end + 7 * MINUTE), "alignment": "within"}
            return replace(case, misaligned=()), asked
