"""The documents tell the truth: every code is explained, every figure is the program's, every link leads somewhere."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from app.api.openapi import EXAMPLES
from app.cli import app
from app.demo.month import planted_month
from app.flows.exports import AT_ONCE
from billing.discrepancy import Code
from billing.exports import csv, focus
from billing.minutes import parse_minutes
from billing.model import Verdict

ROOT = Path(__file__).parents[1]
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text()


def table(text: str, header: str) -> list[list[str]]:
    """The cells of the table whose header begins so, without header and rule; what is bold there is plain here."""
    rows = text[text.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("*`") for cell in row.strip("|").split("|")] for row in rows]


def test_every_code_is_explained_with_what_to_do() -> None:
    parts = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", CONCEPTS, re.MULTILINE | re.DOTALL))
    assert set(parts) == set(Code)
    for code, text in parts.items():
        assert "**Do:** " in text, code


def test_every_verdict_is_explained() -> None:
    assert {row[0] for row in table(CONCEPTS, "| verdict |")} == set(Verdict)


def test_the_bridge_is_the_one_that_the_service_gives() -> None:
    """Of the worked period, whose report the end-to-end tests record."""
    report = json.loads(EXAMPLES.read_text())["get_report"]["answers"]["200"]
    told = {row[0].replace(" ", "_"): [int(cell) * 1_000_000 for cell in row[1:4]] for row in table(CONCEPTS, "| step |")}
    assert list(told) == [line["step"] for line in report["bridge"]]
    for line in report["bridge"]:
        tiers = [line["minutes"][tier] for tier in ("from1To2Publishers", "from3To6Publishers")]
        assert told[line["step"]] == [parse_minutes(value) for value in (*tiers, line["total"])], line["step"]


def test_the_days_add_up_to_the_meeting_level() -> None:
    cells = [cell.split(" / ") for row in table(CONCEPTS, "| session |") for cell in row[3:5] if cell]
    assert [sum(int(cell[tier]) for cell in cells if len(cell) > tier) for tier in (0, 1)] == [210, 75]


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_command_is_one_that_the_program_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With these arguments and options: it is read as the program reads it, its files at hand, and not run."""
    monkeypatch.chdir(tmp_path)
    shown = [line for path in DOCUMENTS for line in re.findall(r"^ {4}reckoner (.*)$", path.read_text(), re.MULTILINE)]
    assert len(shown) > 20
    for line in shown:
        command, context, words = get_command(app), None, shlex.split(line.partition(" > ")[0], comments=True)
        while isinstance(command, TyperGroup):
            context = command.context_class(command, parent=context, info_name=command.name)
            assert words[0] in command.commands, line
            command, words = command.commands[words[0]], words[1:]
        for file in filter(re.compile(r"[\w-]+\.\w+").fullmatch, words):
            Path(file).touch()
        command.make_context(line, words, parent=context).close()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", path.read_text()) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_shows_what_the_demonstration_plants() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [planted.words for planted in planted_month(1.0).planted if planted.words not in readme] == []


def columns(title: str) -> list[str]:
    """The names in the last table of a chapter of the guide to exports."""
    chapter = (ROOT / "docs" / "exports.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [row[0] for row in table(chapter, "| column |")]


def test_every_column_of_an_export_is_explained_in_its_place() -> None:
    assert columns("CSV of a report") == list(csv.REPORT_COLUMNS)
    assert columns("CSV of an invoice") == list(csv.INVOICE_COLUMNS)
    assert columns("FOCUS") == list(focus.COLUMNS)


def test_the_sizes_up_to_which_a_request_exports_are_told() -> None:
    told = table((ROOT / "docs" / "exports.md").read_text(), "| format | in bytes |")
    assert {form: int(size) for form, size, _ in told} == AT_ONCE


def test_every_term_of_an_e_invoice_that_is_written_is_in_the_guide() -> None:
    term = re.compile(r"\bB[TG]-\d+")
    written = {
        it for name in ("terms", "facturx", "ubl") for it in term.findall((ROOT / f"billing/exports/{name}.py").read_text())
    }
    told = {it for row in table((ROOT / "docs" / "e-invoices.md").read_text(), "| term |") for it in term.findall(row[0])}
    assert told == written
