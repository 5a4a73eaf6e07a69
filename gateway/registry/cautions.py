"""What a checked document may say and hardly means: each a warning, in one sentence with what to do."""

from __future__ import annotations

import re
import ssl
from collections import Counter
from fnmatch import translate
from itertools import chain
from typing import TYPE_CHECKING, Any

from gateway.registry.abilities import WORDS, unknown_words
from gateway.registry.problems import did_you_mean, shown
from gateway.registry.snapshot import Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gateway.registry.snapshot import Route

_AS_WRITTEN = "priority"
"""The strategy whose order is that of the file; any other one may begin with any target."""

_GLOBS = 50
"""Patterns with a `*` that later routes are compared with: a file may have thousands of both."""

_OTHER_REFERENCE = re.compile(r"\$[A-Z_][A-Z0-9_]*|(?:os\.environ/|env:)[A-Za-z_][A-Za-z0-9_]*")
"""How shells, other gateways and the admin API refer to a variable."""


def cautions(providers: Mapping[str, Any], routes: Iterable[Route]) -> Iterator[str]:
    """For providers as they are written, and for compiled routes."""
    for name, settings in providers.items():
        yield from _capabilities(name, settings)
        yield from _other_references(name, settings)
    for route in routes:
        yield from _repeated(route)
        yield from _out_of_reach(route)


def shadowed(routes: Sequence[Route], listed: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """For routes in their order and as they are written: those that no request takes, since an earlier one, which asks
    for the model alone, is for every model of theirs. What a route names as a fallback has its use."""
    named = set(chain.from_iterable(item.get("fallbacks", {}).values() for item in listed))
    takers = Takers()
    for route in routes:
        models = route.match.models
        before = [takers.of(model) for model in models or ("*",)]
        if route.match != Match() and route.name not in named and None not in before:
            first = " and ".join(shown(name) for name in dict.fromkeys(filter(None, before)))
            yield f"route `{route.name}` gets no request: what it is for, {first} takes before it (put it first)"
        if route.match == Match(models=models):
            takers.add(route.name, models)


class Takers:
    """Routes that ask for the model alone, by what they leave nothing of for others."""

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._globs: list[tuple[re.Pattern[str], str]] = []

    def add(self, route: str, models: Iterable[str]) -> None:
        """One more, after those before it."""
        for model in models:
            self._exact.setdefault(model, route)
            if "*" in model and not {"?", "["}.intersection(model) and len(self._globs) < _GLOBS:
                self._globs.append((re.compile(translate(model)), route))

    def of(self, model: str) -> str | None:
        """The route that is for every name this one, or this pattern, is for. A pattern that only has `*` takes
        whatever it matches as text, wildcards included."""
        found = self._exact.get(model)
        return found or next((name for pattern, name in self._globs if pattern.match(model)), None)


def ca_trouble(path: str) -> str | None:
    """Why certificates cannot be read there; None when they can. Reads the file."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "holds no certificates (name a PEM bundle)"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'its name is not valid'} (check its path)"
    return None


def _capabilities(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    models = settings.get("models")
    owners = [(f"provider `{name}`", settings)]
    owners += (
        [(f"model `{name}/{one}`", said) for one, said in models.items() if said] if isinstance(models, dict) else []
    )
    for owner, said in owners:
        for word in unknown_words(said.get("capabilities")):
            hint = did_you_mean(word, WORDS) or f" (known: {', '.join(WORDS)})"
            yield f"{owner}: nothing here goes by the capability {shown(word)}{hint}"


def _other_references(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for setting, said in settings.items():
        for one in said if isinstance(said, list) else [said]:
            if isinstance(one, str) and _OTHER_REFERENCE.fullmatch(one) is not None:
                yield (
                    f"provider `{name}`: {shown(setting)} names no variable, and is taken as it stands "
                    "(write `${NAME}`)"
                )


def _repeated(route: Route) -> Iterator[str]:
    counts = Counter([target.deployment.id for target in route.targets])
    for name, count in counts.items():
        if count > 1:
            yield f"route `{route.name}` has the target `{name}` {count} times (write it once; `weight` gives shares)"


def _out_of_reach(route: Route) -> Iterator[str]:
    targets = len({target.deployment.id for target in route.targets})
    beyond = targets - route.max_attempts
    if route.strategy == _AS_WRITTEN and beyond > 0:
        last = "the last one is" if beyond == 1 else f"the last {beyond} are"
        yield (
            f"route `{route.name}` has {targets} targets and max_attempts {route.max_attempts}: {last} tried only "
            f"while others are out of rotation (raise max_attempts)"
        )
