"""What a conversation with upstream may cost: requests, time and bytes."""

from dataclasses import dataclass
from typing import Protocol


class Limiter(Protocol):
    """Holds requests under upstream's limits: fewer than 100 in any 30 s per API key, and per address (support article)."""

    def acquire(self, key: str) -> None:
        """Block until one more request with this API key may leave; called before every request, retries too."""


class Unlimited:
    """Lets every request pass: for what upstream does not count, and for tests of other things."""

    def acquire(self, key: str) -> None:
        """Nothing to wait for."""


@dataclass(frozen=True)
class ClientLimits:
    """Bounds of one call to upstream. Times are in seconds, sizes in bytes."""

    connect: float = 10.0
    read: float = 60.0
    """The longest silence. Upstream is slow where minutes are asked for (guide)."""
    call: float = 180.0
    """The whole of one attempt, however steadily the bytes drip."""
    answer: int = 64 * 1024 * 1024
    """The largest answer, after decompression."""
    attempts: int = 5
    backoff: float = 0.5
    """The n-th pause is drawn evenly from 0 to `backoff × 2ⁿ` ("full jitter"), so that many clients do not return at once."""
    longest_pause: float = 60.0
    """No pause is longer; where upstream asks for more, the call fails at once and says so."""
