"""`/v2/audio/transcriptions`: OpenAI's form as it came, and the text alone."""

from __future__ import annotations

import msgspec

from gateway.errors import InvalidRequest
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.types import Body, Call, Deployment, Form

PATH = "/audio/transcriptions"


class _Reply(msgspec.Struct, gc=False):
    text: str


_REPLY = msgspec.json.Decoder(_Reply)


def form_of(call: Call, deployment: Deployment, losses: Losses) -> Body:
    """The client's form, which may still be arriving. Raises InvalidRequest for what the API does not have; of fields
    behind the file Cohere is the judge."""
    if call.path != PATH:
        raise losses.content("file", "sound to translate", "Use /v1/audio/transcriptions.")
    if call.stream:
        raise losses.content("stream", "transcripts in pieces", "Leave `stream` out.")
    if call.upload is None:
        raise InvalidRequest("A form with a `file` is needed.", param="file")
    if isinstance(call.upload, Form) and call.upload.field("response_format") not in (None, "json"):
        losses.parameter("response_format", "It answers with json alone.")
    return call.upload.renamed(deployment.model)


def read(body: bytes) -> DecodedReply:
    """May raise what decoding raises."""
    return DecodedReply(msgspec.json.encode(_REPLY.decode(body)), b"application/json")
