"""Load by wrk: a script for the request, and the numbers of its summary."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CORE, BenchError, pinned

TIMEOUT_SECONDS = 30
MARK = "wrk-summary "

# `done` runs once, after the load, so it costs the measured requests nothing.
_SCRIPT = """local file = io.open({body_path})
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["content-type"] = "application/json"
{headers}
{keys}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format({format}, summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write, e.timeout))
end
"""
_FORMAT = (
    MARK + '{"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%f,"p99_us":%f,'
    '"status_errors":%d,"socket_errors":%d,"timeouts":%d}\\n'
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run of wrk saw. Errors count requests that got another status than 2xx/3xx, and broken connections."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rps(self) -> float:
        """Answered requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0


def quote(text: str) -> str:
    """A Lua string literal."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\{ord(c):03d}" for c in text) + '"'


# The requests are put together once: rotating keys must not cost the load generator more than sending one.
_KEYS = """local ready, turn = {{}}, 0
local file = io.open({keys_path})
function init(args)
  for key in file:lines() do
    local headers = {{["content-type"] = "application/json", ["authorization"] = "Bearer " .. key}}
    ready[#ready + 1] = wrk.format(nil, nil, headers)
  end
end
function request()
  turn = turn % #ready + 1
  return ready[turn]
end
"""


def script(body_path: Path, headers: Mapping[str, str], keys_path: Path | None = None) -> str:
    """The wrk script that posts the body of a file with these headers, and with the keys of another file in turn."""
    keys = "" if keys_path is None else _KEYS.format(keys_path=quote(str(keys_path)))
    lines = [f"wrk.headers[{quote(name)}] = {quote(value)}" for name, value in headers.items()]
    return _SCRIPT.format(body_path=quote(str(body_path)), headers="\n".join(lines), keys=keys, format=f"'{_FORMAT}'")


def parse(output: str) -> Summary:
    """Read the line the script wrote. Raises BenchError when there is none."""
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        raise BenchError(f"wrk gave no summary: {output.strip()[-300:]}")
    raw = json.loads(lines[-1].removeprefix(MARK))
    return Summary(
        requests=raw["requests"],
        seconds=raw["duration_us"] / 1e6,
        bytes=raw["bytes"],
        p50_ms=raw["p50_us"] / 1e3,
        p99_ms=raw["p99_us"] / 1e3,
        errors=raw["status_errors"] + raw["socket_errors"] + raw["timeouts"],
    )


@dataclass(frozen=True, slots=True)
class Request:
    """What is posted; `keys` are sent in turn."""

    body: bytes
    headers: Mapping[str, str]
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop of `connections` that post one body."""

    url: str
    script: Path
    connections: int

    def run(self, seconds: float) -> Summary:
        """Run wrk for so long (whole seconds, at least one). Raises BenchError."""
        whole = max(1, round(seconds))
        options = ["-t1", f"-c{self.connections}", f"-d{whole}s", "--latency", "--timeout", f"{TIMEOUT_SECONDS}s"]
        command = pinned(LOAD_CORE, ["wrk", *options, "-s", str(self.script), self.url])
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=whole + TIMEOUT_SECONDS + 10
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"wrk did not end after {whole} s") from error
        if done.returncode:
            raise BenchError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
        return parse(done.stdout)


def prepare(url: str, directory: Path, request: Request, connections: int) -> Load:
    """Write body, keys and script into `directory`."""
    body_path, script_path = directory / "request.json", directory / "request.lua"
    body_path.write_bytes(request.body)
    keys_path = directory / "keys.txt" if request.keys else None
    if keys_path is not None:
        keys_path.write_text("".join(f"{key}\n" for key in request.keys))
    script_path.write_text(script(body_path, request.headers, keys_path))
    return Load(url, script_path, connections)
