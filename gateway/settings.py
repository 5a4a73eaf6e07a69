"""The environment, read once: where state lives, how the server binds, and defaults that operators tune by variable."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.addresses import Network
from gateway.errors import OperatorError

PREFIX = "GATEWAY_"
DEFAULT_CONFIG = Path("config/gateway.yaml")
"""Looked for under the working directory when neither `--config` nor `GATEWAY_CONFIG` names a file."""
_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://([a-z0-9.\-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
"""As browsers write it: no path, no slash at the end."""


def _either(name: str) -> Any:
    """A variable that is read with our prefix first, then without."""
    return AliasChoices(PREFIX + name, name)


class Settings(BaseSettings):
    """Every variable that the gateway reads for itself. Empty values count as unset."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    redis_url: SecretStr | None = Field(None, validation_alias=_either("REDIS_URL"))
    """None: an embedded server on a unix socket in the data directory."""
    database_url: SecretStr | None = Field(None, validation_alias=_either("DATABASE_URL"))
    """None: SQLite in the data directory."""
    encryption_key: SecretStr | None = Field(None, validation_alias=_either("ENCRYPTION_KEY"))
    admin_key: SecretStr | None = None
    admin_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """Names under which the admin API of a gateway on loopback may be called: those of a proxy before it."""
    admin_rate: float = Field(100.0, ge=0)
    """Requests a second that one caller of the admin API may send; 0: as many as it likes."""
    health_check_interval: float = Field(300.0, ge=0, validation_alias=_either("HEALTH_CHECK_INTERVAL"))
    """Seconds between probes of one provider that names none itself; 0: those are not probed."""
    health_retention_days: float = Field(30.0, gt=0)
    """How long probes and incidents that ended are kept."""
    routing_cache_ttl: float = Field(60.0, ge=0, validation_alias=_either("ROUTING_CACHE_TTL"))
    """Seconds in which every worker knows what a provider with `fetch_models` lists."""
    provider_max_retries: int = Field(3, ge=0, le=10, validation_alias=_either("PROVIDER_MAX_RETRIES"))
    """The default of a provider's `retry_attempts`."""
    provider_request_timeout: float | None = Field(None, gt=0, validation_alias=_either("PROVIDER_REQUEST_TIMEOUT"))
    """Seconds to the first byte: the default of a provider's `timeout`."""
    sql_echo: bool = Field(default=False, validation_alias=_either("SQL_ECHO"))
    config: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=256)
    data_dir: Path = Path(".gateway")
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024)
    max_in_flight: int = Field(2000, ge=1)
    """Requests that one worker handles at once; more are refused as `overloaded`."""
    max_loop_lag: float = Field(0.03, ge=0, le=10)
    """Seconds of work that may stand before a worker's event loop throughout, before it takes in only a part of the new
    calls; 0: it always takes in all."""
    drain_grace_seconds: float = Field(5.0, ge=0)
    """From the signal until new requests are refused, so that load balancers take notice."""
    drain_seconds: float = Field(120.0, ge=0)
    """From there until what still runs is ended."""
    private_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks that providers created through the API may reach."""

    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks of proxies whose `X-Forwarded-For` says where a request comes from."""
    cors_origins: Annotated[frozenset[str], NoDecode] = frozenset()
    """Origins of pages that browsers let call the API, such as `https://chat.example.com`; `*`: all."""
    admin_api: bool = True
    """Run the administrator, which serves `/api` and brings the database's resources to this replica."""
    credential_env: Annotated[tuple[str, ...], NoDecode] = ()
    """Variables that credentials stored through the API may refer to, besides `GATEWAY_CREDENTIAL_…`."""
    credential_dir: Path | None = None
    """The directory of the files that they may refer to; None: no files."""

    @field_validator("credential_env", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("admin_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return frozenset(part.strip().lower() for part in value.split(",") if part.strip())

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = frozenset(part.strip().lower() for part in value.split(",") if part.strip())
        for origin in origins - {"*"}:
            if _ORIGIN.fullmatch(origin) is None:
                raise PydanticCustomError("origin", "no origin")
        return origins

    @field_validator("private_networks", "trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("trusted_proxies")
    @classmethod
    def _not_everybody(cls, value: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in value):
            raise ValueError("who trusts everybody believes anything")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment and nothing else: no `.env` file changes what a variable says."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    def config_path(self, option: Path | None = None) -> Path | None:
        """`--config`, else `GATEWAY_CONFIG`, else `config/gateway.yaml` if it exists, else None (the built-in one)."""
        named = option or self.config
        if named is not None:
            return named
        return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


_ADVICE = {
    "int_parsing": "use a whole number",
    "int_from_float": "use a whole number",
    "float_parsing": "use a number of seconds, such as 30 or 2.5",
    "bool_parsing": "use true or false",
    "greater_than": "use a number above {gt:g}",
    "greater_than_equal": "use {ge:g} or more",
    "less_than_equal": "use {le:g} or less",
    "literal_error": "use one of {expected}",
    "origin": "use origins such as https://chat.example.com, without a path, separated by commas, or *",
    "value_error": "use network addresses such as 10.0.0.0/8, separated by commas",
}


def load_settings() -> Settings:
    """The settings of this process's environment. Raises OperatorError that names every bad variable and what to do."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [_complaint(detail) for detail in error.errors(include_url=False)]
    raise OperatorError("\n".join(lines))


def _complaint(detail: Any) -> str:
    advice = _ADVICE.get(detail["type"], "use another value").format(**detail.get("ctx", {}))
    return f"{_variable(str(detail['loc'][0]))}: {str(detail['input'])!r} is not usable ({advice})"


def _variable(location: str) -> str:
    """The name under which the operator set it."""
    name = location.upper()
    if name.startswith(PREFIX) and name not in os.environ:
        name = name.removeprefix(PREFIX)
    return name if name in os.environ else PREFIX + name
