"""A pipeline as a picture sees it: who answers, the stages in their scopes, what flows between them, where it ends."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from rxlapce.operators.backpressure import Policy
from rxlapce.pipeline.kinds.client import BUFFER_WITH_BACKPRESSURE, EDITOR, EditorOptions
from rxlapce.pipeline.kinds.lifecycle import FALLBACK, RETRY_STREAM
from rxlapce.pipeline.reach import Reach
from rxlapce.pipeline.spec import DEFAULT, Pipeline, Rule, Step
from rxlapce.registry import Scope, Shape
from rxlapce.routing.alias import Alias
from rxlapce.routing.settings import RoutingSettings


class Look(StrEnum):
    """What a node is."""

    SOURCE = "source"
    STAGE = "stage"
    ALWAYS = "always"
    """A stage that nobody has to name."""
    SINK = "sink"


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in the picture: its name, and lines of small print. `gives` is "" for what is an end."""

    name: str
    look: Look
    lines: tuple[str, ...] = ()
    gives: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """What is made for each attempt, each model, or each request, in the order in which an answer passes it."""

    scope: Scope
    label: str
    parts: "tuple[Node | Box, ...]"


@dataclass(frozen=True, slots=True)
class Chart:
    """A pipeline: the routes that lead to it in words, who answers, the stages, and the sinks, of which `editor` first.

    The other sinks have copies of what the stage `tapped` gives.
    """

    name: str
    routes: tuple[str, ...]
    sources: tuple[Node, ...]
    request: Box
    sinks: tuple[Node, ...]

    @property
    def stages(self) -> tuple[Node, ...]:
        """The nodes of all boxes, in order."""
        return tuple(_nodes(self.request))

    @property
    def tapped(self) -> Node:
        """What stands before all that the client has for itself."""
        stages = self.stages
        return stages[stages.index(_GATES) - 1]


_LABELS = {Scope.ATTEMPT: "each attempt", Scope.LEG: "each model", Scope.REQUEST: "each request"}
_GATES = Node(
    "gates of the user and of the client", Look.ALWAYS, ("wait at most limits.wait_s, then refuse",), Shape.TOKENS
)
_SETTLE = Node("settle", Look.ALWAYS, ("one end, told once; everything is given back",), Shape.TOKENS)


def chart_of(
    pipeline: Pipeline, settings: RoutingSettings, rules: Sequence[Rule], aliases: Sequence[Alias], reach: Reach
) -> Chart:
    """The picture of a pipeline without faults."""
    stages = pipeline.whole(settings).stages
    kinds = [step.kind for step in stages]
    buffer = next(step for step in stages if step.kind is BUFFER_WITH_BACKPRESSURE)
    fallback = kinds.index(FALLBACK) if FALLBACK in kinds else None
    behind = len(stages) if fallback is None else fallback
    retry = kinds.index(RETRY_STREAM) if RETRY_STREAM in kinds else None
    parts: list[Node | Box] = [_stage(step) for step in stages[:behind] if step is not buffer]
    if retry is not None:
        parts = [_box(Scope.ATTEMPT, parts[:retry]), *parts[retry:]]
    model: list[Node | Box] = [_box(Scope.LEG, parts)]
    rest = () if fallback is None else stages[fallback:]
    request = [*model, *(_stage(step) for step in rest if step is not buffer)]
    whole = _box(Scope.REQUEST, [*request, _GATES, _SETTLE, _buffer(buffer, pipeline.sinks)])
    ordered = sorted(pipeline.sinks, key=lambda step: step.kind is not EDITOR)
    return Chart(
        name=pipeline.name,
        routes=tuple(_routes(pipeline.name, rules)),
        sources=tuple(_sources(pipeline.name, rules, aliases, reach)) or (_NOBODY,),
        request=whole,
        sinks=tuple(_sink(step) for step in ordered),
    )


def record_of(chart: Chart, pipeline: Pipeline, settings: RoutingSettings) -> dict[str, Any]:
    """What `--json` tells."""
    scopes = {id(node): scope for node, scope in _scopes(chart.request, chart.request.scope)}
    return {
        "name": chart.name,
        "routes": list(chart.routes),
        "sources": [{"name": node.name, "models": list(node.lines)} for node in chart.sources],
        "stages": [
            {
                "name": node.name,
                "scope": scopes[id(node)].value,
                "gives": node.gives,
                "named": node.look is Look.STAGE,
                "notes": list(node.lines),
            }
            for node in chart.stages
        ],
        "sinks": [{"name": node.name, "notes": list(node.lines)} for node in chart.sinks],
        "options": {step.name: _plain(step) for step in (*pipeline.whole(settings).stages, *pipeline.sinks)},
    }


