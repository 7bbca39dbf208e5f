"""The part of upstream's schema that we read, as types for msgspec; the names on the wire are camelCase.

Fields not named here are ignored, save among the minutes, where a type made for each set of tiers refuses them
(`app.insights.wire`).
"""

from typing import Generic, TypeVar

import msgspec

Row = TypeVar("Row")
Minutes = TypeVar("Minutes")


class PageInfo(msgspec.Struct, rename="camel", gc=False):
    """Whether a list goes on, and where."""

    has_next_page: bool
    end_cursor: str | None = None


class Listed(msgspec.Struct, Generic[Row], rename="camel"):
    """A page of any collection."""

    page_info: PageInfo
    resources: list[Row]
    total_count: int | None = None


class Meeting(msgspec.Struct, Generic[Minutes], rename="camel", gc=False):
    """A meeting's times and minutes."""

    meeting_id: str
    created_at: str
    destroyed_at: str | None
    max_concurrent_connections: int
    publisher_minutes: float
    subscriber_minutes: float
    participant_minutes: Minutes


class Summary(msgspec.Struct, Generic[Minutes], rename="camel"):
    """What upstream states for a whole session, and a page of its meetings."""

    session_id: str
    media_mode: str
    publisher_minutes: float
    subscriber_minutes: float
    participant_minutes: Minutes
    meetings: Listed[Meeting[Minutes]]


class Found(msgspec.Struct, Generic[Row], rename="camel"):
    """A session that was asked for by its id, and a page of its meetings."""

    session_id: str
    meetings: Listed[Row]


class FoundList(msgspec.Struct, Generic[Row]):
    """The answer to one alias."""

    resources: list[Found[Row]]


class Person(msgspec.Struct, rename="camel"):
    """A connection, or what it published: both are an interval of a connection."""

    connection_id: str
    created_at: str
    destroyed_at: str | None


class Detail(msgspec.Struct, rename="camel"):
    """Who was connected and publishing in a meeting; None where that was not asked for."""

    meeting_id: str
    created_at: str
    connections: Listed[Person] | None = None
    publishers: Listed[Person] | None = None


class Summaries(msgspec.Struct, Generic[Minutes], rename="camel"):
    """The session level, by time."""

    session_summaries: Listed[Summary[Minutes]]


class SummariesProject(msgspec.Struct, Generic[Minutes], rename="camel"):
    """A project of which the session level was asked for by time."""

    session_data: Summaries[Minutes]


class SessionsProject(msgspec.Struct, Generic[Row], rename="camel"):
    """A project of which sessions were asked for by id, each under an alias."""

    session_data: dict[str, FoundList[Row]]


class Metric(msgspec.Struct, Generic[Row], rename="camel"):
    """One interval of the project level."""

    interval_start: str
    usage: Row


class DailyProject(msgspec.Struct, Generic[Row], rename="camel"):
    """A project of which the project level was asked for."""

    project_data: Listed[Metric[Row]]


class Error(msgspec.Struct, rename="camel"):
    """One thing that upstream says is wrong."""

    message: str | None = None
    error_code: int | str | None = None


class Data(msgspec.Struct, Generic[Row]):
    """What was asked for: always one project."""

    project: Row


class Answer(msgspec.Struct, Generic[Row]):
    """An answer that can be read; beside errors its data would be partial."""

    data: Data[Row]
    errors: list[Error] | None = None


class Errors(msgspec.Struct):
    """An answer of which only the errors can be read."""

    errors: list[Error] | None = None
