"""What the gateway must reach, as comparisons over the facts of one run. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.natives import NATIVES
from bench.payloads import STREAM_EVENTS

Facts = Mapping[str, float]
Formula = Callable[[Facts], float]


@dataclass(frozen=True, slots=True)
class Goal:
    """A value that must be at least (or at most) `bound`; `aim` is what we would like."""

    title: str
    unit: str
    value: Formula
    bound: float
    at_least: bool = True
    aim: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether this value reaches the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal judged; `value` and `met` are None when something it needs was not measured."""

    title: str
    wanted: str
    value: float | None
    unit: str
    met: bool | None


def fact(name: str) -> Formula:
    """The fact itself."""
    return lambda facts: facts[name]


def ratio(ours: str, theirs: str) -> Formula:
    """One fact divided by another."""
    return lambda facts: facts[ours] / facts[theirs]


def _below_percent(facts: Facts) -> float:
    return (1 - facts["gateway.w3.rps"] / facts["nginx.w3.rps"]) * 100


def _translated(facts: Facts, fact: str) -> list[float]:
    return [facts[f"gateway-{native.name}.{fact}"] for native in NATIVES]


def _dearest_request(facts: Facts) -> float:
    return max(_translated(facts, "w1.cpu_us")) / facts["gateway.w1.cpu_us"]


def _dearest_event(facts: Facts) -> float:
    return max(_translated(facts, "w2.cpu_us")) / STREAM_EVENTS


GOALS: tuple[Goal, ...] = (
    Goal("W1 requests/s against LiteLLM + Redis", "x", ratio("gateway.w1.rps", "litellm.w1.rps"), 100),
    Goal("W1 requests/s against Portkey", "x", ratio("gateway.w1.rps", "portkey.w1.rps"), 10),
    Goal("W1 requests/s against vllm-router", "x", ratio("gateway.w1.rps", "vllm-router.w1.rps"), 1.0, aim=1.2),
    Goal("W1 CPU per request against nginx", "x", ratio("gateway.w1.cpu_us", "nginx.w1.cpu_us"), 4, at_least=False),
    Goal(
        "W1 CPU per request against nginx, 10,000 keys, five limits",
        "x",
        ratio("gateway-many.w1.cpu_us", "nginx.w1.cpu_us"),
        4,
        at_least=False,
    ),
    Goal("W1 CPU per request, dearest translation, against passed through", "x", _dearest_request, 2, at_least=False),
    Goal("W2 CPU per event, dearest translation", "µs", _dearest_event, 30, at_least=False),
    Goal("W2 streams/s against LiteLLM", "x", ratio("gateway.w2.rps", "litellm.w2.rps"), 300),
    Goal("W2 streams/s against vllm-router", "x", ratio("gateway.w2.rps", "vllm-router.w2.rps"), 0.8),
    Goal("paced streams, CPU per event", "µs", fact("gateway.paced.cpu_us_event"), 18, at_least=False, aim=15),
    Goal("W3 requests/s below nginx", "%", _below_percent, 5, at_least=False),
    Goal("W3 p99 against nginx", "x", ratio("gateway.w3.p99_ms", "nginx.w3.p99_ms"), 1.15, at_least=False),
    Goal("added p50 at 1 connection", "ms", fact("gateway.solo.added_ms"), 0.5, at_least=False),
    Goal(
        "added p50 at 1 connection against vllm-router",
        "x",
        ratio("gateway.solo.added_ms", "vllm-router.solo.added_ms"),
        2,
        at_least=False,
    ),
    Goal("RSS of the worker after W1", "MB", fact("gateway.rss_mb"), 80, at_least=False),
    Goal("first 200 after the exec", "s", fact("gateway.startup_s"), 1.5, at_least=False),
    Goal("memory with 1,000 x 200 KB in flight", "MB", fact("gateway.big.rss_tree_mb"), 600, at_least=False),
)


def judge(goal: Goal, facts: Facts) -> Verdict:
    """Compare one goal with the facts there are."""
    sign = "≥" if goal.at_least else "≤"
    aim = f" (aim {goal.aim:g})" if goal.aim is not None else ""
    wanted = f"{sign} {goal.bound:g}{aim}"
    try:
        value = goal.value(facts)
    except (KeyError, ZeroDivisionError):
        return Verdict(goal.title, wanted, None, goal.unit, None)
    return Verdict(goal.title, wanted, value, goal.unit, goal.met_by(value))


def judge_all(facts: Facts) -> list[Verdict]:
    """Every goal, in the order of GOALS."""
    return [judge(goal, facts) for goal in GOALS]
