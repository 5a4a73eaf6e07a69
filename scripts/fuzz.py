"""Coverage-guided fuzzing of everything that reads what providers and clients send: `make fuzz`.

    python scripts/fuzz.py [--seconds 10] [TARGET …]

`tests/providers/contract/fuzzed.py` says what there is to fuzz. Each target runs in a process of its own, from the
contract suite's answers as seeds, and ends at the first input that makes a reader raise, hang for 5 s, say both or
neither of complete and broken, or take more than 1 GiB; the input is kept in `.fuzz/`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".fuzz"
FUZZED = "tests.providers.contract.fuzzed"
MAX_LENGTH = 4096


def play(target: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    atheris = import_module("atheris")  # installed for this alone

    name = target.replace(":", "-")
    with atheris.instrument_imports(include=["gateway"]):
        read, seeds = import_module(FUZZED).reader_of(target)
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed[:MAX_LENGTH])
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-timeout=5", "-rss_limit_mb=1024"]
    atheris.Setup(
        [sys.argv[0], *options, "-print_final_stats=1", f"-artifact_prefix={KEPT}/{name}-", str(corpus)], read
    )
    atheris.Fuzz()


def main() -> int:
    """0 when no target found anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=10, help="of each target (10)")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        play(options.here, options.seconds)
        return 0
    KEPT.mkdir(exist_ok=True)
    found = 0
    for target in options.targets or import_module(FUZZED).targets():
        command = [sys.executable, __file__, "--here", target, "--seconds", str(options.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?")
        print(f"{target:34} {runs:>9} inputs: {'ok' if done.returncode == 0 else 'FOUND something'}", flush=True)
        if done.returncode:
            found += 1
            print(done.stderr[-3000:], flush=True)
    return min(found, 1)


sys.path.insert(0, str(ROOT))
if __name__ == "__main__":
    sys.exit(main())
