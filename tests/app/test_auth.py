"""API keys and the vault: only those who have the secret get in, and no secret is to be found anywhere."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import Engine

from app import auth
from app.db import transaction
from app.errors import InvalidRequest, MissingScope, NotFound, Unauthenticated, Unavailable
from app.settings import Settings

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SECRET = "Zk3vQ9tLx7RbN2mWc8YdH5sJf1GpA6uE"
OTHER = SECRET[::-1]


def test_a_key_opens_what_it_was_made_for(engine: Engine) -> None:
    with transaction(engine) as session:
        made, token = auth.create_key(session, "finance", ["read", "collect", "read"], NOW)
    with transaction(engine, read_only=True) as session:
        key = auth.authenticate(session, token)
    assert (key.id, key.name, key.scopes, key.created_at) == (made.id, "finance", ["collect", "read"], NOW)
    auth.require(key, auth.Scope.READ)
    with pytest.raises(MissingScope, match="admin"):
        auth.require(key, auth.Scope.ADMIN)


def test_admin_may_do_everything(engine: Engine) -> None:
    with transaction(engine) as session:
        key, _ = auth.create_key(session, "root", ["admin"], NOW)
    for scope in auth.Scope:
        auth.require(key, scope)


def test_keys_are_long_random_and_not_kept(sqlite_engine: Engine) -> None:
    with transaction(sqlite_engine) as session:
        tokens = [auth.create_key(session, "it", ["read"], NOW)[1] for _ in range(20)]
        kept = str(session.execute(text("SELECT * FROM api_keys")).all())
    assert len(set(tokens)) == 20
    assert all(token.startswith("rk_") and len(token) == 46 for token in tokens), "43 characters of base64 are 256 bits"
    assert not any(token[3:] in kept for token in tokens)


@pytest.mark.parametrize("wrong", ["", "rk_", "rk_unknown", "é", "\0", "rk_" + "x" * 10_000])
def test_who_has_no_key_stays_out(engine: Engine, wrong: str) -> None:
    with transaction(engine) as session:
        _, token = auth.create_key(session, "it", ["read"], NOW)
        for attempt in (wrong, token[:-1], token + "x", token.upper()):
            with pytest.raises(Unauthenticated):
                auth.authenticate(session, attempt)


def test_a_revoked_key_is_useless_at_once(engine: Engine) -> None:
    with transaction(engine) as session:
        key, token = auth.create_key(session, "it", ["read"], NOW)
    with transaction(engine) as session:
        auth.revoke_key(session, key.id, NOW + timedelta(hours=1))
        assert auth.revoke_key(session, key.id, NOW + timedelta(hours=2)).revoked_at == NOW + timedelta(hours=1)
    with transaction(engine) as session:
        with pytest.raises(Unauthenticated):
            auth.authenticate(session, token)
        with pytest.raises(NotFound, match="no API key x"):
            auth.revoke_key(session, "x", NOW)
        assert [(it.name, it.revoked_at) for it in auth.list_keys(session)] == [("it", NOW + timedelta(hours=1))]


@pytest.mark.parametrize("scopes", [[], ["write"], ["read", "root"]])
def test_scopes_that_are_none_are_refused(sqlite_engine: Engine, scopes: list[str]) -> None:
    with transaction(sqlite_engine) as session, pytest.raises(InvalidRequest) as refused:
        auth.create_key(session, "it", scopes, NOW)
    assert refused.value.pointer == "/scopes"


def test_the_bootstrap_key_is_made_once_and_stays_revoked(engine: Engine) -> None:
    for _ in range(2):
        with transaction(engine) as session:
            auth.bootstrap(session, "rk_bootstrap", NOW)
    with transaction(engine) as session:
        (key,) = auth.list_keys(session)
        auth.require(auth.authenticate(session, "rk_bootstrap"), auth.Scope.INVOICE)
        auth.revoke_key(session, key.id, NOW)
    with transaction(engine) as session:
        auth.bootstrap(session, "rk_bootstrap", NOW)
        with pytest.raises(Unauthenticated):
            auth.authenticate(session, "rk_bootstrap")


@given(secret=st.text(), context=st.text(st.characters(codec="utf-8")))
def test_the_vault_gives_back_what_it_took(secret: str, context: str) -> None:
    vault = auth.Vault(SECRET)
    stored = vault.encrypt(secret, context=context)
    assert vault.decrypt(stored, context=context) == secret
    assert stored != vault.encrypt(secret, context=context), "equal secrets do not look equal"
    assert stored.isascii()
    assert stored.isprintable()


@pytest.mark.parametrize("position", [9, 12, -1, -20])
def test_what_was_tampered_with_is_refused(position: int) -> None:
    vault = auth.Vault(SECRET)
    stored = vault.encrypt("a secret of some length", context="100")
    index = position % len(stored)
    forged = stored[:index] + ("A" if stored[index] != "A" else "B") + stored[index + 1 :]
    with pytest.raises(Unavailable, match="damaged"):
        vault.decrypt(forged, context="100")


@pytest.mark.parametrize("stored", ["", "x", "."])
def test_what_the_vault_never_wrote_is_refused(stored: str) -> None:
    with pytest.raises(Unavailable):
        auth.Vault(SECRET).decrypt(stored, context="100")


@pytest.mark.parametrize("cut", [10, 20, 30])
def test_what_was_cut_off_is_refused(cut: int) -> None:
    vault = auth.Vault(SECRET)
    with pytest.raises(Unavailable, match="damaged"):
        vault.decrypt(vault.encrypt("a secret of some length", context="100")[:cut], context="100")


def test_a_secret_belongs_to_its_project_and_its_key() -> None:
    stored = auth.Vault(SECRET).encrypt("secret", context="100")
    with pytest.raises(Unavailable, match="another project"):
        auth.Vault(SECRET).decrypt(stored, context="200")
    with pytest.raises(Unavailable, match="another RECKONER_SECRET_KEY"):
        auth.Vault(OTHER).decrypt(stored, context="100")


def test_development_without_a_key_warns(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECKONER_SECRET_KEY", raising=False)
    with caplog.at_level(logging.WARNING):
        stored = auth.vault(Settings(_env_file=None)).encrypt("secret", context="100")
    assert "RECKONER_SECRET_KEY is not set" in caplog.text
    assert auth.vault(Settings(_env_file=None)).decrypt(stored, context="100") == "secret", "the next start can read it"
    caplog.clear()
    with pytest.raises(Unavailable):
        auth.vault(Settings(_env_file=None, secret_key=SECRET)).decrypt(stored, context="100")
    assert not caplog.text
