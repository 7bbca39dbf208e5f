"""Steps: what a long piece of work has done already is not done again when it was interrupted."""

from collections.abc import Callable
from typing import Any, Protocol

from sqlmodel import Session

GoOn = Callable[[], None]
"""Asked between two transactions of a long piece of work; what it raises ends that there."""


def free() -> None:
    """Nobody ends this work before its time."""


class Steps(Protocol):
    """What is known of the steps of one piece of work. A step's name says what it did, and never when."""

    def done(self, name: str) -> Any | None:
        """What the step left when it was done, as JSON; None if it was not done yet."""

    def record(self, session: Session, name: str, result: Any) -> None:
        """The step is done, if the session's transaction is committed: it belongs into the one with what the step wrote.

        Raises Interrupted if the work is no longer ours: then nothing of the transaction may be kept.
        """


class Unrecorded:
    """The steps of work that nobody takes up again: each is done whenever it comes."""

    def done(self, name: str) -> None:
        """Nothing is known."""

    def record(self, session: Session, name: str, result: Any) -> None:
        """Nothing is kept."""
