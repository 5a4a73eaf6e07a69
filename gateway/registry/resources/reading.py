"""References to secrets that are kept elsewhere: which ones may be followed, and what is there.

Whoever administers the gateway must not read its own secrets through them, nor files of its machine: variables are
those that the operator offers, files those below one directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings import Settings

PREFIX = "GATEWAY_CREDENTIAL_"
"""Variables of such names are offered."""
OWN = frozenset({"GATEWAY_CREDENTIAL_ENV", "GATEWAY_CREDENTIAL_DIR"})
"""Two of such names that say what is offered, and are no credentials."""
MOST_BYTES = 64 * 1024
PATHS = frozenset({"credentials_file"})
"""Settings that are the path of a file, not what it holds."""


class References:
    """Follows `env:NAME` and `file:PATH`. No error's text holds what was read."""

    def __init__(self, env: Mapping[str, str], offered: tuple[str, ...], directory: Path | None) -> None:
        self._env = env
        self._offered = frozenset(offered)
        self._directory = directory

    @classmethod
    def of(cls, settings: Settings, env: Mapping[str, str]) -> References:
        """As the operator allows it."""
        return cls(env, settings.credential_env, settings.credential_dir)

    def vet(self, reference: str) -> None:
        """Raises ValueError, which says what to do, for a reference that may not be followed."""
        kind, _, name = reference.partition(":")
        if kind == "env":
            self._vet_variable(name)
        elif kind == "file":
            self._place(name)
        else:
            raise ValueError("expected env:NAME or file:PATH")

    def read(self, reference: str, setting: str) -> str:
        """The secret that stands there, for this setting. Raises ValueError."""
        self.vet(reference)
        kind, _, name = reference.partition(":")
        if kind == "file":
            place = self._place(name)
            return str(place) if setting in PATHS else _content(place)
        value = self._env.get(name, "")
        if not value:
            raise ValueError(f"the variable {name} is not set (set it, and restart the gateway)")
        return value

    def _vet_variable(self, name: str) -> None:
        if name in self._offered or (name.startswith(PREFIX) and name not in OWN):
            return
        raise ValueError(f"this variable is not offered (call it {PREFIX}…, or name it in GATEWAY_CREDENTIAL_ENV)")

    def _place(self, name: str) -> Path:
        if self._directory is None:
            raise ValueError("files are not offered (set GATEWAY_CREDENTIAL_DIR to the directory that holds them)")
        try:
            root = self._directory.resolve()
            place = (root / name).resolve()
        except (OSError, RuntimeError, ValueError):
            raise ValueError("this is not a path (write file:NAME)") from None
        if not place.is_relative_to(root) or place == root:
            raise ValueError("this file is not below GATEWAY_CREDENTIAL_DIR (move it there)")
        return place


def _content(place: Path) -> str:
    try:
        with place.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode().strip()
    except FileNotFoundError:
        raise ValueError("the file does not exist (put it there)") from None
    except (OSError, UnicodeDecodeError):
        raise ValueError("the file cannot be read as text (check its permissions)") from None
    if not text or len(data) > MOST_BYTES:
        raise ValueError("the file is empty, or larger than any credential (put the credential alone into it)")
    return text
