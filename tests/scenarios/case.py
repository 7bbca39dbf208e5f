"""What is judged, and what is true of it: plain values, shared by the generator, the oracle and the tests."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from tests.scenarios.world import Minutes


@dataclass(frozen=True)
class Collection:
    """At `at` (ms), the days from `first` to `last` were collected."""

    at: int
    first: date
    last: date


@dataclass(frozen=True)
class Case:
    """A reconciliation to be judged: what was set, what was collected, and what period was asked for."""

    dataset: dict[str, Any]
    project_id: str
    plan: tuple[str, ...]
    first: date
    last: date
    collections: tuple[Collection, ...]
    as_of: int
    tolerance: int = 10_000
    relative: Fraction = Fraction(1, 1_000_000)
    cross_check: bool = True
    misaligned: tuple[date, ...] | None = None
    """Where the request was not on Pacific midnights: the days of the period that it holds only in part."""


@dataclass(frozen=True)
class Finding:
    """One discrepancy: its code, whom it concerns, and its minutes by tier (those that are not zero)."""

    code: str
    days: tuple[date, ...] = ()
    sessions: tuple[str, ...] = ()
    minutes: tuple[tuple[str, int], ...] = ()
    method: str = ""
    """How the meetings of a straddle were split: `exact` or `proportional`."""

    @classmethod
    def of(
        cls, code: str, minutes: Minutes, days: Iterable[date] = (), sessions: Iterable[str] = (), method: str = ""
    ) -> "Finding":
        named = tuple(sorted((tier, value) for tier, value in minutes.items() if value))
        return cls(code, tuple(sorted(days)), tuple(sorted(sessions)), named, method)


@dataclass
class Day:
    """What is true of one billing day of the report."""

    day: date
    hours: int
    status: str
    coverage: str
    project: Minutes
    meetings: Minutes


@dataclass
class Truth:
    """Everything that the report must say."""

    bridge: dict[str, Minutes]
    days: list[Day]
    findings: Counter[Finding]
    verdict: str
    explained: Fraction
