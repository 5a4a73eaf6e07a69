from xml.etree import ElementTree

from bench import chart, goals, report
from bench.results import SystemResult, facts

SYSTEMS = {
    "gateway": SystemResult(
        "ours <&> yours", "all on", samples={"w1": [{"rps": 12_000.0, "cpu_us": 80.0, "errors": 2}]}
    ),
    "litellm": SystemResult("LiteLLM", "Redis", samples={"w1": [{"rps": 60.0, "cpu_us": 16_000.0}]}),
    "portkey": SystemResult("Portkey", "", failures={"w1": "node not found"}),
}


def _svg(found: dict[str, float]) -> ElementTree.Element:
    titles = {name: system.title for name, system in SYSTEMS.items()}
    return ElementTree.fromstring(chart.svg(titles, found, ["a note with <brackets>"]))


def test_chart_is_well_formed_and_shows_every_measured_system() -> None:
    """The SVG parses whatever the titles hold, and has one bar per measured value beside its background."""
    root = _svg(facts(SYSTEMS))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "ours <&> yours" in texts
    assert "12,000" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 4


def test_chart_of_nothing_is_still_a_picture() -> None:
    """A run that measured nothing gives an empty chart, no failure."""
    assert _svg({}).tag.endswith("svg")


def test_bars_grow_with_the_value_and_stay_inside() -> None:
    """Bars have some length at the smallest value, the full one at the largest, and none at zero."""
    lengths = [chart.bar_length(value, 10, 10_000) for value in (0, 10, 100, 10_000)]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (0, chart.PLOT)
    assert lengths[1] > 0
    assert 0 < chart.bar_length(5, 5, 5) <= chart.PLOT


def test_tables_show_ratios_and_gaps() -> None:
    """Ratios are ours over theirs; what was not measured is a dash, never a zero."""
    text = report.ratios(SYSTEMS, facts(SYSTEMS))
    litellm = next(line for line in text.splitlines() if line.startswith("LiteLLM"))
    portkey = next(line for line in text.splitlines() if line.startswith("Portkey"))
    assert litellm.split()[1:3] == ["200.00", "x"]
    assert set(portkey.split()[1:]) == {"-"}


def test_verdicts_and_remarks_name_what_failed() -> None:
    """The goal table says met or not measured; the remarks hold reasons and failed requests."""
    judged = goals.judge_all(facts(SYSTEMS))
    text = report.verdicts(judged)
    assert "200.00 x" in text
    assert "not measured" in text
    remarks = report.remarks(SYSTEMS)
    assert "w1 not measured: node not found" in remarks
    assert "w1: 2 requests failed" in remarks


def test_noise_is_named_only_when_there_was_some() -> None:
    """A busy machine is a warning with its worst share; a quiet one is not mentioned."""
    assert report.noise({"gateway.w1.others_pct": 3.0}) == ""
    assert "42 %" in report.noise({"gateway.w1.others_pct": 3.0, "nginx.w2.others_pct": 42.0})


def test_document_holds_the_facts_and_the_goals() -> None:
    """The JSON carries the same facts and verdicts as the tables."""
    found = facts(SYSTEMS)
    data = report.document(SYSTEMS, found, goals.judge_all(found), {"rounds": 1})
    assert data["facts"]["gateway.w1.rps"] == 12_000
    assert data["goals"][0]["met"] is True
    assert data["systems"]["portkey"]["failures"] == {"w1": "node not found"}
