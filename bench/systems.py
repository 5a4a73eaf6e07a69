"""The systems under test: how each is installed, started and spoken to. A new one is one more entry in SYSTEMS."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import install, nginx, payloads
from bench.natives import NATIVES, Native
from bench.processes import free_port

BENCH = Path(__file__).resolve().parent
GATEWAY_KEY = "bench-0123456789abcdef0123456789abcdef"
CHAT_PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one run of a system takes place: port, the upstream's origin, a directory, the Redis for peers."""

    port: int
    upstream: str
    directory: Path
    redis_port: int
    stream: bool

    @property
    def url(self) -> str:
        """Where the chat requests go."""
        return f"http://127.0.0.1:{self.port}{CHAT_PATH}"


def _nothing(_site: Site) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class System:
    """One system; `about` says exactly what is switched on.

    `patience` multiplies a round's seconds for those that answer too few requests in one, and `most_rounds` bounds the
    rounds in return. `install` raises BenchError, and returns the version.
    """

    name: str
    title: str
    about: str
    install: Callable[[], str]
    command: Callable[[Site], list[str]]
    env: Callable[[Site], Mapping[str, str]] = _nothing
    headers: Callable[[Site], Mapping[str, str]] = _nothing
    keys: tuple[str, ...] = ()
    """Sent in turn, in place of one `authorization`."""
    workloads: frozenset[str] | None = None
    """What it takes part in; None: everything."""
    patience: float = 1.0
    most_rounds: int | None = None


# ---- ours ------------------------------------------------------------------------------------------------------------


def _gateway(site: Site) -> list[str]:
    config = str(BENCH / "gateway.yaml")
    where = ["--host", "127.0.0.1", "--port", str(site.port), "--workers", "1"]
    return [str(install.own_command("gateway")), "serve", "--config", config, *where]


def _gateway_env(site: Site) -> Mapping[str, str]:
    return {
        "BENCH_UPSTREAM": f"{site.upstream}/v1",
        "BENCH_KEY": GATEWAY_KEY,
        "GATEWAY_DATA_DIR": str(site.directory / "data"),
        "GATEWAY_MAX_IN_FLIGHT": "4096",
        "GATEWAY_MAX_LOOP_LAG": "0",  # here everything is served, see overload.py
        "GATEWAY_DRAIN_GRACE_SECONDS": "0",
        "GATEWAY_DRAIN_SECONDS": "1",
    }


MANY_KEYS, MANY_TEAMS = 10_000, 1_000


def _many_keys() -> tuple[str, ...]:
    return tuple(f"bench-{number:06d}-0123456789abcdef0123456789abcdef" for number in range(MANY_KEYS))


def _gateway_many(site: Site) -> list[str]:
    """Five limits in three scopes on each request: three of the key, one of its team, one of everybody."""
    config = site.directory / "many.yaml"
    text = (BENCH / "gateway.yaml").read_text()
    teams = "".join(f"  - {{name: team-{number}, limits: {{requests: 10M/min}}}}\n" for number in range(MANY_TEAMS))
    config.write_text(f"{text}\nteams:\n{teams}\nlimits:\n  - {{name: all, scope: global, tokens: 100000M/min}}\n")
    database = site.directory / "data" / "gateway.db"
    database.parent.mkdir(exist_ok=True)
    fill = [str(install.own_command("python")), "-m", "bench.many_keys", str(database), str(MANY_TEAMS)]
    subprocess.run(fill, cwd=BENCH.parent, check=True, input="\n".join(_many_keys()), text=True, timeout=120)
    command = _gateway(site)
    command[command.index("--config") + 1] = str(config)
    return command


def _translates(native: Native) -> Callable[[Site], list[str]]:
    """The same file with a provider whose API is not OpenAI's."""

    def command(site: Site) -> list[str]:
        config = site.directory / "translates.yaml"
        config.write_text(native.yaml((BENCH / "gateway.yaml").read_text()).replace("ORIGIN", site.upstream))
        command = _gateway(site)
        command[command.index("--config") + 1] = str(config)
        return command

    return command


