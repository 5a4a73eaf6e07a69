"""The client's mistakes: never retried by us."""

from __future__ import annotations

import logging
from typing import ClassVar, Self

from gateway.errors.base import GatewayError

MAX_SHOWN = 256
"""Characters of a client's own text that an error repeats."""


class ClientError(GatewayError):
    """The request cannot be served as it is; sending it again changes nothing."""

    status = 400
    type = "invalid_request_error"
    code: ClassVar[str | None] = None
    message = "The request is invalid."
    should_retry = False
    log_level = logging.INFO


class InvalidRequest(ClientError):
    """A field is missing, of the wrong type, or not allowed; `param` names it."""

    @property
    def reason(self) -> str:
        return "invalid_request"


class MalformedRequest(ClientError):
    """What came is no HTTP, or breaks its framing: the connection ends."""

    message = "The request is not valid HTTP."

    @property
    def reason(self) -> str:
        return "malformed"


class InvalidJson(ClientError):
    """The body is not JSON, or not a JSON object."""

    code = "invalid_json"
    message = "The body could not be parsed as JSON. Send one JSON object, encoded as UTF-8."

    @classmethod
    def because(cls, why: str) -> Self:
        """The error that says what is wrong, and where."""
        return cls(cls.message.replace(".", f": {why}.", 1))


class BodyTooLarge(ClientError):
    """The body exceeds `GATEWAY_MAX_BODY_BYTES`."""

    status = 413
    code = "request_too_large"
    message = "The request body is larger than this gateway accepts."


class UnsupportedMedia(ClientError):
    """The content type or content encoding is not accepted on this path."""

    status = 415
    code = "unsupported_media_type"
    message = "This path does not accept the given content type."


class SlowUpload(ClientError):
    """The body came too slowly or stopped coming."""

    status = 408
    code = "request_timeout"
    message = "The request body did not arrive in time."
    should_retry = True


class UnknownPath(ClientError):
    """No endpoint has this path."""

    status = 404
    code = "unknown_url"
    message = "Unknown request URL. Check the path against the API reference."


class MethodNotAllowed(ClientError):
    """The path exists, the method does not; `allow` lists those that do."""

    status = 405
    code = "method_not_supported"
    message = "This method is not allowed on this path."

    def __init__(self, message: str | None = None, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class InvalidApiKey(ClientError):
    """No credential, or none we know."""

    status = 401
    code = "invalid_api_key"
    message = (
        "Incorrect API key provided. Send a key of this gateway as `Authorization: Bearer`, `x-api-key` or `api-key`."
    )


class KeyExpired(InvalidApiKey):
    """The key was ours, and its time is over."""

    message = "This API key has expired. Ask the operator of this gateway for a new one."

    @property
    def reason(self) -> str:
        return "key_expired"


class KeyRevoked(InvalidApiKey):
    """The key was ours and was revoked; also how its open streams end."""

    message = "This API key has been revoked. Ask the operator of this gateway for a new one."

    @property
    def reason(self) -> str:
        return "key_revoked"


class ForbiddenHost(ClientError):
    """Open mode was reached through a foreign Host or Origin."""

    status = 403
    type = "permission_error"
    code = "forbidden_host"
    message = (
        "Without configured keys this gateway serves loopback names only. "
        "Use http://127.0.0.1 or http://localhost, or configure keys."
    )


class ModelAccessDenied(ClientError):
    """The key's `models` list does not hold this model."""

    status = 403
    type = "permission_error"
    code = "model_access_denied"
    message = "This key may not use the requested model."


class ModelNotFound(ClientError):
    """No route and no provider has this model."""

    status = 404
    code = "model_not_found"
    message = (
        "The model does not exist or no configured provider serves it. `GET /v1/models` lists those this key may use."
    )

    @classmethod
    def called(cls, name: str) -> Self:
        """The error that says which, where it is a name that could be one."""
        which = f"model `{name}`" if name.isprintable() and len(name) <= MAX_SHOWN else "model"
        return cls(cls.message.replace("model", which, 1), param="model")


class MissingCapability(ClientError):
    """Every deployment of the model declares what it can do, and none can do this."""

    code = "capability_not_supported"
    message = "No deployment of this model has what this request needs."


class ContextTooLong(ClientError):
    """The request is larger than the context window of every deployment of the model."""

    code = "context_length_exceeded"
    message = "This request is larger than the model's context window. Shorten the input or lower `max_tokens`."


class RequestExceedsLimit(ClientError):
    """The request alone is larger than a whole bucket: waiting cannot help."""

    code = "request_exceeds_limit"
    message = "This request alone is larger than the limit allows. Lower max_tokens or shorten the input."


class UnpricedModel(ClientError):
    """A budget must be kept and no price is known: what is unknown is never free."""

    code = "unpriced_model"
    message = (
        "No price is known for this model, and this key has a budget to keep. "
        "Use another model, or ask the operator to set `price` or the budget's `unpriced: allow`."
    )
