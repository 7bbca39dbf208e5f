"""Upstream in the test's own process."""

from typing import Any

import httpx

from app.clock import Clock
from app.insights.client import InsightsClient
from app.insights.limits import Unlimited
from app.store.projects import Project


def client_of(project: Project, clock: Clock, transport: httpx.BaseTransport, **more: Any) -> InsightsClient:
    """A client whose upstream is a transport, without a limit on requests; `more` are its other arguments."""
    url = "http://sandbox/graphql"
    return InsightsClient(project.credentials, url=url, clock=clock, limiter=Unlimited(), transport=transport, **more)
