"""Commands with many options: one table in place of a long signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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


def with_options(options: Mapping[str, Option], *, context: bool = False) -> Callable[..., Any]:
    """Decorate a command that takes `**options` (and `context`) as if its signature spelt them out."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        found = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)] * context
        for name, option in options.items():
            spelt = typer.Option(*option.spelling, help=option.help, show_default=option.show_default)
            annotation = Annotated[option.type, spelt]  # type: ignore[name-defined]
            found.append(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=annotation)
            )
        command.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in found}
        return command

    return decorate
