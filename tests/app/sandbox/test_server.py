"""The sandbox over a real socket."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.sandbox.server import running
from tests.app.sandbox.asking import Asker, dataset, person, room

QUERY = "{ project(projectId: 100) { projectData(start: 0, interval: DAILY) { totalCount } } }"
LATE = {"kind": "http", "operation": "projectData", "calls": [2], "timeout": 60}


@pytest.fixture(scope="module")
def asker():
    return Asker(dataset(room("s", person("a", 0, 10)), faults=[LATE]))


@pytest.fixture(scope="module")
def client(asker):
    with running(asker.upstream) as url, httpx.Client(base_url=url, timeout=5) as client:
        yield client


def post(client, asker, **more):
    return client.post("/graphql", json={"query": QUERY}, headers=asker.headers(), **more)


def test_queries_late_answers_and_many_at_once(client, asker):
    assert post(client, asker).json() == {"data": {"project": {"projectData": {"totalCount": 1}}}}
    begun = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        post(client, asker, timeout=0.2)
    assert time.monotonic() - begun < 2
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: post(client, asker), range(24))} == {200}


def test_the_clock_is_read_and_moved(client, asker):
    before = asker.upstream.clock.now()
    assert client.post("/sandbox/clock", json={"now": "2026-11-01T08:00:00Z"}).json()["now"].startswith("2026-11-01T08:00:00")
    assert client.get("/sandbox/clock").json()["now"].startswith("2026-11-01T08:00:0")
    assert client.post("/sandbox/clock", json={"now": 1793520000}).json()["now"].startswith("2026-11-01T08:00:00")
    for wrong in ({"now": "tomorrow"}, {"now": "2026-11-01T08:00:00"}, {"now": None}, {}):
        assert client.post("/sandbox/clock", json=wrong).status_code == 400
    asker.upstream.clock.move(before)


def test_the_explorer_page_needs_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace('"//', "").split("<script>")[0]
    assert "src=" not in page.text
    assert "type SessionSummary {" in page.text


def test_other_paths_and_methods(client):
    assert client.get("/nothing").status_code == 404
    assert client.get("/graphql").status_code == 405
    assert client.delete("/v2/project").status_code == 405
    assert client.get("/v2/project").json()["code"] == 1001
    assert client.post("/graphql", content=b" " * 1_100_000).status_code == 413


def test_serve_prints_the_port_it_chose():
    program = """if True:
        from datetime import UTC, datetime
        from app.sandbox.dataset import Dataset
        from app.sandbox.server import serve
        content = {"account": {"key": "1", "secret": "s"}, "projects": [{"id": "1", "secret": "s"}]}
        serve(Dataset.load(content), datetime(2026, 10, 5, tzinfo=UTC))"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[2].rstrip(",")
        assert httpx.get(f"{url}/sandbox/clock").json()["now"].startswith("2026-10-05T00:00:0")
        process.terminate()
        process.communicate(timeout=10)
