"""What operators are handed is true: metrics exist, alarms say what to do, and the containers keep their promises."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from app.cli.run import GRACE
from app.db import transaction
from app.jobs.work import KINDS
from app.jobs.worker import DRAIN
from app.main import create_app
from app.settings import Settings
from app.store.invoices import take_number
from app.store.money_tables import LegalEntityRow
from billing.discrepancy import Severity

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "operations.md").read_text()
RULES = [rule for group in yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


VALUES = {"kind": set(KINDS), "severity": set(Severity)}
"""Of labels that have none on an empty installation."""
ADDED = {"job", "instance"}
"""The labels that Prometheus adds."""


@dataclass(frozen=True)
class Told:
    """What the service tells while it is empty: every metric with its labels, and what values of each were seen."""

    labels: dict[str, set[str]] = field(default_factory=dict)
    values: dict[str, set[str]] = field(default_factory=lambda: {name: set(values) for name, values in VALUES.items()})


@pytest.fixture
def told(sqlite_url: str) -> Told:
    app = create_app(Settings(database_url=sqlite_url, _env_file=None), worker=False)
    TestClient(app).get("/healthz")  # for the requests' own metric
    told = Told()
    for family in app.state.metrics.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
        for suffix in suffixes.get(family.type, ("",)):
            told.labels[family.name + suffix] = set(getattr(family, "_labelnames", ()))
        for sample in family.samples:
            told.labels.setdefault(sample.name, set()).update(sample.labels)
            for name, value in sample.labels.items():
                told.values.setdefault(name, set()).add(value)
    return told


def parts(expression: str) -> list[promql_parser.Expr]:
    """All that an expression in Prometheus' language is made of. Raises ValueError for what is none."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def ours(told: Told) -> set[str]:
    """The names of our metrics as they are looked for, a histogram's without its parts."""
    names = {name for name in told.labels if name.startswith("reckoner_") and not name.endswith("_created")}
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def test_every_alarm_and_chart_reads_metrics_that_exist_by_labels_and_values_that_they_have(told: Told) -> None:
    expressions = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]
    assert len(expressions) > 40
    for expression in expressions:
        made_of = parts(expression)
        read = [it for it in made_of if isinstance(it, promql_parser.VectorSelector)]
        assert read, expression
        assert {it.name for it in read} <= told.labels.keys() | {"up"}, expression
        known = ADDED.union(*(told.labels.get(it.name, ()) for it in read))
        for modifier in [it.modifier for it in made_of if isinstance(it, promql_parser.AggregateExpr) and it.modifier]:
            assert set(modifier.labels) <= known, expression
        for it in read:
            for matcher in it.matchers.matchers:
                assert matcher.name in told.labels.get(it.name, set()) | ADDED, expression
                if matcher.name not in {"status", *ADDED}:
                    assert set(matcher.value.split("|")) <= told.values[matcher.name], expression


def test_what_an_alarm_waits_to_grow_is_there_from_the_start(told: Told) -> None:
    """Prometheus sees no increase in what appears as 1."""
    outcomes = {
        value
        for rule in RULES
        for it in parts(rule["expr"])
        if isinstance(it, promql_parser.VectorSelector) and it.name == "reckoner_upstream_requests_total"
        for matcher in it.matchers.matchers
        for value in matcher.value.split("|")
    }
    assert {"RateLimited", "InvalidCredentials", "TimedOut"} <= outcomes <= told.values["outcome"]


def test_the_guide_names_the_labels_of_every_metric(told: Told) -> None:
    rows = re.findall(r"^\| `(reckoner_\w+)` \| ([^|]*)\|", GUIDE, re.MULTILINE)
    for name, labels in rows:
        parts_too = [it for it in told.labels if it in (name, f"{name}_count")]
        assert {it.strip() for it in labels.split(",")} - {""} == set().union(*(told.labels[it] for it in parts_too)), name


def test_every_metric_is_in_the_guide_and_no_other(told: Told) -> None:
    documented = set(re.findall(r"^\| `(reckoner_\w+)", GUIDE, re.MULTILINE))
    assert documented == ours(told)


def test_every_metric_that_is_ours_is_on_the_dashboard_or_in_an_alarm(told: Told) -> None:
    shown = "".join(rule["expr"] for rule in RULES) + json.dumps(PANELS)
    assert {name for name in ours(told) if name not in shown} == {"reckoner_build_info", "reckoner_projects"}


