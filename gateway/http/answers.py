"""What stands around an answer: how it came about, in headers."""

from __future__ import annotations

from functools import lru_cache

from gateway.errors import BodyTooLarge, GatewayError, SlowUpload
from gateway.http.cycle import Cycle, Pairs, header_lines
from gateway.http.errors import error_headers
from gateway.http.routes import ANTHROPIC_ENDPOINTS
from gateway.http.shapes import ANTHROPIC, shape_of
from gateway.pipeline import Exchange
from gateway.types import Deployment
from gateway.upstream.forward import Answer

_JSON = (b"content-type", b"application/json")
_SOURCE = b"x-gateway-token-source"
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
    if exchange.call is not None and exchange.call.path in ANTHROPIC_ENDPOINTS:
        pairs = [*pairs, *ANTHROPIC.headers(exchange.request_id, pairs)]
    return lines + _OWN % own, pairs


def counted(exchange: Exchange, answer: Answer | None, expected: int) -> tuple[bytes, Pairs, bytes]:
    """Header lines, header pairs and body of an answer that tells how many tokens a request has: the provider's, or our
    estimate, which it says it is."""
    if answer is not None:
        lines, pairs = about(exchange, answer)
        return lines, [*pairs, (_SOURCE, b"provider")], answer.body or b""
    pairs = [
        _JSON,
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-gateway-revision", exchange.revision.encode()),
        (_SOURCE, b"estimated"),
    ]
    if exchange.reservation is not None:
        pairs += exchange.reservation.headers
    pairs += ANTHROPIC.headers(exchange.request_id, pairs)
    return b"", pairs, b'{"input_tokens":%d}' % expected


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
    shape = shape_of(cycle.path, cycle.headers)
    status, body = shape.status(error), shape.body(error, request_id)
    pairs = [
        _JSON,
        (b"x-request-id", request_id.encode()),
        (b"x-gateway-revision", revision.encode()),
        *error_headers(error),
    ]
    if exchange is not None:
        pairs.append((b"x-gateway-attempts", b"%d" % exchange.progress.attempts))
        if exchange.plan is not None:
            pairs.append((b"x-gateway-route", exchange.plan.route.encode()))
        if exchange.reservation is not None:
            pairs += exchange.reservation.headers
    pairs += shape.headers(request_id, pairs)
    if isinstance(error, BodyTooLarge):
        cycle.keep_alive = False
        cycle.begin(status, [*pairs, (b"content-length", b"%d" % len(body))])
        cycle.push(body)
        return
    if isinstance(error, SlowUpload):
        cycle.keep_alive = False
    cycle.reply(status, pairs, body)
