"""What all scenarios together found: counted in each worker, added up where the session ends."""

import json
from collections import Counter
from collections.abc import Callable

import pytest

from tests.scenarios.case import Finding

PROPERTY = "scenario_findings"


class Tally:
    """Counts, by code, what was planted, what was named, and what was both."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def add(self, true: Counter[Finding], named: Counter[Finding]) -> None:
        """Count one report's findings against the truth."""
        kinds = {"true": true, "named": named, "right": true & named}
        counts = {kind: Counter(it.code for it in found.elements()) for kind, found in kinds.items()}
        self._record(PROPERTY, json.dumps(counts))


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    return Tally(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print precision and recall over all scenarios of the session. Properties travel from xdist's workers with the reports."""
    total: dict[str, Counter[str]] = {"true": Counter(), "named": Counter(), "right": Counter()}
    reports = [it for outcome in ("passed", "failed") for it in terminalreporter.stats.get(outcome, []) if it.when == "call"]
    told = [json.loads(value) for it in reports for name, value in it.user_properties if name == PROPERTY]
    for counts in told:
        for kind, by_code in counts.items():
            total[kind].update(by_code)
    if not told:
        return
    terminalreporter.section("scenarios with known truth")
    right, named, true = (sum(total[kind].values()) for kind in ("right", "named", "true"))
    ratios = f"precision {right / (named or 1):.6f}, recall {right / (true or 1):.6f}"
    terminalreporter.line(f"{len(told)} scenarios, {true} true discrepancies, {named} named, {right} of them rightly: {ratios}")
    for code in sorted(total["true"] | total["named"]):
        counts = ", ".join(f"{total[kind][code]} {kind}" for kind in ("true", "named", "right"))
        terminalreporter.line(f"  {code}: {counts}")
