"""A year of a small company, and an installation that lives through it under a moving clock, with its failures.

Everything runs in process: upstream is the sandbox without sockets, and a job is done as soon as it is queued. The clock stands
still while somebody works and jumps to when there is more to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.auth import Vault
from app.db import transaction
from app.flows import close as closing
from app.flows.collect import CollectionFailed, collect
from app.flows.schedule import tick, wanted
from app.insights.client import InsightsClient, OpenTokCredentials
from app.insights.limits import ClientLimits
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.store import jobs, ownership, plans, projects, rate_cards, webhooks
from app.store.plan_tables import CollectionPlan
from app.store.projects import Project
from app.store.tables import Job
from billing.period import resolve
from tests.app.flows.books import CARD
from tests.app.money import add_customer, add_entity
from tests.upstream import client_of

PACIFIC = ZoneInfo("America/Los_Angeles")
VAULT = Vault("a-year-0123456789abcdefghijklmnopqrstuvw")
ACME, BETA = "100", "200"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def pacific(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """An instant of Pacific time, in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=PACIFIC).astimezone(UTC)


FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
BEGIN, END = pacific(2026, 1, 1, 9), pacific(2027, 1, 5, 9)
DOWNTIMES = (
    (pacific(2026, 3, 7, 20), pacific(2026, 3, 8, 20)),  # the clocks go forward
    (pacific(2026, 6, 5, 12), pacific(2026, 6, 30, 12)),
    (pacific(2026, 10, 30, 12), pacific(2026, 11, 2, 12)),  # the clocks go back
)
WRONG = (pacific(2026, 8, 1, 9), pacific(2026, 8, 6, 9))
"""From when Beta is there, with a wrong secret, until it is mended."""


def is_up(moment: datetime) -> bool:
    return not any(start <= moment < end for start, end in DOWNTIMES)


def in_maintenance(moment: datetime) -> bool:
    local = moment.astimezone(PACIFIC)
    clock = (local.hour, local.minute)
    return (21, 0) <= clock < (23, 30) or (local.weekday() == 6 and (4, 0) <= clock < (8, 0))


# --- upstream ---


def dataset() -> dict[str, Any]:
    """Each day a call, and a lesson in a room of four days, each week a call over midnight; nothing on every thirteenth day.

    Upstream changes some days long after they were final, drops one for good, and fails now and then.
    """
    sessions: dict[str, dict[str, Any]] = {}

    def call(room: str, start: datetime, minutes: int, people: int) -> None:
        session = sessions.setdefault(room, {"project_id": ACME, "session_id": room, "media_mode": "routed", "connections": []})
        during = {"created_at": text(start), "destroyed_at": text(start + minutes * MINUTE)}
        for _ in range(people):
            name = f"{room}-{len(session['connections'])}"
            session["connections"].append({"connection_id": name, **during, "streams": [{"stream_id": f"{name}-s", **during}]})

    for number in range((LAST - FIRST).days + 5):
        day = FIRST + number * DAY
        midnight = pacific(day.year, day.month, day.day)
        if number % 13 == 12:
            continue
        call(f"1_call-{day}", midnight + 10 * HOUR + number * MINUTE, 10 + number % 7, 2)
        call(f"1_lesson-{number // 4}", midnight + 15 * HOUR, 40, 3)
        if is_late(day):
            call(f"1_late-{day}", midnight + 23 * HOUR + 30 * MINUTE, 120, 2)
    restated = [
        {"kind": "restated", "day": str(day), "tier": "from1To2Publishers", "minutes": str(minutes), "at": text(at)}
        for day, minutes, at in RESTATED
    ]
    failing = [
        {"kind": "http", "operation": "sessionSummaries", "calls": list(range(200, 206)), "status": 500},
        {"kind": "http", "operation": "projectData", "calls": [100, 101, 102], "error_code": 1012},
        {"kind": "http", "operation": "sessions", "calls": [90, 91], "truncated": True},
    ]
    faults = [*restated, *failing, {"kind": "project_day_dropped", "day": str(DROPPED)}]
    return {
        "account": {"key": "9000", "secret": "account-secret-0123456789abcdef0123456789abcdef"},
        "projects": [{"id": project, "secret": secret(project), "created_at": text(BEGIN)} for project in (ACME, BETA)],
        "sessions": list(sessions.values()),
        "faults": [{"project_id": ACME, **fault} for fault in faults],
    }


def is_late(day: date) -> bool:
    """Whether the day has a call over midnight."""
    return (day - FIRST).days % 7 == 0


RESTATED = (
    (date(2026, 2, 3), 30, pacific(2026, 2, 7, 3)),
    (date(2026, 4, 20), 45, pacific(2026, 5, 25, 3)),
    (date(2026, 5, 30), 12, pacific(2026, 6, 20, 3)),  # while nothing runs
    (date(2026, 9, 1), 7, pacific(2026, 11, 15, 3)),
)
"""Days to which upstream adds so many minutes of tier 1-2 at an instant."""
DROPPED = date(2026, 7, 15)


