"""The discrepancies of a period: each finding with its minutes, days or sessions, and a sentence for a finance person."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

import numpy as np

from billing.attribution import Tiers
from billing.consistency import SessionContradictions, contradictions
from billing.coverage import Coverage, DailyReading, DailyStatus, by_day
from billing.discrepancy import Code, Discrepancy, words
from billing.meetings import Change, Crossing, MeetingLevel
from billing.minutes import format_minutes
from billing.model import DayLine, ProjectTerms
from billing.period import AlignedPeriod, BillingPeriod, day_at, microseconds
from billing.residual import Residual, restatements
from billing.sentences import DAY_SENTENCES
from billing.tiers import Tier, TierPlan


def findings(
    aligned: AlignedPeriod,
    terms: ProjectTerms,
    daily: Sequence[DailyReading],
    contradicted: SessionContradictions,
    level: MeetingLevel,
    days: Sequence[DayLine],
    residual: Residual,
) -> list[Discrepancy]:
    """Every discrepancy of a period, the one of most minutes first."""
    plan, tolerance = terms.plan, terms.tolerance.minutes
    found = [
        *_misaligned(aligned, days, plan),
        *_reuses(level, plan),
        *_straddles(level, aligned.period, plan),
        *_mismatches(level, plan, tolerance),
        *_conflicts(level, plan),
        *_restated_meetings(level, plan),
        *_day_findings(days, daily, residual, plan),
        *_tier_findings(daily, contradicted, plan, tolerance),
    ]
    found.sort(key=lambda it: (-sum(map(abs, it.minutes.values())), it.code, tuple(it.days), tuple(it.sessions)))
    return found


def named(plan: TierPlan, minutes: Sequence[int]) -> dict[str, int]:
    """Micro-minutes by tier field, without the tiers that have none."""
    return {field: value for field, value in zip(plan.fields, minutes, strict=True) if value}


def _misaligned(aligned: AlignedPeriod, days: Sequence[DayLine], plan: TierPlan) -> Iterator[Discrepancy]:
    request = aligned.requested
    if "start" not in request or aligned.on_midnights:
        return
    partly = aligned.partial_days
    held = [line.project_level for line in days if line.day in partly]
    minutes = named(plan, _add(held, len(plan)))
    if partly:
        names = ", ".join(str(day) for day in partly)
        used = f"used {words(sum(minutes.values()))} minutes in all{', as far as is known' if None in held else ''}"
        effect = f"{names} {'is' if len(partly) == 1 else 'are'} taken whole and {used}"
    else:
        effect = "only whole billing days inside it are counted"
    yield Discrepancy(
        Code.PERIOD_MISALIGNED,
        minutes,
        f"The period asked for does not start and end at Pacific midnight: {effect}.",
        days=partly or (aligned.period.first_day,),
        evidence={"requested": dict(request), "added_days": aligned.added_days, "explanation": aligned.explanation},
    )


def _reuses(level: MeetingLevel, plan: TierPlan) -> Iterator[Discrepancy]:
    for reuse in level.reuses:
        before, after = sum(reuse.before), sum(reuse.after)
        yield Discrepancy(
            Code.SESSION_REUSE_SPILLOVER,
            named(plan, _add((reuse.before, reuse.after), len(plan))),
            f"Session {reuse.session_id} is reused: upstream's figure for it holds {words(before + after)} minutes of other "
            f"meetings outside the period, {words(before)} before it and {words(after)} after it, which are not part of it.",
            days=reuse.days,
            sessions=(reuse.session_id,),
            evidence={"before": _texts(named(plan, reuse.before)), "after": _texts(named(plan, reuse.after))},
        )


def _straddles(level: MeetingLevel, period: BillingPeriod, plan: TierPlan) -> Iterator[Discrepancy]:
    by_session: dict[str, list[Crossing]] = defaultdict(list)
    for crossing in level.crossings:
        by_session[crossing.session_id].append(crossing)
    start, end = microseconds(period.start), microseconds(period.end)
    for session, crossings in sorted(by_session.items()):
        minutes = named(plan, _add((it.counted for it in crossings), len(plan)))
        inside = sum(sum(it.inside) for it in crossings)
        outside = sum(sum(it.before) + sum(it.after) for it in crossings)
        exact = all(it.exact for it in crossings)
        error = _texts(named(plan, _add((it.error for it in crossings if not it.exact), len(plan))))
        edges = "start" if all(it.created < start for it in crossings) else "end"
        edges = "start and the end" if edges == "start" and any(sum(it.after) for it in crossings) else edges
        how = (
            "by who was connected and publishing when"
            if exact
            else "in proportion to time, since no detail of it is held; at most "
            + ", ".join(f"{value} minutes of {field}" for field, value in error.items())
            + " may lie on the other side"
        )
        yield Discrepancy(
            Code.BOUNDARY_STRADDLE,
            minutes,
            f"A meeting of session {session} reaches over the {edges} of the period: {words(inside)} of its minutes are "
            f"inside and {words(outside)} outside, split {how}.",
            days=tuple(sorted({day for it in crossings for day in _edge_days(it, period, start, end)})),
            sessions=(session,),
            evidence={"method": "exact" if exact else "proportional", "error": error},
        )


def _edge_days(crossing: Crossing, period: BillingPeriod, start: int, end: int) -> Iterator[date]:
    """The period's own day beside each boundary that the meeting reaches over."""
    if crossing.created < start:
        yield period.first_day
    if crossing.end > end:
        yield period.last_day


