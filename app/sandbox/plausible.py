"""Figures that nobody reconciles, made up so that they look right and are the same whenever they are asked for."""

from hashlib import blake2b

LATENCIES = (*(f"ms{step}" for step in (50, *range(100, 1001, 100))), "ms1000Plus")
BITRATES = (
    *(f"kbps{step}" for step in (*range(100, 1001, 100), *range(1200, 2001, 200), *range(2250, 3001, 250))),
    "kbps3000Plus",
)
_FAILING = 250
"""One attempt in so many fails."""


def between(low: int, high: int, *about: object) -> int:
    """A whole number from `low` to `high`, drawn from what it is about."""
    digest = blake2b(repr(about).encode(), digest_size=8).digest()
    return low + int.from_bytes(digest, "little") % (high - low + 1)


def identifier(*about: object) -> str:
    """A UUID drawn from what it is about."""
    digits = blake2b(repr(about).encode(), digest_size=16).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def attempts(number: int) -> dict[str, int]:
    """So many attempts to connect, publish or subscribe that worked, and a few that did not."""
    return {"attempts": number + number // _FAILING, "failures": number // _FAILING}


def quality(*about: object) -> dict[str, object]:
    """The quality of an interval's streams: mostly low latency, and bit rates around the average; shares in percent."""
    return {
        "videoBitrateKbpsAvg": float(between(400, 1400, "average", *about)),
        "latencyDistribution": _shares(LATENCIES, 2, about),
        "videoBitrateDistribution": _shares(BITRATES, 7, about),
    }


def _shares(names: tuple[str, ...], most: int, about: tuple[object, ...]) -> dict[str, float]:
    """Percentages that add up to 100, the largest around the place `most`."""
    weights = [between(1, 9, name, *about) * 40 // (1 + (place - most) ** 2) for place, name in enumerate(names)]
    return {name: 100 * weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def stream_statistics(video_type: str, *about: object) -> dict[str, object]:
    """What a stream measured at one instant."""
    width, height = (1920, 1080) if video_type == "screen" else (1280, 720)
    return {
        "audioLatencyMs": float(between(10, 60, "audio latency", *about)),
        "audioBitrateKbps": float(between(30, 50, "audio", *about)),
        "audioPacketLoss": between(0, 20, "audio loss", *about) / 1000,
        "audioCodec": "opus",
        "videoLatencyMs": float(between(15, 90, "video latency", *about)),
        "videoBitrateKbps": float(between(300, 1500, "video", *about)),
        "videoPacketLoss": between(0, 20, "video loss", *about) / 1000,
        "videoCodec": "VP8",
        "videoResolution": {"width": width, "height": height},
        "hasAudio": True,
        "hasVideo": True,
        "subscribeToAudio": True,
        "subscribeToVideo": True,
    }
