"""A gateway in a network of its own whose names turn from public to private: `python -m tests.security.rebinding DIR`.

Runs as root of new user, mount and network namespaces (`unshare -rmn`): the system's resolver asks the DNS server that
stands here, a public address is this machine's, and behind every private one a canary counts who connects. Prints what
came of every way by which the gateway connects to what somebody wrote, as JSON.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn

from gateway.http.mock_server import MockApp, create_mock_app
from tests.support.gateway import GatewayProcess, eventually
from tests.support.names import NameServer

PUBLIC = "93.184.215.14"
PRIVATE = ("127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00::7", "::ffff:127.0.0.1")
PORT = 80
KEY = "gw-rebinding-0123456789abcdef0123456789abcdef"
ADMIN_KEY = "gwa-rebinding-0123456789abcdef0123456789abcdef"
PICTURE = "http://pictures.test/cat.png"
CONFIG = f"""
version: 1
providers:
  fetching:
    type: openai_compatible
    base_url: http://steady.test/v1
    fetch_media: true
    models: [mock-small]
keys: [{{name: caller, secret: {KEY}, quotas: [{{period: day, requests: 1000, soft: 0.001}}]}}]
alerts: {{webhook: "http://hook.test/alerts"}}
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def own_network(directory: Path) -> None:
    """The addresses are this machine's, and its resolver asks 127.0.0.1."""
    run("ip", "link", "set", "lo", "up")
    for address in {PUBLIC, *PRIVATE} - {"127.0.0.1", "::1", "::ffff:127.0.0.1"}:
        run("ip", "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")
    names = directory / "resolv.conf"
    names.write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    run("mount", "--bind", str(names), "/etc/resolv.conf")


class Canaries:
    """Who connects to a private address; each connection is closed at once."""

    def __init__(self) -> None:
        self.connections: list[str] = []
        for address in PRIVATE:
            if not address.startswith("::ffff:"):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = socket.socket(family)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, PORT))
                listener.listen()
                threading.Thread(target=self._count, args=(listener, address), daemon=True).start()

    def _count(self, listener: socket.socket, address: str) -> None:
        while True:
            listener.accept()[0].close()
            self.connections.append(address)

    def sing(self) -> None:
        """They would notice. Raises AssertionError if they do not."""
        for address in PRIVATE:
            socket.create_connection((address, PORT), 2).close()
        eventually(lambda: len(self.connections) == len(PRIVATE), "every canary")
        self.connections.clear()


@contextmanager
def public_provider() -> Iterator[MockApp]:
    """The scripted provider at the public address. It keeps no connection: each call resolves anew."""
    app = create_mock_app()
    settings = uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=0, timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)
    with socket.socket() as listener:
        listener.bind((PUBLIC, PORT))
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        eventually(lambda: server.started, "the provider")
        yield app
        server.should_exit = True
        thread.join(10)


class Scene:
    """The gateway, and the names that it believes."""

    def __init__(self, gateway: GatewayProcess, names: NameServer) -> None:
        self.gateway = gateway
        self.names = names

    def ask(self, path: str, body: Any, key: str = ADMIN_KEY) -> tuple[int, Any]:
        """POST; status and answer."""
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(self.gateway.base_url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def provider(self, name: str) -> str:
        """A provider of the database at this name, with a credential and a model."""
        fields = {"identifier": name, "type": "openai_compatible", "base_url": f"http://{name}.test/v1"}
        for path, body in (
            ("/providers", fields),
            (f"/providers/{name}/credentials", {"name": "one", "value": "sk-rebinding-0123456789"}),
            (f"/providers/{name}/models", {"model": "mock-small"}),
        ):
            status, answer = self.ask(f"/api/admin{path}", body)
            assert status == 201, answer
        return name

    def call(self, model: str, content: Any = "hello") -> tuple[int, Any]:
        """A chat."""
        body = {"model": model, "messages": [{"role": "user", "content": content}]}
        return self.ask("/v1/chat/completions", body, KEY)

    def ways(self, name: str, turned: str) -> dict[str, Any]:
        """Every way to this provider, first while its name is public, then when it has turned."""
        self.names.answers[f"{name}.test"] = [[PUBLIC]]
        self.provider(name)
        eventually(lambda: self.call(f"{name}/mock-small")[0] == 200, "the new provider serves")
        before = self.ask(f"/api/admin/providers/{name}/test", {})[1]["ok"]
        self.names.answers[f"{name}.test"] = [[turned]]
        status, called = self.call(f"{name}/mock-small")
        looked = [self.ask(f"/api/admin/providers/{name}/{way}", {})[1] for way in ("test", "health-check")]
        found = self.ask(f"/api/admin/providers/{name}/models/discover", {})
        self.names.answers[f"{name}.test"] = [[PUBLIC], [turned]]
        between = [self.call(f"{name}/mock-small")[0] for _ in range(2)]
        self.names.answers[f"{name}.test"] = [[PUBLIC, turned]]
        return {
            "before": before,
            "call": [status, called["error"]["code"]],
            "looks": [(one["ok"], one["failed_step"]) for one in looked],
            "discover": found[0],
            "between": between,
            "both": self.call(f"{name}/mock-small")[0],
        }

    def picture(self, turned: str) -> list[Any]:
        """A picture by URL, whose name has turned; status and parameter."""
        self.names.answers["pictures.test"] = [[turned]]
        content = [{"type": "image_url", "image_url": {"url": PICTURE}}]
        status, answer = self.call("fetching/mock-small", content)
        return [status, answer["error"]["param"]]


def main(directory: Path) -> dict[str, Any]:
    """Everything that can be tried."""
    own_network(directory)
    names, canaries = NameServer(), Canaries()
    canaries.sing()
    names.answers |= {"steady.test": [[PUBLIC]], "hook.test": [[PRIVATE[0]]]}
    env = {"GATEWAY_ADMIN_API": "true", "GATEWAY_ADMIN_KEY": ADMIN_KEY}
    with public_provider() as provider, GatewayProcess(CONFIG, directory / "gateway", env=env) as gateway:
        scene = Scene(gateway, names)
        eventually(lambda: scene.ask("/api/admin/providers/refresh-registry", {})[0] < 300, "the administrator", 30)
        ways = {turned: scene.ways(f"p{number}", turned) for number, turned in enumerate(PRIVATE)}
        pictures = {turned: scene.picture(turned) for turned in PRIVATE}
        eventually(lambda: any(name == "hook.test" for name, _ in names.asked), "the webhook's name is looked up", 30)
        created = scene.ask(
            "/api/admin/providers", {"identifier": "x", "type": "openai", "base_url": "http://10.0.0.7/v1"}
        )
        served = len(provider.bill.as_json()["rows"])
    return {
        "connections": canaries.connections,
        "ways": ways,
        "pictures": pictures,
        "literal": created[0],
        "questions": len(names.asked),
        "public": [str(ip_address(PUBLIC)), served],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)
