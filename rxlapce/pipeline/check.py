"""What cannot work, found before the first request: each fault with the place of the stage or sink that it is about."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.pipeline.kinds.client import BUFFER_WITH_BACKPRESSURE, EDITOR, EditorOptions
from rxlapce.pipeline.kinds.lifecycle import FALLBACK
from rxlapce.pipeline.reach import Reach
from rxlapce.pipeline.spec import Pipeline, Step, decodes
from rxlapce.providers.provider import Provider
from rxlapce.registry import Scope, Shape
from rxlapce.routing.alias import Alias
from rxlapce.routing.way import MAX_COPIES, Decoding, Setup

#: What to do where one shape comes and another is wanted; `giver` made what comes.
_CURES: Final[Mapping[tuple[Shape, Shape], str]] = {
    (Shape.BYTES, Shape.EVENTS): "put decode before it",
    (Shape.BYTES, Shape.TOKENS): "put decode and token_map before it",
    (Shape.EVENTS, Shape.TOKENS): "put token_map before it",
    (Shape.EVENTS, Shape.BYTES): "put it before {giver}",
    (Shape.TOKENS, Shape.EVENTS): "put it before {giver}",
    (Shape.TOKENS, Shape.BYTES): "put it before the stage that decodes",
}


#: How many providers a message names.
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the stage or sink at `place`, from 0; None: with all of them together."""

    message: str
    place: int | None = None
    sink: bool = False


def faults_of(pipeline: Pipeline) -> Iterator[Fault]:
    """What is wrong with the pipeline whatever is asked of it, in the order of its stages and sinks."""
    yield from _order(pipeline.stages)
    yield from _places(pipeline.stages)
    yield from _sinks(pipeline)


def faults_for(
    pipeline: Pipeline, reach: Reach, aliases: Sequence[Alias], providers: Mapping[str, Provider]
) -> Iterator[Fault]:
    """What is wrong with it for what gets there: models that would never be asked, answers that it cannot read.

    Nothing is said of a provider that is not among `providers`.
    """
    if all(step.kind is not FALLBACK for step in pipeline.stages):
        yield from _without_fallback(reach, aliases, providers)
    for place, step in enumerate(pipeline.stages):
        if step.kind.takes is Shape.BYTES and step.kind.gives is Shape.EVENTS:
            yield from _framing(place, step, reach, providers)


# -- whatever is asked of it ----------------------------------------------------------------------------------------


def _order(stages: Sequence[Step]) -> Iterator[Fault]:
    """Where a stage does not take what the one before it gives."""
    flows, giver = (Shape.BYTES, "the provider") if decodes(step.kind for step in stages) else (Shape.TOKENS, "")
    giver = giver or "token_map, which stands first where no stage decodes"
    for place, step in enumerate(stages):
        kind = step.kind
        if kind.gives is None:
            yield Fault(f"{kind.name} is a sink: put it among the sinks", place)
            flows, giver = Shape.FRAMES, kind.name
        elif flows is Shape.FRAMES:
            message = f"{kind.name} takes {kind.takes}, but gets frames from {giver}: put it before the sinks"
            yield Fault(message, place)
        else:
            if kind.takes is not flows:
                cure = _CURES[flows, kind.takes].format(giver=giver.partition(",")[0])
                yield Fault(f"{kind.name} takes {kind.takes}, but gets {flows} from {giver}: {cure}", place)
            flows, giver = kind.gives, kind.name
    if flows in (Shape.BYTES, Shape.EVENTS):
        missing = "decode and token_map" if flows is Shape.BYTES else "token_map"
        yield Fault(f"the sinks take tokens, but get {flows} from {giver}: put {missing} behind it", len(stages) - 1)


def _places(stages: Sequence[Step]) -> Iterator[Fault]:
    """What stands twice that stands once, or where it knows no model, or behind what is the client's own."""
    first: dict[str, int] = {}
    after: str | None = None
    buffer = False
    for place, step in enumerate(stages):
        kind = step.kind
        if kind.once and kind.name in first:
            yield Fault(f"{kind.name} stands here a second time: it can stand once in a pipeline", place)
        elif kind.scope is Scope.LEG and after is not None:
            yield Fault(f"{kind.name} is for one model, and what follows {after} is for all: put it before that", place)
        elif buffer and kind.gives is not None:
            yield Fault(f"{kind.name} stands behind buffer_with_backpressure, which is the last: put it before", place)
        first.setdefault(kind.name, place)
        after = kind.name if kind is FALLBACK else after
        buffer = buffer or kind is BUFFER_WITH_BACKPRESSURE


def _sinks(pipeline: Pipeline) -> Iterator[Fault]:
    sinks = pipeline.sinks
    editors = [place for place, step in enumerate(sinks) if step.kind is EDITOR]
    if not editors:
        yield Fault("there is no editor among the sinks, so nobody would get the answer: add it", sink=True)
    for place in editors[1:]:
        yield Fault("editor stands here a second time: a request is answered once", place, sink=True)
    for place, step in enumerate(sinks):
        if step.kind.gives is not None:
            yield Fault(f"{step.name} is a stage: put it among the stages", place, sink=True)
    copies = [place for place, step in enumerate(sinks) if step.kind is not EDITOR]
    if len(copies) > MAX_COPIES:
        yield Fault(f"besides the editor there can be {MAX_COPIES} sinks", copies[MAX_COPIES], sink=True)
    if editors and any(step.kind is BUFFER_WITH_BACKPRESSURE for step in pipeline.stages):
        options = sinks[editors[0]].options
        if isinstance(options, EditorOptions) and options.said:
            said = ", ".join(options.said)
            message = f"{said}: buffer_with_backpressure among the stages says this; say it once"
            yield Fault(message, editors[0], sink=True)


# -- for what gets there ----------------------------------------------------------------------------------------------


def _without_fallback(reach: Reach, aliases: Sequence[Alias], providers: Mapping[str, Provider]) -> Iterator[Fault]:
    for alias in aliases:
        if alias.name in reach.aliases and len(alias.targets) > 1:
            yield Fault(
                f"fallback is missing: the alias {alias.name}{_brought(reach.aliases[alias.name])} has "
                f"{len(alias.targets)} models, of which the first alone would be asked"
            )
    for name in reach.providers:
        keys = len(providers[name].accounts) if name in providers else 0
        if keys > 1:
            yield Fault(
                f"fallback is missing: {name}{_brought(reach.providers[name])} has {keys} keys, of which the first "
                "alone would be used"
            )


def _framing(place: int, step: Step, reach: Reach, providers: Mapping[str, Provider]) -> Iterator[Fault]:
    decoding: Any = step.kind.make(step.options, Setup())
    if not isinstance(decoding, Decoding) or not decoding.framing:
        return
    others: list[str] = []
    for name, route in reach.providers.items():
        framings = {api.framing.name for api in providers[name].apis.values()} if name in providers else None
        if framings is not None and decoding.framing not in framings:
            others.append(f"{name} ({' or '.join(sorted(framings))}{'' if route is None else f', by routes[{route}]'})")
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        yield Fault(
            f"{step.name} takes {decoding.framing}, but here comes {', '.join(others[:_SHOWN])}{more}: put decode in "
            "its place",
            place,
        )


def _brought(route: int | None) -> str:
    return ", which no route takes elsewhere," if route is None else f", which routes[{route}] brings here,"
