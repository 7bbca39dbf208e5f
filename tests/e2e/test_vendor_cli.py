"""`reckoner vendor`: the worked period's invoice from the vendor, read, matched and disputed by commands alone."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.test_invoice_cli import CARD, PERIOD

MAPPING = {
    "columns": {"usage": "Product", "quantity": "Minutes", "unit_price": "Rate", "amount": "Charge"},
    "usages": {"Video 1-2": "from1To2Publishers", "Video 3-6": "from3To6Publishers"},
    "numbers": {"thousands": ",", "symbol": "$"},
    "currency": "USD",
}
FILE = "\ufeffProduct,Minutes,Rate,Charge\nVideo 1-2,390.00,0.00395,$1.54\nVideo 3-6,45.00,0.0041,$0.18\n"


@pytest.fixture(scope="module")
def office(installation: Installation, dataset: dict, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A database of its own with the worked period's report, priced, and the vendor's mapping."""
    office = replace(installation, folder=tmp_path_factory.mktemp("vendor"))
    (office.folder / "mapping.json").write_text(json.dumps(MAPPING))
    (office.folder / "october.csv").write_text(FILE)
    for command in (
        ["rates", "publish", str(CARD)],
        ["projects", "add", "100", "--secret-file", "-", "--rate-card", "list-prices-example"],
        ["reconcile", "100", PERIOD],
        ["vendor", "mapping", "vonage", "mapping.json"],
    ):
        done = office.run(*command, stdin=dataset["projects"][0]["secret"])
        assert (done.returncode, done.stderr) == (0, ""), command
    return office


def uploaded(office: Installation, *more: str) -> Any:
    done = office.run("vendor", "upload", "october.csv", "--mapping", "vonage", "--number", "INV-7", "--period", PERIOD, *more)
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout) if more else done.stdout


def test_an_invoice_is_read_matched_and_disputed(office: Installation, tmp_path: Path) -> None:
    invoice = uploaded(office, "--json")
    assert invoice["match"]["variance"]["parts"]["spillover"] == "0.58"
    shown = uploaded(office)
    assert "What was billed is the session level" in shown
    assert [it["id"] for it in json.loads(office.run("vendor", "list", "--json").stdout)] == [invoice["id"]]
    assert json.loads(office.run("vendor", "show", invoice["id"], "--json").stdout) == invoice
    assert json.loads(office.run("vendor", "match", invoice["id"], "--json").stdout) == invoice
    pack = tmp_path / "dispute.zip"
    assert office.run("vendor", "dispute", invoice["id"], "--output", str(pack)).returncode == 0
    with zipfile.ZipFile(pack) as archive:
        assert "letter.pdf" in archive.namelist()


def test_the_same_in_the_form_of_the_contract_is_the_same_invoice(office: Installation) -> None:
    invoice = uploaded(office, "--json")
    document = {key: invoice[key] for key in ("vendor", "number", "currency", "period", "lines", "total")}
    (office.folder / "october.json").write_text(json.dumps(document))
    done = office.run("vendor", "upload", "october.json", "--json")
    assert json.loads(done.stdout) == invoice


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (FILE.replace("$1.54", '"1,54"'), "row 2, column 'Charge': '1,54' cannot be used"),
        (FILE.replace("Charge", "Sum"), "has no column 'Charge'"),
    ],
)
def test_what_cannot_be_read_is_one_line(office: Installation, content: str, why: str) -> None:
    (office.folder / "wrong.csv").write_text(content)
    done = office.run("vendor", "upload", "wrong.csv", "--mapping", "vonage", "--number", "INV-8", "--period", PERIOD)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert why in done.stderr


def test_the_mapping_is_printed_again(office: Installation) -> None:
    kept = json.loads(office.run("vendor", "mapping", "vonage").stdout)
    assert kept["columns"] == MAPPING["columns"]
    assert office.run("vendor", "mapping", "nobody").stderr == "reckoner: There is no mapping of the vendor nobody.\n"
