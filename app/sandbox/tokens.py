"""Who is calling: tokens verified as upstream does, by the sandbox's clock.

The vendor names the errors and not when each is given; the sandbox's choice: 1001 no token; 1011 no token of the right make
(not a JWT, another algorithm, claims missing or absurd, too long a life); 1000 an API key or application that does not exist;
1020 a wrong signature, expired, or from the future; then, for a project: 1015 there is none, 1019 the token is another
project's, 1021 the application or the account may not ask for it, or the project is suspended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from app.sandbox.dataset import Dataset, ProjectRecord
from app.sandbox.refusals import Refusal

INSIGHTS_LIFE = 3600
"""Seconds that a token may live: the vendor's own sample uses an hour for Insights (seen)."""
REST_LIFE = 300
"""Seconds that a token may live for the project list (guide)."""
SKEW = 60
"""Seconds that a caller's clock may be ahead."""


@dataclass(frozen=True)
class Caller:
    """Whom a valid token stands for; `key` is the project's API key, the application's id, or the account's key."""

    kind: str
    key: str

    def ask_for(self, dataset: Dataset, project_id: str) -> ProjectRecord:
        """The project, if this caller may read it."""
        record = dataset.projects.get(project_id)
        if record is None or record.project.status == "DELETED":
            raise Refusal(1015, project_id)
        if self.kind == "project" and self.key != project_id:
            raise Refusal(1019, project_id)
        if self.kind == "account" or record.project.status == "SUSPENDED":
            raise Refusal(1021, project_id)
        if self.kind == "application" and self.key != record.project.application_id:
            raise Refusal(1021, project_id)
        return record


def verify(headers: Mapping[str, str], dataset: Dataset, now: float, *, life: int = INSIGHTS_LIFE) -> Caller:
    """The caller of a request with these headers (names in lower case) at `now`, in seconds since the epoch.

    `X-OPENTOK-AUTH` holds a token signed with a project's or the account's secret (HS256), `Authorization: Bearer` one signed
    with an application's private key (RS256). Raises Refusal.
    """
    if token := headers.get("x-opentok-auth"):
        return _verify(token, "HS256", dataset, now, life)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return _verify(token.strip(), "RS256", dataset, now, life)
    raise Refusal(1001)


def _verify(token: str, algorithm: str, dataset: Dataset, now: float, life: int) -> Caller:
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise Refusal(1011) from None
    claims = parts["payload"]
    if parts["header"].get("alg") != algorithm:
        raise Refusal(1011, f"{algorithm} was expected")
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float) or not 0 < expires - issued <= life:
        raise Refusal(1011, f"iat and exp at most {life} s apart were expected")
    caller, key = _claimed(claims, algorithm, dataset)
    signer = jwt.get_algorithm_by_name(algorithm)
    # Not jwt.decode: it warns of short secrets, which are the vendor's to give, and knows only the machine's own clock.
    signed = token.rpartition(".")[0].encode()
    if not signer.verify(signed, signer.prepare_key(key), parts["signature"]):
        raise Refusal(1020, "the signature is wrong")
    if expires <= now:
        raise Refusal(1020, "it has expired")
    if issued > now + SKEW:
        raise Refusal(1020, "it was issued in the future")
    return caller


def _claimed(claims: dict[str, Any], algorithm: str, dataset: Dataset) -> tuple[Caller, str]:
    """Whom the claims name, and the key that must have signed them."""
    if algorithm == "RS256":
        application = claims.get("application_id")
        for record in dataset.projects.values():
            if application and record.project.application_id == application and record.project.public_key:
                return Caller("application", application), record.project.public_key
        raise Refusal(1000, "no such application")
    issuer, kind = claims.get("iss"), claims.get("ist")
    if kind not in ("project", "account") or isinstance(issuer, bool) or not isinstance(issuer, int | str):
        raise Refusal(1011, 'iss, and ist "project" or "account", were expected')
    if kind == "account" and str(issuer) == dataset.account.key:
        return Caller(kind, str(issuer)), dataset.account.secret
    if kind == "project" and str(issuer) in dataset.projects:
        return Caller(kind, str(issuer)), dataset.projects[str(issuer)].project.secret
    raise Refusal(1000)
