"""The pages of one billing day's window, put together: what was read, what is still to be read, and what stands out."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from app.insights.errors import MalformedAnswer
from app.insights.paging import Listing
from app.insights.queries import More
from app.insights.schema import Found, Meeting, Summary
from app.insights.wire import MeetingsAnswered
from app.store.meeting_rows import PayloadError
from app.store.payloads import MeetingsBuilder, Payload
from billing.facts import LIVE
from billing.period import microseconds

_SUMMARIES = "/data/project/sessionData/sessionSummaries"


@dataclass(frozen=True, order=True)
class MeetingRef:
    """One meeting: `created` in microseconds since the epoch tells apart those that share an id."""

    session_id: str
    meeting_id: str
    created: int


class MeetingsReading:
    """A window that is being read: the sessions with a meeting created in `[start, end)`, observed at `observed_at`."""

    def __init__(self, start: datetime, end: datetime, observed_at: datetime) -> None:
        self._start, self._end, self._observed_at = (microseconds(instant) for instant in (start, end, observed_at))
        self._sessions = Listing(_SUMMARIES)
        self._seen: set[str] = set()
        self._lists: dict[str, Listing] = {}
        self._cursors: dict[str, str] = {}
        self._tiers: tuple[str, ...] | None = None
        self._builder = MeetingsBuilder(())
        self._crossers: set[MeetingRef] = set()
        self._live: set[MeetingRef] = set()

    def add(self, page: MeetingsAnswered) -> str | None:
        """Take in a page of sessions; the cursor of the next, None after the last. Raises MalformedAnswer."""
        self._take(page)
        for session in page.sessions:
            if session.session_id not in self._seen:
                self._seen.add(session.session_id)
                self._follow(session)
        return self._sessions.follow(page.info, page.columns.session_ids, page.total)

    def add_more(self, page: MeetingsAnswered) -> None:
        """Take in further meetings of the sessions that `unfinished` named. Raises MalformedAnswer."""
        self._take(page)
        for session in page.sessions:
            self._follow(session)

    @property
    def unfinished(self) -> list[More]:
        """The sessions whose list of meetings goes on, and where."""
        return [More(session_id, cursor) for session_id, cursor in self._cursors.items()]

    @property
    def crossers(self) -> list[MeetingRef]:
        """The meetings created in the window that cross its end, the first Pacific midnight that they can cross; in order."""
        return sorted(self._crossers)

    @property
    def live(self) -> int:
        """How many meetings created in the window have not ended."""
        return len(self._live)

    def finish(self) -> Payload:
        """The payload of all pages. Raises MalformedAnswer where they contradict one another."""
        try:
            return self._builder.finish()
        except PayloadError as error:
            raise MalformedAnswer(
                f"The pages contradict one another: {error}.", path=_SUMMARIES, expected="each row once"
            ) from error

    def _take(self, page: MeetingsAnswered) -> None:
        if self._tiers is None:
            self._tiers, self._builder = page.tiers, MeetingsBuilder(page.tiers)
        elif page.tiers != self._tiers:
            raise MalformedAnswer("The tier fields differ from page to page.", path=_SUMMARIES, expected=", ".join(self._tiers))
        self._builder.add_page(page.columns)
        created, destroyed = page.columns.meetings[:2]
        native = (self._start <= created) & (created < self._end)
        self._live |= self._refs(page, native & (destroyed == LIVE))
        ended = np.where(destroyed == LIVE, self._observed_at, destroyed)
        self._crossers |= self._refs(page, native & (ended > self._end))

    @staticmethod
    def _refs(page: MeetingsAnswered, which: NDArray[np.bool_]) -> set[MeetingRef]:
        columns = page.columns
        owners = np.repeat(np.arange(len(columns.session_ids)), columns.meeting_counts)
        return {
            MeetingRef(columns.session_ids[owners[row]], columns.meeting_ids[row], int(columns.meetings[0, row]))
            for row in np.flatnonzero(which).tolist()
        }

    def _follow(self, session: "Summary[Meeting[object]] | Found[Meeting[object]]") -> None:
        """Note where a session's own list of meetings goes on."""
        meetings, known = session.meetings, self._lists.get(session.session_id)
        if known is None and not meetings.page_info.has_next_page and meetings.total_count in (None, len(meetings.resources)):
            return
        listing = known or Listing(f"{_SUMMARIES}/resources/{session.session_id}/meetings")
        rows = [(meeting.meeting_id, meeting.created_at) for meeting in meetings.resources]
        cursor = listing.follow(meetings.page_info, rows, meetings.total_count)
        if cursor is None:
            self._lists.pop(session.session_id, None)
            self._cursors.pop(session.session_id, None)
        else:
            self._lists[session.session_id] = listing
            self._cursors[session.session_id] = cursor
