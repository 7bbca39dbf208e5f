"""`make bench`: every benchmark beside its peers or its floor, as a table and as `out/bench.json`."""

import json
import platform
from pathlib import Path
from typing import Any

import pyarrow
from rich.console import Console
from rich.table import Table

from benchmarks import collect, deliveries, exports, invoices, reconcile, scale


def main() -> None:
    """Run them one after the other; each contender has a process and both cores to itself."""
    suites = (collect, reconcile, invoices, exports, deliveries, scale)
    rows: list[dict[str, Any]] = [row for suite in suites for row in suite.rows()]
    table = Table("benchmark", "contender", "seconds", "ratio to the floor", "peak MB", "notes")
    for row in rows:
        notes = ", ".join(f"{key} {value:,}" for key, value in row.get("notes", {}).items())
        figures = (f"{row['seconds']:.2f}", f"{row['ratio']:.2f}", f"{row['peak_mb']:.0f}")
        table.add_row(row["benchmark"], row["contender"], *figures, notes)
    Console(width=160).print(table)
    machine = {"python": platform.python_version(), "pyarrow": pyarrow.__version__, "processor": platform.machine()}
    Path("out").mkdir(exist_ok=True)
    Path("out/bench.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
