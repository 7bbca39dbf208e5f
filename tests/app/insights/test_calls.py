"""Calls over a real socket: what is worth repeating is repeated, in bounded time; the rest is final."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

import httpx
import jwt
import pytest

from app.clock import MovableClock
from app.insights import queries
from app.insights.client import InsightsClient, VonageCredentials
from app.insights.errors import (
    InsightsError,
    InvalidCredentials,
    InvalidQuery,
    InvalidRange,
    MalformedAnswer,
    NeedsAdvancedInsights,
    NotAuthorised,
    ProjectNotFound,
    RateLimited,
    ServerFailed,
    SessionNotFound,
    TokenExpired,
)
from app.insights.limits import ClientLimits
from app.insights.tokens import OpenTokCredentials
from app.sandbox.server import running
from app.sandbox.upstream import Upstream
from billing.period import BillingPeriod
from tests.app.insights.support import CREDENTIALS, NOW, TIERS, CountingLimiter, client, upstream

DAY = date(2026, 10, 4)
PERIOD = BillingPeriod(date(2026, 10, 3), date(2026, 10, 7))
QUICK = ClientLimits(connect=5, read=10, call=20, backoff=0.01)
IMPATIENT = ClientLimits(connect=5, read=1, call=20, backoff=0.01)
"""For faults that keep silent; the rest must not be taken for one on a machine that is busy."""


class Stage:
    """A server's upstream, new for each test; its figures are derived once only."""

    def __init__(self):
        self.upstream = upstream()
        self._dataset = self.upstream.dataset

    def plant(self, *faults):
        self._dataset.projects["100"].http_faults = upstream(*faults, sessions=[]).dataset.projects["100"].http_faults
        self.upstream = Upstream(self._dataset, MovableClock(NOW))

    def handle(self, *args):
        return self.upstream.handle(*args)


@pytest.fixture(scope="module")
def stage():
    return Stage()


@pytest.fixture(scope="module")
def address(stage):
    with running(stage) as url:
        yield url


