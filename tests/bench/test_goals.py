import pytest

from bench import goals
from bench.goals import Goal, Verdict, fact, judge, ratio
from bench.natives import NATIVES
from bench.results import SystemResult, facts, medians


@pytest.mark.parametrize(("value", "met"), [(99.9, False), (100.0, True), (250.0, True)])
def test_at_least(value: float, met: bool) -> None:
    """A ratio that must be large is met from its bound upwards."""
    goal = Goal("speed", "x", ratio("a", "b"), 100)
    assert judge(goal, {"a": value * 2, "b": 2.0}).met is met


@pytest.mark.parametrize(("value", "met"), [(0.4, True), (0.5, True), (0.6, False)])
def test_at_most(value: float, met: bool) -> None:
    """A value that must be small is met up to its bound."""
    assert judge(Goal("latency", "ms", fact("a"), 0.5, at_least=False), {"a": value}).met is met


def test_what_was_not_measured_is_not_judged() -> None:
    """A missing fact and a zero on the other side leave a goal open instead of met or missed."""
    goal = Goal("speed", "x", ratio("a", "b"), 1.0, aim=1.2)
    assert judge(goal, {"a": 1.0}) == Verdict("speed", "≥ 1 (aim 1.2)", None, "x", None)
    assert judge(goal, {"a": 1.0, "b": 0.0}).met is None


def test_every_goal_can_be_judged_from_a_whole_run() -> None:
    """The names the goals ask for are those that results give."""
    numbers = {"rps": 10.0, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_us": 3.0, "cpu_us_event": 4.0, "rss_tree_mb": 5.0}
    systems = {}
    for name in (
        "gateway",
        "gateway-many",
        *(f"gateway-{native.name}" for native in NATIVES),
        "nginx",
        "vllm-router",
        "portkey",
        "litellm",
        "direct",
    ):
        samples = {workload: [dict(numbers)] for workload in ("w1", "w2", "w3", "paced", "big")}
        samples["solo"] = [{"p50_ms": 0.1 if name == "direct" else 0.3}]
        systems[name] = SystemResult(name, "", startup_s=[1.0], rss_mb=50.0, rss_tree_mb=60.0, samples=samples)
    judged = goals.judge_all(facts(systems))
    assert all(verdict.met is not None for verdict in judged)
    assert {verdict.title: verdict.met for verdict in judged}["added p50 at 1 connection"] is True


def test_w3_is_measured_as_the_share_lost() -> None:
    """4 % fewer requests than nginx is within 5 %, 6 % is not; more than nginx is fine."""
    goal = next(goal for goal in goals.GOALS if goal.title.startswith("W3 requests"))
    for rate, met in ((96.0, True), (94.0, False), (101.0, True)):
        assert judge(goal, {"gateway.w3.rps": rate, "nginx.w3.rps": 100.0}).met is met


def test_medians_ignore_one_bad_round_and_keep_every_error() -> None:
    """Values are medians over the rounds; errors are summed, so none is lost in a median."""
    rounds = [{"rps": 10.0, "errors": 0.0}, {"rps": 1.0, "errors": 7.0}, {"rps": 11.0, "errors": 0.0}]
    assert medians(rounds) == {"rps": 10.0, "errors": 7.0}


def test_added_latency_is_relative_to_the_upstream() -> None:
    """The latency of the upstream itself is taken off, and never gives less than nothing."""
    systems = {
        "direct": SystemResult("", "", samples={"solo": [{"p50_ms": 0.2}]}),
        "nginx": SystemResult("", "", samples={"solo": [{"p50_ms": 0.5}]}),
        "odd": SystemResult("", "", samples={"solo": [{"p50_ms": 0.1}]}),
    }
    found = facts(systems)
    assert found["nginx.solo.added_ms"] == pytest.approx(0.3)
    assert found["odd.solo.added_ms"] == 0
    assert "direct.solo.added_ms" not in found
