"""`reckoner rates`: from a file to a published card, to a project that has it, to what another would make of its report."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Installation

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "list-prices.yaml"
PERIOD = "2026-10-31..2026-11-01"


@pytest.fixture(scope="module")
def office(installation: Installation, dataset: dict, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A database of its own with the worked period's report, priced by the example."""
    office = replace(installation, folder=tmp_path_factory.mktemp("rates"))
    secret = dataset["projects"][0]["secret"]
    for command in (
        ["rates", "publish", str(EXAMPLE)],
        ["projects", "add", "100", "--secret-file", "-", "--rate-card", "list-prices-example"],
        ["reconcile", "100", PERIOD],
    ):
        done = office.run(*command, stdin=secret)
        assert (done.returncode, done.stderr) == (0, ""), command
    return office


def test_a_card_is_published_once_and_shown_so_that_it_can_be_changed(office: Installation) -> None:
    again = office.run("rates", "publish", str(EXAMPLE))
    assert again.stdout == "list-prices-example, version 1, counts from 2026-01-01.\n"
    shown = yaml.safe_load(office.run("rates", "show", "list-prices-example").stdout)
    assert shown == json.loads(office.run("rates", "show", "list-prices-example", "--version", "1", "--json").stdout)
    (office.folder / "changed.yaml").write_text(yaml.safe_dump(shown | {"id": "changed", "effective_to": "2026-12-31"}))
    published = json.loads(office.run("rates", "publish", "changed.yaml", "--json").stdout)
    assert (published["id"], published["version"], published["effective_to"]) == ("changed", 1, "2026-12-31")
    listed = json.loads(office.run("rates", "list", "--json").stdout)
    assert {(it["id"], it["version"]) for it in listed} == {("changed", 1), ("list-prices-example", 1)}
    assert "List prices (example)" in office.run("rates", "list").stdout
    unnamed = json.dumps({key: value for key, value in shown.items() if key not in ("id", "version")} | {"note": "Other"})
    (office.folder / "next.json").write_text(unnamed)
    assert "changed, version 2," in office.run("rates", "publish", "next.json", "--card", "changed").stdout


def test_the_difference_is_shown_by_report_and_by_line(office: Installation) -> None:
    dearer = EXAMPLE.read_text().replace("0.00395", "0.01")
    told = office.run("rates", "diff", "-", stdin=dearer)
    assert (told.returncode, told.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in told.stdout.splitlines() if "100" in line]
    assert [row[4:] for row in rows] == [[what, "", "1.14 USD", "2.41 USD", "1.27 USD"] for what in ("subtotal", "total")]
    assert "from3To6Publishers" not in told.stdout
    by_line = office.run("rates", "diff", "-", "--lines", "--project", "100", "--period", PERIOD, stdin=dearer).stdout
    assert "from3To6Publishers" in by_line
    (report,) = json.loads(office.run("rates", "diff", "-", "--json", stdin=dearer).stdout)["reports"]
    small = {"usage": "from1To2Publishers", "quantity": "210.00", "old": "0.83", "new": "2.10", "difference": "1.27"}
    assert report["lines"][0] == small
    assert report["difference"]["total"] == "1.27"
    shown = json.loads(office.run("rates", "show", "list-prices-example", "--json").stdout)
    assert shown["version"] == 1, "nothing is published"
    later = dearer.replace("2026-01-01", "2026-11-01")
    (dated,) = json.loads(office.run("rates", "diff", "-", "--dated", "--json", stdin=later).stdout)["reports"]
    assert dated["difference"]["total"] != report["difference"]["total"]


def test_what_is_not_comparable_is_said(office: Installation) -> None:
    euros = EXAMPLE.read_text().replace("USD", "EUR")
    (report,) = json.loads(office.run("rates", "diff", "-", "--json", stdin=euros).stdout)["reports"]
    assert (report["old"]["total"], report["new"]["total"], report["difference"]) == ("1.14", "1.14", None)
    other = EXAMPLE.read_text().replace("from36Plus", "from36To40")
    other = other.replace("  - from36To40Publishers", "  - from36To40Publishers\n  - from41PlusPublishers")
    other = other.replace("prices:\n", "prices:\n  from41PlusPublishers: { model: flat, unit_price: 1 }\n", 1)
    told = office.run("rates", "diff", "-", "--card", "list-prices-example", "--project", "100", stdin=other)
    assert told.returncode == 0, told.stderr
    assert office.run("rates", "diff", "-", "--period", "2026-09", stdin=other).stdout.startswith("There is no report")


def test_a_project_is_given_a_card(office: Installation) -> None:
    (office.folder / "own.yaml").write_text(EXAMPLE.read_text().replace("list-prices-example", "own"))
    assert office.run("rates", "publish", "own.yaml").returncode == 0
    assert office.run("rates", "assign", "own", "100").stdout == "The next reports of 100 are priced by own.\n"
    assert [it["rate_card_id"] for it in json.loads(office.run("projects", "list", "--json").stdout)] == ["own"]
    assert office.run("rates", "assign", "list-prices-example", "100").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text", "sentence"),
    [
        (["publish", "-"], "name: x", "<stdin>: /currency: this field is required"),
        (["publish", "-"], "{", "<stdin>: the text cannot be read as YAML"),
        (["publish", "wrong.json"], '{"name": 1, "name": 2}', "wrong.json: the text cannot be read as JSON"),
        (["publish", "-", "--card", "none"], EXAMPLE.read_text(), "<stdin>: /id: The document is another rate card's"),
        (["diff", "-"], EXAMPLE.read_text().replace("0.00395", "free"), "/prices/from1To2Publishers/unit_price: 'free' cannot"),
        (["diff", "-", "--card", "none"], EXAMPLE.read_text().replace("id: ", "# "), "There is no rate card none."),
        (["diff", "-", "--project", "404"], EXAMPLE.read_text(), "There is no project 404."),
        (["show", "none"], "", "There is no rate card none."),
        (["assign", "none", "100"], "", "There is no rate card none"),
        (["assign", "list-prices-example", "404"], "", "There is no project 404."),
    ],
)
def test_a_refusal_is_one_line_that_names_the_path(office: Installation, arguments: list, text: str, sentence: str) -> None:
    (office.folder / "wrong.json").write_text(text)
    done = office.run("rates", *arguments, stdin=text)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("reckoner: ")
    assert sentence in done.stderr
