"""What is fuzzed, found by discovery: every reader of what providers answer and clients ask, for every provider type.

A target is `KIND:PLAYER`, for clients of chat, or `KIND:PLAYER:SURFACE` for clients of another API, who are bridged or
passed through. A player is a provider type played by hand. Beyond the types themselves there are `TYPE-claude`, where
one has Anthropic's models with their own API, and `openai-responses`, which has no chat. Kinds:

- `stream`: a provider's event stream, cut anywhere;
- `framed`: the events of a binary stream, put into frames whose checksums hold;
- `reply`: a whole answer, or an error;
- `request`: a client's body on its way to the provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.bridges.speakers import Speakers
from gateway.errors import ClientError, UnsupportedParameter, UpstreamError
from gateway.ports import Dialect, SurfaceDialect
from gateway.providers.amazon.eventstream import EVENT_STREAM, FAILED, MessageSplitter
from gateway.types import Call, Deployment, Surface
from tests.bridges.chat.native import NATIVE as RESPONSES
from tests.bridges.messages.talk import call as messages_call
from tests.bridges.messages.test_every_dialect import TALK, TOOL
from tests.bridges.responses.asks import SAME
from tests.bridges.responses.asks import call_of as responses_call
from tests.support.eventstream import message

from .cases import ANSWERS, REQUESTS
from .natives import Native, native_of
from .natives.anthropic import NATIVE as CLAUDE
from .said import Said
from .test_contract import DIALECTS, call_of, deployment_of

Reader = Callable[[bytes], None]

SPEAKERS = Speakers(DIALECTS)
CLAUDES = ("claude-sonnet-4-5", "anthropic.claude-sonnet-4-5-20250929-v1:0")
_THINKS = {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "low"}}
ASKS: Mapping[Surface, list[dict[str, Any]]] = {
    Surface.CHAT: [fields for fields, _ in REQUESTS.values()],
    Surface.RESPONSES: list(SAME.values()),
    Surface.MESSAGES: [
        {},
        {"messages": TALK, "tools": [TOOL], "tool_choice": {"type": "any"}, "stop_sequences": ["x"], **_THINKS},
    ],
}
_JSON = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class Player:
    """A provider of one type, and how it words its answers."""

    dialect: Dialect
    deployment: Deployment
    native: Native
    surfaces: tuple[Surface, ...] = tuple(Surface)
    """Whose clients are worth trying."""

    @property
    def binary(self) -> bool:
        """Its streams are frames with checksums: what is damaged in them is refused before anything reads it."""
        return native_of(self.dialect).stream(Said("x"))[0] == EVENT_STREAM

    @property
    def said(self) -> list[Said]:
        """Everything that it can answer."""
        return [answer for case, answer in ANSWERS.items() if case not in self.native.silent]

    def events(self, said: Said) -> Iterator[tuple[bytes, bytes]]:
        """Of a binary stream, each event's name and data."""
        frames = self.native.stream(said)[1]
        if self.native is CLAUDE:
            frames = [_chunk(frame) for frame in frames]
        splitter = MessageSplitter()
        for frame in frames:
            yield from splitter.feed(frame)

    def stream(self, said: Said) -> bytes:
        """The body of a streamed answer."""
        if self.binary:
            return b"".join(_frame(name, data) for name, data in self.events(said))
        return b"".join(self.native.stream(said)[1])


def players() -> dict[str, Player]:
    """By name; of types that share all their code, one."""
    found: dict[str, Player] = {}
    seen: set[object] = set()
    for name, dialect in sorted(DIALECTS.items(), key=lambda pair: (pair[0] != "openai", pair[0])):
        code = (type(dialect), repr(getattr(dialect, "_traits", None)))
        if code in seen:
            continue
        seen.add(code)
        native = native_of(dialect)
        # What comes out of any type is chunks: bridges read one type's as the other's.
        surfaces = tuple(Surface) if not hasattr(dialect, "_traits") or name == "openai" else (Surface.CHAT,)
        deployment = replace(deployment_of(dialect, native), api=frozenset({Surface.CHAT}))
        found[name] = Player(dialect, deployment, native, surfaces)
        claude = next((one for model in CLAUDES for one in _claude(dialect, deployment, model)), None)
        if claude is not None:
            found[f"{name}-claude"] = Player(dialect, claude, CLAUDE, (Surface.MESSAGES,))
    only = replace(found["openai"].deployment, api=frozenset({Surface.RESPONSES}))
    found["openai-responses"] = Player(DIALECTS["openai"], only, RESPONSES, (Surface.CHAT, Surface.MESSAGES))
    return found


