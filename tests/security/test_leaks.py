"""Secrets in answers, logs and metrics."""

from __future__ import annotations

import pytest

from tests.security.carriers import carried
from tests.support.rig import KEY_A, KEY_B, Rig
from tests.support.steps import Script, json_reply, send, sse, status

# ---- Bifrost #3954, CVE-2024-9606, CVE-2025-0330: secrets in answers, logs and metrics


def _leaky(code: int) -> Script:
    """An upstream that repeats what it was sent, and more, wherever it can."""
    text = {
        "error": {"message": f"Bad key {KEY_A} for http://10.0.0.7/v1", "type": KEY_A, "param": KEY_A, "code": KEY_A}
    }
    headers = [("set-cookie", f"s={KEY_A}"), ("x-api-key", KEY_A), ("www-authenticate", KEY_A), ("server", KEY_A)]
    return json_reply(text, code, headers)


LEAKS: dict[str, Script] = {
    **{f"status {code}": _leaky(code) for code in (400, 401, 403, 404, 409, 422, 429, 500, 503, 529)},
    "no JSON": status(200, KEY_A.encode(), [("content-type", "text/plain")]),
    "a broken head": [send(f"HTTP/1.1 {KEY_A}\r\n\r\n".encode())],
    "an error in a 200": json_reply({"error": {"message": KEY_A, "code": KEY_A}}),
    "an error in a stream": sse([{"error": {"message": KEY_A, "type": KEY_A}}]),
}


@pytest.mark.parametrize("name", LEAKS)
def test_no_secret_comes_back(rig: Rig, token: str, name: str) -> None:
    """The provider's credential, even when the provider itself repeats it, stands in no answer, log line or metric."""
    for model in ("upstream-private-a", "pair"):
        rig.a.then(LEAKS[name])
        reply = rig.gateway.chat(model, [carried("bearer", token)], stream=name.endswith("stream"))
        text = reply.head.decode() + reply.body.decode()
        assert KEY_A not in text, (name, model)
        assert "10.0.0.7" not in text, (name, model)
    told = (
        rig.gateway.log_file.read_text()
        + rig.gateway.get("/metrics").body.decode()
        + rig.gateway.get("/readyz").body.decode()
    )
    for canary in (KEY_A, KEY_B, token):
        assert canary not in told
