"""The detail of meetings, put together from pages: who was connected when, and when each of them published."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.insights.errors import MalformedAnswer
from app.insights.meetings import MeetingRef
from app.insights.paging import Listing
from app.insights.queries import DetailAsk
from app.insights.schema import Detail, Found, Listed, Person, Row
from app.insights.wire import instants
from billing.facts import MeetingDetail, key64


@dataclass
class _Told:
    """What was read so far of one meeting."""

    connections: dict[str, tuple[int, int]] = field(default_factory=dict)
    publishing: list[tuple[str, int, int]] = field(default_factory=list)


class DetailReading:
    """The detail of some meetings while it is being read."""

    def __init__(self, meetings: Sequence[MeetingRef]) -> None:
        self._wanted = set(meetings)
        self._told: dict[MeetingRef, _Told] = {}
        self._listings: dict[tuple[object, ...], Listing] = {}
        self.unfinished = [DetailAsk(*pair) for pair in sorted({(ref.session_id, ref.meeting_id) for ref in meetings})]
        """What is still to be asked for."""

    def add(self, asks: Sequence[DetailAsk], answers: Sequence[Found[Detail]]) -> None:
        """Take in the answers to the first of `unfinished`, in their order. Raises MalformedAnswer."""
        self.unfinished = self.unfinished[len(asks) :]
        for index, (ask, answer) in enumerate(zip(asks, answers, strict=True)):
            path = f"/data/project/sessionData/s{index}/resources/0/meetings"
            for place, detail in enumerate(answer.meetings.resources):
                self._add_meeting(ask, detail, f"{path}/resources/{place}")
            if ask.created is None:
                rows = [(detail.meeting_id, detail.created_at) for detail in answer.meetings.resources]
                cursor = self._follow((ask.session_id, ask.meeting_id), path, answer.meetings, rows)
                if cursor is not None:
                    self.unfinished.append(replace(ask, meetings=cursor))

    @property
    def missing(self) -> int:
        """How many of the meetings upstream did not tell of; their minutes can still be split by time."""
        return len(self._wanted - set(self._told))

    def finish(self) -> list[MeetingDetail]:
        """The details of the meetings found. Raises MalformedAnswer where somebody published without being connected."""
        return [_detail(ref, told) for ref, told in self._told.items()]

    def _add_meeting(self, ask: DetailAsk, detail: Detail, path: str) -> None:
        created = int(instants([detail.created_at], lambda _: f"{path}/createdAt")[0])
        ref = MeetingRef(ask.session_id, detail.meeting_id, created)
        if detail.meeting_id != ask.meeting_id:
            raise MalformedAnswer("Not the meeting that was asked for.", path=f"{path}/meetingId", expected=ask.meeting_id)
        # Several meetings may share the id, and one of them may even be answered twice: each is taken in once.
        if ref not in self._wanted or (ref in self._told if ask.created is None else created != ask.created):
            return
        told, more = self._told.setdefault(ref, _Told()), replace(ask, created=created, connections=None, publishers=None)
        if ask.connections is not None:
            people = _required(detail.connections, f"{path}/connections")
            for name, start, end in _intervals(people, f"{path}/connections"):
                if name in told.connections:
                    raise MalformedAnswer(
                        f"The connection {name!r} comes twice.", path=f"{path}/connections", expected="each once"
                    )
                told.connections[name] = start, end
            more = replace(more, connections=self._follow((ref, "connections"), f"{path}/connections", people, _rows(people)))
        if ask.publishers is not None:
            people = _required(detail.publishers, f"{path}/publishers")
            told.publishing += _intervals(people, f"{path}/publishers")
            more = replace(more, publishers=self._follow((ref, "publishers"), f"{path}/publishers", people, _rows(people)))
        if more.connections is not None or more.publishers is not None:
            self.unfinished.append(more)

    def _follow(
        self, key: tuple[object, ...], path: str, listed: Listed[Row], rows: Sequence[tuple[object, ...]]
    ) -> str | None:
        listing = self._listings.setdefault(key, Listing(path))
        return listing.follow(listed.page_info, rows, listed.total_count)


def _required(people: Listed[Person] | None, path: str) -> Listed[Person]:
    if people is None:
        raise MalformedAnswer("It was asked for, but did not come.", path=path, expected="a list")
    return people


def _rows(people: Listed[Person]) -> list[tuple[object, ...]]:
    return [(person.connection_id, person.created_at, person.destroyed_at) for person in people.resources]


def _intervals(people: Listed[Person], path: str) -> list[tuple[str, int, int]]:
    starts = instants([person.created_at for person in people.resources], lambda row: f"{path}/resources/{row}/createdAt")
    ends = instants([person.destroyed_at for person in people.resources], lambda row: f"{path}/resources/{row}/destroyedAt")
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if end < start:
            place = f"{path}/resources/{row}/destroyedAt"
            raise MalformedAnswer("It ends before it starts.", path=place, expected="not before createdAt")
    names = [person.connection_id for person in people.resources]
    return list(zip(names, starts.tolist(), ends.tolist(), strict=True))


def _detail(ref: MeetingRef, told: _Told) -> MeetingDetail:
    places = {name: place for place, name in enumerate(told.connections)}
    for name, _, _ in told.publishing:
        if name not in places:
            raise MalformedAnswer(
                f"{name!r} published in the meeting {ref.meeting_id!r} without being connected.",
                path="/data/project/sessionData",
                expected="a connection of the meeting",
            )
    return MeetingDetail(
        session=key64(ref.session_id),
        meeting_key=key64(ref.meeting_id),
        created=ref.created,
        connections=list(told.connections.values()),
        publishing=[(places[name], start, end) for name, start, end in told.publishing],
    )
