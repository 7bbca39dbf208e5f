"""What a report must say: the bridge, the days and the discrepancies that follow from a dataset and a history of collections.

The oracle reads only the dataset (through `world`), never what the product stored or computed. It first does what a perfect
collector would have done, then the accounting of the bridge, meeting by meeting with dictionaries and Fractions.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

from tests.scenarios.case import Case, Day, Finding, Truth
from tests.scenarios.world import (
    DAY,
    HOUR,
    MINUTE,
    PACIFIC,
    TIERS,
    Minutes,
    Said,
    World,
    after,
    day_of,
    days,
    in_tier,
    midnight,
)

BEFORE, AFTER = date.min, date.max
Split = dict[date, Minutes]
"""A meeting's minutes by day of the period, and under BEFORE and AFTER for what lies outside it."""


@dataclass
class Known:
    """One meeting as it was told last, and whether who was there when is known of it."""

    session: str
    said: Said
    end: int
    exact: bool = False


@dataclass
class Heard:
    """What a perfect collector holds in the end."""

    daily: dict[date, list[tuple[int, Minutes | None]]] = field(default_factory=lambda: defaultdict(list))
    complete: dict[date, bool] = field(default_factory=dict)
    known: dict[tuple[str, int], Known] = field(default_factory=dict)
    detailed: dict[tuple[str, int], bool] = field(default_factory=dict)
    """The meetings of which the own day's window was read, and whether they had ended by then."""
    excess: dict[str, Minutes] = field(default_factory=dict)


