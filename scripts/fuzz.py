"""Coverage-guided fuzzing of everything that reads what providers and clients send: `make fuzz`.

    python scripts/fuzz.py [--seconds 20] [TARGET …]

A target is `stream:TYPE` (a provider's event stream, cut anywhere), `reply:TYPE` (a whole answer, or an error) or
`request:TYPE` (a client's body on its way to the provider), for every type that can chat. Each runs in a process of its
own, from the contract suite's answers as seeds, and ends at the first input that makes a reader raise, hang for
5 s, say both or neither of complete and broken, or take more than 1 GiB; the input is kept in `.fuzz/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".fuzz"
KINDS = ("stream", "reply", "request")
MAX_LENGTH = 4096


def targets() -> list[str]:
    """Every target there is; of types that share their reader, one."""
    from gateway.providers.wire.openai import OpenAIDialect  # noqa: PLC0415 - after the path is set
    from tests.providers.contract.test_contract import DIALECTS  # noqa: PLC0415

    names = [name for name, one in DIALECTS.items() if type(one) is not OpenAIDialect]
    return [f"{kind}:{name}" for name in sorted({*names, "openai"}) for kind in KINDS]


def reader_of(kind: str, name: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    """What is tried with each input, and inputs to begin with."""
    from gateway.errors import ClientError, UnsupportedParameter, UpstreamError  # noqa: PLC0415
    from tests.providers.contract.cases import ANSWERS, REQUESTS  # noqa: PLC0415
    from tests.providers.contract.natives import native_of  # noqa: PLC0415
    from tests.providers.contract.test_contract import DIALECTS, call_of, decoder_of, deployment_of  # noqa: PLC0415

    dialect = DIALECTS[name]
    native = native_of(dialect)
    call, deployment = call_of(REQUESTS["text"][0]), deployment_of(dialect, native)
    said = [answer for case, answer in ANSWERS.items() if case not in native.silent]

    def stream(data: bytes) -> None:
        step, body = (data[0] % 64 + 1, data[1:]) if data else (1, b"")
        decoder = decoder_of(dialect, native)
        sent = 0
        for at in range(0, len(body), step):
            if decoder.failure is None:
                sent += len(decoder.feed(body[at : at + step]))
        if decoder.failure is None:
            sent += len(decoder.end())
        assert decoder.complete != (decoder.failure is not None), "complete and broken, or neither"
        assert sent <= 100_000 + 2_000 * len(body), "an answer much larger than what it was made of"

    def reply(data: bytes) -> None:
        status, body = (200 + data[0] * 2, data[1:]) if data else (200, b"")
        headers = [(b"content-type", b"application/json")]
        if status >= 300:
            assert isinstance(dialect.error(status, headers, body), UpstreamError)
            return
        with suppress(UpstreamError):
            dialect.decode(call, deployment, headers, body)

    def request(data: bytes) -> None:
        try:
            fields = json.loads(data)
            asked = call_of(fields) if isinstance(fields, dict) else call
        except (ValueError, RecursionError, TypeError, AttributeError):
            return  # never gets as far as a dialect
        with suppress(ClientError, UnsupportedParameter):
            dialect.body(asked, deployment)

    seeds = {
        "stream": [b"\x20" + b"".join(native.stream(one)[1]) for one in said],
        "reply": [b"\x00" + native.reply(one)[1] for one in said] + [b"\xc8" + native.refusal(400, "no")],
        "request": [json.dumps(fields).encode() for fields, _ in REQUESTS.values()],
    }
    return {"stream": stream, "reply": reply, "request": request}[kind], seeds[kind]


def play(target: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    atheris = import_module("atheris")  # installed for this alone

    kind, _, name = target.partition(":")
    with atheris.instrument_imports(include=["gateway"]):
        read, seeds = reader_of(kind, name)
    corpus = KEPT / target.replace(":", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed[:MAX_LENGTH])
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-timeout=5", "-rss_limit_mb=1024"]
    atheris.Setup(
        [sys.argv[0], *options, "-print_final_stats=1", f"-artifact_prefix={KEPT}/{kind}-{name}-", str(corpus)], read
    )
    atheris.Fuzz()


def main() -> int:
    """0 when no target found anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=20, help="of each target (20)")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        play(options.here, options.seconds)
        return 0
    KEPT.mkdir(exist_ok=True)
    found = 0
    for target in options.targets or targets():
        command = [sys.executable, __file__, "--here", target, "--seconds", str(options.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?")
        print(f"{target:24} {runs:>9} inputs: {'ok' if done.returncode == 0 else 'FOUND something'}", flush=True)
        if done.returncode:
            found += 1
            print(done.stderr[-3000:], flush=True)
    return min(found, 1)


sys.path.insert(0, str(ROOT))
if __name__ == "__main__":
    sys.exit(main())
