"""The application log: one format for all, redacted, at the right level."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from gateway.errors import Overloaded
from gateway.ports import Secrets
from gateway.telemetry import logs

CANARY = "canary-value-of-a-key"


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Configures logging into a file, and takes it back at the end."""
    root = logging.getLogger()
    level = root.level
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def configure(name: str = "info", *, pretty: bool = False, background: bool = False) -> Path:
        logs.configure(name, Secrets({CANARY}), fd=fd, pretty=pretty, background=background)
        return tmp_path / "log"

    yield configure
    logs.close()
    structlog.reset_defaults()
    root.setLevel(level)
    os.close(fd)


def _read(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("background", [False, True])
def test_one_format(setup: Callable[..., Path], *, background: bool) -> None:
    """structlog's and the standard library's lines are JSON of one shape."""
    path = setup(background=background)
    structlog.stdlib.get_logger("gateway.a").info("started", port=8080)
    logging.getLogger("uvicorn.error").warning("shutting %s", "down")
    logs.close()
    ours, theirs = _read(path)
    assert ours["event"] == "started"
    assert ours["port"] == 8080
    assert theirs["event"] == "shutting down"
    assert {"ts", "level", "logger"} <= set(ours) & set(theirs)
    assert theirs["level"] == "warning"


def test_level(setup: Callable[..., Path]) -> None:
    """Lines below the level are not written."""
    path = setup("warning")
    structlog.stdlib.get_logger("gateway").info("quiet")
    logging.getLogger("gateway").info("quiet")
    logging.getLogger("gateway").error("loud")
    assert [line["event"] for line in _read(path)] == ["loud"]


def test_secrets_never_appear(setup: Callable[..., Path]) -> None:
    """A secret in a message, a field, a nested value or a traceback is redacted."""
    path = setup()
    log = structlog.stdlib.get_logger("gateway")
    log.info("key %s", CANARY, nested={"header": ["Bearer abcdefghijklmnop"]}, api_key=CANARY)
    logging.getLogger("httpx2").warning("GET https://x/?key=%s", CANARY)
    try:
        raise ValueError(f"refused {CANARY} sk-abcdefghijklmnopqrstuvwx")
    except ValueError as error:
        logs.EventLog().failed(error, "req-1")
    text = path.read_text()
    assert CANARY not in text
    assert "abcdefghijkl" not in text
    assert "ValueError" in text
    assert len(_read(path)) == 3


def test_pretty(setup: Callable[..., Path]) -> None:
    """Text for people is redacted too."""
    path = setup(pretty=True)
    structlog.stdlib.get_logger("gateway").info("started", api_key=CANARY)
    assert "started" in path.read_text()
    assert CANARY not in path.read_text()


def test_events(setup: Callable[..., Path]) -> None:
    """Loads, unexpected failures and changes of the store are one line each, at the level of their kind."""
    path = setup()
    log = logs.EventLog()
    log.config_loaded("abc", None)
    log.config_loaded("def", "gateway.yaml:3:5: unknown key")
    log.config_loaded("ghi", None, [f"w{number}" for number in range(12)])
    log.failed(Overloaded(), "req-1")
    log.redis_changed(False, "slow")
    log.redis_changed(True, "slow")
    loaded, rejected, doubtful, failed, away, back = _read(path)
    assert (away["event"], away["level"], away["reason"]) == ("redis_unavailable", "error", "slow")
    assert (back["event"], back["level"]) == ("redis_available", "info")
    assert (loaded["event"], loaded["level"], loaded["revision"]) == ("config_loaded", "info", "abc")
    assert (rejected["event"], rejected["level"]) == ("config_rejected", "error")
    assert (doubtful["event"], doubtful["level"]) == ("config_loaded", "warning")
    assert (doubtful["warnings"], doubtful["more"]) == ([f"w{number}" for number in range(10)], 2)
    assert (failed["request_id"], failed["level"]) == ("req-1", "warning")


def test_unprintable(setup: Callable[..., Path]) -> None:
    """A value that JSON does not know is shown by its repr."""
    path = setup()
    structlog.stdlib.get_logger("gateway").info("odd", value=object())
    assert "object object" in str(_read(path)[0]["value"])


def test_junk_does_not_flood_the_log() -> None:
    """Requests that are no HTTP make one line at once, and one a minute with how many there were since."""
    now = [1000.0]
    log = logs.EventLog(lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for _ in range(500):
            log.request_malformed()
        now[0] += 60
        log.request_malformed()
    assert [(line["event"], line["count"]) for line in lines] == [
        ("malformed_requests", 1),
        ("malformed_requests", 500),
    ]


STRAYS = """
import asyncio, threading, warnings
from gateway.ports import Secrets
from gateway.telemetry import logs

logs.configure("info", Secrets({"CANARY"}), pretty=False)
logs.adopt_strays()
warnings.warn("two lines\\nCANARY", UserWarning)

def fail():
    raise RuntimeError("thread CANARY")

class Stubborn:
    def __del__(self):
        raise ValueError("destructor CANARY")

async def forgotten():
    raise OSError("task CANARY")

async def forget():
    task = asyncio.ensure_future(forgotten())
    await asyncio.sleep(0)
    del task
    fail_later = forgotten()
    del fail_later

thread = threading.Thread(target=fail, name="busy")
thread.start()
thread.join()
Stubborn()
asyncio.run(forget())
raise KeyError("main CANARY")
"""


def test_what_python_itself_says_is_a_line_too() -> None:
    """Warnings, exceptions of threads, destructors, forgotten tasks, and the one that ends the program: JSON, without
    secrets, each once."""
    code = STRAYS.replace("CANARY", CANARY)
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert CANARY.encode() not in done.stderr
    lines = [orjson.loads(line) for line in done.stderr.splitlines()]
    text = [f"{line['level']} {line['event']} {line.get('exception', '')}" for line in lines]
    for wanted in (
        "warning.*two lines",
        "error a thread failed: busy.*RuntimeError: thread",
        "error.*Stubborn.__del__.*ValueError: destructor",
        "error.*never retrieved.*OSError: task",
        "warning.*never awaited",
        "critical.*KeyError: .main",
    ):
        assert sum(re.search(wanted, one, re.DOTALL) is not None for one in text) == 1, (wanted, text)
