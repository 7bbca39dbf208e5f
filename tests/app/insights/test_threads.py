"""Answers are decoded by several threads at once, from the first on."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from app.insights import wire

THREADS = 6


def decode_at_once() -> None:
    """Six threads decode the first answer of its kind at the same moment, for a hundred kinds: each set of tiers is one."""
    sys.setswitchinterval(1e-6)
    barrier = Barrier(THREADS)

    def decode(kind: int) -> None:
        tiers = tuple(f"from{low}To{low + kind}Publishers" for low in range(1, 18))
        no_more = {"pageInfo": {"hasNextPage": False, "endCursor": None}, "totalCount": 1}
        figures = {"publisherMinutes": 0.0, "subscriberMinutes": 0.0, "participantMinutes": dict.fromkeys(tiers, 0.0)}
        session = {
            "sessionId": "s",
            "mediaMode": "routed",
            **figures,
            "meetings": {**no_more, "totalCount": 0, "resources": []},
        }
        data = {"project": {"sessionData": {"sessionSummaries": {**no_more, "resources": [session]}}}}
        body = json.dumps({"data": data}).encode()
        barrier.wait()
        assert wire.summaries(body, tiers).sessions

    with ThreadPoolExecutor(THREADS) as pool:
        for kind in range(100):
            for future in [pool.submit(decode, kind) for _ in range(THREADS)]:
                future.result()


def test_threads_may_decode_the_first_answer_at_the_same_moment() -> None:
    """In a process of its own, because this once ended it with a segmentation fault."""
    program = "from tests.app.insights.test_threads import decode_at_once; decode_at_once()"
    ran = subprocess.run([sys.executable, "-X", "faulthandler", "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
