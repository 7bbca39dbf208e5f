"""The reconciliation of one project's billing period: the bridge from the session level to the project level.

      N   session-level total              every session with a meeting created in the period, as upstream states it
    − X   session_total_mismatch           what those statements hold beyond the sum of their meetings
    − B   reuse_before                     of those sessions: minutes before the period
    − A   reuse_after                      of those sessions: minutes after it of meetings not created in it
    − E   straddles_end                    of those sessions: minutes after it of meetings created in it
    + S   straddles_start                  of all other sessions: minutes inside it
    = M   meeting-level total
    + R   residual                         taken apart day by day and tier by tier in `billing.residual`
    = U   project-level total

N to M holds to the micro-minute, always. Everything is a pure function of the evidence and of `as_of`.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from billing.attribution import Tiers
from billing.consistency import SessionContradictions, add_session_contradictions
from billing.coverage import Coverage, DailyReading, DailyStatus, by_day, daily_status, meeting_gaps
from billing.discrepancy import Code
from billing.facts import MeetingDay, Observation
from billing.findings import findings
from billing.meetings import MeetingLevel, attribute
from billing.model import (
    Basis,
    BridgeLine,
    DayLine,
    Evidence,
    ProjectTerms,
    Reconciliation,
    Tolerance,
    Verdict,
)
from billing.period import AlignedPeriod
from billing.residual import Cell, Residual, explain
from billing.tiers import TierPlan

__all__ = [
    "Basis",
    "BridgeLine",
    "DailyReading",
    "DayLine",
    "Evidence",
    "ProjectTerms",
    "Reconciliation",
    "Tolerance",
    "Verdict",
    "reconcile",
]


def reconcile(aligned: AlignedPeriod, terms: ProjectTerms, evidence: Evidence) -> Reconciliation:
    """Reconcile a period. The order of the evidence does not matter; the same evidence gives the same answer."""
    windows, contradicted = _windows(aligned, terms, evidence)
    superseded: list[Observation] = []
    level = attribute(windows, evidence.details, aligned.period, terms.plan, _noting(superseded, terms, evidence))
    days = _days(aligned, terms, evidence, windows, level)
    residual = explain(_cells(days, level, terms), days, evidence.daily, terms)
    found = findings(aligned, terms, evidence.daily, contradicted, level, days, residual)
    project = _sum((day.project_level for day in days), terms.plan)
    totals = {"project_level": project}
    if terms.cross_check:
        totals = {"session_level": _tiers(level.session_level), "meeting_level": _tiers(level.total), **totals}
    observations = [reading.observation for reading in evidence.daily]
    if terms.cross_check:
        observations += [*(observation for observation, _ in windows), *superseded]
        observations += evidence.detail_observations
    return Reconciliation(
        aligned=aligned,
        terms=terms,
        verdict=_verdict(terms, days, residual),
        explained=residual.explained_ratio,
        totals=totals,
        bridge=_bridge(level, residual, project) if terms.cross_check else [BridgeLine("project_level", project, True)],
        causes=residual.parts,
        days=days,
        discrepancies=found,
        observations=sorted(observations, key=lambda it: (it.day, it.kind, it.observed_at, it.id)),
    )


def _windows(
    aligned: AlignedPeriod, terms: ProjectTerms, evidence: Evidence
) -> tuple[list[tuple[Observation, MeetingDay]], SessionContradictions]:
    """The windows with the plan's tiers alone, and what the other tiers contradict; one window is whole in memory at a time."""
    windows: list[tuple[Observation, MeetingDay]] = []
    contradicted: SessionContradictions = {}
    for observation, window in evidence.meetings if terms.cross_check else ():
        if observation.day in aligned.period:
            add_session_contradictions(contradicted, observation, window, terms.plan, terms.tolerance.minutes)
        windows.append((observation, window.only(terms.plan.fields)))
    return windows, contradicted


