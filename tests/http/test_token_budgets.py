"""Hard quotas of tokens, on a gateway before providers that count as many tokens as a call can have."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.app import Client, Reply, chat_body, unique
from tests.support.gateway import GatewayProcess
from tests.support.rig import COMPLETION, keys_config, secret
from tests.support.served import up
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

AT_ONCE = 20
KEYS = {"chats": 3000, "images": 200_000, "sounds": 1000, "free": 0}
__all__ = ["up"]
CONFIG = """
version: 1
providers:
  open: {{type: openai_compatible, base_url: "{up}/v1", retry_attempts: 0, breaker: false, models: [m]}}
  {bound}: {{type: openai_compatible, base_url: "{up}/v1", retry_attempts: 0, breaker: false, models: [own]}}
{keys}
limits:
  - {{name: {bound}-tokens, scope: provider, only: {bound}, quotas: [{{period: total, tokens: 3000}}]}}
"""
SECRETS = {name: secret() for name in KEYS}
BOUNDARY = "form-boundary-7"
SOUND = 40_000
"""Bytes: ten seconds of the smallest recording."""


@pytest.fixture(scope="module")
def gateway(up: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    keys = [
        f"name: {unique(name)}, secret: {SECRETS[name]}"
        + (f", quotas: [{{period: total, tokens: {amount}}}]" if amount else "")
        for name, amount in KEYS.items()
    ]
    config = CONFIG.format(up=up.base_url, bound=unique("bound"), keys=keys_config(*keys))
    with GatewayProcess(config, tmp_path_factory.mktemp("budgets"), workers=2) as found:
        yield found


def at_once(gateway: GatewayProcess, key: str, path: str, body: Any, kind: str = "application/json") -> list[Reply]:
    """The same call, by twenty clients at the same time; nothing but quotas of tokens refuses any."""

    def one(_: int) -> Reply:
        with Client(int(gateway.base_url.rpartition(":")[2])) as client:
            client.post(path, body, [("authorization", f"Bearer {SECRETS[key]}"), ("content-type", kind)])
            return client.reply()

    with ThreadPoolExecutor(AT_ONCE) as clients:
        replies = list(clients.map(one, range(AT_ONCE)))
    assert {reply.status for reply in replies} <= {200, 429}
    return replies


@pytest.mark.parametrize(("key", "model"), [("chats", "m"), ("free", "own")], ids=["of the key", "of the provider"])
def test_text_of_a_token_a_byte(gateway: GatewayProcess, up: ScriptedUpstream, key: str, model: str) -> None:
    """What may be a token a byte is counted so beforehand: what is admitted at once stays within the amount."""
    up.default = json_reply({**COMPLETION, "usage": {"prompt_tokens": 2000, "completion_tokens": 10}})
    before = len(up.received)
    body = chat_body(model, messages=[{"role": "user", "content": "7" * 2000}], max_tokens=10)
    replies = at_once(gateway, key, "/v1/chat/completions", body)
    assert [reply.status for reply in replies].count(200) == len(up.received) - before == 3000 // 2010


def test_images_that_are_sold_by_tokens(gateway: GatewayProcess, up: ScriptedUpstream) -> None:
    """Each image that is asked for may be as many tokens as the dearest one is."""
    up.default = json_reply({"created": 1, "data": [{"url": "x"}] * 10, "usage": {"output_tokens": 10 * 8000}})
    before = len(up.received)
    replies = at_once(gateway, "images", "/v1/images/generations", {"model": "m", "prompt": "a cat", "n": 10})
    assert [reply.status for reply in replies].count(200) == len(up.received) - before == 2


def test_uploads_whose_tokens_nobody_sees_beforehand(gateway: GatewayProcess, up: ScriptedUpstream) -> None:
    """What is to be heard counts by how long it can be."""
    up.default = json_reply({"text": "hm", "usage": {"type": "tokens", "input_tokens": 250, "output_tokens": 100}})
    parts = (('name="model"', b"m"), ('name="file"; filename="a.mp3"', b"x" * SOUND))
    form = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    before = len(up.received)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    replies = at_once(gateway, "sounds", "/v1/audio/transcriptions", form + f"--{BOUNDARY}--\r\n".encode(), kind)
    assert [reply.status for reply in replies].count(200) == len(up.received) - before == 2
