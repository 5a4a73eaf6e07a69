"""Alerts and dashboards: they name what exists, and every alert fires when it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.health.events import HARMFUL
from gateway.telemetry.families import FAMILIES
from tests.deploy.promql import problems

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
ALERTS_TEST = DEPLOY / "prometheus" / "alerts_test.yml"


def _yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def _rules() -> list[dict[str, Any]]:
    return [rule for group in _yaml(ALERTS)["groups"] for rule in group["rules"]]


def _queries() -> Iterator[tuple[str, str]]:
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']}", target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{path.name}: ${variable['name']}", variable["query"]["query"]


def _expression(query: str) -> str:
    return query.replace("$__rate_interval", "5m")


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ('sum by (route) (rate(gateway_requests_total{status=~"5.."}[5m]))', []),
        ("rate(gateway_requests[5m])", ["unknown metric gateway_requests"]),
        ("gateway_overhead_seconds", ["unknown metric gateway_overhead_seconds"]),
        ('gateway_requests_total{key="x"}', ["unknown label key"]),
        ("sum by (le) (gateway_requests_total)", ["unknown label le"]),
        ("label_values(gateway_in_flight_requests, model)", ["unknown label model"]),
        ("1 > 2", ["no metric at all"]),
    ],
)
def test_the_check_itself(expression: str, wrong: list[str]) -> None:
    """The check below finds wrong metrics and wrong labels."""
    assert problems(expression) == wrong


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: str(rule["alert"]))
def test_alert(rule: dict[str, Any]) -> None:
    """An alert names existing metrics and labels, a severity, what is wrong and what to do."""
    assert problems(rule["expr"]) == []
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_what_operators_are_to_watch_has_an_alert() -> None:
    """As docs/operations.md promises of its table."""
    text = (DEPLOY.parent / "docs" / "operations.md").read_text()
    _, _, table = text.partition("has an alert for each line of this table:")
    watched = [names for line in table.splitlines() if (names := re.findall(r"`(gateway_\w+)", line))]
    assert len(watched) > 8
    expressions = " ".join(rule["expr"] for rule in _rules())
    assert [names for names in watched if not any(name in expressions for name in names)] == []


def test_failures_of_providers_are_those_that_count_against_them() -> None:
    """Alert and dashboard name every outcome that takes a deployment out of rotation, and no other: not what clients or
    limits cause."""
    queries = [rule["expr"] for rule in _rules() if rule["alert"] == "GatewayUpstreamErrors"]
    queries += [query for where, query in _queries() if "Failed share" in where]
    assert len(queries) == 2
    for query in queries:
        named = re.search(r'outcome=~"([^"]+)"', query)
        assert named is not None
        assert set(named[1].split("|")) == HARMFUL


def test_every_alert_has_its_tests() -> None:
    """For each alert there is a situation in which it fires and one in which it is quiet."""
    found = {
        (test["alertname"], bool(test["exp_alerts"]))
        for case in _yaml(ALERTS_TEST)["tests"]
        for test in case["alert_rule_test"]
    }
    assert found == {(rule["alert"], fires) for rule in _rules() for fires in (True, False)}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
@pytest.mark.parametrize(
    "command", [["test", "rules", str(ALERTS_TEST)], ["check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")]]
)
def test_promtool(command: list[str]) -> None:
    """Prometheus itself accepts the configuration, and the alerts behave as their tests say."""
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("where", "query"), tuple(_queries()), ids=lambda value: str(value)[:40])
def test_dashboard_query(where: str, query: str) -> None:
    """Every query of a dashboard names existing metrics and labels."""
    assert problems(_expression(query)) == [], where


def test_every_family_is_shown() -> None:
    """No family is left out of the dashboard."""
    text = " ".join(query for _, query in _queries())
    assert [family.name for family in FAMILIES if family.name not in text] == []


def test_dashboard_layout() -> None:
    """Panels have distinct ids, stand inside the grid, and do not overlap."""
    panels = json.loads((DEPLOY / "grafana" / "dashboards" / "gateway.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_provisioning() -> None:
    """Grafana finds the data source that Compose runs, and the dashboards where Compose mounts them."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = _yaml(provisioning / "datasources" / "prometheus.yml")["datasources"][0]
    provider = _yaml(provisioning / "dashboards" / "gateway.yml")["providers"][0]
    services = _yaml(DEPLOY / "compose.yaml")["services"]
    assert source["url"] == "http://prometheus:9090"
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in services["grafana"]["volumes"])
    job = _yaml(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"][0]
    assert job["job_name"] == "gateway"
    assert job["static_configs"][0]["targets"] == ["gateway:8080"]
