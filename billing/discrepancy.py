"""Discrepancies: findings about a period, as values; a closed list of codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import Any

from billing.minutes import format_minutes


class Code(StrEnum):
    """Everything that a report can find."""

    PERIOD_MISALIGNED = "period_misaligned"
    SESSION_REUSE_SPILLOVER = "session_reuse_spillover"
    BOUNDARY_STRADDLE = "boundary_straddle"
    PROJECT_DAY_MISSING = "project_day_missing"
    MEETING_DAY_MISSING = "meeting_day_missing"
    DAY_NOT_FINAL = "day_not_final"
    TIER_SHIFT = "tier_shift"
    UNPLANNED_TIER = "unplanned_tier"
    TIER_OVERLAP = "tier_overlap"
    SESSION_TOTAL_MISMATCH = "session_total_mismatch"
    CONFLICTING_MEETING = "conflicting_meeting"
    RESTATED = "restated"
    VENDOR_INVOICE_MISMATCH = "vendor_invoice_mismatch"
    RESIDUAL = "residual"


class Severity(StrEnum):
    """How much a person should care."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


SEVERITY: Mapping[Code, Severity] = {
    Code.PERIOD_MISALIGNED: Severity.LOW,
    Code.SESSION_REUSE_SPILLOVER: Severity.INFO,
    Code.BOUNDARY_STRADDLE: Severity.INFO,
    Code.PROJECT_DAY_MISSING: Severity.HIGH,
    Code.MEETING_DAY_MISSING: Severity.MEDIUM,
    Code.DAY_NOT_FINAL: Severity.LOW,
    Code.TIER_SHIFT: Severity.MEDIUM,
    Code.UNPLANNED_TIER: Severity.MEDIUM,
    Code.TIER_OVERLAP: Severity.MEDIUM,
    Code.SESSION_TOTAL_MISMATCH: Severity.MEDIUM,
    Code.CONFLICTING_MEETING: Severity.MEDIUM,
    Code.RESTATED: Severity.MEDIUM,
    Code.VENDOR_INVOICE_MISMATCH: Severity.HIGH,
    Code.RESIDUAL: Severity.HIGH,
}
"""The severity of a code where nothing makes it more or less."""


@dataclass(frozen=True)
class Discrepancy:
    """One finding: signed micro-minutes by tier field, the days or sessions concerned, a sentence, its evidence.

    `subject` is what it is about where that is neither a session nor a day, `weight` its severity where that is not its code's.
    """

    code: Code
    minutes: Mapping[str, int]
    summary: str
    days: Sequence[date] = ()
    sessions: Sequence[str] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    weight: Severity | None = None

    @property
    def severity(self) -> Severity:
        """How much a person should care."""
        return self.weight or SEVERITY[self.code]

    @property
    def total(self) -> int:
        """The sum over its tiers, in micro-minutes."""
        return sum(self.minutes.values())

    def fingerprint(self, project_id: str) -> str:
        """What makes it the same finding in the next report: project, code, and the subject, session or else the first day."""
        subject = self.subject or (self.sessions[0] if self.sessions else str(min(self.days, default="")))
        return sha256("\n".join((project_id, self.code, subject)).encode()).hexdigest()


def words(micro: int) -> str:
    """Minutes as a person reads them: at least two decimals, no needless zeros, thousands apart.

    >>> words(140_000_000), words(1_234_500_001), words(-20)
    ('140.00', '1,234.500001', '-0.00002')
    """
    whole, _, part = format_minutes(abs(micro)).partition(".")
    sign = "-" if micro < 0 else ""
    return f"{sign}{int(whole):,}.{part.rstrip('0').ljust(2, '0')}"
