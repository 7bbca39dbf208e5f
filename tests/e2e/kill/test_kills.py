"""`kill -9` at every step and at random moments: afterwards nothing is missing, and nothing is there twice.

RECKONER_TEST_KILLS is how many random kills each database takes.
"""

import os
import random
import sys
import time
from collections import Counter
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGKILL

from tests.e2e.kill.commits import PLACES
from tests.e2e.kill.world import World, assert_whole, finish, world

KILLS = int(os.environ.get("RECKONER_TEST_KILLS", "50"))
STEPS = {
    ("_insist", "collection"): 4,
    ("step", ""): 4,
    ("progress", "collection"): 2,
    ("_insist", "close"): 4,
    ("close", "close"): 2,
    ("reconcile", "close"): 2,
    ("_settle", "close"): 2,
    ("_put_down", "close"): 2,
    ("_insist", "delivery"): 4,
    ("attempt", "delivery"): 4,
    ("approve_invoice", ""): 2,
    ("finalize_invoice", ""): 2,
}
"""Kills that there are at least in a function that commits, for a kind of job: before and after, where it begins and ends."""


def test_a_kill_at_every_step(tmp_path: Path, database_url: str) -> None:
    with world(tmp_path, database_url, 2) as it:
        it.add()
        it.add()
        killed = die_on_the_way(it, "worker") + die_on_the_way(it, "serve")
        places = (tmp_path / PLACES).read_text().splitlines()
        sys.stdout.write("\n".join([f"{killed} kills:", *places]))
        assert_whole(it)
        assert killed == len(places)
        found = Counter((place.split()[2], place.partition(" of a ")[2]) for place in places)
        assert {step: found[step] for step, least in STEPS.items() if found[step] < least} == {}


def die_on_the_way(it: World, what: str) -> int:
    """Start one process after the other, each of which kills itself at the first step where none has died, until one is
    through with everything and ends as an operator ends it; how many died."""
    for kills in count():
        process, address = it.made.start(what, DYING="1")

        def through(process: ForkServerProcess = process, address: str = address) -> bool:
            process.join(0.05)
            return not process.is_alive() or (it.close() and not (address and it.to_issue()))

        with it.issuing(address):
            it.made.until(through)
        if it.made.end(process) != -SIGKILL:
            return kills
    raise AssertionError


def test_kills_at_random_moments(tmp_path: Path, database_url: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with world(tmp_path, database_url, KILLS // 5 + 1) as it:
        made = it.made
        for kill in range(KILLS):
            it.tell(kill)
            if kill % 5 == 0:
                it.add()
            it.close()
            process, address = made.start(chance.choice(("worker", "worker", "worker", "serve")))
            far = made.commits() + chance.choice((2, 5, 10, 20, 40))
            with it.issuing(address):
                made.until(lambda far=far: made.commits() >= far or not made.unfinished())
                time.sleep(chance.uniform(0, 0.05))
                process.kill()
                process.join()
        sys.stdout.write(f"seed {seed}: {made.states()} after {KILLS} kills, of {len(it.customers)} projects\n")
        finish(it)
        assert_whole(it)
