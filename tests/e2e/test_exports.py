"""The export of a large report with a service and a worker apart: 202, then the file, and the command line has the same."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from app.db import create_engine, transaction
from app.store.tables import Report
from tests.billing.exports import reports
from tests.e2e.conftest import ADMIN, Installation, started

NOW = datetime(2026, 11, 5, 20, tzinfo=UTC)


def keep_large(url: str) -> str:
    """A report of 7,000 discrepancies, which are more than 4 MiB; its id."""
    document = reports.report(None)
    one, days = document["discrepancies"][0], document["period"]["aligned"]
    document["discrepancies"] = [one | {"sessions": [f"1_MX4{number:060}"]} for number in range(7000)]
    engine = create_engine(url)
    with transaction(engine) as session:
        named: dict[str, Any] = {name: document[name] for name in ("id", "project_id", "version", "sha256", "verdict")}
        first, last = (date.fromisoformat(days[name]) for name in ("first_day", "last_day"))
        body = json.dumps(document).encode()
        session.add(Report(**named, supersedes=None, first_day=first, last_day=last, created_at=NOW, body=body))
    engine.dispose()
    return str(document["id"])


def test_a_worker_makes_the_export_that_a_service_promised(
    installation: Installation, dataset: dict[str, Any], database_url: str, tmp_path: Path
) -> None:
    environment = installation.environment | {"RECKONER_DATABASE_URL": database_url, "RECKONER_BOOTSTRAP_KEY": ADMIN}
    here = replace(installation, folder=tmp_path, environment=environment)
    secret = dataset["projects"][0]["secret"]
    assert here.run("projects", "add", "100", "--name", "Acme", "--secret-file", "-", stdin=secret).returncode == 0
    report_id = keep_large(database_url)
    with started(tmp_path, environment, "serve", "--port", "0", "--no-jobs") as url, replace(here, url=url).client() as client:
        asked = client.get(path := f"/v1/reports/{report_id}/export?format=xlsx")
        assert (asked.status_code, asked.json()["state"]) == (202, "queued")
        with started(tmp_path, environment, "worker"):
            made = client.get(path, headers={"Prefer": "wait=60"})
        assert made.status_code == 200, made.text
        assert client.get(asked.headers["location"]).json()["attempts"] == 1
        assert client.get(path).content == made.content
    assert here.run("report", "export", report_id, "--format", "xlsx", "--output", "report.xlsx").returncode == 0
    assert (tmp_path / "report.xlsx").read_bytes() == made.content
