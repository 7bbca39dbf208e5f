"""The look-alike over HTTP."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.clock import MovableClock
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import LARGEST_BODY, Upstream

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def application(upstream: Upstream) -> Starlette:
    """The ASGI application that hands every request to an upstream."""

    async def answer(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                break
        address = request.client.host if request.client else ""
        given = await run_in_threadpool(
            upstream.handle, request.method, request.url.path, request.headers, bytes(body), address
        )
        if given.delay:
            await asyncio.sleep(given.delay)
        return Response(given.body, given.status, given.headers)

    return Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)])


def serve(dataset: Dataset, now: datetime, host: str = "127.0.0.1", port: int = 0) -> None:
    """Serve a dataset until interrupted, the clock starting at `now`; prints the address, with the port chosen for 0."""
    upstream = Upstream(dataset, MovableClock(now))
    with closing(_listen(host, port)) as listener:
        sys.stdout.write(f"Sandbox at {_url(listener)}, its clock at {now.isoformat()}\n")
        sys.stdout.flush()
        _server(upstream).run([listener])


@contextmanager
def running(upstream: Upstream, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve an upstream from a thread on a free port while the context lasts; gives its address, such as http://127.0.0.1:8123."""
    with closing(_listen(host, 0)) as listener:
        server = _server(upstream)
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield _url(listener)
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def _listen(host: str, port: int) -> socket.socket:
    """A listener whose answers leave at once.

    asyncio sees to that only where it opens the socket itself. Otherwise the second part of an answer waits 40 ms for the
    acknowledgement of the first.
    """
    listener = socket.create_server((host, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _server(upstream: Upstream) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(application(upstream), log_level="warning", access_log=False, lifespan="off"))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