def _noting(seen: list[Observation], terms: ProjectTerms, evidence: Evidence) -> Iterator[tuple[Observation, MeetingDay]]:
    """The superseded readings one at a time, noting whose they are."""
    for observation, window in evidence.superseded if terms.cross_check else ():
        seen.append(observation)
        yield observation, window.only(terms.plan.fields)


def _days(
    aligned: AlignedPeriod,
    terms: ProjectTerms,
    evidence: Evidence,
    windows: Sequence[tuple[Observation, MeetingDay]],
    level: MeetingLevel,
) -> list[DayLine]:
    readings = by_day(evidence.daily)
    held = {observation.day: observation for observation, _ in windows}
    lines = []
    for index, day in enumerate(aligned.period.days):
        reading = readings[day][-1] if day in readings else None
        value = reading.value if reading is not None else None
        gaps = meeting_gaps(day, held, evidence.as_of) if terms.cross_check else ()
        lines.append(
            DayLine(
                day,
                value.of(terms.plan.fields) if value else None,
                daily_status(day, reading, evidence.as_of),
                _tiers(level.days[index]) if terms.cross_check else None,
                Coverage.UNCHECKED if not terms.cross_check else Coverage.INCOMPLETE if gaps else Coverage.COMPLETE,
                gaps,
                value.usage if value else {},
                reading.observation.id if reading else None,
            )
        )
    return lines


def _cells(days: Sequence[DayLine], level: MeetingLevel, terms: ProjectTerms) -> list[list[Cell]]:
    """The difference of each day and tier, its tolerance, and how much of it attribution alone may make."""
    if not terms.cross_check:
        return [[Cell(0, 0, 0) for _ in terms.plan] for _ in days]
    table = []
    for index, line in enumerate(days):
        project = line.project_level or (0,) * len(terms.plan)
        meeting = line.meeting_level or (0,) * len(terms.plan)
        table.append(
            [
                Cell(above - below, terms.tolerance.of(above, below), int(level.error[index, tier]))
                for tier, (above, below) in enumerate(zip(project, meeting, strict=True))
            ]
        )
    return table


def _bridge(level: MeetingLevel, residual: Residual, project: Tiers) -> list[BridgeLine]:
    return [
        BridgeLine("session_level", _tiers(level.session_level), True),
        BridgeLine("session_total_mismatch", _tiers(-level.mismatch)),
        BridgeLine("reuse_before", _tiers(-level.before)),
        BridgeLine("reuse_after", _tiers(-level.after)),
        BridgeLine("straddles_end", _tiers(-level.straddles_end)),
        BridgeLine("straddles_start", _tiers(level.straddles_start)),
        BridgeLine("meeting_level", _tiers(level.total), True),
        *(BridgeLine(code, minutes) for code, minutes in residual.by_cause.items()),
        BridgeLine("residual", residual.rest),
        BridgeLine("project_level", project, True),
    ]


def _verdict(terms: ProjectTerms, days: Sequence[DayLine], residual: Residual) -> Verdict:
    """A missing or provisional source comes first: nothing else can be trusted before it is there."""
    certain = (DailyStatus.FINAL, DailyStatus.NO_USAGE)
    if any(line.project_status not in certain or line.meeting_coverage is Coverage.INCOMPLETE for line in days):
        return Verdict.INCOMPLETE
    if not terms.cross_check:
        return Verdict.UNCHECKED
    if any(part.code is Code.PROJECT_DAY_MISSING for part in residual.parts):
        return Verdict.INCOMPLETE
    if residual.unexplained:
        return Verdict.UNEXPLAINED
    return Verdict.EXPLAINED if residual.parts else Verdict.BALANCED


def _sum(rows: Iterable[Tiers | None], plan: TierPlan) -> Tiers:
    total = [0] * len(plan)
    for row in rows:
        for tier, value in enumerate(row or ()):
            total[tier] += value
    return tuple(total)


def _tiers(array: NDArray[np.int64]) -> Tiers:
    return tuple(int(value) for value in array)
