"""Credentials of the imported file: a reference to the environment stays one, a literal becomes one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_REFERENCE = re.compile(r"(?:os\.environ/|\$\{|\$)([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}?")
_NOT_IN_VARIABLES = re.compile(r"[^A-Z0-9]+")
_INNER = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})")
_SECRET_NAME = re.compile(r"auth|key|token|secret|passw|cookie|credential", re.IGNORECASE)


def reference(value: Any) -> str | None:
    """The name of the variable that a value stands for: `os.environ/NAME`, `${NAME}` or `$NAME`; None for others."""
    found = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if found is None else found[1]


def plain(value: Any) -> Any:
    """A value that is no secret: references become ours, and what only looks like one of ours is text."""
    if isinstance(value, str):
        name = reference(value)
        return f"${{{name}}}" if name is not None else _INNER.sub("$${", value)
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def looks_secret(name: str) -> bool:
    """Whether a setting or a header of this name may hold a credential."""
    return _SECRET_NAME.search(name) is not None


class Variables:
    """The variables that the new configuration names. The same literal always gets the same one."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken)
        self._literals: dict[str, str] = {}

    def take(self, value: Any, wish: str, tell: Callable[[str], None], place: str) -> str:
        """`${NAME}` for a credential; for a literal, `tell` which variable to set. Nothing of the literal is kept in
        what is written."""
        name = reference(value)
        if name is not None:
            self._taken.add(name)
            return f"${{{name}}}"
        literal = str(value)
        if literal not in self._literals:
            self._literals[literal] = self._free(variable(wish))
        found = self._literals[literal]
        tell(f"set the variable {found} to the credential that stands in plain text at {place}")
        return f"${{{found}}}"

    def _free(self, wish: str) -> str:
        name, number = wish, 1
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name


def variable(text: str) -> str:
    """The name of a variable, made of some words."""
    name = _NOT_IN_VARIABLES.sub("_", text.upper()).strip("_") or "CREDENTIAL"
    return name if name[0].isalpha() else f"GATEWAY_{name}"


def references(data: Any) -> frozenset[str]:
    """Every variable that a file refers to."""
    if isinstance(data, dict):
        return frozenset().union(*map(references, data.values()))
    if isinstance(data, list):
        return frozenset().union(*map(references, data))
    name = reference(data)
    return frozenset() if name is None else frozenset({name})
