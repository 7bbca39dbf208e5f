"""API keys, of which only a hash is kept, and the vault that encrypts the credentials of projects."""

import hmac
import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlmodel import Session, col, select

from app.errors import InvalidRequest, MissingScope, NotFound, Unauthenticated, Unavailable
from app.settings import Settings
from app.store.tables import ApiKey, add_missing

_log = logging.getLogger(__name__)
_DEVELOPMENT_SECRET = "reckoner-development-only"  # noqa: S105  It protects nothing, and production refuses to use it.


class Scope(StrEnum):
    """What an API key may do; `admin` may do everything."""

    READ = "read"
    COLLECT = "collect"
    RECONCILE = "reconcile"
    INVOICE = "invoice"
    ADMIN = "admin"


def create_key(session: Session, name: str, scopes: Iterable[str], now: datetime) -> tuple[ApiKey, str]:
    """A new API key and its text, which is shown this once and kept nowhere. Raises InvalidRequest."""
    text = "rk_" + secrets.token_urlsafe(32)
    key = _key(text, name, scopes, now)
    session.add(key)
    session.flush()
    return key, text


def bootstrap(session: Session, text: str, now: datetime) -> None:
    """Make the operator's BOOTSTRAP_KEY an admin key unless it is one already; one that was revoked stays revoked."""
    add_missing(session, _key(text, "bootstrap", [Scope.ADMIN], now))


def list_keys(session: Session) -> Sequence[ApiKey]:
    """All API keys, revoked ones too, oldest first."""
    return session.exec(select(ApiKey).order_by(col(ApiKey.created_at), col(ApiKey.id))).all()


def revoke_key(session: Session, key_id: str, now: datetime) -> ApiKey:
    """Make an API key useless from now on; again changes nothing. Raises NotFound."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"There is no API key {key_id}.")
    key.revoked_at = key.revoked_at or now
    session.flush()
    return key


def authenticate(session: Session, text: str) -> ApiKey:
    """The API key of this text. Raises Unauthenticated if it is unknown or revoked."""
    digest = _digest(text)
    key = session.exec(select(ApiKey).where(ApiKey.sha256 == digest)).first()
    # The index finds a hash, of which a caller can choose no part; the comparison that decides takes constant time.
    if key is None or not hmac.compare_digest(key.sha256, digest) or key.revoked_at is not None:
        raise Unauthenticated("The API key is unknown or was revoked.")
    return key


def require(key: ApiKey, scope: Scope) -> None:
    """Raises MissingScope unless the key may do that."""
    if scope not in key.scopes and Scope.ADMIN not in key.scopes:
        raise MissingScope(scope)


def _key(text: str, name: str, scopes: Iterable[str], now: datetime) -> ApiKey:
    wanted = sorted(set(scopes))
    if not wanted or any(scope not in set(Scope) for scope in wanted):
        raise InvalidRequest("An API key needs scopes.", pointer="/scopes", expected=f"some of: {', '.join(Scope)}")
    digest = _digest(text)
    return ApiKey(id=digest[:12], name=name, sha256=digest, scopes=wanted, created_at=now)


def _digest(text: str) -> str:
    # A fast hash will do: a key has 256 random bits, which no dictionary holds.
    return sha256(text.encode()).hexdigest()


class Vault:
    """Encrypts secrets with AES-256-GCM under a key derived from SECRET_KEY.

    A stored secret begins with the id of the key it was encrypted with, so that keys can be told apart: what was encrypted with
    an old key can still be read. `context` is bound to a secret: moved to another project's row, it does not decrypt.
    """

    def __init__(self, secret_key: str, *old: str) -> None:
        self._id = _key_id(secret_key)
        self._ciphers = {_key_id(it): AESGCM(_derive(it, b"reckoner credentials")) for it in (secret_key, *old)}

    def encrypt(self, text: str, *, context: str) -> str:
        """The text, encrypted and authenticated, as printable characters."""
        nonce = urandom(12)
        sealed = self._ciphers[self._id].encrypt(nonce, text.encode(), context.encode())
        return f"{self._id}.{urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, stored: str, *, context: str) -> str:
        """The text again. Raises Unavailable if a SECRET_KEY encrypted it that is not known, or if it was tampered with."""
        key_id, _, sealed = stored.partition(".")
        if key_id not in self._ciphers:
            raise Unavailable("The stored credentials were encrypted with another RECKONER_SECRET_KEY.")
        try:
            raw = urlsafe_b64decode(sealed)
            return self._ciphers[key_id].decrypt(raw[:12], raw[12:], context.encode()).decode()
        except (InvalidTag, ValueError):
            raise Unavailable("The stored credentials are damaged or belong to another project.") from None

    def renew(self, stored: str, *, context: str) -> str:
        """The same secret under the present key; as it is, where that encrypted it. Raises as `decrypt` does."""
        text = self.decrypt(stored, context=context)
        return stored if stored.startswith(f"{self._id}.") else self.encrypt(text, context=context)


def vault(settings: Settings) -> Vault:
    """The vault of this installation; in development without a SECRET_KEY, one that protects nothing, with a warning."""
    if settings.secret_key:
        old = [settings.old_secret_key.get_secret_value()] if settings.old_secret_key else []
        return Vault(settings.secret_key.get_secret_value(), *old)
    _log.warning("RECKONER_SECRET_KEY is not set: stored credentials are not protected. Never put real ones here.")
    return Vault(_DEVELOPMENT_SECRET)


def _key_id(secret_key: str) -> str:
    return _derive(secret_key, b"reckoner key id")[:4].hex()


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret_key.encode())
