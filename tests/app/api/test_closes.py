"""Closes over REST: one by hand, in a job, and what has become of all."""

import pytest
from fastapi.testclient import TestClient

from app.db import transaction
from app.store import closes
from billing.period import BillingPeriod, parse_period
from tests.app.api.conftest import NOW
from tests.app.api.desk import PERIOD, Desk, open_desk
from tests.app.api.test_errors import is_problem
from tests.app.jobs.conftest import wait


@pytest.fixture
def desk(client: TestClient) -> Desk:
    return open_desk(client, reconciled=False)


@pytest.mark.parametrize("works", [True])
def test_a_period_is_closed_by_hand(desk: Desk) -> None:
    answer = desk.client.post("/v1/closes", json={"project_id": "100", "period": PERIOD})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["project_id"]) == (202, "close", "100")
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    done = wait(desk.client.app.state.service.engine, job["id"], 30)
    assert (done.state, done.problem) == ("succeeded", None)
    (close,) = desk.client.get("/v1/closes").json()["items"]
    assert done.result == {"close_id": close["id"]} | {
        name: close[name] for name in ("state", "reason", "report_id", "invoice_ids")
    }
    assert (close["state"], close["attempts"], close["is_cycle"]) == ("closed", 1, False)
    assert (close["first_day"], close["last_day"]) == ("2026-10-31", "2026-11-01")
    assert desk.client.get(f"/v1/closes/{close['id']}").json() == close
    (invoice_id,) = close["invoice_ids"]
    invoice = desk.client.get(f"/v1/invoices/{invoice_id}").json()
    assert (invoice["status"], invoice["report_ids"]) == ("draft", [close["report_id"]])
    drafted = desk.client.get(f"/v1/audit-log?subject={invoice_id}").json()["items"]
    assert drafted[0]["actor"].startswith("bootstrap ("), "whoever asked for it is its maker"


def test_the_list_by_state_and_project_in_pages(desk: Desk) -> None:
    desk.client.post("/v1/projects", json={"project_id": "200", "name": "B", "credentials": {"kind": "opentok", "secret": "x"}})
    periods = [parse_period(f"2026-{month:02}").period for month in range(5, 9)]

    def add(project_id: str, period: BillingPeriod) -> str:
        with transaction(desk.office.engine) as session:
            return closes.add(session, project_id, period, NOW, is_cycle=True).id

    ids = {add(project_id, period) for project_id in ("100", "200") for period in periods}
    seen, cursor = list[str](), ""
    while True:
        page = desk.client.get(f"/v1/closes?limit=3{cursor}").json()
        seen += [it["id"] for it in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert (len(seen), set(seen)) == (8, ids)
    mine = desk.client.get("/v1/closes?project_id=200&state=waiting").json()["items"]
    assert [it["project_id"] for it in mine] == ["200"] * 4
    assert desk.client.get("/v1/closes?state=closed").json()["items"] == []
    is_problem(desk.client.get("/v1/closes?state=done"), 422)


def test_what_cannot_be_closed_is_refused(client: TestClient) -> None:
    is_problem(client.post("/v1/closes", json={"project_id": "404", "period": PERIOD}), 404)
    problem = is_problem(client.post("/v1/closes", json={"project_id": "100", "period": {"month": "2026-13"}}), 422)
    assert problem["errors"][0]["pointer"] == "/period/month"
    is_problem(client.get("/v1/closes/cls_404"), 404)
