"""Both kinds of token, verified by the sandbox's clock, with the error that each fault of theirs gets."""

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from hmac import digest

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.app.sandbox.asking import ACCOUNT_SECRET, SECRET, Asker, dataset, signed

APPLICATION = "0e3a2d5e-6f1b-4a57-9b1a-6a0b6c0e8a11"
OTHER_SECRET = "other-secret-0123456789abcdef0123456789abcdef0123456789abcdef0123"
QUERY = "{ project(projectId: 100) { projectId } }"


def key_pair():
    key = rsa.generate_private_key(65537, 2048)
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


PRIVATE, PUBLIC = key_pair()


@pytest.fixture(scope="module")
def asker():
    others = [
        {"id": "200", "secret": OTHER_SECRET},
        {"id": "300", "secret": OTHER_SECRET, "status": "SUSPENDED"},
        {"id": "400", "secret": OTHER_SECRET, "status": "DELETED"},
    ]
    return Asker(dataset(projects=others, application_id=APPLICATION, public_key=PUBLIC))


def now(asker):
    return int(asker.upstream.clock.now().timestamp())


def opentok(asker, key=SECRET, algorithm="HS256", without=(), **claims):
    at = now(asker)
    given = {"iss": "100", "ist": "project", "iat": at, "exp": at + 180, "jti": "x"} | claims
    return {"X-OPENTOK-AUTH": signed({name: given[name] for name in given if name not in without}, key, algorithm)}


def bearer(asker, key=PRIVATE, algorithm="RS256", **claims):
    at = now(asker)
    claims = {"application_id": APPLICATION, "iat": at, "exp": at + 180, "jti": "x"} | claims
    return {"Authorization": f"Bearer {signed(claims, key, algorithm)}"}


def test_good_tokens(asker):
    hour = opentok(asker, exp=now(asker) + 3600)
    for headers in (opentok(asker), opentok(asker, without=["jti"]), hour, bearer(asker)):
        assert asker.ask(QUERY, headers=headers) == {"data": {"project": {"projectId": "100"}}}


def test_the_key_may_be_a_number(asker):
    """PyJWT refuses to write a number as `iss`, other libraries do it."""

    def part(content):
        return urlsafe_b64encode(content).rstrip(b"=")

    claims = {"iss": 100, "ist": "project", "iat": now(asker), "exp": now(asker) + 60}
    head = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    token = head + b"." + part(digest(SECRET.encode(), head, "sha256"))
    assert "errors" not in asker.ask(QUERY, headers={"X-OPENTOK-AUTH": token.decode()})


@pytest.mark.parametrize(
    ("code", "make"),
    [
        (1000, lambda a: opentok(a, iss="999")),
        (1000, lambda a: opentok(a, ist="account", iss="100")),
        (1000, lambda a: bearer(a, application_id="another")),
        (1001, lambda a: {"Accept": "*/*"}),
        (1001, lambda a: {"Authorization": "Basic abc"}),
        (1001, lambda a: {"Authorization": "Bearer "}),
        (1011, lambda a: {"X-OPENTOK-AUTH": "not.a.token"}),
        (1011, lambda a: {"X-OPENTOK-AUTH": "x" * 9000}),
        (1011, lambda a: {"Authorization": "Bearer abc"}),
        (1011, lambda a: opentok(a, key=OTHER_SECRET, iss="200", algorithm="HS512")),
        (1011, lambda a: bearer(a, key=SECRET, algorithm="HS256")),
        (1011, lambda a: {"X-OPENTOK-AUTH": bearer(a)["Authorization"].split()[1]}),
        (1011, lambda a: {"X-OPENTOK-AUTH": signed({"iss": "100", "ist": "project"}, None, "none")}),
        (1011, lambda a: opentok(a, without=["ist"])),
        (1011, lambda a: opentok(a, without=["iss"])),
        (1011, lambda a: opentok(a, without=["iat"])),
        (1011, lambda a: opentok(a, without=["exp"])),
        (1011, lambda a: opentok(a, ist="user")),
        (1011, lambda a: opentok(a, exp=now(a) + 3602)),
        (1011, lambda a: opentok(a, exp=now(a) - 10, iat=now(a) - 5)),
        (1019, lambda a: opentok(a, key=OTHER_SECRET, iss="200")),
        (1020, lambda a: opentok(a, key=OTHER_SECRET)),
        (1020, lambda a: bearer(a, key=key_pair()[0])),
        (1020, lambda a: opentok(a, iat=now(a) - 200, exp=now(a) - 1)),
        (1020, lambda a: bearer(a, iat=now(a) - 200, exp=now(a) - 1)),
        (1020, lambda a: opentok(a, iat=now(a) + 120, exp=now(a) + 180)),
        (1021, lambda a: opentok(a, key=ACCOUNT_SECRET, ist="account", iss="9000")),
    ],
)
def test_bad_tokens_get_their_number(asker, code, make):
    content = asker.ask(QUERY, headers=make(asker))
    assert content["data"] in (None, {"project": None})
    assert [error["errorCode"] for error in content["errors"]] == [code]