@pytest.fixture
def reader(stage, address):
    """Makes a client, over a socket, of a sandbox with these faults."""
    made = []

    def make(*faults, **more):
        stage.plant(*faults)
        made.append(client(stage.upstream, url=f"{address}/graphql", **({"limits": QUICK} | more)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def read_all(it):
    """One of each kind of question."""
    daily = it.daily_usage(PERIOD, TIERS)
    meetings = it.meetings(DAY, TIERS)
    details = it.details(meetings.crossers)
    return (daily.days, meetings.payload, details.payload), daily.requests + meetings.requests + details.requests


POSITIONS = [("projectData", 1), *(("sessionSummaries", n) for n in (1, 2, 3)), *(("sessions", n) for n in (1, 2, 3, 4))]
PASSING = [
    {"status": 500},
    {"status": 503, "retry_after": 2},
    {"status": 429},
    {"error_code": 1012},
    {"error_code": 1016},
    {"error_code": 1020},
    {"timeout": 1.5},
]
FINAL = [
    ({"truncated": True}, MalformedAnswer),
    ({"html": True}, MalformedAnswer),
    ({"status": 400}, InvalidQuery),
    ({"error_code": 1014}, NeedsAdvancedInsights),
]
TYPED = [
    ({"status": 401}, InvalidCredentials),
    ({"status": 403}, NotAuthorised),
    *(({"error_code": code}, InvalidCredentials) for code in (1000, 1001, 1011, 1019)),
    ({"error_code": 1002}, InvalidRange),
    *(({"error_code": code}, InvalidQuery) for code in (1003, 1004, 1005, 1006, 1007, 1009, 1010, 1013, 1018, 1022)),
    *(({"error_code": code}, ProjectNotFound) for code in (1008, 1015)),
    ({"error_code": 1017}, SessionNotFound),
    ({"error_code": 1021}, NotAuthorised),
]


@pytest.fixture(scope="module", autouse=True)
def small_pages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "_SUMMARIES", 2)
        yield


@pytest.fixture(scope="module")
def truth():
    with client(upstream()) as it:
        return read_all(it)


@pytest.mark.parametrize(("operation", "call"), POSITIONS)
@pytest.mark.parametrize("way", PASSING, ids=str)
def test_a_fault_that_passes_costs_one_more_request_and_nothing_else(reader, truth, way, operation, call):
    limiter, pauses, limits = CountingLimiter(), [], IMPATIENT if "timeout" in way else QUICK
    fault = {"kind": "http", "operation": operation, "calls": [call], **way}
    it = reader(fault, limiter=limiter, sleep=pauses.append, limits=limits)
    values, requests = read_all(it)
    assert values == truth[0]
    assert requests == truth[1] + 1 == len(limiter.keys)
    assert set(limiter.keys) == {"100"}
    assert len(pauses) == (0 if way.get("error_code") in (1016, 1020) else 1)
    assert all(pause >= way.get("retry_after", 0) for pause in pauses)


def test_the_positions_are_all_there_are(truth, stage, reader):
    read_all(reader())
    assert stage.upstream.calls == Counter(operation for operation, _ in POSITIONS)


@pytest.mark.parametrize(
    ("way", "error", "operation", "call"),
    [(*case, *position) for case in FINAL for position in POSITIONS] + [(*case, "sessionSummaries", 2) for case in TYPED],
    ids=str,
)
def test_a_fault_that_stays_is_final_and_typed(reader, way, error, operation, call):
    it = reader({"kind": "http", "operation": operation, "calls": [call], **way}, sleep=pytest.fail)
    with pytest.raises(error) as caught:
        read_all(it)
    assert type(caught.value) is error
    assert caught.value.code == way.get("error_code")


def test_what_does_not_pass_is_given_up_after_five_attempts(reader):
    pauses = []
    it = reader({"kind": "http", "operation": "projectData", "calls": list(range(1, 9)), "status": 502}, sleep=pauses.append)
    with pytest.raises(ServerFailed, match="502"):
        it.daily_usage(PERIOD, TIERS)
    assert len(pauses) == 4


@pytest.mark.parametrize(("code", "error"), [(1016, TokenExpired), (1020, InvalidCredentials)])
def test_a_stale_token_is_renewed_once_only(reader, code, error):
    limiter = CountingLimiter()
    it = reader(
        {"kind": "http", "operation": "projectData", "calls": [1, 2, 3], "error_code": code}, limiter=limiter, sleep=pytest.fail
    )
    with pytest.raises(error) as caught:
        it.daily_usage(PERIOD, TIERS)
    assert caught.value.code == code
    assert len(limiter.keys) == 2


def test_pauses_are_drawn_evenly_up_to_a_limit_that_doubles(monkeypatch):
    drawn = []
    monkeypatch.setattr("app.insights.conversation.random.uniform", lambda low, high: drawn.append((low, high)) or high)
    pauses = []
    refuse = httpx.MockTransport(lambda request: httpx.Response(500))
    limits = ClientLimits(attempts=7, backoff=3, longest_pause=40)
    with client(upstream(), transport=refuse, sleep=pauses.append, limits=limits) as it, pytest.raises(ServerFailed):
        it.meetings(DAY, TIERS)
    assert drawn[:6] == [(0, 6), (0, 12), (0, 24), (0, 40), (0, 40), (0, 40)]
    assert pauses == [6, 12, 24, 40, 40, 40]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 8),
        ("0", 0, 1),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 28, 31),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0, 1),
        ("soon", 0, 1),
        ("-5", 0, 1),
        ("", 0, 1),
        ("Wed, 99 Oct 2026 07:28:00 GMT", 0, 1),
    ],
)
def test_retry_after_is_obeyed_in_both_its_forms(header, least, most):
    pauses = []
    refuse = httpx.MockTransport(lambda request: httpx.Response(429, headers={"Retry-After": header}))
    limits = ClientLimits(attempts=2)
    with client(upstream(), transport=refuse, sleep=pauses.append, limits=limits) as it, pytest.raises(RateLimited):
        it.meetings(DAY, TIERS)
    assert len(pauses) == 1
    assert least <= pauses[0] <= most


