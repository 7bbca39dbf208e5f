"""The real thing, in process: collect through the sandbox's transport, reconcile, and read the stored report."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Engine

from app.auth import Vault
from app.db import transaction
from app.flows.collect import CollectionFailed, collect
from app.flows.reconcile import reconcile
from app.insights.client import InsightsClient, OpenTokCredentials
from app.sandbox.dataset import Dataset
from app.sandbox.transport import SandboxTransport
from app.sandbox.upstream import Upstream
from app.store import projects, rate_cards, reports
from app.store.projects import Project
from billing.model import Tolerance
from billing.period import BillingPeriod, resolve
from billing.tiers import TierPlan
from tests.scenarios.case import Case, Finding
from tests.upstream import client_of

VAULT = Vault("scenarios-0123456789abcdefghijklmnopqrstuv")
PATIENCE = 4
"""How often a failed collection is asked for again, as a person or a schedule would."""


class StillClock:
    """Stands still, so that the second at which a call comes makes no difference."""

    def __init__(self, at: int) -> None:
        self.move(at)

    def move(self, at: int) -> None:
        """Set it to so many milliseconds since the epoch."""
        self._now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)

    def now(self) -> datetime:
        return self._now


@dataclass
class Reported:
    """A stored report, in the words of the oracle."""

    bridge: dict[str, dict[str, int]]
    days: list[dict[str, Any]]
    findings: Counter[Finding]
    verdict: str
    explained: str
    content: dict[str, Any]


def report_on(case: Case, requested: dict[str, Any], engine: Engine) -> Reported:
    """Play the case's history against the product and read what it reports."""
    clock = StillClock(case.collections[0].at)
    transport = SandboxTransport(Upstream(Dataset.load(case.dataset), clock))  # type: ignore[arg-type]  # only told the time
    secret = next(it["secret"] for it in case.dataset["projects"] if it["id"] == case.project_id)
    project = Project(
        case.project_id,
        "Scenario",
        OpenTokCredentials(case.project_id, secret),
        clock.now(),
        cross_check=case.cross_check,
        plan=TierPlan.of(case.plan),
        tolerance=Tolerance(case.tolerance, Decimal(case.relative.numerator) / case.relative.denominator),
        rate_card_id="rc_scenario",
    )
    with transaction(engine) as session:
        rate_cards.publish(session, rate_card(case.plan), clock.now(), actor="test")
        projects.create(session, VAULT, project)

    def client(_: Project) -> InsightsClient:
        return client_of(project, clock, transport, sleep=lambda _: None)

    for it in case.collections:
        clock.move(it.at)
        for left in reversed(range(PATIENCE)):
            try:
                collect(
                    engine,
                    project,
                    BillingPeriod(it.first, it.last),
                    client_factory=client,
                    clock=clock,
                    progress=lambda *_: None,
                )
                break
            except CollectionFailed:
                if not left:
                    raise
    clock.move(case.as_of)
    aligned = resolve(requested)
    assert (aligned.period.first_day, aligned.period.last_day) == (case.first, case.last)
    report = reconcile(engine, project, aligned, clock=clock)
    with transaction(engine, read_only=True) as session:
        return read(reports.get(session, report.id).body)


def rate_card(plan: Sequence[str]) -> dict[str, Any]:
    """Prices at which a minute costs less the more there are, rounded once, so that an oracle can work them out by itself."""
    return {
        "id": "rc_scenario",
        "name": "Scenario",
        "currency": "USD",
        "effective_from": "2020-01-01",
        "tier_plan": list(plan),
        "prices": {tier: {"model": "graduated", "brackets": brackets(place)} for place, tier in enumerate(plan, 1)},
        "rounding": {"quantity_decimals": "6", "per": "invoice"},
    }


def brackets(place: int) -> list[dict[str, str | None]]:
    """The brackets of the plan's tier at that place."""
    return [{"up_to": "100", "unit_price": f"0.0{place}"}, {"up_to": None, "unit_price": f"0.00{place}"}]


def read(body: bytes) -> Reported:
    """A report's document, with minutes as micro-minutes."""
    content = json.loads(body)
    return Reported(
        bridge={line["step"]: minutes(line["minutes"]) for line in content["bridge"]},
        days=[
            {**it, **{level: minutes(it[level]) for level in ("project_level", "meeting_level", "difference")}}
            for it in content["days"]
        ],
        findings=Counter(
            Finding.of(
                it["code"],
                minutes(it["minutes"]),
                map(date.fromisoformat, it["days"]),
                it["sessions"],
                it["evidence"].get("method", ""),
            )
            for it in content["discrepancies"]
        ),
        verdict=content["verdict"],
        explained=content["explained_ratio"],
        content=content,
    )


def minutes(texts: dict[str, str]) -> dict[str, int]:
    """Micro-minutes of the contract's texts."""
    return {tier: int(Decimal(text).scaleb(6)) for tier, text in texts.items()}
