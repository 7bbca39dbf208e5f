"""The alignment of every form of a period."""

import pytest
from fastapi.testclient import TestClient


def test_instants_say_what_was_added(client: TestClient) -> None:
    query = {"start": "2023-12-30T07:00:00Z", "end": "2023-12-31T08:00:00Z"}
    body = client.get("/v1/periods/align", params=query).json()
    assert body["requested"] == query
    assert body["aligned"] == {
        "first_day": "2023-12-29",
        "last_day": "2023-12-30",
        "start": "2023-12-29T08:00:00Z",
        "end": "2023-12-31T08:00:00Z",
        "days": 2,
        "short_days": [],
        "long_days": [],
    }
    assert body["added_days"] == 1
    assert "2023-12-29" in body["explanation"]


@pytest.mark.parametrize(
    ("query", "first_day", "last_day"),
    [
        ({"month": "2026-11"}, "2026-11-01", "2026-11-30"),
        ({"cycle": "2026-03-01", "anchor_day": "31"}, "2026-02-28", "2026-03-30"),
        ({"first_day": "2026-10-31", "last_day": "2026-11-01"}, "2026-10-31", "2026-11-01"),
        ({"start": "1703923200", "end": "1704009600000"}, "2023-12-30", "2023-12-30"),
        ({"start": "1703923201", "end": "1704009601", "alignment": "nearest"}, "2023-12-30", "2023-12-30"),
    ],
)
def test_every_form(client: TestClient, query: dict[str, str], first_day: str, last_day: str) -> None:
    aligned = client.get("/v1/periods/align", params=query).json()["aligned"]
    assert (aligned["first_day"], aligned["last_day"]) == (first_day, last_day)


def test_a_day_of_25_hours_is_named(client: TestClient) -> None:
    assert client.get("/v1/periods/align?month=2026-11").json()["aligned"]["long_days"] == ["2026-11-01"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"month": "2026-1"}, "month"),
        ({"cycle": "2026-03-01", "anchor_day": "32"}, "anchor_day"),
        ({"cycle": "2026-03-01"}, "anchor_day"),
        ({"start": "2026-10-01T00:00:00", "end": "2026-10-02T00:00:00Z"}, "start"),
        ({"month": "2026-10", "colour": "red"}, "colour"),
        ({}, "query"),
    ],
)
def test_the_wrong_parameter_is_named(client: TestClient, query: dict[str, str], parameter: str) -> None:
    response = client.get("/v1/periods/align", params=query)
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == [parameter]