@pytest.mark.parametrize("header", ["61", "99999999999999999999", "Fri, 31 Dec 2027 07:28:00 GMT"])
def test_a_retry_after_that_is_too_long_fails_at_once_and_says_how_long(header):
    refuse = httpx.MockTransport(lambda request: httpx.Response(503, headers={"Retry-After": header}))
    with client(upstream(), transport=refuse, sleep=pytest.fail) as it, pytest.raises(ServerFailed) as caught:
        it.meetings(DAY, TIERS)
    assert caught.value.retry_after > 60


def test_maintenance_is_told_from_other_failures_by_its_retry_after():
    inner = upstream(now=datetime(2026, 10, 8, 5, tzinfo=UTC))  # 22:00 in Los Angeles
    with client(inner, sleep=pytest.fail) as it:
        assert it.daily_usage(PERIOD, TIERS).requests == 1
        with pytest.raises(ServerFailed) as caught:
            it.meetings(DAY, TIERS)
    assert caught.value.retry_after == pytest.approx(3600, abs=5)


# --- tokens ---


def test_every_call_carries_a_fresh_token_dated_by_the_clock():
    inner, seen = upstream(), []
    sandbox = client(inner)

    def keep(request):
        seen.append(request.headers["X-OPENTOK-AUTH"])
        answer = inner.handle("POST", "/graphql", request.headers, request.read())
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    with client(inner, transport=httpx.MockTransport(keep)) as it:
        read_all(it)
    sandbox.close()
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in seen]
    assert len({claim["jti"] for claim in claims}) == len(claims) > 3
    for claim in claims:
        assert claim["exp"] - claim["iat"] == 180
        assert claim["iat"] == pytest.approx(NOW.timestamp(), abs=60)
        assert (claim["iss"], claim["ist"]) == ("100", "project")


def test_a_private_key_signs_for_the_unified_environment():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    application = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
    inner = upstream(application_id=application, public_key=public)
    with client(inner, credentials=VonageCredentials("100", application, private)) as it:
        assert read_all(it)[1] == read_all(client(inner))[1]


@pytest.mark.parametrize(
    ("credentials", "error"),
    [
        (OpenTokCredentials("100", "a-wrong-secret"), InvalidCredentials),
        (OpenTokCredentials("101", "project-secret"), InvalidCredentials),
        (OpenTokCredentials("100", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"), InvalidCredentials),
        (VonageCredentials("100", "unknown", "no key"), InvalidCredentials),
    ],
)
def test_wrong_credentials_are_refused_and_never_told(credentials, error):
    with client(upstream(), credentials=credentials) as it, pytest.raises(error) as caught:
        it.daily_usage(PERIOD, TIERS)
    for secret in ("a-wrong-secret", "project-secret", "BEGIN", "no key"):
        assert secret not in f"{caught.value} {credentials!r}"


def test_secrets_are_masked():
    assert "project-secret" not in repr(CREDENTIALS)
    assert "PEM" not in repr(VonageCredentials("100", "app", "PEM"))


def test_the_tree_of_errors_is_as_drawn():
    import app.insights.errors as module

    drawn = [line for line in module.__doc__.splitlines() if "──" in line or line.strip().startswith("InsightsError")]
    named = {word for line in drawn for word in line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()[:1]}
    defined = {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, InsightsError)}
    assert named == defined


def test_a_client_can_be_made_without_a_transport():
    with InsightsClient(CREDENTIALS, url="http://127.0.0.1:9/graphql", clock=upstream().clock, limiter=CountingLimiter()):
        pass
