"""Questions to a sandbox whose good answers are spoiled, and what must become of them."""

from datetime import date

import pytest

from app.insights.errors import MalformedAnswer
from billing.period import BillingPeriod
from tests.app.insights.support import TIERS, client, upstream

DAY = date(2026, 10, 4)
PERIOD = BillingPeriod(date(2026, 10, 3), date(2026, 10, 7))
SUMMARIES = "/data/project/sessionData/sessionSummaries"
DAILY = "/data/project/projectData"


def summaries(answer):
    return answer["data"]["project"]["sessionData"]["sessionSummaries"]


def daily(answer):
    return answer["data"]["project"]["projectData"]


def meetings(spoil, **more):
    with client(upstream(), spoil=spoil, **more) as reader:
        return reader.meetings(DAY, TIERS)


def daily_usage(spoil):
    with client(upstream(), spoil=spoil) as reader:
        return reader.daily_usage(PERIOD, TIERS)


def details(spoil):
    with client(upstream()) as reader:
        crossers = reader.meetings(DAY, TIERS).crossers
    with client(upstream(), spoil=spoil) as reader:
        return reader.details(crossers)


def refused(read, spoil, path):
    """The refusal of a spoiled answer; `path` is what its path starts with."""
    with pytest.raises(MalformedAnswer) as caught:
        read(lambda answer, call: spoil(answer))
    assert caught.value.path.startswith(path), caught.value.path
    assert caught.value.expected
    return caught.value
