"""Measuring: every contender runs in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_mb() -> float:
    """The most memory that this process ever held, in megabytes (Linux: VmHWM, which starts anew with each program)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's peak memory")


def timed(work: Callable[[], Any], *, repeat: int = 3) -> dict[str, Any]:
    """The best of some runs in seconds, the peak memory in megabytes, and what the work answered last."""
    best, answer = float("inf"), None
    for _ in range(repeat):
        start = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - start)
    return {"seconds": best, "peak_mb": peak_mb(), "answer": answer}


def contender(module: str, *arguments: str) -> dict[str, Any]:
    """Run `python -m module arguments…` and read the JSON that it prints last."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
