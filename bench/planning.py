"""What planning a call costs: `python -m bench.planning`.

One table: microseconds of CPU of one plan, best of many rounds, over 1 to 5,000 routes. `remembered` is a question that
was asked before, which nearly every call is; `fresh` one that never was; `scan` is what looking at every route would
cost, for comparison. The last lines are single strategies over four targets, where something is decided for every
call, and the same while one deployment is out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from gateway.providers import discover
from gateway.registry.snapshot import Match, Route, Snapshot, Target
from gateway.routing.facts import Senses, Unwatched
from gateway.routing.planner import Planner
from gateway.routing.rules import resolve
from gateway.routing.strategies import STRATEGIES
from gateway.types import Call, Deployment, Principal, Provider, Service

ROUTES = (1, 10, 100, 1000, 5000)
DEPLOYMENTS = 500
ROUNDS = 9
DIALECTS = discover()


def best(work: Callable[[], object], number: int) -> float:
    """Microseconds of CPU of one `work`, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(number):
            work()
        rounds.append((time.process_time() - began) / number * 1e6)
    return min(rounds)


def call_of(model: str, **headers: bytes) -> Call:
    """A chat call of the usual size."""
    return Call(
        id="1", request_id="1", service=Service.CHAT, path="/chat/completions", model=model, started=0.0,
        raw=b'{"model":"m","messages":[{"role":"user","content":"hello"}]}', user="user-1", input_tokens=200,
        headers={b"x-tier": b"gold", **{name.encode(): value for name, value in headers.items()}},
    )  # fmt: skip


def deployments() -> list[Deployment]:
    """Five hundred, at twenty providers."""
    providers = [Provider(f"p{at}", "openai_compatible", "http://127.0.0.1/v1") for at in range(20)]
    return [Deployment(f"p{at % 20}/m{at}", providers[at % 20], f"m{at}") for at in range(DEPLOYMENTS)]


def snapshot(count: int) -> Snapshot:
    """So many routes: by model, by glob, by team and by header in turn; the last one is for everything."""
    found = deployments()
    matches = (
        lambda at: Match(models=(f"model-{at}",)),
        lambda at: Match(models=(f"family-{at}-*",)),
        lambda at: Match(models=("shared",), team=f"team-{at}"),
        lambda at: Match(models=("shar*",), headers={"x-tenant": f"tenant-{at}"}),
    )
    routes = [
        Route(f"r{at}", matches[at % 4](at), "priority", tuple(Target(found[(at + n) % DEPLOYMENTS]) for n in range(3)))
        for at in range(count - 1)
    ]
    routes.append(Route("last", Match(models=("*",)), "priority", (Target(found[0]),)))
    return Snapshot(
        "rev",
        providers={one.provider.name: one.provider for one in found},
        deployments={one.id: one for one in found},
        routes=tuple(routes),
        models={one.model: (one,) for one in found},
    )


def questions(count: int) -> list[tuple[Call, Principal]]:
    """Calls that fall under the routes of each kind, late in the file, and under the last one."""
    at = max(0, (count - 8) // 4 * 4)
    who = Principal("key-1", team=f"team-{at + 2}")
    return [
        (call_of(f"model-{at}"), who),
        (call_of(f"family-{at + 1}-large"), who),
        (call_of("shared"), who),
        (call_of("shared", **{"x-tenant": f"tenant-{at + 3}".encode()}), Principal("key-2")),
        (call_of("anything"), who),
    ]


def planning(count: int) -> tuple[float, float, float]:
    """Remembered, fresh and by a scan: microseconds of one plan."""
    found = snapshot(count)
    planner = Planner(found, DIALECTS, Random(1), Senses(Unwatched()))
    asked = questions(count)

    def fresh() -> None:
        for call, who in asked:
            planner.known(planner.rule(call, who), call)

    def remembered() -> None:
        for call, who in asked:
            planner.plan(call, who)

    def scan() -> None:
        for call, who in asked:
            resolve(found, call, who)

    for call, who in asked:
        assert planner.rule(call, who).name == resolve(found, call, who).name
    each = len(asked)
    return best(remembered, 2000) / each, best(fresh, 400) / each, best(scan, max(2, 4000 // count)) / each


def strategy(name: str, *, one_out: bool) -> float:
    """Microseconds of one plan over four targets."""
    found = deployments()[:4]
    board = Unwatched()
    for at, one in enumerate(found):
        condition = board.of(one)
        condition.in_flight, condition.ttft, condition.duration, condition.headroom = at, 0.1 * at, 0.3 * at, 0.2 * at
    if one_out:
        board.of(found[0]).out_until = time.monotonic() + 1e6
    route = Route("r", Match(models=("m",)), name, tuple(Target(one, 2) for one in found))
    held = Snapshot("rev", deployments={one.id: one for one in found}, routes=(route,))
    senses = Senses(board, cost_of=lambda _call, _route, one: len(one.id))
    planner, asked, who = Planner(held, DIALECTS, Random(1), senses), call_of("m"), Principal("key-1")
    return best(lambda: planner.plan(asked, who), 2000)


def main() -> None:
    """Print the table."""
    print(f"| routes | remembered µs | fresh µs | scan µs |  ({DEPLOYMENTS} deployments)\n|---:|---:|---:|---:|")
    for count in ROUTES:
        print("| {:,} | {:.2f} | {:.1f} | {:.1f} |".format(count, *planning(count)))
    print("\n| strategy | µs | µs, one of four out |\n|---|---:|---:|")
    for name in STRATEGIES:
        print(f"| {name} | {strategy(name, one_out=False):.1f} | {strategy(name, one_out=True):.1f} |")


if __name__ == "__main__":
    main()
