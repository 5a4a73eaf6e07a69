"""From a JSON body to a Call: the few fields that decisions need are decoded, the bytes stay as they are."""

from __future__ import annotations

import codecs
import re
from typing import TypeVar

import msgspec

from gateway.errors import InvalidJson, InvalidRequest
from gateway.providers.wire.jsonscan import MAX_DEPTH, MAX_NESTED, members, model_spans, too_nested
from gateway.types import Service

MAX_MODEL = 256
MAX_COUNT = 2**31
_PIECE = 1 << 18
F = TypeVar("F", bound="Fields")
_UTF8 = codecs.getincrementaldecoder("utf-8")


class StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


_ABSENT = msgspec.Raw()


class _Metadata(msgspec.Struct, gc=False):
    user_id: msgspec.Raw = msgspec.Raw()


class Fields(msgspec.Struct, gc=False):
    """What is read of a request; every other field is the provider's business."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | msgspec.UnsetType | None = msgspec.UNSET
    """Told apart from `null`: a member that is there has to be replaced, not added."""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    """As it came: its shape is the provider's business."""

    @property
    def end_user(self) -> str | None:
        """The caller's own user: `safety_identifier`, else `user`, else `metadata.user_id` if that is text."""
        return self.safety_identifier or self.user or (_user_id(self.metadata) if self.metadata else None)

    def cap(self, service: Service) -> int | None:
        """The output tokens that the caller allows, in the field that this service goes by; others cap nothing."""
        if service is Service.RESPONSES:
            return self.max_output_tokens
        if self.max_completion_tokens is None or service is not Service.CHAT:
            return self.max_tokens
        return max(self.max_completion_tokens, self.max_tokens or 0)


class WishFields(Fields, gc=False):
    """With what says which capabilities a request asks for; decoded only where something goes by them."""

    tools: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT
    response_format: msgspec.Raw = _ABSENT
    text: msgspec.Raw = _ABSENT
    messages: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    modalities: msgspec.Raw = _ABSENT


class EmbeddingFields(Fields, gc=False):
    input: msgspec.Raw = msgspec.Raw(b"null")
    encoding_format: str | None = None


class RerankFields(Fields, gc=False):
    documents: msgspec.Raw = msgspec.Raw(b"null")


class CompletionFields(Fields, gc=False):
    prompt: msgspec.Raw = msgspec.Raw(b"null")
    best_of: int | None = None

    @property
    def answers(self) -> int:
        """How many the provider makes, and charges for: of each prompt as many as it picks the best from."""
        return max(self.n or 1, self.best_of or 1) * max(1, inputs_of(bytes(self.prompt)))


_FIELDS = msgspec.json.Decoder(Fields)
_WISHES = msgspec.json.Decoder(WishFields)
_METADATA = msgspec.json.Decoder(_Metadata)
_TEXT = msgspec.json.Decoder(str)
_COMPLETIONS = msgspec.json.Decoder(CompletionFields)
_RERANKS = msgspec.json.Decoder(RerankFields)
_EMBEDDINGS = msgspec.json.Decoder(EmbeddingFields)
# msgspec: "Expected `bool`, got `str` - at `$.stream`"
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_PLACE = re.compile(r"Expected `([^`]*)`(?:, got `([^`]*)`)?.*?`\$\.([\w.\[\]]+)`")


def decode_fields(raw: bytes) -> Fields:
    """The fields of a JSON object. Raises InvalidJson, InvalidRequest with `param`."""
    return decode_with(_FIELDS, raw)


def decode_wishes(raw: bytes) -> WishFields:
    """As `decode_fields`, with what says which capabilities are needed."""
    return decode_with(_WISHES, raw)


def decode_completion_fields(raw: bytes) -> CompletionFields:
    """As `decode_fields`, with what says how many answers are made."""
    fields = decode_with(_COMPLETIONS, raw)
    if fields.best_of is not None:
        _check_count(fields.best_of, "best_of")
    return fields


def decode_embedding_fields(raw: bytes) -> EmbeddingFields:
    """As `decode_fields`, with the inputs."""
    return decode_with(_EMBEDDINGS, raw)


def decode_rerank_fields(raw: bytes) -> RerankFields:
    """As `decode_fields`, with the documents."""
    return decode_with(_RERANKS, raw)


