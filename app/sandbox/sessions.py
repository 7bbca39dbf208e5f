"""The session level: what resolves sessions, meetings, and who was in them, as known at an instant.

Resources are plain dictionaries. A collection in one, and a figure that is not always asked for and costs something, is a
function that the executor calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from app.sandbox import plausible
from app.sandbox.datafile import iso
from app.sandbox.dataset import ProjectRecord, SessionRecord
from app.sandbox.meetings import MINUTE, Meeting, Publication, Subscription, Use, peak
from app.sandbox.paging import page
from app.sandbox.refusals import Refusal

LATENCY = 5 * MINUTE
RETENTION = 21 * 24 * 60 * MINUTE
"""How long a meeting is kept after it was created, in microseconds (guide)."""
STATISTICS = MINUTE // 2
SESSIONS = 50
"""`sessions` answers details of so many ids only (a client's note)."""

Collection = Callable[..., dict[str, Any]]


@dataclass
class SessionLevel:
    """The session level of one project at `now` (microseconds): up to the latency, and back to the end of retention."""

    record: ProjectRecord
    now: int

    def session_summaries(self, start: int | None, end: int | None, first: object, cursor: object) -> dict[str, Any]:
        """Every session with a listed meeting created in `[start, end)`; None is from the earliest record, and until now.

        Sessions are in order of their first meeting. Raises Refusal 1002 for a start past retention and an empty range.
        """
        oldest = self.now - RETENTION
        start, end = oldest if start is None else start, self.now if end is None else end
        if start < oldest:
            raise Refusal(1002, f"start is more than 21 days ago, before {iso(oldest)}")
        if end <= start:
            raise Refusal(1002, "end is not after start")
        found = [
            session
            for session in self.record.sessions.values()
            if any(start <= meeting.created < end and not meeting.hidden for meeting in self._kept(session))
        ]
        return page("sessionSummaries", found, first, cursor, self._session)

    def sessions(self, session_ids: object, first: object, cursor: object) -> dict[str, Any]:
        """Details of the first 50 of these sessions, in the order asked for; an unknown one is null, with error 1017."""
        wanted = [session_ids] if isinstance(session_ids, str) else session_ids
        if not isinstance(wanted, list) or not wanted:
            raise Refusal(1018)

        def resource(session_id: object) -> object:
            session = self.record.sessions.get(str(session_id))
            return self._session(session) if session and self._retained(session) else Refusal(1017, str(session_id))

        return page("sessions", wanted[:SESSIONS], first, cursor, resource)

    def _kept(self, session: SessionRecord) -> Iterator[Meeting]:
        """The meetings that have begun and are kept, with all that will become of them."""
        as_of, oldest = self.now - LATENCY, self.now - RETENTION
        return (meeting for meeting in session.meetings if oldest <= meeting.created < as_of)

    def _retained(self, session: SessionRecord) -> list[Meeting]:
        """The meetings that have begun and are kept, as known now."""
        return [meeting.known_at(self.now - LATENCY) for meeting in self._kept(session)]

    def _session(self, session: SessionRecord) -> dict[str, Any]:
        retained = self._retained(session)
        listed = [
            (meeting, use)
            for meeting in retained
            if not meeting.hidden
            for use in (meeting.use, meeting.conflict)
            if use is not None
        ]

        def meetings(
            _info: object, first: object = None, end_cursor: object = None, meeting_id: object = None
        ) -> dict[str, Any]:
            wanted = [entry for entry in listed if meeting_id in (None, entry[0].meeting_id)]
            return page("meetings", wanted, first, end_cursor, lambda entry: self._meeting(*entry))

        @cache
        def totals() -> dict[str, Any]:
            return self._minutes(session.total(retained))

        def total(name: str, _info: object) -> object:
            return totals()[name]

        return {
            "sessionId": session.session.session_id,
            "mediaMode": session.session.media_mode,
            **{name: partial(total, name) for name in ("publisherMinutes", "subscriberMinutes", "participantMinutes")},
            "meetings": meetings,
        }

    def _minutes(self, use: Use) -> dict[str, Any]:
        return {
            "publisherMinutes": use.published / MINUTE,
            "subscriberMinutes": use.subscribed / MINUTE,
            "participantMinutes": participant_minutes(use, self.record.filled),
        }

    def _meeting(self, meeting: Meeting, use: Use) -> dict[str, Any]:
        publications, subscriptions = meeting.publications, meeting.subscriptions
        present = [index for index, (start, end) in enumerate(meeting.intervals) if start < end]
        return {
            "meetingId": meeting.meeting_id,
            "createdAt": iso(meeting.created),
            "destroyedAt": _ended(meeting, meeting.destroyed),
            "maxConcurrentStreams": lambda _info: peak((p.start, p.end) for p in publications),
            "maxConcurrentConnections": lambda _info: peak(meeting.intervals),
            "maxConcurrentSubscribers": lambda _info: peak((s.start, s.end) for s in subscriptions),
            "totalStreams": len(publications),
            "totalConnections": len(present),
            "totalSubscribers": len(subscriptions),
            **self._minutes(use),
            "connections": _collection(
                "connections",
                present,
                lambda index: _connection(meeting, index),
                maxConcurrent=lambda _info: peak(meeting.intervals),
            ),
            "publishers": _publishers(meeting, publications),
            "subscribers": _subscribers(meeting, subscriptions),
        }


def participant_minutes(use: Use, filled: Sequence[str]) -> dict[str, float]:
    """The minutes in every tier field."""
    return {tier: amount / MINUTE for tier, amount in use.tiers(filled).items()}


def _ended(meeting: Meeting, end: int) -> str | None:
    """When something in a meeting ended; None while it is not known to have."""
    return None if meeting.live and end >= meeting.destroyed else iso(end)


def _collection(name: str, items: Sequence[Any], resource: Callable[[Any], object], **more: object) -> Collection:
    def resolve(_info: object, first: object = None, end_cursor: object = None) -> dict[str, Any]:
        return page(name, items, first, end_cursor, resource) | more

    return resolve


def _connection(meeting: Meeting, index: int) -> dict[str, Any]:
    connection, (start, end) = meeting.connections[index], meeting.intervals[index]
    return {
        "connectionId": connection.connection_id,
        "guid": plausible.identifier("guid", connection.connection_id),
        "createdAt": iso(start),
        "destroyedAt": _ended(meeting, end),
        "sdkType": connection.sdk_type,
        "sdkVersion": connection.sdk_version,
        "browser": connection.browser,
        "browserVersion": connection.browser_version,
        "country": connection.country,
        "region": connection.region,
        "publishers": _publishers(meeting, [p for p in meeting.publications if p.publisher == index]),
        "subscribers": _subscribers(meeting, [s for s in meeting.subscriptions if s.subscriber == index]),
    }


def _publishers(meeting: Meeting, publications: Sequence[Publication]) -> Collection:
    def resource(publication: Publication) -> dict[str, Any]:
        connection = meeting.connections[publication.publisher]
        return {
            "connectionId": connection.connection_id,
            **_streaming(meeting, publication, publication.start, publication.end, connection.connection_id),
            "subscribers": _subscribers(meeting, [s for s in meeting.subscriptions if s.publication is publication]),
        }

    return _collection("publishers", publications, resource)


def _subscribers(meeting: Meeting, subscriptions: Sequence[Subscription]) -> Collection:
    def resource(subscription: Subscription) -> dict[str, Any]:
        connection_id = meeting.connections[subscription.subscriber].connection_id
        name = plausible.identifier(connection_id, subscription.publication.stream.stream_id, subscription.start)
        return {
            "subscriberId": name,
            "connectionId": connection_id,
            **_streaming(meeting, subscription.publication, subscription.start, subscription.end, name),
        }

    return _collection("subscribers", subscriptions, resource)


def _streaming(meeting: Meeting, publication: Publication, start: int, end: int, name: str) -> dict[str, Any]:
    """What publishers and subscribers have in common: when, which stream, and how it went every 30 seconds."""
    stream = publication.stream
    return {
        "createdAt": iso(start),
        "destroyedAt": _ended(meeting, end),
        "stream": {
            "streamId": stream.stream_id,
            "videoType": stream.video_type,
            "hasAudioTrack": stream.video_type != "screen",
            "hasVideoTrack": True,
        },
        "streamStatsCollection": _collection(
            "streamStatsCollection",
            range(start, end, STATISTICS),
            lambda instant: {"createdAt": iso(instant), **plausible.stream_statistics(stream.video_type, name, instant)},
        ),
    }
