"""Structured logs: one event a line, with the request's or the job's id on each, as text for people or as JSON for machines."""

import logging
import sys
import time
from typing import Any, Literal

import structlog


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever standard error is at that moment: tests and progress bars exchange it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _Seldom(logging.Filter):
    """Lets what is said at one place of the code through once a minute: DBOS says many times a second that it finds no
    database, and a night of that would fill the disk."""

    SECONDS = 60.0

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._said.get(place, -self.SECONDS) < self.SECONDS:
            return False
        self._said[place] = now
        return True


def configure(log_format: Literal["console", "json"], level: int = logging.INFO) -> None:
    """Send structlog's events and the standard library's records (uvicorn, SQLAlchemy, httpx) to stderr in one format.

    Standard output stays free for what a command prints. httpx's own lines, which hold whole addresses, are kept to warnings.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [*(it for it in root.handlers if not isinstance(it, _Stderr)), handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "alembic", "dbos", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # DBOS brings a handler of its own, unless it finds one; this one is as good as none.
    logging.getLogger("dbos").handlers[:] = [logging.NullHandler()]
    logging.getLogger("dbos").propagate = True
    logging.getLogger("dbos").filters[:] = [_Seldom()]
    for server in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(server).handlers.clear()
        logging.getLogger(server).propagate = True
