"""What a discrepancy of one billing day says to a finance person, by its code."""

from collections.abc import Callable, Mapping

from billing.attribution import Tiers
from billing.discrepancy import Code, words
from billing.model import DayLine
from billing.tiers import TierPlan

Sentence = Callable[[DayLine, Tiers, TierPlan], str]


def _project_day_missing(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    status = line.project_status.replace("_", " ")
    return f"The project level has no figure for {line.day} ({status}), but meetings used {words(-sum(minutes))} minutes."


def _meeting_day_missing(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    whole = words(sum(line.project_level or ()))
    return (
        f"The meetings of {line.day} are not all known ({'; '.join(line.gaps)}): {words(sum(minutes))} of the day's {whole} "
        "minutes cannot be checked."
    )


def _day_not_final(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    return (
        f"The project level of {line.day} was last read less than 48 hours after the day ended and may still change; so far "
        f"the levels differ by {words(sum(minutes))} minutes."
    )


def _restated(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    by = f"by {words(sum(minutes))} minutes" if any(minutes) else "without a participant minute more or less in the end"
    return f"The project level of {line.day} was changed after it was final, {by}."


def _tier_shift(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    moved = ", ".join(f"{words(value)} in {tier.label}" for tier, value in zip(plan, minutes, strict=True) if value)
    return (
        f"On {line.day} both levels agree in total but not on how many were publishing: the project level differs from the "
        f"meetings by {moved}."
    )


def _boundary_straddle(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    return (
        f"On {line.day} the levels differ by {words(sum(minutes))} minutes, no more than the split of meetings over midnight "
        "can be wrong by, since it had to be made in proportion to time."
    )


def _residual(line: DayLine, minutes: Tiers, plan: TierPlan) -> str:
    above = [f"{words(value)} in {tier.label}" for tier, value in zip(plan, minutes, strict=True) if value]
    return (
        f"On {line.day} the project and the meeting level differ by {words(sum(minutes))} minutes ({', '.join(above)}); "
        "nothing that is known explains it."
    )


DAY_SENTENCES: Mapping[Code, Sentence] = {
    Code.PROJECT_DAY_MISSING: _project_day_missing,
    Code.MEETING_DAY_MISSING: _meeting_day_missing,
    Code.DAY_NOT_FINAL: _day_not_final,
    Code.RESTATED: _restated,
    Code.TIER_SHIFT: _tier_shift,
    Code.BOUNDARY_STRADDLE: _boundary_straddle,
    Code.RESIDUAL: _residual,
}
