"""From a path to a Snapshot: read, parse, interpolate, check, compile. Mistakes are reported together, with places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from gateway.registry.builtin import NAME, builtin_document
from gateway.registry.compiling import Context, compile_document
from gateway.registry.interpolation import Interpolated, interpolate
from gateway.registry.problems import CUT, ConfigError, Fault, Problem, printable
from gateway.registry.source import HEADINGS, Source, broken, decode, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.registry.catalogue import Known
    from gateway.registry.compile_providers import Defaults
    from gateway.registry.snapshot import Snapshot

_SHORTEST_REDACTED = 8
_REDACTED = "[redacted]"
_CUT = re.compile(f"([^`]*){CUT}")
_MOST_TOLD = 100
_CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
_UNMERGED = (
    "two versions of the file were not merged here (keep what holds, and remove the lines of <<<<<<<, =======, >>>>>>>)"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is ready to serve."""

    document: Mapping[str, Any]
    """As written, before interpolation: no secret from the environment is in it."""
    snapshot: Snapshot
    doubts: tuple[Problem, ...] = ()
    """What the file says and hardly means, with its places. Only who parsed the file knows them."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return *self.snapshot.warnings, *map(str, self.doubts)


def load(
    path: Path | None,
    env: Mapping[str, str],
    *,
    dialects: Known | None = None,
    defaults: Defaults | None = None,
) -> Loaded:
    """Load a file (`.toml` is TOML, anything else YAML), or the built-in default for None.

    `dialects` are the provider types this version speaks (None: all). Raises ConfigError, and nothing else.
    """
    context = context_for(dialects, defaults)
    return build(source_for(path, env), env, context)


def context_for(dialects: Known | None, defaults: Defaults | None) -> Context:
    """The context of a load, with its defaults filled in."""
    return Context(dialects) if defaults is None else Context(dialects, defaults)


def source_for(path: Path | None, env: Mapping[str, str]) -> Source:
    """The parsed file, or the built-in default. Raises ConfigError."""
    if path is None:
        return Source(NAME, builtin_document(env), by_path=True)
    return parse(path, read_bytes(path))


def parse(path: Path, content: bytes) -> Source:
    """File content as plain data with places. Raises ConfigError."""
    text = decode(path, content)
    try:
        if path.suffix.lower() == ".toml":
            from gateway.registry.toml_reader import read_toml  # noqa: PLC0415 — see `check`

            return read_toml(path, text)
        from gateway.registry.yaml_reader import read_yaml  # noqa: PLC0415

        return read_yaml(path, text)
    except ConfigError:
        conflict = _CONFLICT.search(text)
        if conflict is None:
            raise
        raise broken(path, _UNMERGED, (text.count("\n", 0, conflict.start()) + 1, 1)) from None


def build(source: Source, env: Mapping[str, str], context: Context) -> Loaded:
    """Interpolate, check and compile. Raises ConfigError with every problem found."""
    document = without_empty_lists(source.data)
    interpolated = interpolate(document, env)
    faults = [*interpolated.faults, *check(interpolated, context)]
    if faults:
        raise ConfigError(_located(faults, source, _unprintable(interpolated)))
    doubts = _located(doubtful(interpolated, context), source, _unprintable(interpolated))
    return Loaded(document, compile_document(interpolated, context), tuple(doubts))


def faults_of(document: Any, env: Mapping[str, str], context: Context) -> list[Fault]:
    """What `build` would complain about, by trail."""
    interpolated = interpolate(without_empty_lists(document), env)
    return [*interpolated.faults, *check(interpolated, context)]


def without_empty_lists(data: Any) -> Any:
    """A heading with everything below it commented out counts as not written."""
    if not isinstance(data, dict):
        return data
    return {name: value for name, value in data.items() if value is not None or name not in HEADINGS}


def check(interpolated: Interpolated, context: Context) -> list[Fault]:
    """Every fault of an interpolated document."""
    # Imported late: a worker that finds its compiled table never builds the models.
    from gateway.registry.check_emptied import emptied_faults  # noqa: PLC0415
    from gateway.registry.check_limits import limit_faults  # noqa: PLC0415
    from gateway.registry.check_routes import route_faults  # noqa: PLC0415
    from gateway.registry.check_surfaces import surface_faults  # noqa: PLC0415
    from gateway.registry.checks import cross_faults  # noqa: PLC0415
    from gateway.registry.plugins import plugin_faults  # noqa: PLC0415
    from gateway.registry.schema.document import faults  # noqa: PLC0415

    told = {fault.trail for fault in interpolated.faults}
    found = faults(interpolated.data, interpolated.missing, context.dialects)
    found += plugin_faults(interpolated.data, context.dialects)
    found += cross_faults(interpolated.data)
    found += route_faults(interpolated.data)
    found += limit_faults(interpolated.data)
    found += surface_faults(interpolated.data, context.dialects)
    found += [
        Fault(trail, f"the variable {name} is not set (set it, or write a default: ${{{name}:-value}})")
        for trail, name in interpolated.missing.items()
        if trail not in told and (len(trail) < 3 or trail[0] not in {"providers", "keys"})
    ]
    return found + list(emptied_faults(interpolated))


def doubtful(interpolated: Interpolated, context: Context) -> list[Fault]:
    """What a document without faults says and hardly means."""
    from gateway.registry.check_secrets import placeholders  # noqa: PLC0415 — see `check`
    from gateway.registry.check_unused import unused  # noqa: PLC0415

    data = interpolated.data
    return [*unused(data), *placeholders(data, context.dialects)]


def _unprintable(interpolated: Interpolated) -> list[str]:
    """Values of the environment, longest first; short ones are words like `true` rather than secrets."""
    values = {value for value in interpolated.values if len(value) >= _SHORTEST_REDACTED}
    # Messages show names as `printable` leaves them.
    return sorted(values | {printable(value) for value in values}, key=lambda value: (-len(value), value))


def _located(faults: Iterable[Fault], source: Source, hidden: list[str]) -> list[Problem]:
    """Problems in file order, each once."""
    ordered = sorted(faults, key=lambda fault: _position(fault, source))
    places = {(source.place(fault.trail, at_key=fault.at_key), fault.message): fault for fault in ordered}
    problems = [Problem(place, _redact(fault.text, hidden)) for (place, _), fault in islice(places.items(), _MOST_TOLD)]
    rest = len(places) - _MOST_TOLD
    if rest > 0:
        problems.append(Problem(source.place(()), f"{rest} more problems follow (mend these first)"))
    return list(dict.fromkeys(problems))


def _position(fault: Fault, source: Source) -> tuple[int, int]:
    trail = fault.trail
    if fault.at_key and trail in source.keys:
        return source.keys[trail]
    while trail and trail not in source.values:
        trail = trail[:-1]
    return source.values.get(trail, (0, 0))


def _redact(message: str, hidden: list[str]) -> str:
    for value in hidden:
        message = message.replace(value, _REDACTED)
    return _CUT.sub(lambda cut: _redact_start(cut[1], hidden) + CUT, message) if CUT in message else message


def _redact_start(text: str, hidden: list[str]) -> str:
    """Text that was cut for its length, without the start of a value that it may end in."""
    longest = max((_overlap(text, value) for value in hidden), default=0)
    return text[:-longest] + _REDACTED if longest >= _SHORTEST_REDACTED else text


def _overlap(text: str, value: str) -> int:
    """How much of the value's start the text ends in."""
    lengths = range(min(len(value), len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(value[:length])), 0)
