"""The sandbox and the service as programs of their own, which never outlive the demonstration."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from app.demo import DemoFailed

COMMAND = Path(sys.executable).with_name("reckoner")
START, STOP = 60.0, 10.0
"""Seconds that a program may take to say where it listens, and to end when asked to."""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Programs:
    """Runs `reckoner` in a folder of its own: nobody's settings get in, and each program's output is a file there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        """Also where they find their default database, which `reckoner serve` makes."""
        self._running: list[subprocess.Popen[bytes]] = []
        # An inherited setting would be somebody's real installation.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RECKONER_")}
        self._environment = clean | {"PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._running:
            program.terminate()
        for program in self._running:
            try:
                program.wait(STOP)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def last_words(self) -> str:
        """The end of what each program that goes on has printed."""
        return "\n".join(
            f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(self._folder.glob("*.log"))
        )

    def configure(self, settings: Mapping[str, str]) -> None:
        """Settings, without their prefix, for all programs begun from now on."""
        self._environment |= {f"RECKONER_{name}": value for name, value in settings.items()}

    def begin(self, *arguments: str) -> "Program":
        """Begin a program that goes on until the end of the context."""
        log = self._folder / f"{arguments[0]}.log"
        with log.open("wb") as output:
            # A session of its own, so that Ctrl-C reaches the demonstration alone and it can end the others in order.
            running = subprocess.Popen(
                [COMMAND, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._running.append(running)
        return Program(arguments[0], running, log)

    def run(self, *arguments: str) -> str:
        """Run a program to its end; what it printed. Raises DemoFailed if it ends with an error."""
        done = subprocess.run([COMMAND, *arguments], cwd=self._folder, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise DemoFailed(f"`reckoner {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


class Program:
    """One of the programs that go on."""

    def __init__(self, name: str, running: subprocess.Popen[bytes], log: Path) -> None:
        self._name = name
        self._running = running
        self._log = log

    def address(self) -> str:
        """Where it listens, once it says so. Raises DemoFailed with the end of its output."""
        until = time.monotonic() + START
        while True:
            # Whether it runs is asked first: its last words are then all in the file.
            gave_up = self._running.poll() is not None or time.monotonic() > until
            said = self._log.read_text(errors="replace")
            if found := _ADDRESS.search(said):
                return found[0]
            if gave_up:
                raise DemoFailed(f"`reckoner {self._name}` did not start: {said.strip()[-2000:]}")
            time.sleep(0.02)

    def wait(self) -> None:
        """Wait until it ends."""
        self._running.wait()
