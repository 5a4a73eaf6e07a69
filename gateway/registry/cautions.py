"""What a checked document may say and hardly means: each a warning, in one sentence with what to do."""

from __future__ import annotations

import re
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any

from gateway.registry.abilities import WORDS, unknown_words
from gateway.registry.problems import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.registry.snapshot import Route

_AS_WRITTEN = "priority"
"""The strategy whose order is that of the file; any other one may begin with any target."""


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
