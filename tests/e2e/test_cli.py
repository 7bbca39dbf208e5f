"""The command `reckoner`: what it prints, where, and its exit codes."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
import typer.main

from app.cli import app
from tests.e2e.conftest import ADMIN, RECKONER, Installation, started

PRODUCTION = {"RECKONER_ENVIRONMENT": "production", "RECKONER_NOW": "", "RECKONER_SECRET_KEY": ""}
NO_SERVER = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'reports'"


@pytest.fixture(scope="module")
def local(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A folder of its own, with the default database, before the same sandbox."""
    return replace(installation, folder=tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def report(local: Installation, dataset: dict) -> dict:
    """The worked period, by commands alone."""
    added = local.run(
        "projects", "add", "100", "--name", "Worked", "--secret-file", "-", stdin=dataset["projects"][0]["secret"]
    )
    assert (added.returncode, added.stderr) == (0, "")
    done = local.run("reconcile", "100", "2026-10-31..2026-11-01", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def test_the_commands_are_those_of_the_contract() -> None:
    assert {path for path in commands(typer.main.get_command(app)) if path} == {
        *((name,) for name in ("serve", "worker", "sandbox", "migrate", "settings", "keys", "projects")),
        *((name,) for name in ("period", "collect", "reconcile", "close", "report", "verify", "audit-log")),
        *(("keys", name) for name in ("create", "list", "revoke")),
        *(("projects", name) for name in ("add", "list", "import")),
        *(("report", name) for name in ("show", "export", "verify")),
        ("rotate-secrets",),
        ("webhooks",),
        *(("webhooks", name) for name in ("add", "list", "redeliver", "test")),
        ("rates",),
        *(("rates", name) for name in ("publish", "list", "show", "assign", "diff")),
        *((name,) for name in ("entities", "customers", "invoice")),
        *(("entities", name) for name in ("add", "list")),
        *(("customers", name) for name in ("add", "list", "own")),
        *(("invoice", name) for name in ("draft", "redraft", "approve", "finalize", "void", "credit", "restate")),
        *(("invoice", name) for name in ("list", "show", "export")),
        ("vendor",),
        *(("vendor", name) for name in ("upload", "list", "show", "match", "dispute", "mapping")),
    }


def test_a_look_back_knows_what_was_known_then_and_stores_nothing(local: Installation, report: dict) -> None:
    then = ("reconcile", "100", "2026-10-31..2026-11-01", "--known-at")
    before = json.loads(local.run(*then, "2026-11-01T00:00:00Z", "--json").stdout)
    assert (before["verdict"], before["observations"]) == ("incomplete", [])
    since = json.loads(local.run(*then, report["created_at"], "--json").stdout)
    assert since == {key: report[key] for key in since}
    assert "not stored" in local.run(*then, report["created_at"]).stdout
    refused = local.run(*then, "yesterday")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "yesterday" in refused.stderr


def test_every_command_explains_itself() -> None:
    for path in commands(typer.main.get_command(app)):
        command = typer.main.get_command(app)
        for name in path:
            command = command.commands[name]
        assert command.help, path
        assert all(getattr(it, "help", None) for it in command.params), path


def test_the_console_script_is_installed(local: Installation) -> None:
    done = subprocess.run([RECKONER, "period", "2026-13"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "reckoner: '2026-13' is no month; expected a month such as '2026-10'\n"


def test_help_and_wrong_usage(local: Installation) -> None:
    assert "reconcile" in local.run("--help").stdout
    for wrong in (["period"], ["no-such-command"], ["keys", "create", "x"], ["report", "export", "x", "--format", "docx"]):
        done = local.run(*wrong)
        assert (done.returncode, done.stdout) == (2, ""), wrong


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (["period", "2026-13"], {}, "'2026-13' is no month; expected a month such as '2026-10'"),
        (["report", "show", "rpt_none"], {}, "There is no report rpt_none."),
        (["collect", "404", "2026-10"], {}, "There is no project 404."),
        (["keys", "revoke", "none"], {}, "There is no API key none."),
        (["projects", "add", "200"], {}, "--secret-file"),
        (["projects", "import", "9000"], {}, "--secret-file"),
        (["settings"], {"RECKONER_PORT": "x"}, "RECKONER_PORT: Input should be a valid integer"),
        (["settings"], PRODUCTION, "required in production"),
        (["projects", "list"], {"RECKONER_DATABASE_URL": "sqlite:///other.db"}, "run `reckoner migrate`"),
        (["serve"], {"RECKONER_DATABASE_URL": "sqlite:///other.db"}, "run `reckoner migrate`"),
        (["worker"], {"RECKONER_DATABASE_URL": "sqlite:///other.db"}, "run `reckoner migrate`"),
        (["projects", "list"], {"RECKONER_DATABASE_URL": NO_SERVER}, "The database cannot be used"),
        (["projects", "list"], {"RECKONER_DATABASE_URL": f"sqlite:///{__file__}"}, "file is not a database"),
        (["projects", "add", "200", "--secret-file", str(RECKONER.with_name("python"))], {}, "is no text"),
        (["sandbox", "--dataset", "."], {}, ""),
    ],
)
def test_a_failure_is_one_line_on_stderr(local: Installation, arguments, settings, sentence: str) -> None:
    done = local.run(*arguments, **settings)
    assert done.returncode in ((1,) if sentence else (1, 2)), done
    assert done.stdout == ""
    if sentence:
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("reckoner: ")
        assert sentence in done.stderr


def test_a_dataset_that_cannot_be_served_says_where(local: Installation) -> None:
    for content, sentence in (("{", "is no JSON"), ('{"account": 1}', "/account")):
        (local.folder / "wrong.json").write_text(content)
        done = local.run("sandbox", "--dataset", "wrong.json")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert sentence in done.stderr


def test_a_period_is_what_rest_says_of_it(local: Installation) -> None:
    done = local.run("period", "2026-10-31T00:00:00Z..2026-11-02T08:00:00Z", "--json")
    with local.client() as client:
        same = client.get("/v1/periods/align", params={"start": "2026-10-31T00:00:00Z", "end": "2026-11-02T08:00:00Z"})
    assert json.loads(done.stdout) == same.json()
    assert "2026-10-30" in local.run("period", "2026-10-31T00:00:00Z..2026-11-02T08:00:00Z").stdout


def test_settings_are_listed_with_secrets_masked(local: Installation) -> None:
    for arguments in (["settings"], ["settings", "--json"]):
        done = local.run(*arguments)
        assert "RECKONER_DATABASE_URL" in done.stdout
        assert local.environment["RECKONER_SECRET_KEY"] not in done.stdout
        assert ADMIN not in done.stdout


def test_a_key_is_shown_once_and_works_until_it_is_revoked(installation: Installation) -> None:
    made = json.loads(installation.run("keys", "create", "auditor", "--scope", "read", "--json").stdout)
    with installation.client() as client:
        header = {"Authorization": f"Bearer {made['key']}"}
        assert client.get("/v1/projects", headers=header).status_code == 200
        assert made["key"] not in installation.run("keys", "list", "--json").stdout
        assert installation.run("keys", "revoke", made["id"]).returncode == 0
        assert client.get("/v1/projects", headers=header).status_code == 401


def test_the_report_is_the_one_of_rest(local: Installation, report: dict) -> None:
    assert report["verdict"] == "balanced"
    assert report["totals"]["session_level"]["from1To2Publishers"] == "390.000000"
    shown = local.run("report", "show", report["id"])
    assert "285.000000" in shown.stdout
    assert "session_reuse_spillover" in shown.stdout
    assert json.loads(local.run("report", "show", report["id"], "--json").stdout) == report


def test_exports_go_to_a_file_or_to_standard_output(local: Installation, report: dict) -> None:
    assert json.loads(local.run("report", "export", report["id"]).stdout) == report
    assert local.run("report", "export", report["id"], "--format", "csv", "--output", "report.csv").returncode == 0
    assert (local.folder / "report.csv").read_bytes().startswith(b"report_id,version,project_id")
    for form, begins in (("xlsx", b"PK"), ("pdf", b"%PDF-")):
        assert local.run("report", "export", report["id"], "--format", form, "--output", f"report.{form}").returncode == 0
        assert (local.folder / f"report.{form}").read_bytes().startswith(begins)


def test_usage_without_a_price_has_no_cost_to_export(local: Installation, report: dict) -> None:
    refused = local.run("report", "export", report["id"], "--format", "focus", "--output", "focus.csv")
    assert refused.returncode == 1
    assert "was made without a rate card, so its usage has no cost" in refused.stderr
    assert not (local.folder / "focus.csv").exists()


def test_a_collection_says_what_it_did(local: Installation, report: dict) -> None:
    done = local.run("collect", "100", "2026-10-31..2026-11-01", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert {it["day"] for it in told["observations"]} == {"2026-10-30", "2026-10-31", "2026-11-01"}
    assert told["not_collected"] == []
    later = local.run("collect", "100", "2026-11-20..2026-11-21")
    assert "the day has not begun" in later.stdout


def test_a_terminal_sees_how_far_it_is_and_a_pipe_sees_nothing_of_it(local: Installation, report: dict) -> None:
    def told(stderr: int) -> str:
        command = [RECKONER, "collect", "100", "2026-10-31..2026-11-01"]
        environment = local.environment | {"TERM": "xterm", "COLUMNS": "120"}
        done = subprocess.run(
            command, cwd=local.folder, env=environment, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=True
        )
        assert b"observations stored" in done.stdout
        return (os.read(ours, 65536) if stderr == theirs else done.stderr).decode()

    ours, theirs = os.openpty()
    try:
        assert "Collecting 2026-10-31 to 2026-11-01" in told(theirs)
        assert told(subprocess.PIPE) == ""
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        (["bad/id"], "/project_id"),
        (["200", "--name", "x" * 201], "/name"),
        (["200", "--insights-url", "ftp://x"], "/insights_url"),
        (["200", "--tier", "from1To2Publishers"], "/tier_plan"),
        (["200", "--application-id", "x", "--private-key-file", "-"], "/credentials/application_id"),
    ],
)
def test_a_project_that_rest_would_refuse_is_refused_and_not_kept(
    local: Installation, report: dict, arguments: list[str], pointer: str
) -> None:
    secret = [] if "-" in arguments else ["--secret-file", "-"]
    done = local.run("projects", "add", *arguments, *secret, stdin="do not tell")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("reckoner: ")
    assert f"{pointer}: " in done.stderr
    assert "do not tell" not in done.stderr
    assert [it["project_id"] for it in json.loads(local.run("projects", "list", "--json").stdout)] == ["100"]


def test_projects_are_listed_and_imported(local: Installation, report: dict, dataset: dict) -> None:
    assert [it["project_id"] for it in json.loads(local.run("projects", "list", "--json").stdout)] == ["100"]
    done = local.run("projects", "import", "9000", "--secret-file", "-", "--json", stdin=dataset["account"]["secret"])
    assert json.loads(done.stdout) == {"imported": [], "skipped": {"100": "it is there already"}}
    again = local.run("projects", "add", "100", "--secret-file", "-", stdin="x")
    assert (again.returncode, again.stderr) == (1, "reckoner: The project 100 is there already.\n")


def test_an_empty_installation_is_filled_from_an_account(local: Installation, dataset: dict, tmp_path: Path) -> None:
    new, account = replace(local, folder=tmp_path), dataset["account"]
    done = new.run("projects", "import", account["key"], "--secret-file", "-", "--json", stdin=account["secret"])
    told = json.loads(done.stdout)
    assert ([it["project_id"] for it in told["imported"]], told["skipped"]) == (["100"], {})
    assert told["imported"] == json.loads(new.run("projects", "list", "--json").stdout)
    assert dataset["projects"][0]["secret"] not in done.stdout + done.stderr
    assert new.run("collect", "100", "2026-10-31..2026-11-01").returncode == 0, "with the secret that came with the list"


def test_verification_finds_a_single_changed_byte(local: Installation, report: dict) -> None:
    assert local.run("report", "verify", report["id"]).returncode == 0
    assert json.loads(local.run("verify", "--json").stdout) == {"verified": True, "findings": []}
    with sqlite3.connect(local.folder / "reckoner.db") as database:
        for (name,) in database.execute(TRIGGERS).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE reports SET body = CAST(replace(CAST(body AS TEXT), '390.000000', '390.000001') AS BLOB)")
    database.close()
    broken = local.run("verify")
    assert broken.returncode == 1
    assert report["id"] in broken.stderr
    assert json.loads(local.run("report", "verify", report["id"], "--json").stdout)["verified"] is False


def test_a_worker_does_the_jobs_of_a_service_without_one(local: Installation, tmp_path: Path, dataset: dict) -> None:
    apart = replace(local, folder=tmp_path)
    with started(tmp_path, local.environment, "serve", "--port", "0", "--no-jobs") as url:
        apart = replace(apart, url=url)
        with apart.client() as client:
            credentials = {"kind": "opentok", "secret": dataset["projects"][0]["secret"]}
            client.post("/v1/projects", json={"project_id": "100", "name": "Worked", "credentials": credentials})
            wanted = {"project_id": "100", "period": {"first_day": "2026-10-31", "last_day": "2026-11-01"}}
            waited = client.post("/v1/reconciliations", json=wanted, headers={"Prefer": "wait=1"})
            assert (waited.status_code, waited.json()["state"]) == (202, "queued")
            with started(tmp_path, local.environment, "worker"):
                done = client.post("/v1/reconciliations", json=wanted, headers={"Prefer": "wait=60"})
    assert (done.status_code, done.json()["verdict"]) == (201, "balanced")
