"""Run the tests with branch coverage of every process they start, and report: fails below `fail_under`.

    python scripts/coverage_run.py [pytest arguments]

pytest's workers, the gateways that tests start, and their forked workers all write data of their own (`patch` in
pyproject.toml); what earlier runs left is erased first. The report is made only of a run whose tests pass. Tests
that take seconds each (`slow`), those of SDKs, documents, deployment files and the benchmark, those of whole processes,
which measuring makes several times as slow, and those that play what others play with many more inputs are left to
`make test`: what of the gateway they run, others run too. `make test COVERAGE=1` is this run and then those, each test
once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTER = (
    *("tests/conformance", "tests/deploy", "tests/bench", "tests/test_docs.py"),
    *("tests/http/test_api_quotas.py", "tests/http/test_cycles.py", "tests/http/test_token_budgets.py"),
    *("tests/limits/test_contention.py", "tests/limits/test_handover.py", "tests/test_plugins.py"),
    *("tests/bridges/messages/test_every_dialect.py", "tests/bridges/messages/test_fuzz.py"),
    *(
        "tests/bridges/responses/test_contract.py",
        "tests/bridges/responses/test_fuzz.py",
        "tests/registry/test_fuzz.py",
    ),
    *("tests/providers/recordings", "tests/providers/contract", "tests/security", "tests/audit/test_tampering.py"),
    *("tests/vault/test_custody.py", "tests/vault/test_sealing.py"),
)
TESTS = (
    *("run", "-m", "pytest", "-n", "auto", "--dist", "loadgroup", "-m", "not slow and not endurance"),
    *(f"--ignore={path}" for path in OUTER),
)


def coverage(*arguments: str) -> int:
    """One step of `coverage`; its exit code."""
    # An environment that is measured already would start a second measurement in every process.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=env, check=False).returncode


def main() -> int:
    """Every step in turn, up to the first that fails."""
    steps = (("erase",), (*TESTS, *sys.argv[1:]), ("combine", "--quiet"), ("report",))
    return next((code for step in steps if (code := coverage(*step))), 0)


if __name__ == "__main__":
    sys.exit(main())
