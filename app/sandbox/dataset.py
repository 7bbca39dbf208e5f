"""A dataset ready to be served: its meetings, its billing days, and what the planted faults make of them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import NamedTuple

from app.sandbox import datafile
from app.sandbox.datafile import DatasetError, check_tier, microseconds_of_minutes
from app.sandbox.meetings import MINUTE, Meeting, Use, by_day, day_of, meetings_of
from billing.period import microseconds
from billing.tiers import KNOWN_FIELDS, KNOWN_PLANS


@dataclass
class Restatement:
    """From `at` on (microseconds) a day has `amount` more in a tier."""

    at: int
    tier: str
    amount: int
    alone: bool


@dataclass
class Day:
    """The project level of one billing day."""

    use: Use = field(default_factory=Use)
    other: Counter[str] = field(default_factory=Counter)
    """Microseconds of the kinds of use that do not follow from who was connected."""
    dropped: bool = False
    restatements: list[Restatement] = field(default_factory=list)

    def known_at(self, now: int) -> Use:
        """The day's use as stated at an instant: with the restatements until then."""
        use = Use.sum([self.use])
        for restatement in self.restatements:
            if restatement.at <= now:
                use.adjust(restatement.tier, restatement.amount, restatement.alone)
        return use


@dataclass
class SessionRecord:
    """A session with its meetings in order, and what faults add to its total."""

    session: datafile.Session
    meetings: Sequence[Meeting]
    adjustments: list[tuple[str, int, bool]] = field(default_factory=list)
    """(tier, microseconds, alone) on top of the sum of the meetings."""

    def total(self, meetings: Sequence[Meeting]) -> Use:
        """What the session's total states when these of its meetings are retained."""
        use = Use.sum(meeting.use for meeting in meetings)
        for adjustment in self.adjustments:
            use.adjust(*adjustment)
        return use


class Attributes(NamedTuple):
    """What the project level can be grouped and filtered by: those of the connection that publishes or subscribes."""

    sdk_type: str
    sdk_version: str
    country: str
    region: str
    browser: str
    browser_version: str


