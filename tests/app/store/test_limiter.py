"""The limiter: no window ever holds more than the limit, whoever asks and however many processes they are."""

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.clock import MovableClock
from app.db import create_engine, transaction
from app.store.limiter import LIMIT, WINDOW, DatabaseLimiter
from app.store.tables import RequestWindow, add_missing
from tests.app.conftest import NOW

# Each process is let through 20 times, and says which instant it was given and when it left: in microseconds.
PROGRAM = """
import sys, time
from app.db import create_engine
from app.store.limiter import DatabaseLimiter

class Telling(DatabaseLimiter):
    def _reserve(self, key):
        at = super()._reserve(key)
        print(at, end=" ")
        return at

limiter = Telling(create_engine(sys.argv[1]), limit=10, window=0.3)
for _ in range(20):
    limiter.acquire(sys.argv[2])
    print(int(time.time() * 1_000_000))
"""


def _run(url: str, keys: Sequence[str]) -> list[tuple[str, int, int]]:
    """What one process for each key was given and when it left, all running at once."""
    command, root = [sys.executable, "-c", PROGRAM, url], Path(__file__).parents[3]
    processes = [subprocess.Popen([*command, key], cwd=root, stdout=subprocess.PIPE, text=True) for key in keys]
    said = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    return [(key, *map(int, line.split())) for key, lines in zip(keys, said, strict=True) for line in lines]


def _keeps_to(limit: int, window: int, stamps: Iterable[int]) -> bool:
    """Whether no half-open window of so many microseconds holds more."""
    ordered = sorted(stamps)
    return all(last - first >= window for first, last in zip(ordered, ordered[limit:], strict=False))


def test_processes_never_exceed_the_limit_together(database_url: str) -> None:
    """Two of the processes share a key, all share the address."""
    said = _run(database_url, ["a", "a", "b", "c"])
    assert len(said) == 80, "nobody is left out"
    assert _keeps_to(10, 300_000, (given for _, given, _ in said))
    assert all(left >= given for _, given, left in said), "nobody leaves early"


@pytest.mark.postgresql
def test_the_first_requests_of_an_installation_do_not_block_each_other(postgresql_url: str) -> None:
    """Three at once, of which the second finds no window and the third finds the address's: it may not lock that while the
    second has the key's."""
    engine = create_engine(postgresql_url)
    with_key, with_address = Event(), Event()

    def meet(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if statement.startswith("INSERT") and "key:a" in parameters.values():
            with_key.set()
            with_address.wait(0.5)
        elif "FOR UPDATE" in statement and with_key.is_set():
            with_address.set()

    with ThreadPoolExecutor(2) as threads:
        with transaction(engine) as session:
            add_missing(session, RequestWindow(scope="address", stamps=[]))
            event.listen(engine, "after_cursor_execute", meet)
            second = threads.submit(DatabaseLimiter(engine).acquire, "a")
            while not session.connection().exec_driver_sql("SELECT 1 FROM pg_locks WHERE NOT granted").all():
                time.sleep(0.01)
        assert with_key.wait(10)
        third = threads.submit(DatabaseLimiter(engine).acquire, "a")
        assert (second.exception(), third.exception()) == (None, None)
    engine.dispose()


def test_reserved_instants_keep_to_the_limit(engine: Engine) -> None:
    """What is promised, exactly: for each key and for the address, whatever the order in which keys ask."""
    limiter = DatabaseLimiter(engine, limit=5, window=60)
    reserved = [(key, limiter._reserve(key)) for key in "abacaaabbbcbacaabcccbaba" * 2]
    for keys in ("a", "b", "c", "abc"):
        assert _keeps_to(5, 60_000_000, (at for key, at in reserved if key in keys))
    assert not _keeps_to(4, 60_000_000, (at for _, at in reserved)), "and the limit is used"
    times = [at for _, at in reserved]
    assert all(one <= other for one, other in pairwise(times)), "the address is the limit here: first come, first served"


def test_a_full_key_leaves_room_for_another(sqlite_engine: Engine) -> None:
    """A key's own limit binds that key only, also where its reservations lie in the future of everybody's."""
    limiter = DatabaseLimiter(sqlite_engine, limit=6, window=60)
    early = [limiter._reserve("a") for _ in range(4)]
    with transaction(sqlite_engine) as session:
        row = session.get_one(RequestWindow, "key:a")
        row.stamps = [*row.stamps, early[0], early[0]]  # the key was also used elsewhere
    assert limiter._reserve("a") >= early[0] + 60_000_000
    assert limiter._reserve("b") < early[0] + 60_000_000


def test_a_wait_is_one_transaction_and_no_loop(sqlite_engine: Engine) -> None:
    limiter = DatabaseLimiter(sqlite_engine, limit=1, window=0.5)
    started = time.perf_counter()
    limiter.acquire("a")
    statements: list[str] = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    worked = time.process_time()
    limiter.acquire("a")
    assert time.perf_counter() - started > 0.49
    assert time.process_time() - worked < 0.2
    assert sum(statement == "BEGIN IMMEDIATE" for statement in statements) == 1


def test_old_reservations_are_forgotten(engine: Engine) -> None:
    clock = MovableClock(NOW)
    limiter = DatabaseLimiter(engine, clock=clock, limit=3, window=60)
    for _ in range(12):
        limiter._reserve("a")
    clock.move(NOW + timedelta(minutes=6))
    limiter.acquire("a")
    with transaction(engine, read_only=True) as session:
        assert [len(row.stamps) for row in session.exec(select(RequestWindow))] == [1, 1]


def test_a_clock_that_was_set_back_does_not_block_for_ever(sqlite_engine: Engine) -> None:
    clock = MovableClock(NOW + timedelta(days=1))
    limiter = DatabaseLimiter(sqlite_engine, clock=clock, limit=3)
    for _ in range(3):
        limiter.acquire("a")
    clock.move(NOW)
    started = time.perf_counter()
    limiter.acquire("a")
    assert time.perf_counter() - started < 25


def test_the_limit_is_below_upstreams() -> None:
    assert LIMIT < 100
    assert WINDOW > 30


@pytest.mark.parametrize("key", ["", "address", "key:a"])
def test_no_key_is_mistaken_for_the_address(sqlite_engine: Engine, key: str) -> None:
    DatabaseLimiter(sqlite_engine).acquire(key)
    with transaction(sqlite_engine, read_only=True) as session:
        assert {row.scope for row in session.exec(select(RequestWindow))} == {"address", f"key:{key}"}
