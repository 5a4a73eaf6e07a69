"""Commands with many options: one table in place of a long signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import typer


class Option(NamedTuple):
    """One option of a command; without `spelling` it is spelt as it is called."""

    type: Any
    default: Any
    help: str
    spelling: tuple[str, ...] = ()
    show_default: bool = False


def flag(text: str, spelling: str) -> Option:
    """An option that is there or not."""
    return Option(bool, default=False, help=text, spelling=(spelling,))


REQUIRED = inspect.Parameter.empty
"""The default of an option that has to be given."""


def with_options(
    options: Mapping[str, Option], *, context: bool = False, arguments: Mapping[str, Any] = MappingProxyType({})
) -> Callable[..., Any]:
    """Decorate a command that takes `**options` (and `context`) as if its signature spelt them out; `arguments` are
    annotations of what is given without a dash, all optional."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        found = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)] * context
        found += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in arguments.items()
        ]
        for name, option in options.items():
            # The command itself says what is wrong with a file that cannot be read.
            spelt = typer.Option(*option.spelling, help=option.help, show_default=option.show_default, readable=False)
            annotation = Annotated[option.type, spelt]  # type: ignore[name-defined]
            found.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=annotation)
            )
        command.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in found}
        return command

    return decorate
