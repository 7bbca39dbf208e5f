"""`reckoner entities`, `customers` and `invoice`: the worked period, invoiced and credited by commands alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Installation

CARD = Path(__file__).parents[2] / "docs" / "examples" / "list-prices.yaml"
PERIOD = "2026-10-31..2026-11-01"
ADDRESS = ("--line1", "Torstr. 1", "--city", "Berlin", "--postal-code", "10119", "--country", "DE")


@pytest.fixture(scope="module")
def office(installation: Installation, dataset: dict, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A database of its own with the worked period's report."""
    office = replace(installation, folder=tmp_path_factory.mktemp("invoices"))
    secret = dataset["projects"][0]["secret"]
    for command in (
        ["rates", "publish", str(CARD)],
        ["projects", "add", "100", "--secret-file", "-"],
        ["reconcile", "100", PERIOD],
    ):
        done = office.run(*command, stdin=secret)
        assert (done.returncode, done.stderr) == (0, ""), command
    return office


def told(office: Installation, *arguments: str) -> Any:
    done = office.run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), arguments
    return json.loads(done.stdout)


def refused(office: Installation, *arguments: str) -> str:
    done = office.run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    return done.stderr.removeprefix("reckoner: ").strip()


@pytest.fixture(scope="module")
def entity(office: Installation) -> dict[str, Any]:
    more = ("--iban", "DE89370400440532013000", "--timezone", "Europe/Berlin", "--tax-number", "DE123456788")
    return told(office, "entities", "add", "Example GmbH", "--prefix", "EX", *ADDRESS, *more)


@pytest.fixture(scope="module")
def customer(office: Installation, entity: dict[str, Any]) -> dict[str, Any]:
    terms = ("--entity", entity["id"], "--currency", "USD", "--rate-card", "list-prices-example", "--days", "14")
    more = ("--electronic-address", "EM:ap@acme.example", "--format", "pdf")
    return told(office, "customers", "add", "Acme Inc.", *terms, *more, *ADDRESS)


@pytest.fixture
def draft(office: Installation, customer: dict[str, Any]) -> dict[str, Any]:
    """The period's draft, that of the test before where that left one."""
    assert office.run("customers", "own", customer["id"], "100").stdout == f"{customer['id']} has project 100.\n"
    return told(office, "invoice", "draft", customer["id"], PERIOD)


def test_who_invoices_whom_is_listed(office: Installation, entity: dict[str, Any], customer: dict[str, Any]) -> None:
    assert entity["bank"] == {"name": "", "iban": "DE89370400440532013000", "bic": ""}
    assert told(office, "entities", "list") == [entity]
    assert (customer["electronic_address"], customer["terms"]["days"]) == ({"scheme": "EM", "value": "ap@acme.example"}, 14)
    assert told(office, "customers", "list") == [customer]
    assert "Example GmbH" in office.run("entities", "list").stdout
    assert "Acme Inc." in office.run("customers", "list").stdout


def test_what_rest_would_refuse_is_refused_and_not_kept(office: Installation, entity: dict[str, Any], customer: dict) -> None:
    abroad = ("--line1", "x", "--city", "x", "--country", "ZZ")
    assert refused(office, "entities", "add", "x", "--prefix", "OK", *abroad).startswith("/address/country: 'ZZ' is no country")
    assert "the prefix EX" in refused(office, "entities", "add", "x", "--prefix", "EX", *ADDRESS)
    assert refused(office, "entities", "add", "x", "--prefix", "ex", *ADDRESS).startswith("/prefix: ")
    assert refused(office, "entities", "add", "x", "--prefix", "OK", "--iban", "DE00", *ADDRESS).startswith("/bank/iban: ")
    terms = ("--currency", "USD", *ADDRESS)
    assert "no legal entity ent_x" in refused(office, "customers", "add", "x", "--entity", "ent_x", *terms)
    wrong = ("--entity", entity["id"], "--format", "docx", *terms)
    assert refused(office, "customers", "add", "x", *wrong).startswith("/formats/0: ")
    assert told(office, "entities", "list") == [entity]
    assert told(office, "customers", "list") == [customer]


def test_sessions_of_a_shared_project_are_given_by_list_and_by_rule(office: Installation, customer: dict[str, Any]) -> None:
    (office.folder / "sessions.txt").write_text("1_MX4xMDB-worked-A\n\n1_MX4xMDB-worked-B\n")
    given = office.run(
        "customers", "own", customer["id"], "100", "--sessions", "sessions.txt", "--rule", "1_*-C", "--rule", "2_*"
    )
    assert given.stdout == f"{customer['id']} has 2 sessions and sessions like 1_*-C, 2_* of project 100.\n"
    (office.folder / "none.txt").write_text("\n")
    assert "names no session" in refused(office, "customers", "own", customer["id"], "100", "--sessions", "none.txt")
    assert "no customer cus_x" in refused(office, "customers", "own", "cus_x", "100", "--rule", "*")
    assert "no project 404" in refused(office, "customers", "own", customer["id"], "404")
    assert refused(office, "customers", "own", customer["id"], "100", "--rule", "x" * 201).startswith("/rules/0/pattern")
    assert "belongs to nobody" in refused(office, "invoice", "draft", customer["id"], PERIOD)