def _claude(dialect: Dialect, deployment: Deployment, model: str) -> Iterator[Deployment]:
    if isinstance(dialect, SurfaceDialect):
        one = replace(deployment, model=model, api=frozenset())
        if Surface.MESSAGES in dialect.surfaces(one):
            yield one


PLAYERS = players()


def targets() -> list[str]:
    """Every target there is."""
    found = []
    for name, player in PLAYERS.items():
        kinds = ("stream", *(("framed",) if player.binary else ()), "reply", "request")
        for surface in player.surfaces:
            found += [f"{kind}:{name}" + (f":{surface}" if surface is not Surface.CHAT else "") for kind in kinds]
    return found


def reader_of(target: str) -> tuple[Reader, list[bytes]]:
    """What is tried with each input, and inputs to begin with."""
    kind, name, *rest = target.split(":")
    return _KINDS[kind](PLAYERS[name], Surface(rest[0]) if rest else Surface.CHAT)


def _call(surface: Surface, fields: dict[str, Any], *, stream: bool = False) -> Call:
    if surface is Surface.MESSAGES:
        return messages_call(**fields, **({"stream": True} if stream else {}))
    return (call_of if surface is Surface.CHAT else responses_call)(fields, stream=stream)


def _stream(player: Player, surface: Surface) -> tuple[Reader, list[bytes]]:
    call = _call(surface, ASKS[surface][0], stream=True)
    speaker = SPEAKERS.of(call, player.deployment)

    def read(data: bytes) -> None:
        step, body = (data[0] % 64 + 1, data[1:]) if data else (1, b"")
        decoder = speaker.stream(call, player.deployment)
        sent = 0
        for at in range(0, len(body), step):
            if decoder.failure is None and not decoder.complete:
                sent += len(decoder.feed(body[at : at + step]))
        if decoder.failure is None and not decoder.complete:
            sent += len(decoder.end())
        assert decoder.complete != (decoder.failure is not None), "complete and broken, or neither"
        assert sent <= 100_000 + 2_000 * len(body), "an answer much larger than what it was made of"

    return read, [b"\x20" + player.stream(one) for one in player.said]


def _framed(player: Player, surface: Surface) -> tuple[Reader, list[bytes]]:
    read, _ = _stream(player, surface)

    def framed(data: bytes) -> None:
        read(b"\x3f" + b"".join(_frame(*line.split(b" ", 1)) for line in data.split(b"\n") if b" " in line))

    return framed, [b"\n".join(b" ".join(event) for event in player.events(one)) for one in player.said]


def _frame(name: bytes, data: bytes) -> bytes:
    failed = name.startswith(FAILED)
    kind = ":exception-type" if failed else ":event-type"
    headers = {kind: name.removeprefix(FAILED).decode("latin-1"), ":message-type": "exception" if failed else "event"}
    return message(headers, data)


def _chunk(frame: bytes) -> bytes:
    """An event of Claude's as Bedrock has it."""
    data = b"".join(line[6:] for line in frame.splitlines() if line.startswith(b"data: "))
    return _frame(b"chunk", msgspec.json.encode({"bytes": data}))


def _reply(player: Player, surface: Surface) -> tuple[Reader, list[bytes]]:
    call = _call(surface, ASKS[surface][0])
    speaker = SPEAKERS.of(call, player.deployment)

    def read(data: bytes) -> None:
        status, body = (200 + data[0] * 2, data[1:]) if data else (200, b"")
        if status >= 300:
            assert isinstance(speaker.error(status, _JSON, body), UpstreamError)
            return
        with suppress(UpstreamError):
            speaker.decode(call, player.deployment, _JSON, body)

    native = player.native
    return read, [b"\x00" + native.reply(one)[1] for one in player.said] + [b"\xc8" + native.refusal(400, "no")]


def _request(player: Player, surface: Surface) -> tuple[Reader, list[bytes]]:
    speaker = SPEAKERS.of(_call(surface, ASKS[surface][0]), player.deployment)

    def read(data: bytes) -> None:
        try:
            fields = json.loads(data)
            asked = _call(surface, fields if isinstance(fields, dict) else {})
        except (ValueError, RecursionError, TypeError, AttributeError):
            return  # never gets as far as a dialect
        with suppress(ClientError, UnsupportedParameter):
            speaker.body(asked, player.deployment)

    return read, [json.dumps(fields).encode() for fields in ASKS[surface]]


_KINDS: dict[str, Callable[[Player, Surface], tuple[Reader, list[bytes]]]] = {
    "stream": _stream,
    "framed": _framed,
    "reply": _reply,
    "request": _request,
}