@dataclass
class ProjectRecord:
    """A project with its sessions, in order of their first meeting, and its billing days."""

    project: datafile.Project
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    days: dict[date, Day] = field(default_factory=dict)
    http_faults: list[datafile.Http] = field(default_factory=list)

    @property
    def filled(self) -> Sequence[str]:
        """The tier fields that are filled for the project; the others answer 0."""
        return KNOWN_FIELDS if self.project.tiers == "all" else self.project.tiers

    def day(self, day: date) -> Day:
        """The record of a billing day, made if it is not there yet."""
        return self.days.setdefault(day, Day())

    @cached_property
    def streams_by_attributes(self) -> dict[date, dict[Attributes, Counter[str]]]:
        """By billing day and attributes of connections: microseconds `published` and `subscribed`, and how often they did
        `connect`, `publish` and `subscribe`."""
        days: dict[date, dict[Attributes, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for session in self.sessions.values():
            for meeting in session.meetings:
                who = [
                    Attributes(c.sdk_type, c.sdk_version, c.country, c.region, c.browser, c.browser_version)
                    for c in meeting.connections
                ]
                for index, (start, _) in enumerate(meeting.intervals):
                    days[day_of(start)][who[index]]["connect"] += 1
                for publisher, _, start, end in meeting.publications:
                    days[day_of(start)][who[publisher]]["publish"] += 1
                    for day, amount in by_day(start, end):
                        days[day][who[publisher]]["published"] += amount
                for subscriber, _, start, end in meeting.subscriptions:
                    days[day_of(start)][who[subscriber]]["subscribe"] += 1
                    for day, amount in by_day(start, end):
                        days[day][who[subscriber]]["subscribed"] += amount
        return days


@dataclass
class Dataset:
    """A validated dataset and everything that follows from it."""

    account: datafile.Account
    projects: dict[str, ProjectRecord]

    @classmethod
    def load(cls, content: object) -> "Dataset":
        """Validate decoded JSON in the dataset format and derive its meetings and days, faults applied.

        Raises DatasetError with the JSON pointer of what is wrong, also where a fault names what is not there or takes away
        more minutes than there are.
        """
        data = datafile.parse(content)
        projects = {project.id: ProjectRecord(project) for project in data.projects}
        sessions = [SessionRecord(session, meetings_of(session)) for session in data.sessions if session.connections]
        for record in sorted(sessions, key=lambda record: (record.meetings[0].created, record.session.session_id)):
            project = projects[record.session.project_id]
            project.sessions[record.session.session_id] = record
            for meeting in record.meetings:
                for day, use in meeting.use_by_day:
                    project.day(day).use.add(use)
        for index, stated in enumerate(data.projects):
            for day, kinds in stated.usage.items():
                for kind, minutes in kinds.items():
                    amount = microseconds_of_minutes(minutes, f"/projects/{index}/usage/{day}/{kind}")
                    projects[stated.id].day(day).other[kind] += amount
        for index, fault in enumerate(data.faults):
            _plant(fault, projects[fault.project_id], f"/faults/{index}")
        return cls(data.account, projects)


def _plant(fault: datafile.Fault, record: ProjectRecord, at: str) -> None:
    """Apply one fault to the figures that it is about."""
    match fault:
        case datafile.Http():
            record.http_faults.append(fault)
        case datafile.ProjectDayDropped():
            record.day(fault.day).dropped = True
        case datafile.ProjectDayAdjusted():
            _adjust(record, record.day(fault.day).use, _terms(record, fault, fault.tier, at), at)
        case datafile.TierShifted():
            use = record.day(fault.day).use
            tier, amount, alone = _terms(record, fault, fault.source, at)
            _adjust(record, use, (tier, -amount, alone), at)
            _adjust(record, use, _terms(record, fault, fault.target, at), at)
        case datafile.Restated():
            day, terms = record.day(fault.day), _terms(record, fault, fault.tier, at)
            _adjust(record, day.known_at(microseconds(fault.at)), terms, at)
            day.restatements.append(Restatement(microseconds(fault.at), *terms))
        case datafile.MeetingHidden():
            _meeting(record, fault, at).hidden = True
        case datafile.MeetingAdjusted():
            _adjust(record, _meeting(record, fault, at).use, _terms(record, fault, fault.tier, at), at)
        case datafile.MeetingConflict():
            meeting = _meeting(record, fault, at)
            meeting.conflict = Use.sum([meeting.use])
            _adjust(record, meeting.conflict, _terms(record, fault, fault.tier, at), at)
        case datafile.SessionTotalAdjusted():
            session, terms = _session(record, fault.session_id, at), _terms(record, fault, fault.tier, at)
            _adjust(record, session.total(session.meetings), terms, at)
            session.adjustments.append(terms)


def _terms(record: ProjectRecord, fault: datafile.TierFault, tier: str, at: str) -> tuple[str, int, bool]:
    """(tier, microseconds, alone) of a fault's change to one tier.

    Unless the fault says so, a tier outside the standard plan changes alone where the project fills all tiers: that is how
    overlapping tiers come to contradict one another.
    """
    amount = microseconds_of_minutes(fault.minutes, f"{at}/minutes")
    outside = record.project.tiers == "all" and tier not in KNOWN_PLANS[0].fields
    return check_tier(tier, f"{at}/tier"), amount, outside if fault.alone is None else fault.alone


def _adjust(record: ProjectRecord, use: Use, terms: tuple[str, int, bool], at: str) -> None:
    """Change the minutes of a tier, refused where there are not enough to take away."""
    tier, amount, alone = terms
    if alone and amount < 0 and tier not in record.filled:
        raise DatasetError(f"{tier} is not filled for this project, so nothing can be taken from it alone", f"{at}/minutes")
    if missing := use.adjust(tier, amount, alone):
        raise DatasetError(f"{missing / MINUTE} minutes more than there are in {tier}", f"{at}/minutes")


def _session(record: ProjectRecord, session_id: str, at: str) -> SessionRecord:
    if session_id not in record.sessions:
        raise DatasetError(f"no session {session_id!r} in project {record.project.id!r}", f"{at}/session_id")
    return record.sessions[session_id]


def _meeting(record: ProjectRecord, fault: datafile.MeetingFault, at: str) -> Meeting:
    created = microseconds(fault.meeting_created_at)
    for meeting in _session(record, fault.session_id, at).meetings:
        if meeting.created == created:
            return meeting
    raise DatasetError(f"no meeting of {fault.session_id!r} was created then", f"{at}/meeting_created_at")
