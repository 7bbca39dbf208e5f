"""The client of upstream's Insights API: a project's daily usage, a billing day's meetings, the detail of some meetings.

Everything is read to the last page, outer and nested, or not at all. What comes back are payloads and facts; when and what to
collect is decided elsewhere.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import httpx

from app.clock import Clock
from app.insights import queries, wire
from app.insights.accounts import AccountProject, list_projects
from app.insights.conversation import Conversation, http_client
from app.insights.details import DetailReading
from app.insights.errors import MalformedAnswer
from app.insights.limits import ClientLimits, Limiter
from app.insights.meetings import MeetingRef, MeetingsReading
from app.insights.paging import Listing
from app.insights.schema import Row
from app.insights.tokens import Credentials, OpenTokCredentials, VonageCredentials
from app.store.payloads import Payload, encode_details
from billing.facts import DailyUsage
from billing.period import BillingPeriod, day_start, next_day

__all__ = [
    "AccountProject",
    "Credentials",
    "DailyAnswer",
    "DetailAnswer",
    "InsightsClient",
    "MeetingRef",
    "MeetingsAnswer",
    "OpenTokCredentials",
    "VonageCredentials",
    "list_projects",
]


@dataclass(frozen=True)
class DailyAnswer:
    """The project level of a period: every day of it is a key, None where upstream left it out."""

    days: Mapping[date, DailyUsage | None]
    observed_at: datetime
    requests: int


@dataclass(frozen=True)
class MeetingsAnswer:
    """A billing day's window: every session with a meeting created on that day, with all its meetings."""

    payload: Payload
    crossers: Sequence[MeetingRef]
    """The meetings created on that day that had crossed a Pacific midnight when they were observed."""
    live: int
    """How many of the meetings created on that day had not ended."""
    observed_at: datetime
    requests: int


@dataclass(frozen=True)
class DetailAnswer:
    """Who was connected and publishing in the meetings asked for, but for those `missing` from the answer."""

    payload: Payload
    missing: int
    observed_at: datetime
    requests: int


class InsightsClient:
    """One project's view of upstream. May be shared between threads; close it, or use it as a context manager."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        url: str,
        clock: Clock,
        limiter: Limiter,
        transport: httpx.BaseTransport | None = None,
        limits: ClientLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url` is the whole GraphQL address; `clock` dates tokens and answers; `limiter` is asked before every request."""
        limits = limits or ClientLimits()
        self._project_id = credentials.project_id
        self._url = url
        self._http = http_client(limits, transport)
        self._talk = partial(
            Conversation,
            self._http,
            credentials,
            key=self._project_id,
            clock=clock,
            limiter=limiter,
            limits=limits,
            sleep=sleep,
        )

    def __enter__(self) -> "InsightsClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def daily_usage(self, period: BillingPeriod, tiers: Sequence[str]) -> DailyAnswer:
        """Every kind of usage of each day of a period; participant minutes in these tier fields. Raises InsightsError.

        The period is asked for from Pacific midnight to Pacific midnight: upstream answers for every day that a range touches,
        so any other range would bring one day more (guide).
        """
        talk, listing = self._talk(), Listing("/data/project/projectData")
        days: dict[date, DailyUsage | None] = dict.fromkeys(period.days)
        cursor: str | None = ""
        while cursor is not None:
            query = queries.daily_usage(self._project_id, period.start, period.end, tiers, cursor)
            page = self._ask(talk, query, partial(wire.daily_usage, tiers=tiers, period=period))
            for day, usage in page.days:
                if days[day] is not None:
                    raise MalformedAnswer(
                        f"{day} is answered twice.", path="/data/project/projectData", expected="each day once"
                    )
                days[day] = usage
            cursor = listing.follow(page.info, [day for day, _ in page.days], page.total)
        return DailyAnswer(days, talk.started_at, talk.requests)

    def meetings(self, day: date, tiers: Sequence[str]) -> MeetingsAnswer:
        """All sessions with a meeting created on a billing day, with all their meetings. Raises InsightsError."""
        talk = self._talk()
        start, end = day_start(day), day_start(next_day(day))
        reading = MeetingsReading(start, end, talk.started_at)
        cursor: str | None = ""
        while cursor is not None:
            query = queries.summaries(self._project_id, start, end, tiers, cursor)
            cursor = reading.add(self._ask(talk, query, partial(wire.summaries, tiers=tiers)))
        while more := reading.unfinished[: queries.SESSIONS_PER_QUERY]:
            ids = [ask.session_id for ask in more]
            query = queries.more_meetings(self._project_id, more, tiers)
            reading.add_more(self._ask(talk, query, partial(wire.more_meetings, tiers=tiers, session_ids=ids)))
        return MeetingsAnswer(reading.finish(), reading.crossers, reading.live, talk.started_at, talk.requests)

    def details(self, meetings: Sequence[MeetingRef]) -> DetailAnswer:
        """Who was connected and publishing in these meetings. Raises InsightsError."""
        talk, reading = self._talk(), DetailReading(meetings)
        while asks := reading.unfinished[: queries.SESSIONS_PER_QUERY]:
            ids = [ask.session_id for ask in asks]
            query = queries.details(self._project_id, asks)
            reading.add(asks, self._ask(talk, query, partial(wire.details, session_ids=ids)))
        return DetailAnswer(encode_details(reading.finish()), reading.missing, talk.started_at, talk.requests)

    def _ask(self, talk: Conversation, query: str, read: Callable[[bytes], Row]) -> Row:
        return talk.call("POST", self._url, read, json={"query": query})
