"""What is due of many projects at once: in small transactions, that an interruption leaves whole, at a steady cost for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, insert
from sqlalchemy.engine import Engine
from sqlmodel import func, select

from app.db import transaction
from app.errors import Interrupted
from app.flows import close, schedule
from app.flows.steps import GoOn, free
from app.store.close_tables import Close
from app.store.tables import Job, ProjectRow
from tests.rows import project_row

ADDED = datetime(2026, 10, 1, 12, tzinfo=UTC)
TURN = datetime(2026, 11, 3, 14, tzinfo=UTC)
"""When October is to be closed."""


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Written:
    """The transactions of a block that wrote: each its statements; those of the jobs' engine are not among them."""

    transactions: list[list[str]] = field(default_factory=list)

    def of(self, beginning: str) -> list[int]:
        """How many statements begin like that in each transaction that has one."""
        found = (sum(it.startswith(beginning) for it in statements) for statements in self.transactions)
        return [count for count in found if count]


@contextmanager
def written(engine: Engine, interrupted_after: int | None = None) -> Iterator[Written]:
    """What is written in the block; after so many transactions the next one does not come to its end."""
    told, open_ones = Written(), dict[int, list[str]]()

    def begin(connection: object) -> None:
        open_ones[id(connection)] = []

    def execute(connection: object, _: object, statement: str, *more: object) -> None:
        open_ones.setdefault(id(connection), []).append(statement)

    def commit(connection: object) -> None:
        statements = open_ones.pop(id(connection), [])
        if any(it.startswith(("INSERT", "UPDATE", "DELETE")) for it in statements):
            if interrupted_after is not None and len(told.transactions) >= interrupted_after:
                raise Killed
            told.transactions.append(statements)

    listeners = {"begin": begin, "before_cursor_execute": execute, "commit": commit}
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    try:
        yield told
    finally:
        for name, listener in listeners.items():
            event.remove(engine, name, listener)


def add_projects(engine: Engine, count: int, begin: int = 0) -> None:
    with transaction(engine) as session:
        session.execute(insert(ProjectRow), [project_row(f"p{begin + it}", ADDED) for it in range(count)])


def counted(engine: Engine, table: type[Close] | type[Job]) -> int:
    with transaction(engine, read_only=True) as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_a_months_closes_are_opened_and_queued_a_few_at_a_time(engine: Engine) -> None:
    add_projects(engine, 2 * close.CHUNK + 20)
    with written(engine) as told:
        assert len(close.tick(engine, TURN)) == 2 * close.CHUNK + 20
    assert told.of("INSERT INTO closes") == [1, 1, 1], "a statement for each transaction, not for each project"
    assert told.of("INSERT INTO jobs") == [close.CHUNK, close.CHUNK, 20]


@pytest.mark.parametrize("after", range(6))
def test_what_was_interrupted_goes_on_with_the_next_tick(engine: Engine, after: int) -> None:
    add_projects(engine, 2 * close.CHUNK + 20)
    with pytest.raises(Killed), written(engine, interrupted_after=after):
        close.tick(engine, TURN)
    opened, queued = min(after, 3) * close.CHUNK, max(0, after - 3) * close.CHUNK
    assert (counted(engine, Close), counted(engine, Job)) == (min(opened, 120), queued)
    close.tick(engine, TURN)
    assert (counted(engine, Close), counted(engine, Job)) == (120, 120)
    assert close.tick(engine, TURN) == []


@pytest.mark.parametrize(("tick", "between"), [(schedule.tick, 100), (close.tick, 4)])
def test_a_process_that_is_to_end_does_not_wait_for_the_last_project(
    engine: Engine, tick: Callable[[Engine, datetime, GoOn], object], between: int
) -> None:
    """It may be stopped before each transaction that writes, and the next tick does the rest."""
    add_projects(engine, 100)
    asked = []

    def go_on() -> None:
        asked.append(len(asked))
        if len(asked) == between:
            raise Interrupted

    with pytest.raises(Interrupted):
        tick(engine, TURN, go_on)
    assert 0 < counted(engine, Job) < 100
    tick(engine, TURN, free)
    assert counted(engine, Job) == 100


def test_each_projects_plan_is_a_transaction_that_costs_the_same(engine: Engine) -> None:
    add_projects(engine, 3)
    with written(engine) as few:
        assert len(schedule.tick(engine, TURN)) == 3
    add_projects(engine, 12, begin=3)
    with written(engine) as many:
        assert len(schedule.tick(engine, TURN)) == 12
    assert {len(it) for it in few.transactions} == {len(it) for it in many.transactions}
    assert (len(few.transactions), len(many.transactions)) == (3, 12)
