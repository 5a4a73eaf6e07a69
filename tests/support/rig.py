"""A gateway before two scripted upstreams: what the tests of the API and of forwarding are played on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .app import Gateway, Reply, chat_body, running, unique, until
from .steps import Script, json_reply
from .upstream import ScriptedUpstream

KEY_A = "provider-canary-7f3a91"
KEY_B = "sk-provider-canary-b-55aa"
PRIVATE_MODEL = "upstream-private-a"
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": PRIVATE_MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hé"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}

CONFIG = """
version: 1
providers:
  a:
    type: openai_compatible
    base_url: "{a}/v1"
    api_key: {key_a}
    retry_attempts: 0
    breaker: false
    models:
      m: {{}}
      upstream-private-a: {{}}
      tuned: {{parameters: {{temperature: 0.25, seed: 7}}}}
  b:
    type: openai_compatible
    base_url: "{b}/v1"
    api_key: {key_b}
    retry_attempts: 0
    breaker: false
    models: [m, up-b]
  hasty:
    type: openai_compatible
    base_url: "{a}/v1"
    retry_attempts: 0
    breaker: false
    timeout: {{connect: 2, first_byte: 0.3, idle: 0.3}}
    models: [quick]
  again:
    type: openai_compatible
    base_url: "{a}/v1"
    retry_attempts: 2
    retry_delay: 0.01
    breaker: false
    models: [thrice]
  brief:
    type: openai_compatible
    base_url: "{a}/v1"
    retry_attempts: 5
    breaker: false
    retry_delay: 0.01
    timeout: {{first_byte: 5, idle: 5, total: 0.5}}
    models: [short]
  small:
    type: openai_compatible
    base_url: "{a}/v1"
    retry_attempts: 0
    batch_size: 2
    breaker: false
    models: [vectors]
  nowhere:
    type: openai_compatible
    base_url: "http://127.0.0.1:{closed}/v1"
    retry_attempts: 0
    breaker: false
    models: [gone]
  resting: {{type: openai_compatible, base_url: "{a}/v1", status: inactive, models: [asleep]}}
routes:
  - {{name: alias, match: {{model: alias}}, targets: [{{provider: a, model: upstream-private-a}}]}}
  - name: pair
    match: {{model: pair}}
    targets: [{{provider: a, model: upstream-private-a}}, {{provider: b, model: up-b}}]
  - name: gone-first
    match: {{model: gone-first}}
    targets: [{{provider: nowhere, model: gone}}, {{provider: b, model: up-b}}]
  - name: hasty-first
    match: {{model: hasty-first}}
    targets: [{{provider: hasty, model: quick}}, {{provider: b, model: up-b}}]
"""


@dataclass(slots=True)
class Rig:
    """The gateway, its upstreams, and what tests do with them most."""

    gateway: Gateway
    a: ScriptedUpstream
    b: ScriptedUpstream

    def answered(self, script: Script, model: str = "m", **fields: Any) -> Reply:
        """A chat completion whose first attempt the upstream answers so."""
        self.a.then(script)
        return self.gateway.chat(model, **fields)

    def sent(self, at: int = 0) -> bytes:
        """The body of a request as upstream `a` got it."""
        return self.a.received[at].body

    def fresh(self) -> Rig:
        """Nothing scripted, nothing received."""
        until(self.gateway.idle, "the end of the last test's requests")
        self.gateway.worker.board.forget()
        for upstream in (self.a, self.b):
            upstream._scripts.clear()
            upstream.received.clear()
            upstream.default = json_reply(COMPLETION)
        return self


@contextmanager
def rigged(extra: str = "", **settings: Any) -> Iterator[Rig]:
    """A rig; `extra` is added to its configuration."""
    with ScriptedUpstream() as a, ScriptedUpstream() as b, running_on(a, b, extra, **settings) as gateway:
        yield Rig(gateway, a, b)
        assert not a.errors
        assert not b.errors


@contextmanager
def running_on(a: ScriptedUpstream, b: ScriptedUpstream, extra: str, **settings: Any) -> Iterator[Gateway]:
    """A gateway with the rig's configuration."""
    config = CONFIG.format(a=a.base_url, b=b.base_url, key_a=KEY_A, key_b=KEY_B, closed=closed_port()) + extra
    with running(config, **settings) as gateway:
        yield gateway


def closed_port() -> int:
    """A loopback port on which nobody listens."""
    import socket  # noqa: PLC0415 - the one place that needs it

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def keys_config(*keys: str) -> str:
    """A `keys:` section; each entry is YAML in flow style without its braces."""
    return "keys:\n" + "".join(f"  - {{{key}}}\n" for key in keys)


def secret() -> str:
    """A virtual key's secret."""
    return unique("gw-test-secret") + "-0123456789abcdef"


def chunk(content: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat stream."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": PRIVATE_MODEL,
        "choices": [choice],
        **more,
    }


USAGE_CHUNK: dict[str, Any] = {
    **chunk(),
    "choices": [],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}

__all__ = [
    "COMPLETION",
    "KEY_A",
    "KEY_B",
    "PRIVATE_MODEL",
    "USAGE_CHUNK",
    "Rig",
    "chat_body",
    "chunk",
    "closed_port",
    "keys_config",
    "rigged",
    "secret",
]
