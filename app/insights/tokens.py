"""Credentials, and the short-lived token that each call carries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import jwt
from jwt.algorithms import HMACAlgorithm

from app.insights.errors import InvalidCredentials

LIFETIME = timedelta(minutes=3)
"""What the vendor advises (guide): one call's worth."""


@dataclass(frozen=True)
class OpenTokCredentials:
    """A project of the OpenTok environment: its API key and secret."""

    project_id: str
    secret: str = field(repr=False)

    def headers(self, now: datetime) -> Mapping[str, str]:
        """The header of one call at `now`: HS256 with the project's secret (guide)."""
        return _opentok(self.project_id, "project", self.secret, now)


@dataclass(frozen=True)
class VonageCredentials:
    """A project of the unified environment: its application's id and private key (PEM)."""

    project_id: str
    application_id: str
    private_key: str = field(repr=False)

    def headers(self, now: datetime) -> Mapping[str, str]:
        """The header of one call at `now`: RS256 with the application's private key (seen).

        Raises InvalidCredentials where the key cannot be read; the key itself is never in the message.
        """
        claims = {"application_id": self.application_id, **_times(now)}
        try:
            return {"Authorization": f"Bearer {jwt.encode(claims, self.private_key, algorithm='RS256')}"}
        except (ValueError, TypeError, jwt.PyJWTError):
            raise InvalidCredentials("The private key is no RSA key in PEM form.") from None


Credentials = OpenTokCredentials | VonageCredentials


@dataclass(frozen=True)
class AccountCredentials:
    """An account of the OpenTok environment: the key and secret that list its projects."""

    account_key: str
    secret: str = field(repr=False)

    def headers(self, now: datetime) -> Mapping[str, str]:
        """The header of one call at `now` (guide)."""
        return _opentok(self.account_key, "account", self.secret, now)


class _Hmac(HMACAlgorithm):
    """HS256 without the library's warning of short secrets: how long they are is the vendor's choice."""

    def check_key_length(self, key: bytes) -> None:
        """Nothing to say."""


_SIGNER = jwt.PyJWS(algorithms=[])
_SIGNER.register_algorithm("HS256", _Hmac(HMACAlgorithm.SHA256))


def _opentok(issuer: str, issuer_type: str, secret: str, now: datetime) -> Mapping[str, str]:
    claims = json.dumps({"iss": issuer, "ist": issuer_type, **_times(now)})
    try:
        return {"X-OPENTOK-AUTH": _SIGNER.encode(claims.encode(), secret, algorithm="HS256")}
    except (ValueError, TypeError, jwt.PyJWTError):
        raise InvalidCredentials("The secret cannot sign anything.") from None


def _times(now: datetime) -> Mapping[str, int | str]:
    return {"iat": int(now.timestamp()), "exp": int((now + LIFETIME).timestamp()), "jti": str(uuid4())}
