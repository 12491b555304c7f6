"""From what was said to what runs: a pipeline becomes a `routing.way.Way`, the routes become `Ways`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reactivex import Observable

from rxlapce.errors import ConfigError
from rxlapce.pipeline.kinds.client import BUFFER_WITH_BACKPRESSURE, EDITOR, EditorOptions
from rxlapce.pipeline.kinds.lifecycle import CIRCUIT_BREAK, FALLBACK, RETRY_STREAM
from rxlapce.pipeline.spec import DEFAULT, Pipeline, Rule, Step, pipelines_of
from rxlapce.registry import Shape
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.stages import new_attempt
from rxlapce.routing.way import (
    CopySink,
    Decoding,
    MakeBytes,
    MakeEvents,
    MakeMap,
    MakePolicy,
    MakeTokens,
    Outlet,
    Setup,
    Way,
)
from rxlapce.routing.ways import Ways

#: Gives the tap behind a stage of this name, for what it gives; `SOURCE` is the provider. Asked once, in their order.
Look = Callable[[str, Shape], Callable[[Observable[Any]], Observable[Any]]]


def ways_of(pipelines: Mapping[str, Pipeline], rules: Sequence[Rule], settings: RoutingSettings) -> Ways:
    """The ways of all requests. Raises `ConfigError` for a stage or sink that cannot be made."""
    ways = {name: way_of(pipeline, settings) for name, pipeline in pipelines_of(pipelines, settings).items()}
    return Ways(ways[DEFAULT], tuple((rule.takes, ways[rule.pipeline]) for rule in rules))


def way_of(pipeline: Pipeline, settings: RoutingSettings, look: Look | None = None) -> Way:
    """The pipeline, ready for requests. It has no faults (`pipeline.check`).

    With `look`, there is a tap behind the provider and behind each stage, but for the client's buffer, which stands in
    the daemon. It sees all attempts. Raises `ConfigError` for a stage or sink that cannot be made.
    """
    building = _Building(pipeline, settings)
    if look is not None:
        building.tap(look(SOURCE, Shape.BYTES), Shape.BYTES)
    for step in pipeline.whole(settings).stages:
        building.stage(step)
        gives = step.kind.gives
        if look is not None and gives is not None and step.kind is not BUFFER_WITH_BACKPRESSURE:
            building.tap(look(step.name, gives), gives)
    for step in pipeline.sinks:
        building.sink(step)
    return building.way()


#: What is looked at ahead of the first stage.
SOURCE: Final = "bytes"


class _Building:
    """A way under construction: each stage goes where it stands."""

    def __init__(self, pipeline: Pipeline, settings: RoutingSettings) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.on_bytes: list[MakeBytes] = []
        self.decoding: Decoding | None = None
        self.on_events: list[MakeEvents] = []
        self.to_tokens: MakeMap | None = None
        self.model: list[MakeTokens] = []
        self.fallback: MakePolicy | None = None
        self.request: list[MakeTokens] = []
        self.outlet = Outlet()
        self.copies: list[CopySink] = []
        self.breaker = ""

    def stage(self, step: Step) -> None:
        """Add a stage behind those that were added."""
        kind, made = step.kind, self.made(step)
        if kind is FALLBACK:
            self.fallback = made
        elif kind is BUFFER_WITH_BACKPRESSURE:
            self.outlet = made
        elif kind.takes is Shape.BYTES:
            if kind.gives is Shape.BYTES:
                self.on_bytes.append(made)
            else:
                self.decoding = made
        elif kind.takes is Shape.EVENTS:
            if kind.gives is Shape.EVENTS:
                self.on_events.append(made)
            elif step.said:  # else the inlet's own, which is the same
                self.to_tokens = made
        else:
            self.tokens(step, made)

    def tokens(self, step: Step, made: MakeTokens) -> None:
        if step.kind is RETRY_STREAM:
            self.model.append(new_attempt)
        if step.kind is CIRCUIT_BREAK:
            self.breaker = self.setup(step).apart
        (self.model if self.fallback is None else self.request).append(made)

    def tap(self, tapped: Callable[[Observable[Any]], Observable[Any]], shape: Shape) -> None:
        """Look at what passes behind the stages that were added."""
        if shape is Shape.BYTES:
            self.on_bytes.append(lambda site: tapped)
        elif shape is Shape.EVENTS:
            self.on_events.append(lambda site: tapped)
        else:
            (self.model if self.fallback is None else self.request).append(lambda site: tapped)

    def sink(self, step: Step) -> None:
        """Add a sink."""
        made = self.made(step)
        if step.kind is not EDITOR:
            self.copies.append(made)
        elif isinstance(made, EditorOptions):
            self.outlet = replace(self.outlet, transport=made.transport, **made.said)

    def setup(self, step: Step) -> Setup:
        return Setup(pipeline=self.pipeline.name, settings=self.settings, said=step.said)

    def made(self, step: Step) -> Any:
        try:
            return step.kind.make(step.options, self.setup(step))
        except ValueError as error:
            raise ConfigError(f"pipeline {self.pipeline.name}: {step.name}: {error}") from error

    def way(self) -> Way:
        return Way(
            name=self.pipeline.name,
            on_bytes=tuple(self.on_bytes),
            decoding=self.decoding,
            on_events=tuple(self.on_events),
            to_tokens=self.to_tokens,
            model=tuple(self.model),
            fallback=self.fallback,
            request=tuple(self.request),
            outlet=self.outlet,
            copies=tuple(self.copies),
            breaker=self.breaker,
        )
