"""What is read of a foreign file, so that what is not can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.importing.credentials import Variables, references
from gateway.registry.problems import shown

if TYPE_CHECKING:
    from gateway.importing.draft import Draft
    from gateway.registry.problems import Trail
    from gateway.registry.source import Source

_SECTIONS = ("litellm_settings", "router_settings", "general_settings")
_READ_ELSEWHERE = frozenset({"model_list", "credential_list", "environment_variables", *_SECTIONS})
_WITHOUT_MEANING = frozenset(
    {
        "set_verbose", "json_logs", "store_model_in_db", "debug_level", "ignore_invalid_deployments",
        "num_workers", "disable_spend_logs", "suppress_debug_info", "telemetry",
    }
)  # fmt: skip
"""Settings of how LiteLLM itself runs, of which nobody misses anything here."""


class Reader:
    """The file, the draft that is made of it, and the variables that it names."""

    def __init__(self, source: Source, draft: Draft) -> None:
        self.source = source
        self.draft = draft
        self.data: dict[str, Any] = source.data
        self.variables = Variables(references(source.data))
        self._read: set[tuple[str, str]] = set()

    def place(self, *trail: str | int) -> str:
        """`file:line:column` of a value."""
        return self.source.place(trail)

    def section(self, name: str) -> dict[str, Any]:
        """A top-level mapping; empty when there is none."""
        found = self.data.get(name)
        return found if isinstance(found, dict) else {}

    def setting(self, *names: str) -> tuple[Any, Trail] | None:
        """The first of these settings, in the order of the sections, with its trail; it counts as read."""
        found: tuple[Any, Trail] | None = None
        for section in ("router_settings", "litellm_settings", "general_settings"):
            for name in names:
                if name in self.section(section):
                    self._read.add((section, name))
                    found = found or (self.section(section)[name], (section, name))
        return found

    def credentials(self) -> dict[str, dict[str, Any]]:
        """What `credential_list` holds, by name."""
        listed = self.data.get("credential_list")
        found: dict[str, dict[str, Any]] = {}
        for item in listed if isinstance(listed, list) else ():
            values = item.get("credential_values") if isinstance(item, dict) else None
            if isinstance(values, dict) and isinstance(item.get("credential_name"), str):
                found[item["credential_name"]] = values
        return found

    def tell_unread(self) -> None:
        """Comments for whatever nobody asked for."""
        for section in _SECTIONS:
            for name in self.section(section):
                if (section, name) not in self._read and name not in _WITHOUT_MEANING:
                    self.lost((section, name))
        for name in self.data:
            if name not in _READ_ELSEWHERE:
                self.lost((name,))
        for name in self.section("environment_variables"):
            place = self.place("environment_variables", name)
            self.draft.note(f"set the variable {shown(name)} in the environment: it was set in the file ({place})")

    def lost(self, trail: Trail, why: str = "nothing here corresponds to it") -> None:
        """Something was not carried over."""
        name = ".".join(str(step) for step in trail if isinstance(step, str))
        self.draft.note(f"{shown(name)} was not carried over: {why} ({self.place(*trail)})")


def number(value: Any) -> float | None:
    """A finite number, also as text; None for anything else."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return found if found is not None and abs(found) < 1e15 else None


def count(value: Any) -> int | None:
    """A whole number above 0; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found >= 1 and found == int(found) else None


def pairs(value: Any) -> list[tuple[str, list[str]]]:
    """LiteLLM's fallbacks, `[{group: [group, …]}, …]`; what is not of this form is left out."""
    items = value if isinstance(value, list) else [value]
    found: list[tuple[str, list[str]]] = []
    for item in items:
        for group, others in item.items() if isinstance(item, dict) else ():
            listed = others if isinstance(others, list) else [others]
            found.append((str(group), [other for other in listed if isinstance(other, str)]))
    return found
