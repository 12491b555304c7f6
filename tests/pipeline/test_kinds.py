"""Each kind is as it tells of itself, and others can add theirs."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rxlapce.config.check import problems_of
from rxlapce.config.sources import load_config
from rxlapce.errors import ConfigError
from rxlapce.flow import Exchange
from rxlapce.pipeline.build import way_of
from rxlapce.pipeline.kinds import SINKS, STAGES, sinks, stages
from rxlapce.pipeline.spec import base_of, default_pipeline
from rxlapce.registry import Kind, Shape, told_of
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.stages import default_way

KINDS: Mapping[str, Kind[Any]] = {
    **{f"stage {name}": kind for name, kind in STAGES.items()},
    **{f"sink {name}": kind for name, kind in SINKS.items()},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_tells_all_of_itself(name: str) -> None:
    kind = KINDS[name]
    assert kind.summary
    assert not kind.summary.endswith(".")
    assert (kind.gives is None) is name.startswith("sink")
    told = told_of(kind.options)
    assert [option for option, one in told.items() if not one.help] == []
    for named in (word for word in kind.bound.split("`")[1::2] if word not in ("other", "continue")):
        assert named in told, f"{named} of `bound` is no option"


@pytest.mark.parametrize("name", KINDS)
def test_the_example_of_a_kind_is_right_where_it_can_stand(name: str) -> None:
    kind = KINDS[name]
    if kind.gives is None:
        sinks_said = kind.example if kind.name == "editor" else f"editor, {{{kind.example}}}"
        text = f"pipelines: {{p: {{sinks: [{{{sinks_said}}}]}}}}" if kind.name == "editor" else ""
        text = text or f"pipelines: {{p: {{sinks: [{sinks_said}]}}}}"
    else:
        said = f"{{{kind.example}}}" if ":" in kind.example else kind.example
        before = {Shape.EVENTS: "decode, "}.get(kind.takes, "")
        behind = {Shape.EVENTS: ", token_map", Shape.BYTES: ", decode, token_map"}.get(kind.gives, "")
        text = f"pipelines: {{p: {{stages: [{before}{said}{behind}]}}}}"
    assert problems_of(text, "f.yaml") == ()


def test_the_pipeline_default_is_what_a_manager_does_of_which_nobody_says_anything() -> None:
    settings = RoutingSettings()
    made, own = way_of(default_pipeline(settings), settings), default_way(settings)
    assert [one.__qualname__ for one in made.model] == [one.__qualname__ for one in own.model]
    assert made.fallback is not None
    assert made.fallback.__qualname__ == getattr(own.fallback, "__qualname__", None)
    same = [field.name for field in dataclasses.fields(made) if field.name not in ("model", "fallback")]
    assert {name: getattr(made, name) for name in same} == {name: getattr(own, name) for name in same}


def test_options_that_nobody_says_are_those_of_the_files_sections(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        "retry: {max_attempts: 7, base_s: 2}\n"
        "pipelines: {p: {stages: [{retry_stream: {base_s: 1}}]}, q: {stages: [retry_stream]}}"
    )
    config = load_config({}, tmp_path / "f.yaml")
    step = config.pipelines["p"].stages[0]
    assert (step.options.max_attempts, step.options.base_s, set(step.said)) == (7, 1, {"base_s"})
    assert config.pipelines["q"].stages[0].options == config.settings.retry
    assert base_of(STAGES["record"], config.settings) is None


PLUGIN = """
from dataclasses import dataclass
from rxlapce.flow import Receiver, Stage, connect
from rxlapce.registry import Kind, Shape, option
from rxlapce.tokens import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class ShoutOptions:
    mark: str = option("!", help="what is put behind each piece")


def shout(options, setup):
    def operator(source):
        def on_subscribe(receiver, scheduler):
            def on_next(token):
                receiver.on_next(Text(token.text.upper() + options.mark) if isinstance(token, Text) else token)
            return connect(source, Receiver(on_next, receiver.on_error, receiver.on_completed), scheduler)
        return Stage(on_subscribe)
    return lambda site: operator


SHOUT = Kind(name="shout", summary="Says it louder", takes=Shape.TOKENS, gives=Shape.TOKENS, options=ShoutOptions,
             make=shout, example="shout")
TAKEN = Kind(name="redact", summary="-", takes=Shape.TOKENS, gives=Shape.TOKENS, options=ShoutOptions, make=shout)
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, entry: str, module: str) -> None:
    """A distribution with one entry point, as pip would leave it."""
    (folder / f"{module}.py").write_text(PLUGIN)
    facts = folder / "shouting-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[rxlapce.stages]\nloud = {module}:{entry}\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


async def test_an_installed_package_adds_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, managed: Callable[[str], ProviderManager]
) -> None:
    install(tmp_path, monkeypatch, "SHOUT", "shouting_one")
    assert list(stages())[-1] == "shout"
    manager = managed("pipelines: {default: {stages: [retry_stream, fallback, shout: {mark: '?'}]}}")
    answer = await manager.chat(
        ChatRequest(model="openai/a:tokens=3", messages=(Message(role="user", content="hi"),)), Exchange()
    )
    assert answer.text
    assert answer.text.isupper() or "?" in answer.text
    assert answer.text.endswith("?")
    assert problems_of("pipelines: {p: {stages: [{shout: {mrk: x}}]}}", "f")[0].message.endswith("did you mean mark?")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("TAKEN", r"the entry point 'loud' of rxlapce.stages \(shouting\) has the name 'redact', which is taken"),
        ("shout", r"\(shouting\) is a function, not a rxlapce.registry.Kind"),
        ("NOTHING", r"\(shouting\) cannot be loaded: AttributeError"),
    ],
)
def test_an_installed_package_that_adds_no_stage_is_named(
    entry: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, entry, f"shouting_{entry.lower()}")
    with pytest.raises(ConfigError, match=told):
        stages()
    assert sinks() == SINKS
