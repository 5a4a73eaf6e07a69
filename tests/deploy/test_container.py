"""The image and Compose, as far as they can be judged without building them."""

from __future__ import annotations

import fnmatch
import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose.yaml"


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name]


def _stages() -> list[list[tuple[str, str]]]:
    stages: list[list[tuple[str, str]]] = []
    for name, rest in _instructions():
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    return stages


def _all(name: str, instructions: list[tuple[str, str]]) -> list[str]:
    return [rest for found, rest in instructions if found == name]


def _ignored(path: str) -> bool:
    """Whether `.dockerignore` keeps this file out: the last pattern that matches it or a parent decides."""
    out = False
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().lstrip("!")
        if not pattern or pattern.startswith("#"):
            continue
        if any(fnmatch.fnmatch(f"/{name}", f"/{pattern}".replace("/**/", "*/")) for name in parents):
            out = not line.startswith("!")
    return out


def test_final_stage() -> None:
    """The image that ships runs as an unprivileged numeric user, keeps state in /data, serves on every interface."""
    final = _stages()[-1]
    assert len(_stages()) == 2
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", _all("USER", final)[-1])
    assert final.index(("USER", _all("USER", final)[-1])) > max(
        index for index, (name, _) in enumerate(final) if name in {"RUN", "COPY"}
    )
    assert json.loads(_all("ENTRYPOINT", final)[0]) == ["gateway", "serve", "--host", "0.0.0.0"]
    assert _all("VOLUME", final) == ["/data"]
    assert "GATEWAY_DATA_DIR=/data" in " ".join(_all("ENV", final))


class _Health(http.server.BaseHTTPRequestHandler):
    """Well on /healthz and /readyz, until told otherwise."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path in ("/healthz", "/readyz") else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _image_check() -> list[str]:
    check = _all("HEALTHCHECK", _stages()[-1])[0]
    found: list[str] = json.loads(check[check.index("[") :])
    return found


@pytest.mark.parametrize("of", ["image", "compose"])
def test_healthcheck(of: str) -> None:
    """The health checks say what the gateway says, on its port, whatever proxy the environment names."""
    command = _image_check() if of == "image" else _compose()["services"]["gateway"]["healthcheck"]["test"][1:]
    assert command[:2] == ["python", "-c"]
    server = http.server.HTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    try:
        for status, port, code in ((200, server.server_port, 0), (503, server.server_port, 1), (200, 9, 1)):
            _Health.status = status
            text = command[2].replace("8080", str(port))
            done = subprocess.run(
                [sys.executable, "-c", text], env=proxies, capture_output=True, timeout=30, check=False
            )
            assert done.returncode == code, done.stderr
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_dependencies_are_locked_and_hashed() -> None:
    """Everything that is installed comes from the lock, with hashes, as wheels; nothing is fetched by URL."""
    text = " ".join(rest for _, rest in _instructions())
    installs = re.findall(r"install (--\S.*?-r \S+)", text)
    assert installs == ["--require-hashes --only-binary=:all: -r requirements.lock"]
    assert not _all("ADD", _instructions())
    assert not re.search(r"https?://(?!127\.0\.0\.1)|curl|wget|apt-get", text)
    lock = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    pins = [line for line in lock.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert pins
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)


def test_no_build_tools_in_the_final_stage() -> None:
    """The last stage installs nothing; it copies what the first one made."""
    commands = " ".join(_all("RUN", _stages()[-1]))
    assert not re.search(r"\b(pip|apt|apk|gcc|make|venv)\b", commands)
    assert all(rest.startswith("--from=build ") for rest in _all("COPY", _stages()[-1]))


def test_copied_files_exist_and_are_sent() -> None:
    """What COPY names exists, and `.dockerignore` lets it into the build."""
    for stage in _stages():
        for rest in _all("COPY", stage):
            sources = [word for word in shlex.split(rest)[:-1] if not word.startswith("--")]
            if "--from=" in rest:
                continue
            for source in sources:
                path = ROOT / source
                assert path.exists(), source
                inside = next(child for child in path.rglob("*.*") if child.is_file()) if path.is_dir() else path
                if "__pycache__" not in inside.parts:
                    assert not _ignored(str(inside.relative_to(ROOT))), inside


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "deploy/gateway.env",
        "tests/__init__.py",
        "scripts/lock.py",
        "config/.env",
        "gateway/__pycache__/app.cpython-311.pyc",
    ],
)
def test_left_out_of_the_image(path: str) -> None:
    """History, environments, secrets and tests never reach the build."""
    assert _ignored(path)


def _compose() -> Any:
    return YAML(typ="safe").load(COMPOSE)


@pytest.mark.parametrize("name", ["gateway", "redis", "postgres", "prometheus", "grafana"])
def test_service(name: str) -> None:
    """Each service is hardened, checked for health, published on loopback only, and of a pinned version."""
    service = _compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "build" in service or re.search(r":v?\d+[\w.\-]*$", service["image"])


def test_redis_gets_the_signal_to_stop(tmp_path: Path) -> None:
    """The server takes the place of the shell that starts it, with its password in a file that only it can read."""
    program = tmp_path / "redis-server"
    program.write_text('#!/bin/sh\necho $$; cat "$1"; ls -l "$1"\n')
    program.chmod(0o755)
    shell, option, text = _compose()["services"]["redis"]["command"]
    text = text.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "correct-horse"}
    with subprocess.Popen([shell, option, text], env=environment, stdout=subprocess.PIPE, text=True) as process:
        out = process.communicate(timeout=30)[0].splitlines()
    assert out[0] == str(process.pid)
    assert out[1:3] == ["requirepass correct-horse", "appendonly yes"]
    assert out[-1].startswith("-rw------- ")
    assert "/tmp" in _compose()["services"]["redis"]["tmpfs"]


def test_mounts() -> None:
    """Named volumes are declared and used, and what is mounted from the project exists."""
    compose = _compose()
    mounts = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    named = {mount for mount in mounts if not mount.startswith(".")}
    assert named == set(compose["volumes"])
    for mount in set(mounts) - named:
        assert (COMPOSE.parent / mount).exists(), mount


def test_secrets_come_from_the_environment() -> None:
    """No password stands in the file, and the example names every variable that is needed, without a value for any."""
    text = COMPOSE.read_text()
    needed = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    example = dict(
        line.split("=", 1)
        for line in (ROOT / "deploy" / "gateway.env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert needed | {"GATEWAY_ADMIN_KEY", "ENCRYPTION_KEY"} <= set(example)
    assert not any(example.values())
    assert not re.search(r"(?i)(password|secret|key)\w*:\s*[\"']?[A-Za-z0-9]", text)