def test_every_alarm_has_its_section_with_what_to_do() -> None:
    sections = dict(re.findall(r"^### (Reckoner\w+)\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL))
    assert list(sections) == [rule["alert"] for rule in RULES]
    for name, text in sections.items():
        assert "**Do:** " in text, name
    assert all(rule["labels"]["severity"] in ("critical", "warning") and rule["annotations"]["summary"] for rule in RULES)


def test_the_dashboard_can_be_laid_out() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


def test_after_a_restore_numbers_can_be_set_past_those_that_were_given(engine: Engine) -> None:
    found = re.search(r"<!-- both: numbers -->\n\n```sql\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    given = {"name": "Acme", "details": {}, "version": 1, "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    with transaction(engine) as session:
        session.add_all([LegalEntityRow(id=f"ent_{prefix}", prefix=prefix, **given) for prefix in ("ACME", "OTHER")])
        session.flush()
        for prefix in ("ACME", "OTHER"):
            assert take_number(session, f"ent_{prefix}", prefix, 2026) == f"{prefix}-2026-00001"
    with engine.begin() as connection:
        for _ in range(2):
            connection.exec_driver_sql(found[1])
    with transaction(engine) as session:
        assert take_number(session, "ent_ACME", "ACME", 2026) == "ACME-2026-00118"
        assert take_number(session, "ent_OTHER", "OTHER", 2026) == "OTHER-2026-00002"


def test_every_address_in_the_guide_is_one_of_the_service(sqlite_url: str) -> None:
    document = create_app(Settings(database_url=sqlite_url, _env_file=None), worker=False).openapi()
    told = re.findall(r"`(GET|POST|PATCH) (/v1/[^`?]*)\??([^`]*)`", GUIDE)
    assert len(told) > 10
    for method, path, query in told:
        schemas = {it["name"]: it["schema"] for it in document["paths"][path][method.lower()].get("parameters", ())}
        for name, value in [it.split("=") for it in query.split("&") if it]:
            kind = schemas[name]["anyOf"][0]["$ref"].rpartition("/")[2]
            assert value in document["components"]["schemas"][kind]["enum"], (path, query)


def services(*names: str) -> dict[str, Any]:
    return {name: it for name, it in COMPOSE["services"].items() if name in names}


def test_one_process_for_rest_and_two_for_the_jobs_after_the_migration() -> None:
    ours = services("api", "worker")
    assert ours["api"]["command"] == ["reckoner", "serve", "--no-jobs"]
    assert ours["worker"]["command"][:2] == ["reckoner", "worker"]
    assert ours["worker"]["deploy"] == {"replicas": 2}
    for service in ours.values():
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert COMPOSE["services"]["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}


def test_the_containers_write_nowhere_and_may_do_nothing_special() -> None:
    for service in services("api", "worker", "migrate").values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert all("@sha256:" in image or re.search(r":\d+\.\d+", image) for image in [COMPOSE["services"]["database"]["image"]])


def test_every_process_is_given_the_time_that_it_takes_to_end() -> None:
    for service in services("api", "worker").values():
        assert int(service["stop_grace_period"].removesuffix("s")) > GRACE + DRAIN


def test_no_secret_stands_in_the_compose_file() -> None:
    for name, service in COMPOSE["services"].items():
        assert set(service["secrets"]) <= COMPOSE["secrets"].keys(), name
        assert not [key for key in service["environment"] if re.search("KEY|PASSWORD$|DATABASE_URL", key)]
    wanted = {f"RECKONER_{field}".upper() for field in Settings.model_fields}
    handed = {name.upper() for name in COMPOSE["secrets"] if name.startswith("reckoner_")}
    environment = {
        key for service in COMPOSE["services"].values() for key in service["environment"] if key.startswith("RECKONER_")
    }
    assert handed | environment <= wanted
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    last = lines[[number for number, line in enumerate(lines) if line.startswith("FROM ")][-1] :]
    assert "USER 10001" in last
    assert not [line for line in last[last.index("USER 10001") :] if line.startswith(("RUN", "COPY", "ADD"))]
    assert any(line.startswith("HEALTHCHECK ") for line in last)
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {
        part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]
    } == let_in
    assert copied <= let_in
    assert all((ROOT / it).exists() for it in let_in)
