"""Reckoner by REST, as anybody would use it, and the two clocks of the demonstration."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import httpx

from app.demo import DemoFailed

PATIENCE = 120.0
"""Seconds for one answer, or one job."""
LOOK = 0.1
"""Seconds between two looks at a job: a look costs the service some milliseconds that the job could have."""


class Rest:
    """The service under `url` with an API key, and the sandbox that it collects from."""

    def __init__(self, url: str, key: str, sandbox: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE)
        self._sandbox = sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> Any:
        """The JSON at a path."""
        return self._call("GET", path, params=query).json()

    def download(self, path: str, **query: str) -> bytes:
        """The bytes at a path."""
        return self._call("GET", path, params=query).content

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> Any:
        """The JSON that a POST answers."""
        return self._call("POST", path, json=body, headers=headers).json()

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that a PATCH answers."""
        return self._call("PATCH", path, json=body).json()

    def refused(self, path: str, body: Mapping[str, Any]) -> str:
        """The sentence that refuses a POST. Raises DemoFailed where it is not refused."""
        response = self._answer("POST", path, json=body)
        if not response.is_client_error:
            raise DemoFailed(f"POST {path} was not refused, but answered with HTTP {response.status_code}.")
        return str(response.json()["detail"])

    def collect(self, project_id: str, period: Mapping[str, str]) -> Any:
        """Collect a period to the end; the job's result."""
        job = self.post("/v1/collections", {"project_id": project_id, "period": period})
        until = time.monotonic() + PATIENCE
        while job["state"] in ("queued", "running"):
            if time.monotonic() > until:
                raise DemoFailed(f"The collection of {period} takes more than {PATIENCE:g} s.")
            time.sleep(LOOK)
            job = self.get(f"/v1/jobs/{job['id']}")
        if job["state"] != "succeeded":
            raise DemoFailed(f"The collection of {period} failed: {job['problem']['detail']}")
        return job["result"]

    def move_clocks(self, instant: datetime) -> None:
        """Move upstream's clock and ours."""
        moment = {"now": instant.isoformat()}
        self._call("POST", f"{self._sandbox}/sandbox/clock", json=moment, headers={"Authorization": ""})
        self.post("/development/clock", moment)

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        response = self._answer(method, path, **request)
        if not response.is_success:
            raise DemoFailed(f"{method} {path} was answered with HTTP {response.status_code}: {response.text[:1000]}")
        return response

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {path} was not answered: {type(error).__name__} {error}") from error
