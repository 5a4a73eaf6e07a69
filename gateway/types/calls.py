"""What a client asks for, and what answering it used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

Headers = Sequence[tuple[bytes, bytes]]
"""Header pairs with lower-case names, as ASGI has them."""


class Service(StrEnum):
    """The kinds of work a deployment can do; also the word in a route's `match.service`."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MODERATIONS = "moderations"
    IMAGES = "images"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    RERANK = "rerank"


class Surface(StrEnum):
    """The API that a conversation with a model uses: OpenAI's chat completions or Responses, or Anthropic's Messages.
    Also the words of a model's `api` in the configuration."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"


class Body(Protocol):
    """A request body that can be sent more than once. `size` is None while it is not known."""

    @property
    def size(self) -> int | None: ...

    def parts(self) -> Sequence[bytes] | None:
        """Every part, or None while some have not arrived yet."""
        ...

    def stream(self) -> AsyncIterator[bytes]:
        """The parts in order, from the first one, waiting for those that have not arrived."""
        ...

    def renamed(self, model: str) -> Body:
        """The same body with another model name in its form."""
        ...


@runtime_checkable
class Form(Protocol):
    """A body that is a multipart form, of which some fields are read while it arrives."""

    def field(self, name: str) -> str | None:
        """The value of this field; None if the form has none, or while it has not arrived."""
        ...


NO_NEEDS: frozenset[str] = frozenset()


class Call(msgspec.Struct, eq=False):
    """One request of a client, with the few fields of its body that decisions need."""

    id: str
    """Ours, unique; ledger rows are keyed by it."""
    request_id: str
    """What `x-request-id` says; a client may have chosen it."""
    service: Service
    path: str
    """Below the version segment, as the provider gets it: `/chat/completions`."""
    model: str
    """The name the client asked for."""
    raw: bytes
    """The whole JSON body; empty when `upload` carries it."""
    started: float
    """Monotonic seconds."""
    stream: bool = False
    include_usage: bool = False
    """The client asked for a usage chunk at the end of its stream."""
    has_stream_options: bool = False
    """Its body has that member, be it `null`."""
    max_tokens: int | None = None
    output_cap: int | None = None
    """Output tokens of each choice that we cut a call off at whose caller set no `max_tokens`."""
    choices: int = 1
    user: str | None = None
    input_tokens: int = 0
    """Estimated before the call."""
    encoding_format: str | None = None
    inputs: int = 1
    """How many inputs an embeddings call carries, or documents a rerank call."""
    pinned: str | None = None
    """The provider that `/providers/{name}/v1` pins."""
    content_type: bytes = b"application/json"
    upload: Body | None = None
    """A multipart body, passed on as it arrives."""
    model_span: tuple[int, int] | None = None
    """Where the model's JSON string (with its quotes) stands in `raw`, or its text in a multipart body."""
    forwarded: Headers = ()
    """Client headers on the allow-list."""
    headers: Mapping[bytes, bytes] = msgspec.field(default_factory=dict)
    """Every header of the client; for rules that match on them, never for forwarding."""
    needs: frozenset[str] = NO_NEEDS
    """Capabilities that a deployment must have for this; looked for only where some route or deployment names any."""
    allowed: float | None = None
    """Seconds that the client allows for the whole answer."""
    patience: float | None = None
    """Seconds after which its SDK gives up unless the answer has begun."""

    def __repr__(self) -> str:
        # Not the fields: they hold the prompt and the client's credential.
        return f"<Call {self.id} {self.service} {self.model}>"


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What one attempt used, tokens for the most part. Cached and cache-written input is included in `input_tokens`,
    reasoning in `output_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    """Included in `input_tokens`."""
    audio_output_tokens: int = 0
    """Included in `output_tokens`."""
    units: float = 0.0
    """What the service is sold by where that is not tokens: images, seconds of audio, characters, searches."""
    cache_write_1h_tokens: int = 0
    """Included in `cache_write_tokens`: what is kept for an hour, not for five minutes."""
    requests: int = 1
    """How many the provider got: a call of many inputs is split."""
    service_tier: str = ""
    """The tier of service that the provider said it served the call at; empty for the ordinary one, and where it said
    none."""
    searches: int = 0
    """How many the provider said it ran for the answer."""

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


class TokenSource(StrEnum):
    """Where a token count came from."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    PARTIAL = "partial"
