"""`reckoner serve`, `worker`, `migrate`, `settings`: running the service."""

import signal
import socket
from typing import Annotated

import typer
import uvicorn
from prometheus_client import start_http_server

from app import logs, tracing
from app.cli.output import AsJson, service, write, write_json, write_table
from app.db import upgrade
from app.jobs.worker import prepare
from app.main import create_app, jobs_worker
from app.settings import Settings

GRACE = 20
"""Seconds that requests get to end in when the process is to: one that waits for a job may wait for longer, and is let go."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (serve, worker, migrate, settings):
        app.command()(command)


def serve(
    host: Annotated[str | None, typer.Option(help="Instead of RECKONER_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of RECKONER_PORT; 0 takes a free one.")] = None,
    jobs: Annotated[bool, typer.Option(help="Whether to run the jobs too; without, `reckoner worker` does.")] = True,
) -> None:
    """Serve REST, and run the jobs in the same process."""
    given = service().settings
    with socket.create_server((host or given.host, given.port if port is None else port), backlog=2048) as listener:
        # asyncio does so only where it opens the socket itself; without, the second part of an answer waits 40 ms for the
        # acknowledgement of the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address, taken = listener.getsockname()[:2]
        write(f"Reckoner listens on http://{address}:{taken}")
        config = uvicorn.Config(
            create_app(given, worker=jobs),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        uvicorn.Server(config).run(sockets=[listener])


def worker(
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Tell Prometheus here what this process counts; without, nobody.")
    ] = None,
) -> None:
    """Run the jobs without REST, beside as many other processes that do as you like."""
    opened = service()
    logs.configure(opened.settings.log_format)
    ends = {signal.SIGINT, signal.SIGTERM}
    # Held back in the threads to come too: one that does not would end the process at once.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        tracing.configure(opened.engine)
        if metrics_port:
            start_http_server(metrics_port, opened.settings.host)
        with jobs_worker(opened):
            write("Reckoner runs the jobs.")
            signal.sigwait(ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def migrate() -> None:
    """Bring the database to the newest schema."""
    url = Settings().database_url
    prepare(url)
    upgrade(url)
    write("The database has the newest schema.")


def settings(as_json: AsJson = False) -> None:
    """List every setting with its value, where that comes from, and its default; secrets are masked."""
    rows = list(Settings().describe())
    if as_json:
        write_json(rows)
    else:
        write_table(
            ("setting", "value", "source", "default", "what it is"),
            [(it.name, it.value, it.source, it.default, it.description) for it in rows],
        )
