"""The walk through the admin API in docs/admin.md, as it stands there, against a gateway in processes of its own."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import GatewayProcess, Got, eventually, mock_process

PAGE = Path(__file__).parents[3] / "docs" / "admin.md"
_BLOCK = re.compile(r"^```(http|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"\$([a-z]+)")
KEY = "gwa-walk-0123456789abcdef0123456789abcdef"
FILE = "version: 1\nproviders: {mock: {type: mock, models: [mock-small]}}\n"


def blocks() -> Iterator[tuple[str, str]]:
    """Requests and snippets in their order."""
    for found in _BLOCK.finditer(PAGE.read_text()):
        yield found[1], found[2]


class Walk:
    """What is known on the way."""

    def __init__(self, gateway: GatewayProcess, mock: str) -> None:
        self._gateway = gateway
        self._mock = mock
        self.values: dict[str, str] = {}

    def filled(self, text: str) -> str:
        """With the addresses of this test and the values from answers."""
        text = text.replace("http://127.0.0.1:9000/v1", self._mock).replace(
            "http://127.0.0.1:8080", self._gateway.base_url
        )
        return _NAME.sub(lambda place: self.values[place[1]], text)

    def ask(self, block: str) -> None:
        """One request; what is read may take a moment to be so."""
        asked, _, expected = block.strip().partition("\n\n")
        head, _, body = self.filled(asked).partition("\n")
        method, path = head.split(" ")
        status, _, wanted = expected.partition(" ")

        def answered() -> bool:
            got = self.send(method, path, body)
            last.append(f"{got.status} {got.body.decode()}")
            return got.status == int(status) and self.holds(json.loads(wanted), json.loads(got.body or b"null"))

        last: list[str] = []
        try:
            eventually(answered, f"{head}: {expected}", 20 if method == "GET" else 0.01)
        except AssertionError as error:
            raise AssertionError(f"{head}\nexpected {expected}\ngot {last[-1]}") from error

    def call_beside(self) -> None:
        """Calls under the admin API's paths take virtual keys, and the admin key opens nothing there."""
        chat = json.dumps({"model": "fast", "messages": [{"role": "user", "content": "Hello"}], "stream": False})
        for mount in ("/api/admin", "/api"):
            got = self.send("POST", f"{mount}/providers/chat", chat, self.values["secret"])
            assert (got.status, json.loads(got.body)["object"]) == (200, "chat.completion"), got.body
            refused = self.send("POST", f"{mount}/providers/embeddings", chat)
            assert (refused.status, json.loads(refused.body)["error"]["code"]) == (401, "invalid_api_key")

    def send(self, method: str, path: str, body: str, key: str = KEY) -> Got:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(self._gateway.base_url + path, body.encode() or None, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as reply:
                return Got(reply.status, {}, reply.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return Got(refused.code, {}, refused.read())

    def holds(self, wanted: Any, found: Any) -> bool:
        """Whether the answer says all of this; names take what stands in their place."""
        if isinstance(wanted, str) and (name := _NAME.fullmatch(wanted)) is not None:
            self.values[name[1]] = found
            return isinstance(found, str)
        if isinstance(wanted, dict):
            return isinstance(found, dict) and all(
                name in found and self.holds(value, found[name]) for name, value in wanted.items()
            )
        if isinstance(wanted, list):
            return isinstance(found, list) and len(wanted) == len(found) and all(map(self.holds, wanted, found))
        return bool(wanted == found)


@pytest.mark.slow
def test_the_walk_in_the_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Provider, credential, test, models, rule, key, a call with OpenAI's SDK, usage, health, audit, revisions: every
    request in the page gets the answer that stands beside it."""
    env = {"GATEWAY_ADMIN_API": "true", "GATEWAY_ADMIN_KEY": KEY, "GATEWAY_PRIVATE_NETWORKS": "127.0.0.0/8"}
    with mock_process() as mock, GatewayProcess(FILE, tmp_path, env=env) as gateway:
        walk = Walk(gateway, mock.url)
        eventually(lambda: walk.send("GET", "/api/admin/keys", "").status == 200, "the administrator", 30)
        for kind, block in blocks():
            if kind == "http":
                walk.ask(block)
            else:
                exec(compile(f"{walk.filled(block)}\nclient.close()\n", "docs/admin.md", "exec"), {})
                assert "Hello" in capsys.readouterr().out
                walk.call_beside()
        for secret in ("sk-acme-0123456789abcdef", "sk-acme-fedcba9876543210", walk.values["secret"]):
            assert secret not in gateway.stderr()
            for path in tmp_path.rglob("*"):
                assert not path.is_file() or path.is_socket() or secret.encode() not in path.read_bytes(), path
