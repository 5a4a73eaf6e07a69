"""The environment, read once."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.errors import OperatorError
from gateway.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine that runs the tests, and a directory of its own."""
    names = {name.upper() for name in Settings.model_fields}
    for name in list(os.environ):
        if name.upper().removeprefix("GATEWAY_") in names:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults_need_no_environment() -> None:
    """An empty environment gives what the blueprint names."""
    settings = load_settings()
    assert (settings.host, settings.port, settings.workers, settings.log_level) == ("127.0.0.1", 8080, 1, "info")
    assert settings.redis_url is settings.database_url is settings.admin_key is settings.encryption_key is None
    assert (settings.health_check_interval, settings.routing_cache_ttl, settings.provider_max_retries) == (300, 60, 3)
    assert (settings.drain_grace_seconds, settings.drain_seconds) == (5, 120)
    assert settings.max_body_bytes == 32 * 1024 * 1024
    assert settings.data_dir == Path(".gateway")
    assert settings.private_networks == ()


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("HEALTH_CHECK_INTERVAL", "10", "health_check_interval", 10),
        ("ROUTING_CACHE_TTL", "0", "routing_cache_ttl", 0),
        ("PROVIDER_MAX_RETRIES", "5", "provider_max_retries", 5),
        ("PROVIDER_REQUEST_TIMEOUT", "2.5", "provider_request_timeout", 2.5),
        ("SQL_ECHO", "true", "sql_echo", True),
        ("GATEWAY_SQL_ECHO", "1", "sql_echo", True),
        ("GATEWAY_PORT", "9000", "port", 9000),
        ("GATEWAY_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("GATEWAY_PRIVATE_NETWORKS", "10.0.0.0/8, fd00::/8", "private_networks", None),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8", "trusted_proxies", None),
        (
            "GATEWAY_CORS_ORIGINS",
            "https://A.example, http://[::1]:3000",
            "cors_origins",
            {"https://a.example", "http://[::1]:3000"},
        ),
        ("GATEWAY_CORS_ORIGINS", "*", "cors_origins", {"*"}),
        ("GATEWAY_PORT", "", "port", 8080),
    ],
)
def test_variables_are_read(
    variable: str, value: str, field: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable sets its field; an empty one counts as unset."""
    monkeypatch.setenv(variable, value)
    found = getattr(load_settings(), field)
    if field in ("private_networks", "trusted_proxies"):
        expected = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert found == expected


def test_the_prefixed_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """`GATEWAY_REDIS_URL` is ours; `REDIS_URL` may be meant for the whole machine."""
    monkeypatch.setenv("REDIS_URL", "redis://other")
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://ours")
    url = load_settings().redis_url
    assert url is not None
    assert url.get_secret_value() == "redis://ours"


@pytest.mark.parametrize("variable", ["HOST", "PORT", "WORKERS", "CONFIG", "ADMIN_KEY", "LOG_LEVEL"])
def test_other_names_without_prefix_are_not_ours(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Common names that other programs use have no effect."""
    monkeypatch.setenv(variable, "1")
    assert load_settings() == Settings()
    assert getattr(load_settings(), variable.lower()) != "1"


def test_every_bad_variable_is_named_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bad values are reported together, each by the name under which it was set."""
    bad = {
        "GATEWAY_PORT": ("abc", "use a whole number"),
        "GATEWAY_WORKERS": ("0", "use 1 or more"),
        "SQL_ECHO": ("perhaps", "use true or false"),
        "HEALTH_CHECK_INTERVAL": ("-1", "use 0 or more"),
        "GATEWAY_PROVIDER_MAX_RETRIES": ("99", "use 10 or less"),
        "GATEWAY_DRAIN_SECONDS": ("soon", "use a number of seconds, such as 30 or 2.5"),
        "GATEWAY_LOG_LEVEL": ("loud", "use one of 'debug', 'info', 'warning', 'error' or 'critical'"),
        "GATEWAY_PRIVATE_NETWORKS": ("lan", "use network addresses such as 10.0.0.0/8, separated by commas"),
        "GATEWAY_CORS_ORIGINS": (
            "https://a.example, chat.example.com/",
            "use origins such as https://chat.example.com",
        ),
        "GATEWAY_TRUSTED_PROXIES": ("0.0.0.0/0", "use network addresses such as 10.0.0.0/8, separated by commas"),
    }
    for name, (value, _) in bad.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OperatorError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()
    for name, (value, advice) in bad.items():
        assert any(line.startswith(f"{name}: {value!r} is not usable ({advice}") for line in lines), name
    assert len(lines) == len(bad)


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """URLs with passwords and keys are hidden in every representation."""
    for name in ("REDIS_URL", "DATABASE_URL", "ENCRYPTION_KEY", "GATEWAY_ADMIN_KEY"):
        monkeypatch.setenv(name, f"{name}-Zq81")
    settings = load_settings()
    assert "Zq81" not in repr(settings) + str(settings)
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "GATEWAY_ADMIN_KEY-Zq81"


def test_env_files_are_not_read(tmp_path: Path) -> None:
    """Only the environment counts."""
    (tmp_path / ".env").write_text("GATEWAY_PORT=1\n")
    assert load_settings().port == 8080


def test_the_configuration_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, then the variable, then the file in the working directory, then none."""
    assert load_settings().config_path() is None
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text("version: 1")
    assert load_settings().config_path() == Path("config/gateway.yaml")
    monkeypatch.setenv("GATEWAY_CONFIG", "named.yaml")
    assert load_settings().config_path() == Path("named.yaml")
    assert load_settings().config_path(Path("option.yaml")) == Path("option.yaml")
