"""The pictures of a file's pipelines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rxlapce.config.check import ELSEWHERE
from rxlapce.config.document import Problems
from rxlapce.config.file import FileText, read_sections
from rxlapce.config.sources import read_config
from rxlapce.pipeline.graph import Chart, chart_of, record_of
from rxlapce.pipeline.reach import Reach, reach_of
from rxlapce.pipeline.spec import Pipeline, pipelines_of
from rxlapce.routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class Charted:
    """A pipeline, and its picture."""

    pipeline: Pipeline
    settings: RoutingSettings
    chart: Chart

    def record(self) -> dict[str, Any]:
        """What JSON tells of it."""
        return record_of(self.chart, self.pipeline, self.settings)


def charts_of(file: Path | FileText) -> dict[str, Charted]:
    """Those of `file` by name; `default` too, if something gets there. No key is fetched, no environment looked at.

    Raises `ConfigError` for a file in which something is wrong.
    """
    problems = Problems()
    config = read_config(read_sections(file, problems), None, {}, ELSEWHERE)
    problems.raise_any()
    providers = tuple(dict.fromkeys((*config.providers, *ELSEWHERE)))
    reaches = reach_of(config.routes, config.aliases, providers)
    charts: dict[str, Charted] = {}
    for name, pipeline in pipelines_of(config.pipelines, config.settings).items():
        reach = reaches.get(name, Reach())
        if name in config.pipelines or reach.aliases or reach.providers:
            chart = chart_of(pipeline, config.settings, config.routes, config.aliases, reach)
            charts[name] = Charted(pipeline, config.settings, chart)
    return charts
