"""The look-alike as an httpx transport: the same answers without sockets."""

import httpx

from app.sandbox.upstream import Upstream


class SandboxTransport(httpx.BaseTransport):
    """Hands every request to an `Upstream`. An answer later than the read time-out raises ReadTimeout at once."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The upstream's answer to a request."""
        answer = self.upstream.handle(request.method, request.url.path, request.headers, request.read())
        patience = request.extensions.get("timeout", {}).get("read")
        if patience is not None and answer.delay > patience:
            raise httpx.ReadTimeout(f"no answer within {patience} s", request=request)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=request)
