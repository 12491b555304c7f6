"""A pipeline as it was said: which stages and sinks, in which order, with which options; and which requests go it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.pipeline.kinds import SINKS, STAGES
from rxlapce.pipeline.kinds.client import BUFFER_WITH_BACKPRESSURE, EDITOR
from rxlapce.pipeline.kinds.framing import DECODE, TOKEN_MAP
from rxlapce.registry import Kind, Shape
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.ways import Takes

#: The pipeline of all requests that no route takes. A file may define it; without, it is `DEFAULT_STAGES`.
DEFAULT: Final = "default"
DEFAULT_STAGES: Final = (
    "decode",
    "token_map",
    "stream_timeouts",
    "metrics_tap",
    "circuit_break",
    "rate_limit_gate",
    "concurrency_gate",
    "retry_stream",
    "fallback",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage or a sink: `options` is whole, `said` are the names of those that were not left as they are for all.

    `implied` says that it was not named, but stands there all the same.
    """

    kind: Kind[Any]
    options: Any
    said: frozenset[str] = frozenset()
    implied: bool = False

    @property
    def name(self) -> str:
        """The kind's."""
        return self.kind.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Stages in the order in which an answer passes them, from the provider's bytes on, and the sinks behind them."""

    name: str
    stages: tuple[Step, ...]
    sinks: tuple[Step, ...]

    def whole(self, settings: RoutingSettings) -> "Pipeline":
        """The pipeline with what it does not say but always has: decoding, if it names none, and the client's buffer.

        Options that nobody said are those of `settings`.
        """
        stages = list(self.stages)
        if not decodes(step.kind for step in stages):
            stages[:0] = [implied(DECODE, settings), implied(TOKEN_MAP, settings)]
        if all(step.kind is not BUFFER_WITH_BACKPRESSURE for step in stages):
            stages.append(implied(BUFFER_WITH_BACKPRESSURE, settings))
        return Pipeline(name=self.name, stages=tuple(stages), sinks=self.sinks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which requests go which pipeline."""

    takes: Takes
    pipeline: str


def decodes(kinds: "Sequence[Kind[Any]] | Any") -> bool:
    """Whether one of `kinds` takes bytes or events: then all that makes tokens of them has to be named."""
    return any(kind.takes in (Shape.BYTES, Shape.EVENTS) for kind in kinds)


def base_of(kind: Kind[Any], settings: RoutingSettings) -> Any:
    """The options of `kind` where nobody says them: the file's section of the same settings, else their defaults.

    None for options that have no default for each.
    """
    for section in (settings.timeouts, settings.retry, settings.fallback, settings.breaker):
        if type(section) is kind.options:
            return section
    try:
        return kind.options()
    except TypeError:  # one has to be said
        return None


def implied(kind: Kind[Any], settings: RoutingSettings) -> Step:
    """`kind` as a pipeline has it that does not name it."""
    return Step(kind=kind, options=base_of(kind, settings), implied=True)


def default_stages(settings: RoutingSettings) -> tuple[Step, ...]:
    """The stages of a pipeline that does not say any."""
    return tuple(Step(kind=STAGES[name], options=base_of(STAGES[name], settings)) for name in DEFAULT_STAGES)


def default_sinks(settings: RoutingSettings) -> tuple[Step, ...]:
    """The sinks of a pipeline that does not say any."""
    return (Step(kind=SINKS[EDITOR.name], options=base_of(EDITOR, settings)),)


def default_pipeline(settings: RoutingSettings) -> Pipeline:
    """The pipeline `default` where the file defines none."""
    return Pipeline(name=DEFAULT, stages=default_stages(settings), sinks=default_sinks(settings))


def pipelines_of(said: Mapping[str, Pipeline], settings: RoutingSettings) -> dict[str, Pipeline]:
    """Those that were said, behind `default` if that was not."""
    return {**({} if DEFAULT in said else {DEFAULT: default_pipeline(settings)}), **said}
