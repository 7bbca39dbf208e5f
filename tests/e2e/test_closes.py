"""`reckoner close`: what is due, or one period, with what it waits for; and what fails inside holds up nobody."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import Installation

PERIOD = "2026-10-31..2026-11-01"
WORKED = ("close", "--project", "100", "--period", PERIOD)


@pytest.fixture
def office(installation: Installation, dataset: dict, tmp_path: Path) -> Installation:
    """A database of its own, whose project belongs to nobody, with the worked period collected."""
    office = replace(installation, folder=tmp_path)
    secret = dataset["projects"][0]["secret"]
    for command in (["projects", "add", "100", "--secret-file", "-"], ["collect", "100", PERIOD]):
        assert office.run(*command, stdin=secret).returncode == 0
    return office


def test_what_is_due_is_closed_and_one_period_on_demand(office: Installation) -> None:
    assert office.run("close").stdout == "Nothing is due.\n"
    (close,) = json.loads(office.run(*WORKED, "--json").stdout)
    assert (close["state"], close["attempts"], close["next_attempt_at"]) == ("closed", 1, None)
    told = office.run(*WORKED)
    assert (told.returncode, told.stderr) == (0, "")
    assert "It is reconciled. The project belongs to no customer, so nothing is invoiced." in told.stdout

    later = {"RECKONER_NOW": "2026-12-05T20:00:00Z"}
    assert office.run("close", "--project", "200", **later).stdout == "Nothing is due.\n"
    later = {"RECKONER_NOW": "2026-12-05T20:01:00Z"}  # every command's clock begins there anew
    (cycle,) = json.loads(office.run("close", "--json", **later).stdout)
    assert (cycle["first_day"], cycle["last_day"], cycle["is_cycle"]) == ("2026-11-01", "2026-11-30", True)
    assert (cycle["state"], cycle["next_attempt_at"]) == ("failed", None)
    assert "upstream has forgotten all meetings created on 2026-11-02 to 2026-11-14." in cycle["reason"]
    assert office.run("close", **later).stdout == "Nothing is due.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--period", "2026-10"), "A period is of a project: name it with --project."),
        (("--project", "404", "--period", "2026-10"), "There is no project 404."),
        (("--project", "100", "--period", "2026-13"), "'2026-13' is no month"),
    ],
)
def test_what_cannot_be_closed_is_refused(office: Installation, arguments: tuple[str, ...], said: str) -> None:
    refused = office.run("close", *arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert said in refused.stderr


def test_what_fails_inside_is_said(office: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("app.flows.close.conclude", defect)
    failed = office.run(*WORKED)
    assert failed.returncode == 1
    assert failed.stderr.endswith("reckoner: It failed inside for project 100; the others are done.\n")
    assert "It failed inside, and the log says how." in failed.stdout