@pytest.mark.parametrize(
    ("code", "project_id", "make"),
    [
        (1015, 555, opentok),
        (1015, 400, lambda a: opentok(a, key=OTHER_SECRET, iss="400")),
        (1019, 200, opentok),
        (1021, 200, bearer),
        (1021, 300, lambda a: opentok(a, key=OTHER_SECRET, iss="300")),
    ],
)
def test_a_project_that_may_not_be_asked_for(asker, code, project_id, make):
    assert asker.code(f"{{ project(projectId: {project_id}) {{ name }} }}", headers=make(asker)) == code


def test_a_query_reads_one_project_only(asker):
    query = "{ a: project(projectId: 100) { projectId } b: project(projectId: 200) { projectId } }"
    content = asker.ask(query, headers=opentok(asker))
    assert content["data"] == {"a": {"projectId": "100"}, "b": None}
    assert content["errors"][0]["errorCode"] == 1019


def test_a_token_lives_by_the_sandboxs_clock(asker):
    headers = opentok(asker)
    start = asker.upstream.clock.now()
    asker.upstream.clock.move(start + timedelta(seconds=150))
    assert "errors" not in asker.ask(QUERY, headers=headers)
    asker.upstream.clock.move(start + timedelta(seconds=200))
    assert asker.code(QUERY, headers=headers) == 1020
    asker.upstream.clock.move(start)


def projects(asker, path="/v2/project", **claims):
    headers = opentok(asker, **({"key": ACCOUNT_SECRET, "ist": "account", "iss": "9000"} | claims))
    answer = asker.upstream.handle("GET", path, headers)
    return answer.status, json.loads(answer.body)


def test_the_accounts_projects(asker):
    status, listed = projects(asker)
    assert status == 200
    assert [project["id"] for project in listed] == ["100", "200", "300", "400"]
    assert listed[2] == {
        "id": "300",
        "secret": OTHER_SECRET,
        "status": "SUSPENDED",
        "name": "",
        "environment": "standard",
        "createdAt": 1768435200000,
    }
    assert projects(asker, "/v2/project/300") == (200, listed[2])
    assert projects(asker, "/v2/project/555")[0] == 404


@pytest.mark.parametrize(
    ("code", "claims"),
    [
        (1000, {"iss": "9001"}),
        (1011, {"exp": 1}),
        (1020, {"key": SECRET}),
        (1021, {"key": SECRET, "ist": "project", "iss": "100"}),
    ],
)
def test_the_project_list_is_for_the_account_only(asker, code, claims):
    status, content = projects(asker, **claims)
    assert (status, content["code"]) == (403, code)


def test_a_token_for_the_project_list_lives_five_minutes_at_most(asker):
    assert projects(asker, exp=now(asker) + 295)[0] == 200
    status, content = projects(asker, exp=now(asker) + 305)
    assert (status, content["code"]) == (403, 1011)