def _translating(native: Native) -> System:
    return System(
        f"gateway-{native.name}",
        f"the gateway to {native.title}",
        f"as the first, but its provider speaks the API of {native.title}, with the same content and counts",
        install.own_version,
        _translates(native),
        _gateway_env,
        lambda _site: {"authorization": f"Bearer {GATEWAY_KEY}"},
        workloads=frozenset({"w1", "w2"}),
        patience=0.5,  # what is read is CPU per request, the steadiest number
        most_rounds=2,
    )


# ---- peers -----------------------------------------------------------------------------------------------------------


def _nginx(site: Site) -> list[str]:
    return nginx.write(site.directory, nginx.proxy(site.directory, site.port, site.upstream, stream=site.stream))


def _vllm_router(site: Site) -> list[str]:
    command = [str(install.PEERS / "vllm-router/bin/vllm-router"), "--worker-urls", site.upstream]
    command += ["--host", "127.0.0.1", "--port", str(site.port), "--policy", "round_robin"]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    return [*command, "--log-level", "warning", "--max-concurrent-requests", "4096"]


def _portkey(site: Site) -> list[str]:
    script = install.PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    return [shutil.which("node") or "node", str(script), f"--port={site.port}", "--headless"]


def _portkey_headers(site: Site) -> Mapping[str, str]:
    custom = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{site.upstream}/v1"}
    return {"authorization": "Bearer upstream-key", **custom}


_LITELLM_CONFIG = """model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {upstream}/v1
      api_key: upstream-key
      rpm: 100000000
      tpm: 100000000000
router_settings:
  routing_strategy: usage-based-routing-v2
  redis_host: 127.0.0.1
  redis_port: {redis_port}
  num_retries: 0
litellm_settings:
  num_retries: 0
  telemetry: false
general_settings:
  master_key: {key}
"""


def _litellm(site: Site) -> list[str]:
    config = site.directory / "litellm.yaml"
    config.write_text(
        _LITELLM_CONFIG.format(
            model=payloads.MODEL, upstream=site.upstream, redis_port=site.redis_port, key=f"sk-{GATEWAY_KEY}"
        )
    )
    command = [str(install.PEERS / "litellm/bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    return [*command, "--port", str(site.port), "--num_workers", "1"]


def _litellm_env(_site: Site) -> Mapping[str, str]:
    return {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


SYSTEMS: tuple[System, ...] = (
    System(
        "gateway",
        "the gateway",
        "one worker, full path: virtual key with request, token and concurrency limits, metrics, JSON access log to a "
        "file, embedded Valkey on the same core and counted with it",
        install.own_version,
        _gateway,
        _gateway_env,
        lambda _site: {"authorization": f"Bearer {GATEWAY_KEY}"},
    ),
    System(
        "gateway-many",
        "the gateway, 10,000 keys",
        "as above, with 10,000 keys of 1,000 teams in turn and five limits in three scopes on each request",
        install.own_version,
        _gateway_many,
        _gateway_env,
        keys=_many_keys(),
        workloads=frozenset({"w1"}),
    ),
    *map(_translating, NATIVES),
    System(
        "nginx",
        "nginx",
        "the limit, a bare proxy: one worker, kept connections; no log, keys, limits; streams unbuffered",
        install.nginx_version,
        _nginx,
    ),
    System(
        "vllm-router",
        "vllm-router",
        "round robin over one worker; no keys, no limits; metrics on, log level warning",
        install.vllm_router,
        _vllm_router,
    ),
    System(
        "portkey",
        "Portkey",
        "provider and custom host by header; no keys, no limits, no cache, no log",
        install.portkey,
        _portkey,
        lambda _site: {"NODE_ENV": "production"},
        _portkey_headers,
        patience=1.5,
    ),
    System(
        "litellm",
        "LiteLLM + Redis",
        "master key (virtual keys would need PostgreSQL), model limits rpm/tpm checked in Redis on each request "
        "(usage-based-routing-v2), Redis on the load generator's core and not counted",
        install.litellm,
        _litellm,
        _litellm_env,
        lambda _site: {"authorization": f"Bearer sk-{GATEWAY_KEY}"},
        patience=2.5,
        most_rounds=2,
    ),
)
