"""The product as its user runs it: sandbox and service in processes of their own, on free ports, with the worked period."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli import main

RECKONER = Path(sys.executable).with_name("reckoner")
DATASET = Path(__file__).parents[1] / "scenarios" / "worked-period.json"
NOW = "2026-11-05T20:00:00Z"
"""Noon in California, four days after the worked period: its days are final, its meetings are kept, no maintenance."""
PERIOD = {"first_day": "2026-10-31", "last_day": "2026-11-01"}
ADMIN = "rk_bootstrap-of-the-tests"


@dataclass(frozen=True)
class Installation:
    """A folder with a database, the environment of its processes, and the two addresses."""

    folder: Path
    environment: dict[str, str]
    sandbox: str
    url: str
    began: float = 0
    """When its clocks stood at NOW, by time.monotonic()."""

    @property
    def now(self) -> str:
        """What the sandbox's clock says: a command that started at NOW again would have no token that is valid there."""
        return (datetime.fromisoformat(NOW) + timedelta(seconds=time.monotonic() - self.began)).isoformat()

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end: its `main` in this process, because a start takes as long as a dozen commands."""
        out, err, given = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        level = logging.getLogger().level
        with pytest.MonkeyPatch.context() as patch, chdir(self.folder):
            for name in [name for name in os.environ if name.startswith("RECKONER_")]:
                patch.delenv(name)
            for name, value in (self.environment | {"RECKONER_NOW": self.now} | settings).items():
                patch.setenv(name, value)
            for name, value in {"argv": ["reckoner", *arguments], "stdin": given, "stdout": out, "stderr": err}.items():
                patch.setattr(sys, name, value)
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        logging.getLogger().setLevel(level)
        texts = (stream.buffer.getvalue().decode() for stream in (out, err))
        return subprocess.CompletedProcess(arguments, code, *texts)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {ADMIN}"}, timeout=90)


@contextmanager
def started(
    folder: Path, environment: dict[str, str], *arguments: str, program: tuple[str | Path, ...] = (RECKONER,)
) -> Iterator[str]:
    """A process that serves, until the end of the block; gives the address that it printed, if it has one."""
    with (folder / f"{arguments[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [*program, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            line = process.stdout.readline()
            assert line, (folder / f"{arguments[0]}.log").read_text()
            found = re.search(r"http://[\d.]+:\d+", line)
            yield found[0] if found else ""
        finally:
            process.terminate()
            process.stdout.close()
            assert process.wait(20) in (0, -signal.SIGTERM)


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """The sandbox and the service, running."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECKONER_")}
    with started(folder, environment, "sandbox", "--dataset", str(DATASET), "--now", NOW) as sandbox:
        began = time.monotonic()
        environment |= {
            "RECKONER_INSIGHTS_URL": f"{sandbox}/graphql",
            "RECKONER_ACCOUNTS_URL": f"{sandbox}/v2/project",
            "RECKONER_BOOTSTRAP_KEY": ADMIN,
            "RECKONER_SECRET_KEY": "2b7e151628aed2a6abf7158809cf4f3c",
            "RECKONER_LOG_FORMAT": "json",
            "RECKONER_NOW": NOW,
            "RECKONER_COLLECT_AUTOMATICALLY": "false",
        }
        with started(folder, environment, "serve", "--port", "0") as url:
            yield Installation(folder, environment, sandbox, url, began)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for all tests that leave it usable for the others."""
    with installed(tmp_path_factory.mktemp("installation")) as running:
        yield running


@pytest.fixture(scope="session")
def dataset() -> dict[str, Any]:
    return json.loads(DATASET.read_text())


@pytest.fixture(scope="session")
def project(installation: Installation, dataset: dict[str, Any]) -> str:
    """The worked period's project, added over REST."""
    with installation.client() as client:
        listed = dataset["projects"][0]
        credentials = {"kind": "opentok", "secret": listed["secret"]}
        body = {"project_id": listed["id"], "name": listed["name"], "credentials": credentials}
        assert client.post("/v1/projects", json=body).status_code == 201
    return str(listed["id"])


@pytest.fixture
def own(installation: Installation, dataset: dict[str, Any], database_url: str, tmp_path: Path) -> Installation:
    """An installation of its own before the same sandbox, with the worked period's project."""
    here = replace(
        installation, folder=tmp_path, environment=installation.environment | {"RECKONER_DATABASE_URL": database_url}
    )
    secret = dataset["projects"][0]["secret"]
    assert here.run("projects", "add", "100", "--name", "Worked", "--secret-file", "-", stdin=secret).returncode == 0
    return here


@pytest.fixture(scope="session")
def report(installation: Installation, project: str) -> dict[str, Any]:
    """The worked period's report, made over REST while the client waited."""
    with installation.client() as client:
        response = client.post(
            "/v1/reconciliations", json={"project_id": project, "period": PERIOD}, headers={"Prefer": "wait=60"}
        )
    assert response.status_code == 201, response.text
    assert response.headers["preference-applied"] == "wait=60"
    content = response.json()
    assert response.headers["location"] == f"/v1/reports/{content['id']}"
    return content
