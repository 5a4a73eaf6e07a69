"""The JSON scanner against a parser: spans, members and depth are never wrong, whatever valid JSON it is given."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.providers.wire import jsonscan
from gateway.providers.wire.jsonscan import insert_members, members, model_spans, too_nested

NASTY = st.sampled_from(
    ["model", "Model", "MODEL", '"model":', 'x"model', "model\\", "\\", '"', "{", "]", ",", ":", "models", "mode", ""]
)
TEXT = st.one_of(NASTY, st.text(max_size=6))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.just(1.5e300), TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


def spelled(text: str, draw: Any) -> str:
    """One of the ways in which JSON may spell a string."""
    style = draw(st.sampled_from(["plain", "ascii", "escaped"]))
    if style == "plain":
        return json.dumps(text, ensure_ascii=False)
    if style == "ascii":
        return json.dumps(text)
    units = text.encode("utf-16-be", "surrogatepass")
    form = draw(st.sampled_from(["\\u%04x", "\\u%04X"]))
    return '"' + "".join(form % int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)) + '"'


def written(value: Any, draw: Any) -> str:
    """A value as JSON text with free spacing and spelling."""

    def space() -> str:
        return str(draw(SPACE))

    if isinstance(value, str):
        return spelled(value, draw)
    if isinstance(value, dict):
        inner = f"{space()},{space()}".join(
            f"{spelled(k, draw)}{space()}:{space()}{written(v, draw)}" for k, v in value.items()
        )
        return f"{{{space()}{inner}{space()}}}"
    if isinstance(value, list):
        return f"[{space()}{f'{space()},{space()}'.join(written(v, draw) for v in value)}{space()}]"
    return json.dumps(value)


@st.composite
def documents(draw: Any) -> tuple[bytes, list[tuple[str, Any]]]:
    """A JSON object's text and its top-level pairs, duplicates and case variants of `model` included."""
    pairs = draw(st.lists(st.tuples(TEXT, VALUES), max_size=5))
    for key in draw(st.lists(st.sampled_from(["model", "Model", "mOdEl"]), max_size=2)):
        pairs.insert(draw(st.integers(0, len(pairs))), (key, draw(TEXT)))
    body = ",".join(
        f"{draw(SPACE)}{spelled(k, draw)}{draw(SPACE)}:{draw(SPACE)}{written(v, draw)}{draw(SPACE)}" for k, v in pairs
    )
    text = f"{draw(SPACE)}{{{body}{'' if pairs else draw(SPACE)}}}{draw(SPACE)}"
    return text.encode("utf-8", "surrogatepass"), pairs


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_members_are_the_parsers(document: tuple[bytes, list[tuple[str, Any]]]) -> None:
    """`members` lists the top-level pairs in order, duplicates included, each span being exactly its value's text."""
    raw, pairs = document
    found = members(raw)
    assert [member.key for member in found] == [key for key, _ in pairs]
    for member, (_, value) in zip(found, pairs, strict=True):
        text = raw[member.start : member.end]
        assert text == text.strip()
        assert json.loads(text) == value


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_model_spans_are_the_parsers(document: tuple[bytes, list[tuple[str, Any]]]) -> None:
    """Every top-level `model`, in any case and spelling, is found and nothing else, wherever the word also stands."""
    raw, pairs = document
    expected = [value for key, value in pairs if key.lower() == "model"]
    if not any(key == "model" and isinstance(value, str) for key, value in pairs):
        model_spans(raw)  # outside its contract: still no exception
        return
    assert [json.loads(raw[start:end]) for start, end in model_spans(raw)] == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), st.dictionaries(st.text(max_size=4).map("new-".__add__), st.integers(), min_size=1, max_size=3))
def test_inserted_members(document: tuple[bytes, list[tuple[str, Any]]], added: dict[str, int]) -> None:
    """What is inserted comes first and everything else stays, in an empty object too."""
    raw, pairs = document
    merged = b"".join(insert_members(raw, json.dumps(added)[1:-1].encode()))
    assert json.loads(merged, object_pairs_hook=list) == [*added.items(), *json.loads(raw, object_pairs_hook=list)]
    assert len(members(merged)) == len(added) + len(pairs)


