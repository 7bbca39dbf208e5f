"""The sweep against a count of every single tick."""

from hypothesis import given
from hypothesis import strategies as st

from billing.sweep import sweep

intervals = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda it: (min(it), max(it)))


@given(st.lists(intervals, max_size=6), st.lists(st.tuples(st.integers(0, 3), intervals), max_size=8))
def test_the_segments_are_what_each_tick_shows(
    connections: list[tuple[int, int]], streams: list[tuple[int, tuple[int, int]]]
) -> None:
    segments = sweep(connections, [(who, start, end) for who, (start, end) in streams])
    seen = {}
    for segment in segments:
        assert segment.start < segment.end
        for tick in range(segment.start, segment.end):
            assert tick not in seen
            seen[tick] = (segment.participants, segment.publishers)
    for tick in range(31):
        participants = sum(start <= tick < end for start, end in connections)
        publishers = len({who for who, (start, end) in streams if start <= tick < end})
        assert seen.get(tick) == ((participants, publishers) if participants else None)
