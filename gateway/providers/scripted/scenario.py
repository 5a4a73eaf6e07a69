"""What the scripted provider is asked and what it will do: values only, played by an ASGI app or in process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from gateway.types import Headers

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One HTTP request, read to its end. `path` has no query and no version segment; header names are lower-case."""

    method: str
    path: str
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> str:
        """The first value of a header, `""` without it."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    @cached_property
    def digest(self) -> str:
        """The same request always has the same one: ids, dates and made-up content come from it."""
        return blake2b(b"\0".join((self.method.encode(), self.path.encode(), self.body)), digest_size=16).hexdigest()

    @property
    def created(self) -> int:
        """A Unix time that follows from the request."""
        return 1_750_000_000 + int(self.digest[:6], 16)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers go out."""


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes of the body, and how many output tokens they carry."""

    data: bytes
    tokens: int = 0
    last: bool = False
    """It is the stream's terminal event, which `no-done` leaves out."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more, but the connection stays open."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection closes where it is; `reset` sends RST instead of FIN."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The body is complete."""


Step: TypeAlias = Wait | Head | Send | Stall | Cut | End


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request costs when it is played to the end; input is charged as soon as it is accepted."""

    service: str = ""
    model: str = ""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before faults: frames are the events of a stream, or one whole body."""

    frames: tuple[Send, ...]
    status: int = 200
    content_type: bytes = b"application/json"
    headers: Headers = ()
    charge: Charge = Charge()

    @property
    def stream(self) -> bool:
        return self.text or self.content_type.startswith(b"application/vnd.amazon.eventstream")

    @property
    def text(self) -> bool:
        """It is a stream of server-sent events, which know comments and line ends."""
        return self.content_type.startswith(b"text/event-stream")


@dataclass(frozen=True, slots=True)
class Scenario:
    """The answer as it will be played. The last step is always Stall, Cut or End."""

    status: int
    headers: Headers
    steps: tuple[Step, ...]
    charge: Charge = Charge()

    @property
    def body(self) -> bytes:
        """Everything that will be sent, for tests and for those who do not care for time."""
        return b"".join(step.data for step in self.steps if isinstance(step, Send))


class Rejected(Exception):
    """The scripted provider refuses the request, in the words of the surface that was asked."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


Handler: TypeAlias = Callable[["Asked"], Reply]


DONE = Send(b"data: [DONE]\n\n", last=True)


def _chunk_error(shape: Json) -> tuple[Send, ...]:
    return Send(b"data: " + orjson.dumps(shape) + b"\n\n"), DONE


def _openai_headers(request_id: str) -> Headers:
    return ((b"x-request-id", request_id.encode("latin-1")), (b"openai-processing-ms", b"1"))


@dataclass(frozen=True, slots=True)
class Surface:
    """One API that the provider speaks: its routes (method, path pattern, service, handler) and how it words errors."""

    name: str
    routes: tuple[tuple[str, str, str, Handler], ...]
    error: Callable[[Rejected], Json]
    failed: Callable[[Json], tuple[Send, ...]] = _chunk_error
    """The last frames of a stream that fails with this error."""
    headers: Callable[[str], Headers] = _openai_headers
    """What every answer has, given its request id."""
    malformed: Send = Send(b'data: {"id":"broken","choices":[{"index":0,"delta":{"content":"\n\n')
    """An event that cannot be read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a handler gets: the request, its decoded body and the script that applies."""

    request: Request
    service: str
    body: Json
    script: Any
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model that was asked for, in the body or in the path."""
        value = self.body.get("model") or self.body.get("model_id") or self.params.get("model", "")
        return value if isinstance(value, str) else ""


def json_reply(value: Any, charge: Charge, tokens: int = 0) -> Reply:
    """A whole JSON body that carries `tokens` of output."""
    return Reply((Send(orjson.dumps(value), tokens),), charge=charge)


def event(value: Any, tokens: int = 0, name: str = "") -> Send:
    """One server-sent event, named if the surface names its events."""
    prefix = f"event: {name}\n".encode() if name else b""
    return Send(b"".join((prefix, b"data: ", orjson.dumps(value), b"\n\n")), tokens)


def stream_reply(frames: list[Send], charge: Charge) -> Reply:
    """An event stream."""
    return Reply(tuple(frames), content_type=b"text/event-stream; charset=utf-8", charge=charge)
