"""The secrets that a configuration holds, by their values: what no log may ever show, wherever it turns up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.audit.masking import is_secret

if TYPE_CHECKING:
    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings
    from gateway.types import Provider


def known_secrets(snapshot: Snapshot, settings: Settings) -> set[str]:
    """Every credential that is given to a provider or a webhook, and the keys of the gateway itself. Not those that it
    issues: of them only hashes are kept."""
    found = {text for provider in snapshot.providers.values() for text in _of_provider(provider)}
    alerts = snapshot.alerts
    found.update(filter(None, (alerts.secret, alerts.webhook)))
    found.update(word for _, value in alerts.headers for word in _words(value))
    for key in (settings.admin_key, settings.encryption_key):
        if key is not None:
            found.add(key.get_secret_value())
    return found - {""}


def _of_provider(provider: Provider) -> Iterator[str]:
    yield from (*provider.api_keys, *provider.spare_keys)
    yield from _under_secret_names(provider.options)
    for name, value in provider.headers:
        if is_secret(name) or name.lower().endswith("key"):
            yield from _words(value)


def _under_secret_names(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _under_secret_names(value)
        elif isinstance(value, str) and is_secret(name):
            yield value


def _words(value: str) -> Iterator[str]:
    """A header's value, and what follows a word such as `Bearer` in it."""
    yield value
    yield value.rpartition(" ")[2]