def maintenance(moment: int) -> bool:
    """Whether meeting-level data cannot be asked for: Pacific 21:00 to 23:30, and Sundays 04:00 to 08:00."""
    local = datetime.fromtimestamp(moment // 1000, PACIFIC)
    nightly = (21, 0) <= (local.hour, local.minute) < (23, 30)
    return nightly or (local.weekday() == 6 and 4 <= local.hour < 8)


def hear(case: Case, world: World) -> Heard:
    """Collect as the flow is meant to, and keep what counts in the end for the period."""
    heard = Heard()
    latest: dict[date, int] = {}
    for it in sorted(case.collections, key=lambda it: it.at):
        for day in days(it.first, it.last):
            if midnight(day) <= it.at < midnight(day) + 90 * DAY:
                heard.daily[day].append((it.at, world.daily(day, it.at)))
        for day in days(it.first - timedelta(days=1), it.last):
            if case.cross_check and midnight(day) <= it.at < midnight(day) + 21 * DAY and not maintenance(it.at):
                latest[day] = it.at
    windows = {day: at for day, at in latest.items() if case.first - timedelta(days=1) <= day <= case.last}
    for day, at in sorted(windows.items(), key=lambda item: (item[1], item[0])):
        live = False
        for session, statement in world.window(day, at).items():
            heard.excess[session] = {
                tier: statement.total[tier] - sum(said.minutes[tier] for said in statement.meetings) for tier in case.plan
            }
            for said in statement.meetings:
                key = session, said.created
                heard.known[key] = Known(session, said, said.ended or at - 5 * MINUTE)
                if day_of(said.created) == day:
                    heard.detailed[key] = said.ended is not None
                    live = live or said.ended is None
        heard.complete[day] = at >= midnight(after(day)) + 5 * MINUTE and not live
    for key, it in heard.known.items():
        # Detail that was read while the meeting went on does not tell the rest of it.
        it.exact = key in heard.detailed and (heard.detailed[key] or it.said.ended is None)
    return heard


def truth(case: Case) -> Truth:
    """What the report on a case must say."""
    heard = hear(case, World(case.dataset, case.project_id))
    zero = dict.fromkeys(case.plan, 0)
    report = Truth({}, [], Counter(), "", Fraction(1))
    lines, meetings, errors = attribute(case, heard, report.findings)
    for day in days(case.first, case.last):
        latest = heard.daily[day][-1] if heard.daily[day] else None
        usage = latest[1] if latest and latest[1] else zero
        report.days.append(
            Day(
                day,
                round((midnight(after(day)) - midnight(day)) / HOUR),
                status(day, latest, case.as_of),
                coverage(day, heard, case),
                {tier: usage[tier] for tier in case.plan},
                {tier: meetings[day][tier] for tier in case.plan},
            )
        )
    report.findings.update(contradictions(case, heard))
    if case.misaligned is not None:
        partly = sum((Counter(it.project) for it in report.days if it.day in case.misaligned), Counter())
        report.findings[Finding.of("period_misaligned", partly, case.misaligned or [case.first])] += 1
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    unexplained = 0
    for line in report.days if case.cross_check else []:
        named, by_cause = explain(case, line, heard.daily[line.day], errors[line.day])
        report.findings.update(named)
        unexplained += sum(abs(minutes) for minutes in by_cause.pop("residual", {}).values())
        for cause, minutes in by_cause.items():
            causes[cause].update(minutes)
    conclude(case, report, lines, causes, unexplained)
    return report


Lines = dict[str, Counter[str]]
ByDay = dict[date, Counter[str]]


def attribute(case: Case, heard: Heard, found: Counter[Finding]) -> tuple[Lines, ByDay, ByDay]:
    """The bridge from N to M, the meeting level by day, by how much a day's may be wrong; and what is found on the way."""
    start, end = midnight(case.first), midnight(after(case.last))
    members = {it.session for it in heard.known.values() if start <= it.said.created < end}
    lines: Lines = defaultdict(Counter)
    meetings: ByDay = defaultdict(Counter)
    errors: ByDay = defaultdict(Counter)
    reuse, straddles, conflicts = (defaultdict[str, Counter[str]](Counter) for _ in range(3))
    its_days: dict[tuple[str, str], set[date]] = defaultdict(set)
    guessed: set[str] = set()
    for it in heard.known.values():
        created, session = it.said.created, it.session
        parts, error, exact = split(it, case)
        edges = {day for day, edge in ((case.first, start), (case.last, end)) if created < edge < it.end}
        for day, minutes in parts.items():
            step = ""
            if case.first <= day <= case.last:
                meetings[day].update(minutes)
                errors[day].update(error.get(day, {}))
                step = "" if session in members else "straddles_start"
            elif session in members:
                step = "reuse_before" if day == BEFORE else "straddles_end" if start <= created < end else "reuse_after"
            if step and any(minutes.values()):
                (lines[step].update if step == "straddles_start" else lines[step].subtract)(minutes)
                (straddles if edges else reuse)[session].update(minutes)
                its_days["boundary_straddle" if edges else "session_reuse_spillover", session] |= edges or {day_of(created)}
                guessed |= {session} if edges and not exact else set()
        if it.said.first_answer:
            conflicts[session].update({tier: it.said.minutes[tier] - it.said.first_answer[tier] for tier in case.plan})
            its_days["conflicting_meeting", session].add(day_of(created))
    for session in members:
        excess = heard.excess[session]
        lines["session_total_mismatch"].subtract(excess)
        if any(abs(it) > case.tolerance for it in excess.values()):
            found[Finding.of("session_total_mismatch", excess, sessions=[session])] += 1
    named = {"session_reuse_spillover": reuse, "boundary_straddle": straddles, "conflicting_meeting": conflicts}
    for code, by_session in named.items():
        for session, minutes in by_session.items():
            method = "" if by_session is not straddles else "proportional" if session in guessed else "exact"
            found[Finding.of(code, minutes, its_days[code, session], [session], method)] += 1
    lines["meeting_level"] = sum(meetings.values(), Counter())
    lines["session_level"] = Counter(lines["meeting_level"])
    for step in ("session_total_mismatch", "reuse_before", "reuse_after", "straddles_end", "straddles_start"):
        lines["session_level"].subtract(lines[step])
    return lines, meetings, errors


def split(it: Known, case: Case) -> tuple[Split, Split, bool]:
    """A meeting's parts on each day of the period, before and after it; by how much each is wrong; whether none is."""
    edges = [midnight(day) for day in days(case.first, after(case.last))]
    names = [BEFORE, *days(case.first, case.last), AFTER]
    bounds = [min(it.said.created, edges[0]), *edges, max(it.end, edges[-1])]
    spans = [max(0, min(it.end, high) - max(it.said.created, low)) for low, high in pairwise(bounds)]
    if sum(span > 0 for span in spans) < 2:
        return (
            {name: {t: it.said.minutes[t] for t in case.plan} for name, span in zip(names, spans, strict=True) if span},
            {},
            True,
        )
    parts: Split = {name: {} for name in names}
    errors: Split = {name: {} for name in names}
    all_exact = True
    for tier in case.plan:
        weights: list[Fraction] = [Fraction(0)] * len(names)
        for day, histogram in it.said.by_day.items():
            weights[names.index(BEFORE if day < case.first else AFTER if day > case.last else day)] += in_tier(histogram, tier)
        exact = not it.said.minutes[tier] or (it.exact and bool(sum(weights)))
        all_exact = all_exact and exact
        shares = apportion(it.said.minutes[tier], weights if exact else [Fraction(span) for span in spans])
        for name, part, weight in zip(names, shares, weights, strict=True):
            parts[name][tier] = part
            errors[name][tier] = 0 if exact else abs(part - round(weight))
    return {name: part for name, part, span in zip(names, parts.values(), spans, strict=True) if span}, errors, all_exact


def apportion(total: int, weights: list[Fraction]) -> list[int]:
    """Parts of a total by the largest remainder; of two equal ones the earlier."""
    whole = sum(weights)
    if not total or not whole:
        return [0] * len(weights)
    ideal = [total * weight / whole for weight in weights]
    parts = [int(it) for it in ideal]
    by_remainder = sorted(range(len(weights)), key=lambda index: (parts[index] - ideal[index], index))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


def status(day: date, latest: tuple[int, Minutes | None] | None, as_of: int) -> str:
    if latest is None:
        return "expired" if as_of > midnight(day) + 90 * DAY else "missing"
    if latest[0] < midnight(after(day)) + 48 * HOUR:
        return "provisional"
    return "no_usage" if latest[1] is None else "final"


def coverage(day: date, heard: Heard, case: Case) -> str:
    if not case.cross_check:
        return "unchecked"
    whole = heard.complete.get(day) and heard.complete.get(day - timedelta(days=1))
    return "complete" if whole else "incomplete"


def allowed(case: Case, one: int, other: int) -> Fraction:
    """The tolerance between two figures."""
    return max(Fraction(case.tolerance), case.relative * max(abs(one), abs(other)))


def contradictions(case: Case, heard: Heard) -> Counter[Finding]:
    """Tiers outside the plan that the plan's tiers do not account for, by day, and by session for its meetings."""
    found: dict[tuple[str, date | None, str | None], Counter[str]] = defaultdict(Counter)
    for day in days(case.first, case.last):
        if heard.daily[day] and (latest := heard.daily[day][-1][1]):
            _contradict(case, latest, found, day, None)
    for it in heard.known.values():
        if (it.session, it.said.created) in heard.detailed and case.first <= day_of(it.said.created) <= case.last:
            _contradict(case, it.said.minutes, found, None, it.session)
    return Counter(
        Finding.of(code, minutes, [day] if day else [], [session] if session else [])
        for (code, day, session), minutes in found.items()
    )


def _contradict(
    case: Case,
    minutes: Minutes,
    found: dict[tuple[str, date | None, str | None], Counter[str]],
    day: date | None,
    session: str | None,
) -> None:
    for tier, value in minutes.items():
        if tier in case.plan or not value:
            continue
        low, high = TIERS[tier]
        least = sum(minutes[it] for it in case.plan if low <= TIERS[it][0] and TIERS[it][1] <= high)
        most = sum(minutes[it] for it in case.plan if TIERS[it][0] <= high and low <= TIERS[it][1])
        if value > most + case.tolerance:
            found["unplanned_tier", day, session][tier] += value - most
        elif value < least - case.tolerance:
            found["tier_overlap", day, session][tier] += value - least


def explain(
    case: Case, line: Day, readings: list[tuple[int, Minutes | None]], errors: Counter[str]
) -> tuple[list[Finding], dict[str, Minutes]]:
    """What a day's difference comes from: the findings to name, and the part of the difference that each explains."""
    left = {tier: line.project[tier] - line.meetings[tier] for tier in case.plan}
    found: list[Finding] = []
    causes: dict[str, Minutes] = {}

    def above() -> Minutes:
        return {t: r for t, r in left.items() if abs(r) > allowed(case, line.project[t], line.meetings[t])}

    def take(code: str, part: Minutes) -> None:
        causes.update({code: part} if part else {})
        for tier, minutes in part.items():
            left[tier] -= minutes

    def take_and_name(code: str, part: Minutes) -> None:
        take(code, part)
        found.append(Finding.of(code, part, [line.day]))

    if line.status in ("missing", "expired", "no_usage") and above():
        take_and_name("project_day_missing", above())
    if line.coverage == "incomplete" and any(line.project.values()):
        take_and_name("meeting_day_missing", {tier: r for tier, r in above().items() if r > 0})
    if line.status == "provisional":
        take_and_name("day_not_final", above())
    final = [value or {} for at, value in readings if at >= midnight(after(line.day)) + 48 * HOUR]
    if any(it != final[-1] for it in final):
        change = {tier: final[-1].get(tier, 0) - final[0].get(tier, 0) for tier in case.plan}
        found.append(Finding.of("restated", change, [line.day]))
        agreeing = {tier: r for tier, r in above().items() if r * change[tier] > 0}
        take("restated", {t: r if abs(r) <= abs(change[t]) else change[t] for t, r in agreeing.items()})
    both_ways = {r > 0 for r in above().values()} == {True, False}
    if both_ways and abs(sum(left.values())) <= allowed(case, sum(line.project.values()), sum(line.meetings.values())):
        take_and_name("tier_shift", above())
    if misplaced := {tier: r for tier, r in above().items() if abs(r) <= errors[tier]}:
        take_and_name("boundary_straddle", misplaced)
    if above():
        take_and_name("residual", above())
    return found, causes


STEPS = (
    "session_level",
    "session_total_mismatch",
    "reuse_before",
    "reuse_after",
    "straddles_end",
    "straddles_start",
    "meeting_level",
)


def conclude(
    case: Case, report: Truth, lines: dict[str, Counter[str]], causes: dict[str, Counter[str]], unexplained: int
) -> None:
    """Draw the bridge and the verdict."""
    project = Counter(dict.fromkeys(case.plan, 0))
    rest = Counter(dict.fromkeys(case.plan, 0))
    for line in report.days:
        project.update(line.project)
        rest.update(line.project)
        rest.subtract(line.meetings)
    for minutes in causes.values():
        rest.subtract(minutes)
    report.bridge["project_level"] = {tier: project[tier] for tier in case.plan}
    if case.cross_check:
        for step, minutes in {**{step: lines[step] for step in STEPS}, **causes, "residual": rest}.items():
            report.bridge[step] = {tier: minutes[tier] for tier in case.plan}
        whole = sum(abs(line.project[t] - line.meetings[t]) for line in report.days for t in case.plan)
        report.explained = 1 - Fraction(unexplained, whole or 1)
    certain = all(it.status in ("final", "no_usage") and it.coverage != "incomplete" for it in report.days)
    if not certain or "project_day_missing" in causes:
        report.verdict = "incomplete"
    elif not case.cross_check:
        report.verdict = "unchecked"
    else:
        report.verdict = "unexplained" if unexplained else "explained" if causes else "balanced"