def _mismatches(level: MeetingLevel, plan: TierPlan, tolerance: int) -> Iterator[Discrepancy]:
    for change in sorted(level.mismatches, key=lambda it: it.session_id):
        if any(abs(value) > tolerance for value in change.minutes):
            total = sum(change.minutes)
            differs = f"{words(abs(total))} minutes {'more' if total > 0 else 'less'}"
            yield Discrepancy(
                Code.SESSION_TOTAL_MISMATCH,
                named(plan, change.minutes),
                f"Upstream's total for session {change.session_id} is {differs} than the sum of the meetings it lists for it.",
                sessions=(change.session_id,),
            )


def _conflicts(level: MeetingLevel, plan: TierPlan) -> Iterator[Discrepancy]:
    by_session: dict[str, list[tuple[date, Tiers]]] = defaultdict(list)
    for (session, created), conflict in level.conflicts.items():
        change = tuple(conflict.second.get(field, 0) - conflict.first.get(field, 0) for field in plan.fields)
        by_session[session].append((day_at(created), change))
    for session, changes in sorted(by_session.items()):
        yield Discrepancy(
            Code.CONFLICTING_MEETING,
            named(plan, _add((minutes for _, minutes in changes), len(plan))),
            f"Upstream answered a meeting of session {session} twice at once with different minutes; the later counts.",
            days=tuple(sorted({day for day, _ in changes})),
            sessions=(session,),
        )


def _restated_meetings(level: MeetingLevel, plan: TierPlan) -> Iterator[Discrepancy]:
    by_session: dict[str, list[Change]] = defaultdict(list)
    for change in level.restated:
        by_session[change.session_id].append(change)
    for session, changes in sorted(by_session.items()):
        minutes = named(plan, _add((change.minutes for change in changes), len(plan)))
        yield Discrepancy(
            Code.RESTATED,
            minutes,
            f"A meeting of session {session} that had ended changed later, by {words(sum(minutes.values()))} minutes.",
            sessions=(session,),
            evidence={"windows": sorted({str(change.window) for change in changes})},
        )


def _day_findings(
    days: Sequence[DayLine], daily: Sequence[DailyReading], residual: Residual, plan: TierPlan
) -> Iterator[Discrepancy]:
    """What the differences of the days are due to, and days that are not safe although they agree."""
    parts = {(part.code, part.day): part.minutes for part in [*residual.parts, *residual.unexplained]}
    restated = restatements(daily)
    for line in days:
        causes = {code: parts[code, line.day] for code in DAY_SENTENCES if (code, line.day) in parts}
        evidence: dict[Code, dict[str, object]] = defaultdict(dict)
        nothing = (0,) * len(plan)
        if line.meeting_coverage is Coverage.INCOMPLETE and any(line.project_level or ()):
            causes.setdefault(Code.MEETING_DAY_MISSING, nothing)
            evidence[Code.MEETING_DAY_MISSING] = {"gaps": list(line.gaps)}
        if line.project_status is DailyStatus.PROVISIONAL:
            causes.setdefault(Code.DAY_NOT_FINAL, nothing)
        if line.day in restated:
            change = restated[line.day]
            causes[Code.RESTATED] = change.minutes(plan)
            evidence[Code.RESTATED] = {"first_final": change.first.observation.id, "latest": change.latest.observation.id}
        for code, minutes in causes.items():
            text = DAY_SENTENCES[code](line, minutes, plan)
            yield Discrepancy(code, named(plan, minutes), text, days=(line.day,), evidence=evidence[code])


def _tier_findings(
    daily: Sequence[DailyReading], by_session: SessionContradictions, plan: TierPlan, tolerance: int
) -> Iterator[Discrepancy]:
    for day, readings in by_day(daily).items():
        value = readings[-1].value
        columns = {field: np.array([minutes], np.int64) for field, minutes in (value.tiers if value else {}).items()}
        columns = {field: columns.get(field, np.zeros(1, np.int64)) for field in {*columns, *plan.fields}}
        contradicted = list(contradictions(columns, plan, tolerance))
        for unplanned in (True, False):
            minutes = {it.field: int(it.minutes[0]) for it in contradicted if it.unplanned is unplanned}
            if minutes:
                yield _tier_finding(unplanned, minutes, f"the daily usage of {day}", days=(day,))
    for (session, unplanned), by_field in sorted(by_session.items()):
        yield _tier_finding(unplanned, by_field, f"the meetings of session {session}", sessions=(session,))


def _tier_finding(
    unplanned: bool, minutes: Mapping[str, int], where: str, *, days: Sequence[date] = (), sessions: Sequence[str] = ()
) -> Discrepancy:
    listed = ", ".join(f"{words(abs(value))} minutes in {Tier.parse(field).label}" for field, value in sorted(minutes.items()))
    if unplanned:
        text = (
            f"In {where}, upstream has {listed} that the tiers of the project's plan do not account for; they are not billed."
        )
        return Discrepancy(Code.UNPLANNED_TIER, dict(minutes), text, days=days, sessions=sessions)
    text = f"In {where}, overlapping tiers contradict the plan's: {listed} fewer than the plan's tiers within hold."
    return Discrepancy(Code.TIER_OVERLAP, dict(minutes), text, days=days, sessions=sessions)


def _add(rows: Iterable[Sequence[int] | None], width: int) -> Tiers:
    total = [0] * width
    for row in rows:
        for index, value in enumerate(row or ()):
            total[index] += value
    return tuple(total)


def _texts(minutes: Mapping[str, int]) -> dict[str, str]:
    return {field: format_minutes(value) for field, value in minutes.items()}