def test_a_draft_is_approved_finalized_and_credited(office: Installation, customer: dict, draft: dict) -> None:
    assert (draft["status"], draft["customer"]["name"], draft["currency"]) == ("draft", "Acme Inc.", "USD")
    assert told(office, "invoice", "draft", customer["id"], PERIOD) == draft, "the same again is the same draft"
    assert told(office, "invoice", "redraft", draft["id"]) == draft
    assert "has version 1" in refused(office, "invoice", "approve", draft["id"], "--version", "2")
    assert "cannot say that" in refused(office, "invoice", "export", draft["id"], "--format", "ubl")
    assert "can become" in refused(office, "invoice", "finalize", draft["id"])
    assert told(office, "invoice", "approve", draft["id"], "--version", "1")["status"] == "approved"
    issued = office.run("invoice", "finalize", draft["id"])
    assert issued.returncode == 0
    assert "Invoice EX-2026-00001 for Acme Inc." in issued.stdout
    assert "is finalized, issued on 2026-11-05, due on 2026-11-19." in issued.stdout

    final = told(office, "invoice", "show", draft["id"])
    assert told(office, "invoice", "restate", draft["id"]) is None
    assert "no note" in office.run("invoice", "restate", draft["id"]).stdout
    credit = ("invoice", "credit", draft["id"], "--reason", "Agreed.")
    assert "either all" in refused(office, *credit)
    assert "/lines/0/position" in refused(office, *credit, "--line", "first")
    assert "/lines/0/amount" in refused(office, *credit, "--line", "1=much")
    assert "are left" in refused(office, *credit, "--line", "1=1000.00")
    part = told(office, *credit, "--line", "1=0.10", "--line", "2")
    assert [(it["corrects_position"], it["amount"]) for it in part["lines"]] == [(1, "0.10"), (2, final["lines"][1]["amount"])]
    told(office, "invoice", "void", part["id"], "--reason", "A mistake.")
    whole = told(office, *credit, "--all")
    told(office, "invoice", "approve", whole["id"])
    assert told(office, "invoice", "finalize", whole["id"])["number"] == "EX-2026-00002"
    assert told(office, "invoice", "show", draft["id"])["status"] == "credited"
    assert "Credit note EX-2026-00002" in office.run("invoice", "show", whole["id"]).stdout

    assert {it["id"] for it in told(office, "invoice", "list")} == {whole["id"], part["id"], draft["id"]}
    assert [it["id"] for it in told(office, "invoice", "list", "--kind", "invoice", "--period", "2026-10")] == [draft["id"]]
    assert told(office, "invoice", "list", "--status", "approved", "--customer", customer["id"]) == []
    assert "EX-2026-00001" in office.run("invoice", "list").stdout
    done = [it["action"] for it in told(office, "audit-log", "--subject", draft["id"], "--actor", "cli")]
    assert done == [f"invoice.{it}" for it in ("credited", "finalized", "approved", "drafted")]
    (given_up,) = told(office, "audit-log", "--action", "invoice.voided")
    assert (given_up["subject"], given_up["detail"]["reason"]) == (part["id"], "A mistake.")
    assert "A mistake." in office.run("audit-log").stdout
    assert json.loads(office.run("verify", "--json").stdout) == {"verified": True, "findings": []}


def test_files_go_to_a_path_or_to_standard_output(office: Installation, draft: dict[str, Any]) -> None:
    assert json.loads(office.run("invoice", "export", draft["id"], "--format", "json").stdout) == draft
    for form, begins in (("pdf", b"%PDF-"), ("xlsx", b"PK"), ("csv", b"")):
        done = office.run("invoice", "export", draft["id"], "--format", form, "--output", f"invoice.{form}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (office.folder / f"invoice.{form}").read_bytes().startswith(begins)


def test_what_is_not_there_or_says_nothing_is_refused(office: Installation, draft: dict[str, Any], customer: dict) -> None:
    assert refused(office, "invoice", "show", "inv_none") == "There is no invoice inv_none."
    assert refused(office, "invoice", "draft", "cus_none", PERIOD) == "There is no customer cus_none."
    assert refused(office, "invoice", "draft", customer["id"], "2026-10", "--override", " ").startswith("/override/reason: ")
    assert refused(office, "invoice", "void", draft["id"], "--reason", "").startswith("/reason: ")
    assert office.run("invoice", "void", draft["id"]).returncode == 2
    assert office.run("invoice", "export", draft["id"], "--format", "docx").returncode == 2
