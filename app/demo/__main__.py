"""`make demo` and `make serve`: see `app.demo`."""

import argparse
import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from app.demo import DemoFailed, invoicing, story, tables
from app.demo.check import wrong
from app.demo.month import PERIOD, Month, planted_month
from app.demo.programs import Program, Programs
from app.demo.rest import Rest

_ENDINGS = {"focus": "focus.csv", "facturx": "facturx.pdf"}


def main() -> int:
    """Run the demonstration; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m app.demo", description="Live a month with planted faults and reconcile it."
    )
    parser.add_argument("--serve", action="store_true", help="let the service stay up at the end")
    parser.add_argument("--scale", type=float, default=1.0, help="how busy the company is; 1 is 300 sessions a working day")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder for the report and its exports")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever kills us plainly wants the rest tidied up too
    console = tables.console()
    try:
        with TemporaryDirectory(prefix="reckoner-demo-") as folder, Programs(Path(folder)) as programs:
            try:
                demonstrate(console, programs, Path(folder), given.scale, given.out, serve=given.serve)
            except DemoFailed as failed:
                print(f"{programs.last_words()}\nThe demonstration failed: {failed}", file=sys.stderr)  # noqa: T201
                return 1
    except KeyboardInterrupt:
        return 130
    return 0


def demonstrate(console: Console, programs: Programs, folder: Path, scale: float, out: Path, *, serve: bool) -> None:
    """Live the month, reconcile it, prove the report. Raises DemoFailed, also where the report is not what was planted."""
    started = time.monotonic()
    month = planted_month(scale)
    key = f"rk_{secrets.token_urlsafe(32)}"
    with console.status("Starting the sandbox and the service"):
        service, address, sandbox = _start(programs, folder, month, key)
    with Rest(address, key, sandbox) as rest:
        story.begin(console, rest, month)
        customer = invoicing.agree(rest)
        story.live(console, rest)
        report = story.close(console, rest)
        story.tell(console, report)
        issued = invoicing.invoice(console, rest, programs, customer)
        out.mkdir(parents=True, exist_ok=True)
        files = [
            *_written(rest, out, "report", f"/v1/reports/{report['id']}/export", "json csv xlsx pdf focus"),
            *_written(rest, out, "invoice", f"/v1/invoices/{issued['id']}/document", "json csv xlsx pdf focus facturx"),
        ]
    problems = [*wrong(report, month), *invoicing.wrong(issued, report)]
    proven = (
        "The report names every planted fault with its minutes, and nothing that is not there.",
        f"The invoice {issued['number']} bills the report's minutes, each once, and adds up.",
    )
    tables.say(
        console,
        "The proof",
        programs.run("verify").strip(),
        *(problems or proven),
        f"Written under {out}: {', '.join(files)}.",
        f"It took {time.monotonic() - started:.0f} seconds.",
    )
    if problems:
        raise DemoFailed(problems[0])
    if serve:
        _stay(console, service, address, key, report["id"])


def _written(rest: Rest, out: Path, name: str, path: str, forms: str) -> Iterator[str]:
    """Leave a document under `out` in each of these forms; the names of the files."""
    for form in forms.split():
        file = f"{name}.{_ENDINGS.get(form, form)}"
        (out / file).write_bytes(rest.download(path, format=form))
        yield file


def _start(programs: Programs, folder: Path, month: Month, key: str) -> tuple[Program, str, str]:
    """Start both programs on free ports: the service, its address, and the sandbox's address."""
    dataset = folder / "dataset.json"
    dataset.write_text(json.dumps(month.dataset))
    now = PERIOD.start.isoformat()
    sandbox = programs.begin("sandbox", "--dataset", str(dataset), "--now", now)
    upstream = sandbox.address()
    programs.configure(
        {
            "INSIGHTS_URL": f"{upstream}/graphql",
            "ACCOUNTS_URL": f"{upstream}/v2/project",
            "COLLECT_AUTOMATICALLY": "false",
            "SECRET_KEY": secrets.token_urlsafe(32),
            "BOOTSTRAP_KEY": key,
            "NOW": now,
        }
    )
    service = programs.begin("serve", "--port", "0")
    return service, service.address(), upstream


def _stay(console: Console, service: Program, address: str, key: str, report_id: str) -> None:
    """Say how to reach the service, and wait for Ctrl-C."""
    lines = (
        "\nThe service stays up, its clock where the story ended. Ctrl-C ends it.",
        f"  Address   {address}",
        f"  Pages     {address}/docs",
        f"  API key   {key}",
        f"  Try       curl -H 'Authorization: Bearer {key}' {address}/v1/reports/{report_id}",
    )
    console.print(*lines, sep="\n", soft_wrap=True)  # a command that is broken into lines cannot be copied
    try:
        service.wait()
    except KeyboardInterrupt:
        return
    raise DemoFailed("The service has ended by itself.")


if __name__ == "__main__":
    sys.exit(main())
