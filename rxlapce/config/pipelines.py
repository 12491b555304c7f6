"""The stages and sinks that answers go through, from the file's section `pipelines`.

    pipelines:
      editor:
        stages:
          - stream_timeouts: {first_token_s: 20}
          - metrics_tap
          - circuit_break
          - rate_limit_gate
          - retry_stream
          - fallback
          - redact: {find: [secrets, personal]}
        sinks: [editor, {record: {folder: recordings}}]

A stage or sink is its name, or a mapping of its name alone to its options. Options that it does not say are those of
the file's sections of the same settings (`timeouts`, `retry`, `breaker`, `fallback`), else their defaults.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.config.document import Place, did_you_mean
from rxlapce.config.options import read_options, read_settings
from rxlapce.pipeline.check import Fault, faults_of
from rxlapce.pipeline.kinds import sinks, stages
from rxlapce.pipeline.spec import Pipeline, Step, base_of, default_sinks, default_stages
from rxlapce.registry import Kind
from rxlapce.routing.settings import RoutingSettings

MEMBERS: Final = ("stages", "sinks")
_STAGE: Final = "a stage: its name, or a mapping of its name to its options"
_SINK: Final = "a sink: its name, or a mapping of its name to its options"


@dataclass(frozen=True, slots=True)
class Written:
    """A pipeline, and where each of its stages and sinks stands."""

    pipeline: Pipeline
    at: Place
    sinks_at: Place
    stages: tuple[Place, ...]
    sinks: tuple[Place, ...]

    def tell(self, faults: Iterable[Fault]) -> None:
        """Gather each fault at the place that it is about."""
        for fault in faults:
            places, whole = (self.sinks, self.sinks_at) if fault.sink else (self.stages, self.at)
            at = whole if fault.place is None or not places else places[fault.place]
            with at.collect():
                raise at.error(fault.message)


def read_pipelines(at: Place, settings: RoutingSettings) -> dict[str, Written]:
    """The pipelines by name, each checked by itself.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected; where errors
    are gathered, a pipeline with a stage that is none is left out.
    """
    found: dict[str, Written] = {}
    known, ends = stages(), sinks()
    for name, place in at.members().items():
        with place.collect():
            written = _pipeline(name, place, settings, known, ends)
            if written is not None:
                found[name] = written
    return found


def _pipeline(
    name: str, at: Place, settings: RoutingSettings, known: Mapping[str, Kind[Any]], ends: Mapping[str, Kind[Any]]
) -> Written | None:
    before = len(at.gathered)
    members = at.members(MEMBERS)
    items = {part: _items(members[part], part) for part in MEMBERS if part in members}
    before_sinks = [_step(item, {**ends, **known}, _STAGE, "stages", settings) for item in items.get("stages", ())]
    behind = [_step(item, {**known, **ends}, _SINK, "sinks", settings) for item in items.get("sinks", ())]
    if len(at.gathered) > before:
        return None  # what follows from a stage that is none is no second error
    pipeline = Pipeline(
        name=name,
        stages=tuple(filter(None, before_sinks)) if "stages" in items else default_stages(settings),
        sinks=tuple(filter(None, behind)) if "sinks" in items else default_sinks(settings),
    )
    places = (tuple(items.get(part, ())) for part in MEMBERS)
    written = Written(pipeline, at, members.get("sinks", at), *places)
    written.tell(faults_of(pipeline))
    return written


def _items(at: Place, part: str) -> list[Place]:
    found: list[Place] = []
    with at.collect():
        found = at.items(f"a list of {part}")
        if not found and part == "sinks":
            raise at.wrong("a list of one or more sinks", got="an empty list")
    return found


def _step(
    at: Place, kinds: Mapping[str, Kind[Any]], expected: str, group: str, settings: RoutingSettings
) -> Step | None:
    """The stage or sink at `at`; None for one whose error was gathered."""
    with at.collect():
        name, options = at.text(expected) if at.is_text() else "", None
        if not name:
            if not at.is_mapping():
                raise at.wrong(expected)
            members = at.members()
            if len(members) != 1:
                raise at.wrong(expected, got=f"a mapping of {len(members)} names")
            ((name, options),) = members.items()
        kind = kinds.get(name)
        if kind is None:
            listed = f"rxlapce list {group}"
            longer = next((f"; did you mean {kind}?" for kind in kinds if name and name in kind), "")
            meant = longer or did_you_mean(name, kinds)  # `retry` and `timeouts` are nearer than their letters say
            raise at.error(f"there is no {group[:-1]} {name!r} ({listed} has all){meant}")
        base = base_of(kind, settings)
        if options is None:
            if base is None:
                raise at.error(f"{name} has to be told something: {name}: {{{kind.example.partition('{')[2]}")
            return Step(kind=kind, options=base)
        values = read_options(options, kind.options) if base is None else read_settings(options, base)
        return Step(kind=kind, options=values, said=frozenset(options.members()))
    return None