def secret(project_id: str) -> str:
    return f"{project_id}-secret-0123456789abcdef0123456789abcdef"


def text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- the installation ---


class StillClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


@dataclass
class Year:
    """One installation, and what it does from one instant to the next."""

    engine: Engine
    clock: StillClock = field(default_factory=lambda: StillClock(BEGIN))
    ticks: int = 0
    ran: list[tuple[datetime, Job]] = field(default_factory=list)
    schedules: list[Callable[[Engine, datetime], list[Job]]] = field(default_factory=lambda: [tick, closing.tick])
    """What looks for work once a minute: each answers the jobs that it has queued."""
    handlers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    """What does a job, by its kind."""

    def __post_init__(self) -> None:
        self.upstream = Upstream(Dataset.load(dataset()), self.clock)  # type: ignore[arg-type]  # only told the time
        self.transport = SandboxTransport(self.upstream)
        self.handlers = {"collection": self.collect, closing.CLOSE: self.close, closing.RESTATE: self.close}
        self.add(ACME)
        with transaction(self.engine) as session:
            rate_cards.publish(session, CARD, BEGIN, actor="test")
            customer = add_customer(session, add_entity(session).id, rate_card_id="rc_books")
            ownership.assign_project(session, ACME, customer.id, actor="test", now=BEGIN)
        with transaction(self.engine) as session:
            endpoint = {"url": "https://erp.example.com/hooks", "description": "", "types": None, "projects": None}
            webhooks.create(session, VAULT, "whsec_0123", actor="test", now=BEGIN, ordered=False, **endpoint)

    def add(self, project_id: str, **wrong: str) -> None:
        """A new project, with its secret or a wrong one."""
        credentials = OpenTokCredentials(project_id, wrong.get("secret", secret(project_id)))
        with transaction(self.engine) as session:
            projects.create(session, VAULT, Project(project_id, f"Company {project_id}", credentials, self.clock.now()))

    def mend(self, project_id: str) -> None:
        """Give a project its right secret."""
        with transaction(self.engine) as session:
            before, right = projects.get(session, VAULT, project_id), OpenTokCredentials(project_id, secret(project_id))
            plans.follow(
                session,
                before,
                projects.update(session, VAULT, project_id, actor="test", now=self.clock.now(), credentials=right),
                self.clock.now(),
            )

    def live_until(self, end: datetime) -> None:
        """Tick whenever a project is to be looked at, but for the times when nothing runs."""
        while self.clock.at < end:
            if is_up(self.clock.at):
                self.tick()
            self.clock.at = min(self._next(), end)

    def tick(self) -> None:
        """What happens once a minute, and all the work that comes of it."""
        self.ticks += 1
        for schedule in self.schedules:
            for job in schedule(self.engine, self.clock.now()):
                self.work(job)

    def work(self, queued: Job) -> None:
        """Do a job, as a worker would."""
        with transaction(self.engine) as session:
            job = jobs.begin(session, queued.id, queued.queued, self.clock.now())
        assert job
        attempt = jobs.Attempt(job.id, job.attempts)
        try:
            result = self.handlers[job.kind](job.arguments)
        except CollectionFailed as error:
            with transaction(self.engine) as session:
                jobs.fail(session, attempt, {"title": str(error)}, self.clock.now())
        else:
            with transaction(self.engine) as session:
                jobs.succeed(session, attempt, result, self.clock.now())
        with transaction(self.engine, read_only=True) as session:
            self.ran.append((self.clock.now(), jobs.get(session, job.id)))

    def collect(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        with transaction(self.engine, read_only=True) as session:
            project = projects.get(session, VAULT, arguments["project_id"])
        collect(
            self.engine,
            project,
            wanted(arguments),
            client_factory=self.client,
            clock=self.clock,
            progress=lambda *_: None,
        )
        return {}

    def close(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        def find_project(project_id: str) -> Project:
            with transaction(self.engine, read_only=True) as session:
                return projects.get(session, VAULT, project_id)

        period = resolve(arguments["period"]).period
        closing.close(self.engine, find_project, arguments["project_id"], period, clock=self.clock)
        return {}

    def client(self, project: Project) -> InsightsClient:
        return client_of(project, self.clock, self.transport, limits=ClientLimits(attempts=2), sleep=lambda _: None)

    def _next(self) -> datetime:
        """The minute in which a project is to be looked at, or something runs again."""
        now = self.clock.at
        with transaction(self.engine, read_only=True) as session:
            look_at = session.exec(select(func.min(CollectionPlan.look_at))).one()
        again = [end for _, end in DOWNTIMES if end > now and not is_up(now)]
        return max(min(again, default=look_at), now + MINUTE)
