"""`make demo` and `make serve`, in a company a twentieth as busy: the same programs, days and faults."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import httpx
import pytest
from facturx import get_xml_from_pdf

from app.demo import invoicing
from app.demo.check import wrong
from app.demo.month import planted_month

SCALE = 0.05


@contextmanager
def demonstration(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demonstration in a process of its own, its temporary files in `folder`/tmp; ended at the end of the block."""
    (folder / "tmp").mkdir()
    # Somebody's real settings: the demonstration must not use them.
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "RECKONER_DATABASE_URL": "postgresql+psycopg://nobody@nowhere/x"}
    command = [sys.executable, "-m", "app.demo", "--scale", str(SCALE), "--out", str(folder / "out"), *arguments]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_interrupts,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # not kill: it has programs of its own to end


def left_behind(folder: Path) -> list[str]:
    """The files and the processes that a demonstration left in its temporary folder."""
    files = [str(path) for path in (folder / "tmp").iterdir()]
    processes = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            processes.append(str(link.readlink()))
        except OSError:  # it ended meanwhile
            continue
    return files + [place for place in processes if place.startswith(str(folder / "tmp"))]


def _hear_interrupts() -> None:
    """A shell that runs the tests in the background has them, and what they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(process: subprocess.Popen[str], words: str) -> str:
    """What the process prints up to a line that holds these words."""
    told = ""
    while line := process.stdout.readline():
        told += line
        if words in line:
            return told
    pytest.fail(told + process.stderr.read())


def test_the_month_is_told_proved_and_served(tmp_path: Path) -> None:
    """One run of `make serve`, which is `make demo` and then stays: what it prints, writes and serves; and its end."""
    with demonstration(tmp_path, "--serve") as process:
        told = until(process, "curl")
        assert "It took" in told
        for line in (
            "= session level",
            "= meeting level",
            "= project level",
            "project_day_missing, high",
            "The verdict: incomplete",
            "This may be invoiced only with an override",
            "asks for four eyes",
            "finalized: EXM-2026-00001 of 2026-11-04",
            "invoice.approved    second pair of eyes",
        ):
            assert line in told
        assert "entry of the audit log is what its hash says" in told
        assert "names every planted fault with its minutes, and nothing that is not there" in told
        assert "\x1b" not in told, "a pipe gets plain text"
        assert not re.search(r" $", told, re.MULTILINE)

        report = json.loads((tmp_path / "out" / "report.json").read_text())
        assert (tmp_path / "out" / "report.csv").read_text().count(report["id"]) > 100
        issued = _the_invoice(tmp_path / "out", report)
        assert report["period"]["aligned"]["days"] == 31
        assert all(day["meeting_coverage"] == "complete" for day in report["days"])
        command = re.search(r"curl -H '(Authorization: Bearer rk_\S+)' (http://\S+)", told)
        name, _, value = command[1].partition(": ")
        served = httpx.get(command[2], headers={name: value})
        assert served.json() == report
        assert httpx.get(re.search(r"http://\S+/docs", told)[0]).is_success

        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not left_behind(tmp_path)
    _the_check_can_fail(report)
    _the_check_of_the_invoice_can_fail(issued, report)


def _the_invoice(out: Path, report: dict) -> dict:
    """Every file that the demonstration leaves of it says the same total, and the report is priced."""
    beginnings = {"pdf": b"%PDF", "xlsx": b"PK", "csv": b"", "json": b"{"}
    for name in ("report", "invoice"):
        for form in ("json", "csv", "xlsx", "pdf", "focus.csv"):
            assert (out / f"{name}.{form}").read_bytes().startswith(beginnings[form.rpartition(".")[2]]), form
    issued = json.loads((out / "invoice.json").read_text())
    _, inside = get_xml_from_pdf((out / "invoice.facturx.pdf").read_bytes(), check_xsd=False)
    assert f">{issued['total']}</ram:GrandTotalAmount>".encode() in inside
    assert issued["total"] in (out / "invoice.csv").read_text()
    assert issued["override"]["reason"].endswith("will not bill 2026-10-07.")
    assert issued["reports"][0]["sha256"] == report["sha256"]
    assert report["currency"] == issued["currency"] == "EUR"
    assert all(line["amount"] for line in report["bridge"])
    return issued


def _the_check_of_the_invoice_can_fail(issued: dict, report: dict) -> None:
    assert list(invoicing.wrong(issued, report)) == []
    missing = issued | {"lines": issued["lines"][1:]}
    assert len(list(invoicing.wrong(missing, report))) == 2
    assert "not what its sums come to" in next(invoicing.wrong(issued | {"tax": "0.00"}, report))


def _the_check_can_fail(report: dict) -> None:
    """A report that names less, more, other or wrongly added minutes is not taken for the right one."""
    month = planted_month(SCALE)
    assert wrong(report, month) == []

    def spoilt(change) -> str:
        other = deepcopy(report)
        change(other)
        return " ".join(wrong(other, month))

    by_code = {it["code"]: index for index, it in enumerate(report["discrepancies"])}
    restated = by_code["restated"]
    assert "Not found: Upstream adds 137.5 minutes" in spoilt(lambda it: it["discrepancies"].pop(restated))
    assert "Found, but not planted" in spoilt(lambda it: it["discrepancies"][restated].update(code="residual"))
    assert "Found, but not planted" in spoilt(
        lambda it: it["discrepancies"][by_code["session_reuse_spillover"]].update(sessions=["quiet"])
    )
    tiers = report["discrepancies"][restated]["minutes"]
    assert "other minutes than were planted" in spoilt(
        lambda it: it["discrepancies"][restated].update(minutes=dict.fromkeys(tiers, "137.500001"))
    )
    assert "is not the sum of the lines above it" in spoilt(lambda it: it["bridge"].pop(2))
    assert "is not the sum of its tiers" in spoilt(lambda it: it["bridge"][2].update(total="0.000001"))
    assert "though a day is missing" in spoilt(lambda it: it.update(verdict="explained"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_whoever_interrupts_it_is_left_with_nothing(tmp_path: Path, how: signal.Signals) -> None:
    with demonstration(tmp_path) as process:
        until(process, "The period")
        assert left_behind(tmp_path), "it has begun"
        process.send_signal(how)
        assert process.wait(30) == 130
        assert not left_behind(tmp_path)
        assert not (tmp_path / "out").exists()


def test_a_failure_is_told_in_a_line_with_what_the_programs_said(tmp_path: Path) -> None:
    with demonstration(tmp_path) as process:
        until(process, "The period")
        service = next(
            int(link.parent.name)
            for link in Path("/proc").glob("[0-9]*/cwd")
            if link.readlink().is_relative_to(tmp_path) and b"serve" in (link.parent / "cmdline").read_bytes()
        )
        os.kill(service, signal.SIGKILL)
        time.sleep(0.1)
        said = process.stderr.read()
        assert process.wait(30) == 1
        assert "serve.log:" in said
        assert said.splitlines()[-1].startswith("The demonstration failed: ")
        assert not left_behind(tmp_path)
