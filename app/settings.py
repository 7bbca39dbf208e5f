"""The settings: the environment, prefix RECKONER_, then `.env` in the working directory, files of secrets, and the defaults.

docs/settings.md explains each to the operator; a test fails when one is missing there.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, AwareDatetime, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app.clock import Clock, MovableClock, SystemClock

PREFIX = "RECKONER_"
ENV_FILE = ".env"
SECRETS = Path("/run/secrets")
"""Where containers find secrets: a file named as its setting, `RECKONER_SECRET_KEY` or in small letters."""


def _database_url(value: str) -> str:
    try:
        driver = make_url(value).drivername
    except ArgumentError:
        driver = ""
    if driver not in ("sqlite", "postgresql+psycopg"):
        raise ValueError("expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")
    return value


_PRINTABLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?|[0-9a-f:]*:[0-9a-f:.]*", re.ASCII)
"""A name or an address, as sockets take it: whatever else comes would fail only when upstream is asked."""


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:  # a port that is no number or beyond 65535, a bracket without its other half
        whole = False
    if not whole or not _PRINTABLE.fullmatch(value) or "@" in parts.netloc:
        raise ValueError("expected a whole http or https address, without a user name or password in it")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]


def _weakness(secret: str) -> str | None:
    """Why this would not do as the key that protects stored credentials, or None."""
    if len(secret) < 32:
        return "it is shorter than 32 characters"
    if len(set(secret)) < 8 or secret in (secret + secret)[1:-1]:
        return "it repeats itself"
    if any(word in secret.lower() for word in ("changeme", "change-me", "change_me", "password", "example")):
        return "it looks like a placeholder"
    return None


Source = Literal["environment", ".env", "secret file", "argument", "default"]


@dataclass(frozen=True)
class SettingRow:
    """One setting as `reckoner settings` shows it: secrets are masked, `source` is where the value comes from."""

    name: str
    value: str
    source: Source
    default: str
    description: str


class Settings(BaseSettings):
    """What the operator decides. Raises pydantic's ValidationError, which names each setting and never shows its value."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "sqlite:///./reckoner.db", description="Where everything is kept: SQLite or PostgreSQL."
    )
    insights_url: HttpUrl = Field(
        "https://insights.opentok.com/graphql", description="The whole address of upstream's GraphQL endpoint."
    )
    accounts_url: HttpUrl = Field(
        "https://api.opentok.com/v2/project", description="The whole address of upstream's list of an account's projects."
    )
    secret_key: SecretStr | None = Field(
        None, description="Encrypts stored credentials. At least 32 random characters; required in production."
    )
    old_secret_key: SecretStr | None = Field(
        None, description="The SECRET_KEY before this one, until `reckoner rotate-secrets` has run."
    )
    bootstrap_key: SecretStr | None = Field(
        None, description="An API key `rk_…` that is made at start with the scope admin, for containers and tests."
    )
    environment: Literal["development", "production"] = Field(
        "development", description="Production refuses weak secrets and a simulated clock."
    )
    host: str = Field("127.0.0.1", description="The address that the service listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port that the service listens on; 0 takes a free one.")
    public_url: HttpUrl | None = Field(
        None, description="The address under which others reach the service: the links of webhooks begin with it."
    )
    log_format: Literal["console", "json"] = Field("console", description="How log lines are written.")
    open_metrics: bool | None = Field(
        None, description="Whether /metrics answers without an API key; unless set, in development only."
    )
    collect_automatically: bool = Field(
        True, description="Whether projects are collected by plan; otherwise only what is asked for is collected."
    )
    now: AwareDatetime | None = Field(
        None, description="Development only: the clock starts at this instant, with its offset, and ticks from it."
    )

    @model_validator(mode="after")
    def _fit_for_use(self) -> Self:
        """Refuse what would be unsafe, naming the setting and what would do."""
        if self.secret_key and (weakness := _weakness(self.secret_key.get_secret_value())):
            raise ValueError(f"{PREFIX}SECRET_KEY is too weak: {weakness}; expected at least 32 random characters")
        if self.old_secret_key and not self.secret_key:
            raise ValueError(f"{PREFIX}OLD_SECRET_KEY is of no use without {PREFIX}SECRET_KEY, the new one")
        if self.bootstrap_key and not self.bootstrap_key.get_secret_value().startswith("rk_"):
            raise ValueError(f"{PREFIX}BOOTSTRAP_KEY is no API key: expected rk_ and random characters")
        if self.environment == "production":
            if self.secret_key is None:
                raise ValueError(f"{PREFIX}SECRET_KEY is required in production: expected at least 32 random characters")
            if self.bootstrap_key and len(self.bootstrap_key.get_secret_value()) < 46:
                raise ValueError(f"{PREFIX}BOOTSTRAP_KEY is too weak: expected rk_ and at least 43 random characters")
            if self.now is not None:
                raise ValueError(f"{PREFIX}NOW simulates the clock and is refused in production")
        return self

    @property
    def metrics_are_open(self) -> bool:
        """Whether /metrics answers whoever asks."""
        return self.environment == "development" if self.open_metrics is None else self.open_metrics

    def clock(self) -> Clock:
        """A new clock: the machine's, or one that starts at NOW. A process makes one and hands it on."""
        return MovableClock(self.now) if self.now else SystemClock()

    def describe(self) -> Iterator[SettingRow]:
        """Every setting with its value, where that comes from, and its default. Secrets are masked."""
        in_file = {key.upper() for key in dotenv_values(ENV_FILE)} if Path(ENV_FILE).is_file() else set()
        in_environment = {key.upper() for key, value in os.environ.items() if value}
        in_secrets = {path.name.upper() for path in SECRETS.iterdir()} if SECRETS.is_dir() else set()
        for field, info in type(self).model_fields.items():
            name = PREFIX + field.upper()
            source: Source = "default"
            if field in self.model_fields_set:
                places: tuple[tuple[Source, set[str]], ...] = (
                    ("environment", in_environment),
                    (".env", in_file),
                    ("secret file", in_secrets),
                )
                source = next((place for place, names in places if name in names), "argument")
            yield SettingRow(
                name, _shown(field, getattr(self, field)), source, _shown(field, info.default), info.description or ""
            )


def _shown(field: str, value: Any) -> str:
    if value is None:
        return ""
    if field == "database_url":
        url = make_url(value)
        secrets = {name: "masked" for name in url.query if "password" in name.lower()}  # libpq takes them there too
        return url.update_query_dict(secrets).render_as_string(hide_password=True)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
