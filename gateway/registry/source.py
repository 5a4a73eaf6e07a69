"""A configuration file as plain data that remembers where each value stood."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.registry.problems import ConfigError, Problem, Trail, dotted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 100_000
"""Values in one document, aliases counted each time they are used."""

HEADINGS = ("plugins", "aliases", "routes", "keys", "teams", "limits", "alerts")
"""May stand at the top with everything below them commented out."""

Mark = tuple[int, int]
"""Line and column, both from 1."""


@dataclass(frozen=True, slots=True)
class Source:
    """Plain data (dict, list, str, int, float, bool, None) and the places it came from."""

    file: str
    data: Any
    keys: Mapping[Trail, Mark] = field(default_factory=dict)
    values: Mapping[Trail, Mark] = field(default_factory=dict)
    by_path: bool = False
    """There are no lines (the built-in default): places are told as key paths."""

    def place(self, trail: Trail, *, at_key: bool = False) -> str:
        """Where a value or its key stands; what is not in the file is placed at its nearest parent."""
        if self.by_path:
            return f"{self.file}: {dotted(trail)}" if trail else self.file
        if at_key and trail in self.keys:
            return self._mark(self.keys[trail])
        if trail in self.values:
            return self._mark(self.values[trail])
        while trail:
            trail = trail[:-1]
            mark = self.keys.get(trail) or self.values.get(trail)
            if mark is not None:
                return self._mark(mark)
        return self._mark((1, 1))

    def _mark(self, mark: Mark) -> str:
        return f"{self.file}:{mark[0]}:{mark[1]}"


def read_bytes(path: Path) -> bytes:
    """The file's content. Raises ConfigError when it is missing, no regular file, unreadable, empty or over 1 MiB."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise broken(path, "is not a regular file (name a YAML or TOML file)")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise broken(path, "the file does not exist (check the path, or create the file)") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
        raise broken(path, f"the file cannot be read: {reason} (check its name and permissions)") from None
    if len(content) > MAX_BYTES:
        raise broken(path, "the file is larger than 1 MiB (split it, or remove what does not belong)")
    if not content.strip():
        raise broken(path, "the file is empty (declare at least one provider)")
    return content


def decode(path: Path, content: bytes) -> str:
    """The file as text, without a byte order mark. Raises ConfigError at the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise broken(path, "the file is not UTF-8 text (save it as UTF-8)", (line, column)) from None


def broken(path: Path | str, message: str, mark: Mark = (1, 1)) -> ConfigError:
    """A ConfigError with one problem."""
    return ConfigError([Problem(f"{path}:{mark[0]}:{mark[1]}", message)])
