"""Every commit of a process is noted in a file, and the process can be made to die at them.

So a test sees how far a process is without asking the database all the time, and can kill at every step that there is: what
shall be whole is written in one transaction, so between two steps there is a commit.
"""

import os
import signal
import time
import traceback
from functools import partial
from pathlib import Path
from threading import Lock

from sqlalchemy import event
from sqlmodel import Session

import app
from app.store.tables import Job

COMMITS, PLACES = Path("commits"), Path("places")
APP = str(Path(app.__file__).parent)
SIGNS_OF_LIFE = ("_living", "stop")
"""They are no step of anything."""


def note_commits(*, dying: bool) -> None:
    """Append a byte to COMMITS in the working directory for each transaction that wrote something.

    One that is `dying` kills itself with signal 9 just before a commit or just after it, once for each place in the code: those
    where a process died already are in PLACES.
    """
    commits, places = (path.open("ab", buffering=0) for path in (COMMITS, PLACES))
    known = set(PLACES.read_text().splitlines())
    lock = Lock()

    def come(when: str, session: Session) -> None:
        if session.bind is None or session.bind.get_execution_options().get("postgresql_readonly"):
            return
        if dying and (place := place_of(session)) and f"{when} {place}" not in known:
            with lock:
                places.write(f"{when} {place}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)  # until it has come
        if when == "after":
            commits.write(b".")

    for when in ("before", "after"):
        event.listen(Session, f"{when}_commit", partial(come, when))


def place_of(session: Session) -> str:
    """Where the code is that commits: its two innermost functions, and the kind of the job that runs. Empty for no step."""
    stack = [frame for frame, _ in traceback.walk_stack(None) if frame.f_code.co_filename.startswith(APP)]
    frames = [frame for frame in stack if frame.f_code.co_filename != f"{APP}/db.py"]
    if not frames or frames[0].f_code.co_name in SIGNS_OF_LIFE:
        return ""
    kind = ""
    for frame in frames:
        if frame.f_code.co_name == "_work":
            held = (frame.f_locals.get("job"), *session.identity_map.values())
            kind = next((f" of a {it.kind}" for it in held if isinstance(it, Job)), "")
    names = [f"{it.f_code.co_filename.removeprefix(APP)[1:]}:{it.f_lineno} {it.f_code.co_name}" for it in frames[:2]]
    return " in ".join(names) + kind
