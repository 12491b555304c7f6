"""What the dashboard and the alert rules ask for exists, and nothing that is told is left out."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from rxlapce.telemetry.metrics_families import FAMILIES, Kind
from rxlapce.testing.prometheus_server import NO_PROMETHEUS, has_prometheus, promtool

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES: Final = DEPLOY / "prometheus" / "rxlapce.rules.yml"
NAME: Final = re.compile(r"\b(?:rxlapce|process)_\w+")


def known_names() -> set[str]:
    names = {family.series for family in FAMILIES}
    histograms = [family.name for family in FAMILIES if family.kind is Kind.HISTOGRAM]
    return names | {f"{name}{suffix}" for name in histograms for suffix in ("_bucket", "_sum", "_count")}


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DEPLOY / "grafana" / "rxlapce.json").read_text())
    return read


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [*panels, *(annotation["expr"] for annotation in dashboard()["annotations"]["list"])]


def test_the_dashboard_is_the_one_that_its_script_writes() -> None:
    script = DEPLOY / "grafana" / "dashboard.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0


def test_every_metric_that_is_asked_for_is_told() -> None:
    variables = [variable.get("definition", "") for variable in dashboard()["templating"]["list"]]
    asked = set(NAME.findall(" ".join([*dashboard_queries(), *variables, *(rule["expr"] for rule in rules())])))
    assert asked - known_names() == set()


def test_every_metric_that_is_told_is_on_the_dashboard() -> None:
    asked = set(NAME.findall(" ".join(dashboard_queries())))
    missing = {family.name for family in FAMILIES if not asked & {family.series, f"{family.name}_bucket"}}
    assert missing == set()


def test_no_panel_covers_another_and_each_has_an_id_of_its_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_rows_follow_one_another_without_a_hole() -> None:
    rows = [panel for panel in dashboard()["panels"] if panel["type"] == "row"]
    for above, below in pairwise(rows):
        inside = [
            panel["gridPos"]["y"] + panel["gridPos"]["h"]
            for panel in dashboard()["panels"]
            if above["gridPos"]["y"] < panel["gridPos"]["y"] < below["gridPos"]["y"]
        ]
        assert max(inside) == below["gridPos"]["y"]


def test_every_alert_says_what_it_is_and_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rxlapce.rules.test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if case["exp_alerts"]}
    alerts = [rule for rule in rules() if "alert" in rule]
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning"), alert["alert"]
        assert {"summary", "description"} <= set(alert["annotations"]), alert["alert"]
    assert fired == {alert["alert"] for alert in alerts}


@pytest.mark.heavy
@pytest.mark.skipif(not has_prometheus(), reason=NO_PROMETHEUS)
@pytest.mark.parametrize(
    "command",
    ["check rules rxlapce.rules.yml", "test rules rxlapce.rules.test.yml", "check config prometheus.yml"],
)
def test_promtool_finds_nothing_wrong(command: str) -> None:
    code, output = promtool(*command.split(), folder=RULES.parent)
    assert (code, "SUCCESS" in output) == (0, True), output
