"""Resolve the dependencies again: one lock to run, one to develop, one to fuzz. Hashes, no host names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header", "--quiet")


def compile_lock(output: str, *more: str, source: tuple[str, ...] = ("pyproject.toml",)) -> None:
    """One lock from pyproject.toml."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *COMMON, *more, *source, "--output-file", output]
    subprocess.run(command, cwd=ROOT, check=True)
    if "://" in (ROOT / output).read_text():
        sys.exit(f"{output} names a host; it must install from whatever index is configured")


if __name__ == "__main__":
    compile_lock("requirements.lock", *sys.argv[1:])
    compile_lock(
        "requirements-dev.lock", "--group", "dev", "--group", "sdk", "--constraint", "requirements.lock", *sys.argv[1:]
    )
    compile_lock("requirements-fuzz.lock", *sys.argv[1:], source=("--group", "fuzz"))
