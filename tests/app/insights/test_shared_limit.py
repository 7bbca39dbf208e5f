"""Two processes that collect at once never exceed upstream's limit together: the sandbox has nobody to refuse."""

import subprocess
import sys
from datetime import timedelta

from app import db
from app.sandbox import upstream as sandbox
from app.sandbox.server import running
from tests.app.insights.support import upstream

COLLECT = """
import sys
from datetime import date
from app.clock import MovableClock
from app.db import create_engine
from app.insights.client import InsightsClient
from app.store.limiter import DatabaseLimiter
from tests.app.insights.support import CREDENTIALS, NOW, TIERS
from concurrent.futures import ThreadPoolExecutor

address, database = sys.argv[1:]
limiter = DatabaseLimiter(create_engine(database), limit=8, window=1.2)
days = [date(2026, 10, day) for day in (3, 4, 5, 6)]
client = InsightsClient(CREDENTIALS, url=address, clock=MovableClock(NOW), limiter=limiter)
with client, ThreadPoolExecutor(4) as pool:
    answers = list(pool.map(lambda day: client.meetings(day, TIERS), days))
print(sum(answer.requests for answer in answers), answers[1].payload.sha256)
"""


class Counting:
    """The sandbox, with its answers counted by status."""

    def __init__(self, inner):
        self._inner = inner
        self.statuses = []

    def handle(self, *args):
        answer = self._inner.handle(*args)
        self.statuses.append(answer.status)
        return answer


def test_two_processes_stay_under_the_limit_together(tmp_path, monkeypatch):
    """At a tenth of the true limit and a thirtieth of its window, so that it is reached several times over."""
    monkeypatch.setattr(sandbox, "MOST_REQUESTS", 10)
    monkeypatch.setattr(sandbox, "WINDOW", timedelta(seconds=1))
    database = f"sqlite:///{tmp_path / 'reckoner.db'}"
    db.upgrade(database)
    counting = Counting(upstream())
    with running(counting) as address:
        command = [sys.executable, "-c", COLLECT, f"{address}/graphql", database]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        printed = [process.communicate(timeout=60)[0].split() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert set(counting.statuses) == {200}
    assert len(counting.statuses) == sum(int(requests) for requests, _ in printed) >= 14
    assert printed[0][1] == printed[1][1]
