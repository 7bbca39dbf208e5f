"""Settings: where they come from, what is refused and how, and that every one is documented."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.clock import MovableClock, SystemClock
from app.settings import Settings

STRONG = "Zk3vQ9tLx7RbN2mWc8YdH5sJf1GpA6uE"
STRONG_API_KEY = "rk_" + "aB3" * 14 + "x"
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for row in Settings.model_construct().describe():
        monkeypatch.delenv(row.name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_documented_with_its_default() -> None:
    documented = [line for line in PAGE.read_text().splitlines() if line.startswith("| `RECKONER_")]
    names = [row.name for row in Settings().describe()]
    assert [line.split("`")[1] for line in documented] == names
    for line, row in zip(documented, Settings().describe(), strict=True):
        assert line.split(" | ")[1] == (f"`{row.default}`" if row.default else "none")


def test_the_settings_are_those_of_the_contract() -> None:
    names = "database_url insights_url accounts_url secret_key bootstrap_key environment host port log_format now"
    more = "old_secret_key public_url open_metrics collect_automatically"
    assert sorted(Settings.model_fields) == sorted([*names.split(), *more.split()])
    assert all(row.description for row in Settings().describe())


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(".env").write_text("RECKONER_PORT=1\nRECKONER_HOST=0.0.0.0\nSOMETHING_ELSE=x\n")
    mounted = tmp_path / "secrets"
    mounted.mkdir()
    (mounted / "reckoner_host").write_text("not this one")
    (mounted / "RECKONER_SECRET_KEY").write_text(STRONG + "\n")
    monkeypatch.setattr("app.settings.SECRETS", mounted)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", mounted)
    monkeypatch.setenv("RECKONER_PORT", "2")
    settings = Settings(log_format="json")
    sources = {row.name: (row.value, row.source) for row in settings.describe()}
    assert sources["RECKONER_PORT"] == ("2", "environment")
    assert sources["RECKONER_HOST"] == ("0.0.0.0", ".env")
    assert sources["RECKONER_SECRET_KEY"] == ("**********", "secret file")
    assert settings.secret_key.get_secret_value() == STRONG
    assert sources["RECKONER_LOG_FORMAT"] == ("json", "argument")
    assert sources["RECKONER_ENVIRONMENT"] == ("development", "default")


def test_an_empty_value_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKONER_SECRET_KEY", "")
    assert Settings().secret_key is None
    assert {row.source for row in Settings().describe()} == {"default"}


def test_no_secret_is_shown() -> None:
    settings = Settings(
        secret_key=STRONG, bootstrap_key=STRONG_API_KEY, database_url="postgresql+psycopg://ada:pa55@db/reckoner?password=pa55"
    )
    shown = repr(settings) + "".join(map(repr, settings.describe()))
    assert STRONG not in shown
    assert STRONG_API_KEY not in shown
    assert "ada:***@db" in shown
    assert "pa55" not in "".join(map(repr, settings.describe()))


@pytest.mark.parametrize(
    ("weak", "why"),
    [
        (STRONG[:31], "shorter than 32"),
        ("a" * 64, "repeats itself"),
        ("abcdefgh" * 8, "repeats itself"),
        ("please-changeme-" + STRONG, "placeholder"),
    ],
)
@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_weak_secret_is_refused_without_showing_it(weak: str, why: str, environment: str) -> None:
    with pytest.raises(ValidationError, match=f"RECKONER_SECRET_KEY is too weak: .*{why}") as refused:
        Settings(secret_key=weak, environment=environment)
    assert weak not in str(refused.value)


def test_an_old_secret_needs_a_new_one() -> None:
    with pytest.raises(ValidationError, match="RECKONER_OLD_SECRET_KEY is of no use without RECKONER_SECRET_KEY"):
        Settings(old_secret_key=STRONG)


def test_metrics_are_open_in_development_unless_it_is_said() -> None:
    production = {"environment": "production", "secret_key": STRONG}
    assert Settings().metrics_are_open
    assert not Settings(open_metrics=False).metrics_are_open
    assert not Settings(**production).metrics_are_open
    assert Settings(**production, open_metrics=True).metrics_are_open


def test_production_needs_a_secret_and_a_true_clock() -> None:
    with pytest.raises(ValidationError, match="RECKONER_SECRET_KEY is required in production"):
        Settings(environment="production")
    with pytest.raises(ValidationError, match="RECKONER_NOW"):
        Settings(environment="production", secret_key=STRONG, now="2026-11-01T00:00:00Z")
    with pytest.raises(ValidationError, match="RECKONER_BOOTSTRAP_KEY is too weak"):
        Settings(environment="production", secret_key=STRONG, bootstrap_key="rk_short")
    assert Settings(environment="production", secret_key=STRONG, bootstrap_key=STRONG_API_KEY).environment == "production"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "mysql://localhost/x"),
        ("database_url", "no address"),
        ("database_url", "postgresql://localhost/x"),
        ("insights_url", "insights.opentok.com"),
        ("insights_url", "ftp://insights.opentok.com"),
        ("insights_url", "https://insights.opentok.com:https/"),
        ("insights_url", "https://insights.opentok.com:99999/"),
        ("insights_url", "https://insights..opentok.com/"),
        ("insights_url", "https://insights opentok.com/"),
        ("insights_url", "https://[::1"),
        ("accounts_url", "https://ada:pa55@api.opentok.com"),
        ("bootstrap_key", "admin"),
        ("port", "70000"),
        ("environment", "staging"),
        ("log_format", "xml"),
        ("now", "2026-11-01T00:00:00"),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"RECKONER_{name.upper()}", value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert name in str(refused.value).lower()
    assert value not in str(refused.value)


def test_the_clock_is_the_machines_or_starts_where_it_is_told() -> None:
    assert isinstance(Settings().clock(), SystemClock)
    clock = Settings(now="2026-11-01T00:00:00-07:00").clock()
    assert isinstance(clock, MovableClock)
    assert timedelta() <= clock.now() - datetime(2026, 11, 1, 7, tzinfo=UTC) < timedelta(minutes=1)