def decode_with(decoder: msgspec.json.Decoder[F], raw: bytes) -> F:
    """As `decode_fields`, by another decoder."""
    if too_nested(raw):
        raise InvalidRequest(
            f"The body nests arrays and objects deeper than {MAX_DEPTH} levels, or has more than {MAX_NESTED} of them."
        )
    try:
        # The decoder looks only into the fields that it reads.
        if not raw.isascii():
            _check_utf8(raw)
        fields = decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _type_error(str(error)) from None
    except msgspec.DecodeError as error:
        raise InvalidJson.because(_in_short(error)) from None
    except (UnicodeDecodeError, RecursionError):
        raise InvalidJson from None
    if fields.n is not None:
        _check_count(fields.n, "n")
    if fields.max_tokens is not None:
        _check_count(fields.max_tokens, "max_tokens")
    if fields.max_completion_tokens is not None:
        _check_count(fields.max_completion_tokens, "max_completion_tokens")
    if fields.max_output_tokens is not None:
        _check_count(fields.max_output_tokens, "max_output_tokens")
    return fields


def _in_short(error: msgspec.DecodeError) -> str:
    """What the decoder says of a text that is no JSON. It quotes nothing of it."""
    said = str(error).removeprefix("JSON is malformed: ")
    return "it ends too early" if "truncated" in said else said


def _user_id(metadata: msgspec.Raw) -> str | None:
    """Its `user_id`; None when there is none, or when either is of another type than expected."""
    try:
        return _TEXT.decode(_METADATA.decode(metadata).user_id) or None
    except msgspec.DecodeError:
        return None


def _check_count(value: int, name: str) -> None:
    if not 0 <= value < MAX_COUNT:
        raise InvalidRequest(f"`{name}` is out of range.", param=name)


def _check_utf8(raw: bytes) -> None:
    """Raises UnicodeDecodeError. In pieces: a text takes up to four times its bytes."""
    decoder = _UTF8()
    for start in range(0, len(raw), _PIECE):
        decoder.decode(raw[start : start + _PIECE])
    decoder.decode(b"", final=True)


def _type_error(text: str) -> InvalidRequest | InvalidJson:
    place = _PLACE.search(text)
    if place is None:
        return InvalidJson("The body must be one JSON object.")
    expected, got, path = place.groups()
    expected = (
        expected.replace(" | null", "").replace("str", "string").replace("bool", "boolean").replace("int", "integer")
    )
    what = f", not {got.replace('str', 'string').replace('int', 'integer')}" if got else ""
    return InvalidRequest(f"Invalid type for `{path}`: expected {expected}{what}.", param=path)


def model_of(raw: bytes, fields: Fields, default: str | None) -> tuple[str, tuple[int, int] | None]:
    """The model's name and where it stands in `raw`. Raises InvalidRequest when it is missing, empty or there twice."""
    spans = model_spans(raw)
    if len(spans) > 1:
        raise InvalidRequest("The body has more than one `model`.", param="model")
    if fields.model is None:
        # A single find may be a nested key of that name; only a member of the body itself is the model.
        nulls = [member for member in members(raw) if member.key.lower() == "model"]
        if default is None or len(nulls) > 1 or any(member.key != "model" for member in nulls):
            raise InvalidRequest("You must provide a `model` parameter.", param="model")
        if nulls:
            # `"model": null` leaves the choice to the path: clients of Azure deployments send it.
            return default, (nulls[0].start, nulls[0].end)
        return default, None
    check_model_name(fields.model)
    return fields.model, spans[0] if spans else None


def check_model_name(name: str) -> None:
    """Raises InvalidRequest for names that no provider has."""
    if not name or len(name) > MAX_MODEL or not name.isprintable():
        raise InvalidRequest(f"`model` must be 1 to {MAX_MODEL} printable characters.", param="model")


def documents_of(raw: bytes) -> int:
    """How many documents a rerank call carries; what is no list is one."""
    return max(1, len(_LIST.decode(raw))) if raw[:1] == b"[" else 1


def inputs_of(raw: bytes) -> int:
    """How many inputs a call carries: a list of texts or of token lists counts its items, all else is one."""
    text = raw.lstrip()
    if text[:1] != b"[":
        return 1
    items = _LIST.decode(raw)
    if items and bytes(items[0])[:1] in (b'"', b"["):
        return len(items)
    return 1
