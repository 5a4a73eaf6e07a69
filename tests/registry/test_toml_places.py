"""Places in TOML: every key and value stands where the file has it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.registry.toml_places import TomlPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = '''# A [comment] = "with" { everything }
version = 1   # and one behind
dotted.name . deep = "v1"
"quo\\"ted" = 'v2'
'lit.eral' = """
v3 \\""" [not.a.table]
x = 1 ""\"""
empty = \'\'\'\'\'v4\'\'\'\'\'
days = [1979-05-27 07:32:00, 07:32:00] # two

[later.made] # before `later`
a = [ "v5", # a comment ] in a list
  { b = 'v6', c.d = [[], [ "v7" ], {}] },
]

[[list.of]]
name = "v8"
[list.of.under]
name = "v9"
[[list.of]]
name = "v10"
[[list.of.inner]]
x = "v11"
[[list.of.inner]]
x = "v12"
[later]
own = inf
[ "spa ced" . b ]
t = true
'''


def trails(value: Any, trail: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a document with the keys that lead to it, itself left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield (*trail, step), item
        yield from trails(item, (*trail, step))


def at(text: str, mark: tuple[int, int]) -> str:
    """The text from a place on."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join([lines[mark[0] - 1][mark[1] - 1 :], *lines[mark[0] :]])


def check_places(text: str) -> None:
    """Each key of a table has a place where the file writes it, and each value one where it can be read again."""
    places = TomlPlaces(text)
    for trail, value in trails(tomllib.loads(text)):
        told = at(text, places.values[trail])
        if isinstance(trail[-1], str):
            written = at(text, places.keys[trail])
            assert written.startswith(trail[-1]) or written[0] in "\"'", trail
        if isinstance(value, str):
            quotes = 3 if told[:3] in ('"""', "'''") else 1
            assert told[0] in "\"'", trail
            assert value[:1] == "" or told[quotes:].lstrip("\n")[0] in (value[0], "\\"), trail


def test_every_value_has_its_place() -> None:
    """Headings, lists of tables, dotted and quoted keys, inline tables and strings over lines are all placed."""
    check_places(DOCUMENT)
    check_places(DOCUMENT.replace("\n", "\r\n"))
    places = TomlPlaces(DOCUMENT)
    assert places.keys["dotted", "name", "deep"] == (3, 15)
    assert places.values["dotted", "name", "deep"] == (3, 22)
    assert places.values["days", 1] == (9, 30)
    assert places.values["later", "made", "a", 1, "c", "d", 1, 0] == (13, 28)
    assert places.values["list", "of", 0, "under", "name"] == (19, 8)
    assert places.values["list", "of", 1, "inner", 1] == (24, 11)
    assert places.values["list", "of", 1, "inner", 1, "x"] == (25, 5)
    assert places.values["later",] == (26, 2)


@given(st.text(alphabet="[]{}=,.\"'\\#ab1 \n\r", max_size=40))
@example("a=[[1,],\n]")
@example('""=""\n')
@example("a.b=1\na.c=2")
def test_whatever_is_toml_has_places(text: str) -> None:
    """No document that can be read is without the places of its values."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    check_places(text)