_NOBODY = Node("nobody", Look.SOURCE, ("no route brings a request here",), Shape.BYTES)


def _nodes(box: Box) -> Iterator[Node]:
    for part in box.parts:
        if isinstance(part, Node):
            yield part
        else:
            yield from _nodes(part)


def _scopes(box: Box, scope: Scope) -> Iterator[tuple[Node, Scope]]:
    for part in box.parts:
        if isinstance(part, Node):
            yield part, scope
        else:
            yield from _scopes(part, part.scope)


def _box(scope: Scope, parts: "Sequence[Node | Box]") -> Box:
    return Box(scope, _LABELS[scope], tuple(parts))


def _stage(step: Step) -> Node:
    look = Look.ALWAYS if step.implied else Look.STAGE
    lines = (*_said(step), *_bound(step))
    return Node(step.name, look, lines, str(step.kind.gives or ""))


def _buffer(step: Step, sinks: Sequence[Step]) -> Node:
    """The client's buffer, as the stage says it or the sink `editor`."""
    options = step.options
    for sink in sinks:
        if isinstance(sink.options, EditorOptions) and sink.options.said:
            options = sink.options.buffer()
    at = {
        Policy.PAUSE: f"from {options.high_water} on the provider is not read, until {options.low_water} are left",
        Policy.COALESCE: f"from {options.high_water} on neighbours merge",
        Policy.DROP_OLDEST: "then the first that waits is dropped",
        Policy.DROP_NEWEST: "then what comes is dropped",
        Policy.ERROR: "then the answer ends in an error",
    }[options.policy]
    lines = (f"{options.policy}: at most {options.capacity} tokens wait; {at}",)
    return Node(step.name, Look.ALWAYS if step.implied else Look.STAGE, lines, Shape.TOKENS)


def _sink(step: Step) -> Node:
    return Node(step.name, Look.SINK, _said(step) if step.kind is EDITOR else (*_said(step), *_bound(step)))


def _said(step: Step) -> tuple[str, ...]:
    """The options that were given, a line each."""
    names = [each.name for each in fields(step.options) if each.name in step.said]
    return tuple(f"{name}: {_value(getattr(step.options, name))}" for name in names)


def _bound(step: Step) -> tuple[str, ...]:
    """What it may hold, with the options' values in the place of their names."""

    def value(named: "re.Match[str]") -> str:
        return _value(getattr(step.options, named[1])) if hasattr(step.options, named[1]) else named[1]

    said = re.sub(r"`(\w+)`", value, step.kind.bound)
    return (said,) if said else ()


def _value(value: float | str | tuple[str, ...] | None) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else str(value)


def _plain(step: Step) -> dict[str, Any]:
    return {each.name: getattr(step.options, each.name) for each in fields(step.options)}


def _routes(name: str, rules: Sequence[Rule]) -> Iterator[str]:
    for place, rule in enumerate(rules):
        if rule.pipeline == name:
            takes = rule.takes
            words = {"models": takes.models, "users": takes.users, "clients": takes.clients, "kinds": takes.kinds}
            said = "; ".join(f"{word} {', '.join(names)}" for word, names in words.items() if names)
            yield f"routes[{place}]: {said or 'every request'}"
    if name == DEFAULT:
        yield "what no route takes" if rules else "every request"


def _sources(name: str, rules: Sequence[Rule], aliases: Sequence[Alias], reach: Reach) -> Iterator[Node]:
    """The aliases that get here with their models, the patterns of the routes, and who else."""
    for alias in aliases:
        if alias.name in reach.aliases:
            models = tuple(target.model for target in alias.targets)
            yield Node(alias.name, Look.SOURCE, (f"{alias.choose.value}: {', '.join(models)}",), Shape.BYTES)
    here = [rule.takes for rule in rules if rule.pipeline == name]
    for pattern in dict.fromkeys(pattern for takes in here for pattern in takes.models if "/" in pattern):
        yield Node(pattern, Look.SOURCE, (), Shape.BYTES)
    if name == DEFAULT or any(not takes.models or "*" in takes.models for takes in here):
        yield Node("any model", Look.SOURCE, ("that is asked for by its own name",), Shape.BYTES)
