"""What stands around an answer: how it came about, in headers."""

from __future__ import annotations

from functools import lru_cache

from gateway.errors import BodyTooLarge, GatewayError, SlowUpload
from gateway.http.cycle import Cycle, Pairs, header_lines
from gateway.http.errors import error_body, error_headers
from gateway.pipeline import Exchange
from gateway.types import Deployment
from gateway.upstream.forward import Answer

_JSON = (b"content-type", b"application/json")
_OWN = b"x-request-id: %b\r\nx-gateway-attempts: %d\r\nx-gateway-overhead-ms: %.2f\r\n"


def about(exchange: Exchange, answer: Answer) -> tuple[bytes, Pairs]:
    """The headers of a good answer: lines that are sound by their making, and pairs still to be looked at."""
    route = "" if exchange.plan is None else exchange.plan.route
    lines = _served_by(answer.deployment, answer.content_type, exchange.revision, route)
    # A request id is either ours or was found to be sane.
    own = (exchange.request_id.encode(), exchange.progress.attempts, (exchange.overhead or 0.0) * 1000)
    pairs = answer.headers
    if exchange.reservation is not None:
        limits = exchange.reservation.headers
        pairs = [*pairs, *limits] if pairs else limits
    return lines + _OWN % own, pairs


@lru_cache(maxsize=1024)
def _served_by(deployment: Deployment, content_type: bytes, revision: str, route: str) -> bytes:
    """The lines that all answers of a deployment to a route's calls share."""
    return header_lines(
        (
            (b"content-type", content_type),
            (b"x-gateway-revision", revision.encode()),
            (b"x-gateway-route", route.encode()),
            (b"x-gateway-provider", deployment.provider.name.encode()),
            (b"x-gateway-model", deployment.model.encode()),
        )
    )


def answer_error(
    cycle: Cycle, error: GatewayError, request_id: str, revision: str, exchange: Exchange | None = None
) -> None:
    """Answer with an error. After one about the body the connection is closed, at the latest when the client has ended
    what it was sending: the rest of the body is not wanted."""
    pairs = [
        _JSON,
        (b"x-request-id", request_id.encode()),
        (b"x-gateway-revision", revision.encode()),
        *error_headers(error),
    ]
    if exchange is not None:
        pairs.append((b"x-gateway-attempts", b"%d" % exchange.progress.attempts))
        if exchange.reservation is not None:
            pairs += exchange.reservation.headers
    if isinstance(error, BodyTooLarge):
        cycle.keep_alive = False
        body = error_body(error)
        cycle.begin(error.public_status, [*pairs, (b"content-length", b"%d" % len(body))])
        cycle.push(body)
        return
    if isinstance(error, SlowUpload):
        cycle.keep_alive = False
    cycle.reply(error.public_status, pairs, error_body(error))
