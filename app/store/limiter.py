"""Upstream's limits on requests, kept by all processes of an installation together: through their database.

Upstream allows fewer than 100 requests in any 30 s for an API key, and for an address (support article). A request reserves the
next instant at which it may leave, in one short transaction, and then sleeps until then: nobody polls, and whoever came first
leaves first. Upstream counts in real time, so the clock is the machine's, or that of the sandbox where time is simulated.
"""

import time
from collections.abc import Callable, Sequence

from sqlalchemy.engine import Engine
from sqlmodel import Session, col, select

from app.clock import Clock, SystemClock
from app.db import transaction
from app.store.tables import RequestWindow, add_missing

LIMIT = 95
"""Requests in a window: a few less than upstream allows, for whatever else uses the same key or address."""
WINDOW = 31.0
"""Seconds: a second more than upstream counts, because a request may take longer to arrive than the one before it."""

_MICRO = 1_000_000
_HORIZON = 10  # windows: no queue is longer, so a reservation beyond it was made before a clock was set back


class DatabaseLimiter:
    """An `app.insights.limits.Limiter` for every process that shares the engine's database."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock | None = None,
        limit: int = LIMIT,
        window: float = WINDOW,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._sleep = sleep
        self._clock = clock or SystemClock()
        self._limit = limit
        self._window = int(window * _MICRO)

    def acquire(self, key: str) -> None:
        """Block until one more request with this API key may leave. A process killed meanwhile only wastes its place."""
        wait = self._reserve(key) - self._now()
        self._sleep(min(max(0, wait), _HORIZON * self._window) / _MICRO)  # bounded even if the clock was set back meanwhile

    def _reserve(self, key: str) -> int:
        # A disk that is waited for at every request would be slower than upstream's limit on some machines.
        with transaction(self._engine, durable=False) as session:
            rows = _locked(session, *_scopes(key))
            if len(rows) < 2:
                rows = []
                for scope in _scopes(key):  # none is made before the one before it is locked
                    add_missing(session, RequestWindow(scope=scope, stamps=[]))
                    rows += _locked(session, scope)
            now = self._now()
            taken = [
                [stamp for stamp in row.stamps if now - self._window < stamp < now + _HORIZON * self._window] for row in rows
            ]
            freed = (stamp + self._window for stamps in taken for stamp in stamps)
            candidates = (now, *sorted(instant for instant in freed if instant > now))
            at = next(it for it in candidates if all(self._fits(stamps, it) for stamps in taken))
            for row, stamps in zip(rows, taken, strict=True):
                row.stamps = sorted([*stamps, at])
        return at

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * _MICRO)

    def _fits(self, stamps: Sequence[int], at: int) -> bool:
        """Whether no window that holds `at` would hold more than the limit."""
        near = sorted([at, *(stamp for stamp in stamps if abs(stamp - at) < self._window)])
        return all(last - first >= self._window for first, last in zip(near, near[self._limit :], strict=False))


def _scopes(key: str) -> tuple[str, str]:
    return "address", f"key:{key}"


def _locked(session: Session, *scopes: str) -> list[RequestWindow]:
    """The windows of the scopes, if they are there: always locked in this order, so that no two wait for each other."""
    wanted = select(RequestWindow).where(col(RequestWindow.scope).in_(scopes))
    return list(session.exec(wanted.order_by(col(RequestWindow.scope)).with_for_update()))