def depth_of(value: Any) -> int:
    """How deep a value nests."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), st.integers(0, 6))
def test_depth_is_the_parsers(document: tuple[bytes, list[tuple[str, Any]]], limit: int) -> None:
    """`too_nested` agrees with the parsed value; brackets inside strings do not count."""
    raw, pairs = document
    assert too_nested(raw, limit) == (1 + max((depth_of(v) for _, v in pairs), default=0) > limit)


@pytest.mark.parametrize("depth", [127, 128, 129, 500, 100_000])
def test_depth_at_its_limit(depth: int) -> None:
    """128 levels pass, 129 do not, and a hundred thousand neither crash nor recurse."""
    for raw in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        assert too_nested(raw) == (depth > 128)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from([*b'{}[],:"\\ model']), max_size=60).map(bytes)))
def test_garbage_raises_nothing(raw: bytes) -> None:
    """Bytes that are no JSON raise nothing anywhere: they are looked at before they are parsed."""
    too_nested(raw, 2)
    members(raw)
    model_spans(raw)


@pytest.mark.parametrize("key", [b"\xff", b"\\ud800", b"\\udfff\\ud800"])
def test_keys_that_are_no_text(key: bytes) -> None:
    """A key that no Unicode text spells does not hide the others."""
    raw = b'{"' + key + b'":1,"model":"a","Model":"b"}'
    assert [raw[start:end] for start, end in model_spans(raw)] == [b'"a"', b'"b"']


class _Counted:
    """Stands in for a pattern and sums up how far each of its tokens reaches."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.tokens = 0

    def finditer(self, raw: bytes) -> list[re.Match[bytes]]:
        found = list(self.pattern.finditer(raw))
        self.tokens += len(found)
        return found

    def search(self, raw: bytes, at: int) -> re.Match[bytes] | None:
        self.tokens += 1
        return self.pattern.search(raw, at)


@pytest.mark.parametrize("size", [1000, 100_000])
def test_unterminated_string_is_one_token(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A string that never ends, full of escaped quotes, is taken as one token: trying each quote would be quadratic."""
    counted = _Counted(jsonscan._BRACKETS)
    monkeypatch.setattr(jsonscan, "_BRACKETS", counted)
    assert not too_nested(b"[]" * 200 + b'"' + b'\\"' * size)
    assert counted.tokens <= 402


@pytest.mark.parametrize("size", [10, 1000])
def test_token_count_is_linear(size: int) -> None:
    """The scanner's tokens are the document's own strings and punctuation: what stands inside a string costs none."""
    text = 'say "model": {[,' * 50
    raw = json.dumps({"messages": [{"content": text}] * size, "model": "m"}).encode()
    assert len(jsonscan._TOKEN.findall(raw)) == 6 * size + 9
    assert [raw[start:end] for start, end in model_spans(raw)] == [b'"m"']


def test_steps_are_as_many_as_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands between two brackets below the top is one step, however many strings and numbers it is."""
    brackets, tokens = _Counted(jsonscan._BRACKETS), _Counted(jsonscan._TOKEN)
    monkeypatch.setattr(jsonscan, "_BRACKETS", brackets)
    monkeypatch.setattr(jsonscan, "_TOKEN", tokens)
    raw = b'{"a":[' + b'{"model":1},' * 200 + b'"",1,' * 10_000 + b'0],"model":"m"}'
    assert not too_nested(raw)
    assert [raw[start:end] for start, end in model_spans(raw)] == [b'"m"']
    assert brackets.tokens + tokens.tokens < 1000


@pytest.mark.parametrize("pair", [b"[]", b"{}"])
def test_arrays_and_objects_are_bounded(pair: bytes) -> None:
    """A body of more than 200,000 arrays and objects is refused like one that nests too deep; inside a string they are
    text."""
    most = jsonscan.MAX_NESTED - 1
    assert not too_nested(b"[" + b",".join([pair] * most) + b"]")
    assert too_nested(b"[" + b",".join([pair] * (most + 2)) + b"]")
    assert not too_nested(b'["' + pair * (most + 2) + b'"]')


def test_members_are_bounded() -> None:
    """A body with more than 10,000 members of its own is refused where they have to be looked at one by one."""
    few, many = (b'{"model":"m","Model":"n"' + b',"a":1' * count + b"}" for count in (9_998, 10_001))
    assert len(model_spans(few)) == 2
    with pytest.raises(InvalidRequest):
        model_spans(many)
