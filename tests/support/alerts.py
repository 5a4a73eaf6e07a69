"""What our alerts make of series, by Prometheus' own judgement."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
_FOUND = re.compile(r"Labels:\{(.*?)\}", re.DOTALL)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def fired(alert: str, series: Mapping[str, str], directory: Path, *, at: str = "10m") -> list[dict[str, str]]:
    """The labels of every such alert that fires at that time, when these series (one value a minute, in promtool's
    notation) are scraped. Needs promtool."""
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
    }
    file = directory / "alerts_test.json"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    # Nothing is expected, so that what it has got instead is what fires.
    _, _, got = (done.stdout + done.stderr).partition("got:")
    found = [dict(_LABEL.findall(labels)) for labels in _FOUND.findall(got)]
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    for labels in found:
        labels.pop("alertname")
    return found
