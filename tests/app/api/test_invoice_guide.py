"""docs/invoices.md tells the truth: its requests are sent as they stand there, and its tables are what the program says."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.clock import MovableClock
from app.db import transaction
from app.insights.client import OpenTokCredentials
from app.sandbox.dataset import Dataset
from app.sandbox.upstream import Upstream
from app.store import projects
from app.store.projects import Project
from billing.exports.formats import InvoiceFormat
from billing.invoice import TRANSITIONS
from billing.tiers import KNOWN_PLANS
from tests.app.api.conftest import NOW
from tests.app.flows.conftest import SECRET, WORKED, Office

GUIDE = (Path(__file__).parents[3] / "docs" / "invoices.md").read_text()
PERIOD = "2026-10-31..2026-11-01"
PLAN = KNOWN_PLANS[-1]
SMALL, TEAM = PLAN.fields[:2]
FAULTS = [
    {"kind": "project_day_dropped", "day": "2026-10-31"},
    {"kind": "restated", "day": "2026-11-01", "tier": SMALL, "minutes": 100, "at": "2026-11-07T00:00:00Z"},
]
SHIFT = [{"kind": "tier_shifted", "day": "2026-10-31", "from": TEAM, "to": SMALL, "minutes": 10}]


class Story:
    """What was said so far: the ids that answers gave, by the names in braces, and the documents."""

    def __init__(self, client: TestClient, office: Office, second: str) -> None:
        self._client, self._office = client, office
        self.names: dict[str, str] = {"second": second}
        self.answers: dict[str, dict[str, Any]] = {}

    def tell(self, text: str) -> int:
        """Send each request of a part of the guide, and look at its answer; how many there were."""
        steps = re.findall(
            r"```http\n(.*?)\n\n(\d+)\n(.*?)```|^    reckoner (collect|reconcile) [^\n]*$", text, re.DOTALL | re.MULTILINE
        )
        for request, status, answer, command in steps:
            if command:
                self._command(command)
            else:
                self._send(request, int(status), json.loads(answer))
        return len(steps)

    def _command(self, command: str) -> None:
        if command == "collect":
            self._office.at("2026-11-08T20:00:00Z")
            self._office.collect(PERIOD)
        else:
            self._office.reconcile(PERIOD)

    def _send(self, request: str, status: int, told: dict[str, Any]) -> None:
        head, _, body = self._named(request).partition("\n{")
        line, *headers = head.split("\n")
        method, path = line.split(" ")
        sent = {"json": json.loads("{" + body)} if body else {}
        response = self._client.request(method, path, headers=dict(it.split(": ") for it in headers), **sent)
        assert response.status_code == status, f"{line}: {response.text}"
        answer = response.json()
        for name in re.findall(r"^\{(\w+)\}$", str(told.get("id"))):
            self.names[name], self.answers[name] = answer["id"], answer
        self._holds(told, answer, line)

    def _named(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: self.names.get(found[1], found[0]), text)

    def _holds(self, told: Any, answer: Any, where: str) -> None:
        """Assert that the answer says all that is told of it; a list has no further items."""
        if isinstance(told, dict):
            for key, value in told.items():
                assert key in answer, f"{where}: {key}"
                self._holds(value, answer[key], f"{where}/{key}")
        elif isinstance(told, list):
            assert len(told) == len(answer), where
            for index, value in enumerate(told):
                self._holds(value, answer[index], f"{where}/{index}")
        elif isinstance(told, str) and isinstance(answer, str):
            pattern = ".*".join(map(re.escape, self._named(told).split("…")))
            assert re.fullmatch(pattern, answer), f"{where}: {answer!r} is not {told!r}"
        else:
            assert told == answer, where


@pytest.fixture
def story(client: TestClient, key: Callable[..., dict[str, str]]) -> Callable[[list[dict[str, Any]]], Story]:
    """Begins a story on the worked period with faults: its project is reconciled."""

    def begin(faults: list[dict[str, Any]]) -> Story:
        service, clock = client.app.state.service, MovableClock(NOW)
        dataset = json.loads(WORKED.read_text()) | {"faults": [{"project_id": "100", **it} for it in faults]}
        project = Project("100", "Acme", OpenTokCredentials("100", SECRET), NOW, plan=PLAN)
        with transaction(service.engine) as session:
            projects.create(session, service.vault, project)
        office = Office(service.engine, project, Upstream(Dataset.load(dataset), clock), clock)
        office.collect(PERIOD)
        office.reconcile(PERIOD)
        return Story(client, office, key("invoice")["Authorization"].removeprefix("Bearer "))

    return begin


def parts() -> dict[str, str]:
    """The guide by its headings."""
    found = re.split(r"^## (.*)$", GUIDE, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def table(text: str, header: str) -> list[list[str]]:
    """The cells of the table with this header."""
    rows = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_request_is_answered_as_the_guide_says(story: Callable[..., Story]) -> None:
    guide = parts()
    first, shared = story(FAULTS), "A project that is shared"
    told = sum(first.tell(text) for heading, text in guide.items() if heading not in (shared, "The audit log"))
    told += first.tell(guide["The audit log"])
    assert told == GUIDE.count("```http") + 2 - guide[shared].count("```http")

    rows = table(guide["Credit notes"], "| | line 1 |")
    documents = [first.answers[name] for name in ("invoice", "debit", "credit", "rest")]
    left = [Decimal(0)] * 4
    for row, document in zip(rows, documents, strict=False):
        sign = -1 if document["kind"] == "credit_note" else 1
        lines = {line["corrects_position"] or line["position"]: line["amount"] for line in document["lines"]}
        amounts = [lines.get(1, "0"), lines.get(2, "0"), document["tax"], document["total"]]
        assert [Decimal(cell.replace("−", "-") or 0) for cell in row[1:]] == [sign * Decimal(it) for it in amounts], row
        left = [sum_ + sign * Decimal(it) for sum_, it in zip(left, amounts, strict=True)]
    assert rows[-1] == ["left", *map(str, left)]
    assert not any(left)


def test_a_shared_project_is_invoiced_as_the_guide_says(story: Callable[..., Story]) -> None:
    guide, second = parts(), story(SHIFT)
    second.tell(guide["Who invoices whom"])
    assert second.tell(guide["A project that is shared"]) == 5


def test_the_statuses_are_those_of_the_program() -> None:
    rows = table(GUIDE, "| status |")
    told = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows}
    assert told == {str(status): {str(it) for it in after} for status, after in TRANSITIONS.items()}


def test_the_formats_are_those_of_the_program() -> None:
    assert {row[0].strip("`") for row in table(GUIDE, "| format |")} == {str(it) for it in InvoiceFormat}
