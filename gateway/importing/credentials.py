"""Credentials of the imported file: a reference to the environment stays one, a literal becomes one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.registry.problems import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[str], None]

_REFERENCE = re.compile(r"(?:os\.environ/|\$\{|\$)([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}?")
_WITHIN = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_NOT_IN_VARIABLES = re.compile(r"[^A-Z0-9]+")
_INNER = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})")
_SECRET_WORD = re.compile(
    r"auth|key|token|secret|pass|pwd|cookie|credential|bearer|basic|session|signature|\bsk[-_]", re.IGNORECASE
)
_WORD = "(?:[A-Za-z]{1,12}|v?[0-9]{1,4})"
_HARMLESS = re.compile(f"{_WORD}(?:[-._/:;,=+ ]{_WORD}){{0,3}}")
"""Few short words and numbers: `blue`, `eu-west-1`, `2024-07-31`."""
_PUBLIC = frozenset({"accept", "anthropic-beta", "anthropic-version", "content-type", "openai-beta", "user-agent"})
"""Headers that say how to speak, not who speaks."""
_OF_VARIABLES = re.compile(r"(?:(?:Bearer|Basic) +)?(?:\$\{[A-Za-z_][A-Za-z0-9_]*\})+", re.IGNORECASE)


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


def looks_secret(name: str, value: str) -> bool:
    """Whether a header may hold a credential: by its name, or by a value that is more than a few plain words."""
    if _OF_VARIABLES.fullmatch(value) is not None or name.lower() in _PUBLIC:
        return False
    return _SECRET_WORD.search(f"{name} {value}") is not None or _HARMLESS.fullmatch(value) is None


def headers(given: Any, variables: Variables, prefix: str, tell: Tell, place: str) -> dict[str, str]:
    """Headers of requests to a provider: a literal that may be a credential becomes a variable."""
    found: dict[str, str] = {}
    if not isinstance(given, dict):
        tell(f"the headers were not carried over: they are no mapping ({place})")
        return found
    for name, value in given.items():
        text = str(value)
        if value is None or isinstance(value, dict | list):
            tell(f"the header {shown(str(name))} was not carried over: its value is no text ({place})")
        elif looks_secret(str(name), text):
            found[str(name)] = variables.take(value, f"{prefix}_{name}", tell, place)
        else:
            found[str(name)] = plain(text)
    return found


class Variables:
    """The variables that the new configuration names. The same literal always gets the same one."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = set(taken)
        self._literals: dict[str, str] = {}

    def take(self, value: Any, wish: str, tell: Tell, place: str) -> str:
        """`${NAME}` for a credential; for a literal, `tell` which variable to set. Nothing of the literal is kept in
        what is written."""
        name = reference(value)
        if name is not None:
            self._taken.add(name)
            return f"${{{name}}}"
        literal = str(value)
        if literal not in self._literals:
            self._literals[literal] = self.free(wish)
        found = self._literals[literal]
        tell(f"set the variable {found} to the credential that stands in plain text at {place}")
        return f"${{{found}}}"

    def free(self, wish: str) -> str:
        """The name of a variable, made of some words, that nothing else has."""
        base = name = variable(wish)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def variable(text: str) -> str:
    """The name of a variable, made of some words."""
    name = _NOT_IN_VARIABLES.sub("_", text.upper()).strip("_") or "CREDENTIAL"
    return name if name[0].isalpha() else f"GATEWAY_{name}"


def references(data: Any) -> frozenset[str]:
    """Every variable that a file refers to, also amidst a text."""
    if isinstance(data, dict):
        return frozenset().union(*map(references, data.values()))
    if isinstance(data, list):
        return frozenset().union(*map(references, data))
    name = reference(data)
    within = _WITHIN.findall(data) if isinstance(data, str) else []
    return frozenset(within if name is None else {name})
