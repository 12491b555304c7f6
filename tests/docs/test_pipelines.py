"""What pipelines.md shows is right: its files, its pipeline `default`, its stage of one's own."""

import re
from pathlib import Path
from typing import Any

from rxlapce.config.check import problems_of
from rxlapce.config.document import read_document
from rxlapce.config.pipelines import read_pipelines
from rxlapce.flow import Exchange
from rxlapce.pipeline.build import way_of
from rxlapce.pipeline.spec import Pipeline, Step, default_pipeline
from rxlapce.providers.http import HttpClient
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.ways import Ways
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import simulated

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "pipelines.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_file_that_is_shown_is_right() -> None:
    assert len(blocks("yaml")) == 2
    for block in blocks("yaml"):
        assert problems_of(block, "f.yaml") == ()


def test_the_pipeline_default_that_is_shown_is_the_one_that_there_is() -> None:
    settings = RoutingSettings()
    at = read_document(blocks("yaml")[0], "f.yaml").members()["pipelines"]
    assert read_pipelines(at, settings)["default"].pipeline == default_pipeline(settings)


def test_every_example_is_listed() -> None:
    files = {path.name for path in (ROOT / "examples").glob("*.yaml")} - {"resilience.yaml"}
    assert set(re.findall(r"\(\.\./examples/([a-z-]+\.yaml)\)", TEXT)) == files


async def test_the_stage_of_ones_own_that_is_shown_works() -> None:
    (program,) = blocks("python")
    names: dict[str, Any] = {"__name__": "shouting"}
    exec(compile(program, "pipelines.md", "exec"), names)  # noqa: S102 - what the document shows
    kind, settings = names["SHOUT"], RoutingSettings()
    default = default_pipeline(settings)
    shout = Step(kind=kind, options=names["ShoutOptions"](mark="?"), said=frozenset({"mark"}))
    way = way_of(Pipeline(name="default", stages=(*default.stages, shout), sinks=default.sinks), settings)
    async with Simulator(seed=7) as simulator, HttpClient() as http:
        router = Router({provider.name: provider for provider in simulated(simulator.base_url)})
        manager = ProviderManager(http, router, settings, ways=Ways(way))
        messages = (Message(role="user", content="hi"),)
        answer = await manager.chat(ChatRequest(model="openai/sim:tokens=3", messages=messages), Exchange())
    assert answer.text.endswith("?")
    assert answer.text == answer.text.upper()
