"""The tools the rig needs and the peers it installs for itself, each into its own directory, once per version."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.processes import BenchError
from gateway import __version__

PEERS = Path(__file__).resolve().parent / ".peers"
LITELLM = "1.106.2"
PORTKEY = "1.15.2"
HONO_NODE_SERVER = "1.13.0"
VLLM_ROUTER = "0.1.17"
INSTALL_SECONDS = 900


def require_tools() -> None:
    """Raises BenchError with the command to run when the rig cannot work on this machine."""
    missing = [tool for tool in ("wrk", "nginx", "taskset", "setpriv") if shutil.which(tool) is None]
    if missing:
        packages = sorted({"util-linux" if tool in {"taskset", "setpriv"} else tool for tool in missing})
        raise BenchError(f"{', '.join(missing)} not found. Install with: apt-get install {' '.join(packages)}")


def own_command(name: str) -> Path:
    """A command of the environment this runs in. Raises BenchError without it."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise BenchError(f"{path} does not exist. Run `make bench`, which makes the environment")
    return path


def own_version() -> str:
    """The gateway needs no installation."""
    own_command("gateway")
    return __version__


def nginx_version() -> str:
    """nginx is a tool of the rig too."""
    answer = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True)
    return answer.stderr.strip().rpartition("/")[2]


def vllm_router() -> str:
    """Installs it with pip. Raises BenchError."""
    return _pip("vllm-router", f"vllm-router=={VLLM_ROUTER}")


def litellm() -> str:
    """Installs it with its proxy extra. Raises BenchError."""
    return _pip("litellm", f"litellm[proxy]=={LITELLM}")


def portkey() -> str:
    """Installs it with npm. Raises BenchError."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise BenchError("node or npm not found. Install with: apt-get install nodejs npm")
    home = PEERS / "portkey"
    package = f"@portkey-ai/gateway@{PORTKEY}"
    # Its streams fail with newer ones: https://github.com/Portkey-AI/gateway/issues/1389
    pins = {"@hono/node-server": HONO_NODE_SERVER}
    manifest = {"private": True, "dependencies": {"@portkey-ai/gateway": PORTKEY}, "overrides": pins}
    npm = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(home)]
    return _once(home, package, [npm], {"package.json": json.dumps(manifest)})


def _pip(name: str, requirement: str) -> str:
    home = PEERS / name
    base = str(getattr(sys, "_base_executable", sys.executable))  # the environment itself has no pip
    pip = [base, "-m", "pip", "--python", f"{home}/bin/python", "--disable-pip-version-check", "--quiet"]
    pip_install = [*pip, "install", requirement]
    return _once(home, requirement, [[base, "-m", "venv", "--without-pip", str(home)], pip_install])


def _once(home: Path, package: str, commands: list[list[str]], files: Mapping[str, str] | None = None) -> str:
    """Run the commands unless exactly this package was installed before; returns its version."""
    stamp = home / ".installed"
    if not stamp.exists() or stamp.read_text() != package:
        print(f"installing {package} into {home} …", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for name, text in (files or {}).items():
            (home / name).write_text(text)
        for command in commands:
            _run(command)
        stamp.write_text(package)
    return package.rpartition("==")[2].rpartition("@")[2]


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"`{command[0]}` took longer than {INSTALL_SECONDS} s") from error
    if done.returncode:
        raise BenchError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-600:]}")
