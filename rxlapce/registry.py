"""What a configuration can name: stages, sinks, and the options of each, told in one place beside their code.

Validation of YAML, its JSON Schema, `rxlapce list` and `rxlapce explain` and the tables of the documents are all made
from what stands here, so none of them can say something else than another.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from rxlapce.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

O = TypeVar("O", bound="DataclassInstance")  # noqa: E741 - of the options
T = TypeVar("T")

#: The unit of most numbers; their names end in `_s`.
SECONDS: Final = "seconds"

_TOLD: Final = "rxlapce"


class Shape(StrEnum):
    """What flows between two stages.

    - `bytes`: pieces of the response body, as they were read.
    - `events`: `codec.event.Event`, decoded by the framing.
    - `tokens`: `tokens.StreamToken`, mapped by the dialect.
    - `frames`: what a client gets.
    """

    BYTES = "bytes"
    EVENTS = "events"
    TOKENS = "tokens"
    FRAMES = "frames"


class Scope(StrEnum):
    """What a stage is made for: each attempt at a model, each model that is asked, or the whole request."""

    ATTEMPT = "attempt"
    LEG = "leg"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an option says of itself: a phrase, its unit, and the range that its numbers have to be in."""

    help: str = ""
    unit: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    @property
    def range(self) -> str:
        """The range in words, such as "from 1 to 100" or "above 0"; "" where there is none."""
        low = f"from {self.at_least:.15g}" if self.at_least is not None else ""
        low = f"above {self.above:.15g}" if self.above is not None else low
        if self.at_most is None:
            return low
        joint = "to" if low.startswith("from") else "up to"
        return f"{low} {joint} {self.at_most:.15g}".lstrip()

    def holds(self, value: float) -> bool:
        """Whether `value` is in the range; no range has a number without end, or none."""
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        )


def option(
    default: T,
    *,
    help: str,  # noqa: A002 - the word that everybody knows
    unit: str = "",
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> T:
    """A dataclass's field that tells what it is for; the range is for numbers, and checked where YAML is read.

    The default is shared by all: it cannot be changed, or is made by `dataclasses.field` instead.
    """
    told = Told(help=help, unit=unit, at_least=at_least, above=above, at_most=at_most)
    made: T = field(default=default, metadata={_TOLD: told})
    return made


def required(*, help: str) -> Any:  # noqa: A002 - as above
    """A field as that of `option` which has no default: a configuration has to say it."""
    return field(metadata={_TOLD: Told(help=help)})


def told_of(kind: "type[DataclassInstance]") -> dict[str, Told]:
    """What each field of a dataclass says of itself; nothing, where it was not made by `option`."""
    return {each.name: each.metadata.get(_TOLD, Told()) for each in dataclasses.fields(kind)}


#: Some of these classes are made for each request.
_told_once: Final = cache(told_of)


def check_ranges(settings: "DataclassInstance") -> None:
    """Raise `ValueError` for the first number that is not finite, or not in the range that its field tells.

    For a `__post_init__`: what reads YAML has checked it already, and told where it stands.
    """
    for name, told in _told_once(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, int | float) and not told.holds(value):
            raise ValueError(f"{name} must be {told.range or 'finite'}, not {value:.15g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[O]):
    """Something that a configuration names: a stage or a sink.

    `options` is a dataclass whose fields were made by `option`, each with a default unless it has to be said.
    `make(options, setup)` is called once, when the pipeline is made; what it gives is described by `routing.way`.
    `takes` and `gives` say what flows in and out; a sink gives nothing. `scope` is the widest in which a stage can
    stand: one of `leg` needs a model, and so stands before `fallback`. `once` says that it can stand in a pipeline one
    time only. `bound` tells what it may hold, and what it does when it holds that: "" for one that holds nothing.
    `example` is YAML, as it stands in a list of stages or sinks.
    """

    name: str
    summary: str
    takes: Shape
    gives: Shape | None
    options: type[O]
    make: Callable[..., Any]
    scope: Scope = Scope.REQUEST
    once: bool = False
    bound: str = ""
    example: str = ""


def with_plugins(builtin: Mapping[str, Kind[Any]], group: str) -> dict[str, Kind[Any]]:
    """The kinds of `builtin`, then those that installed packages add by entry points of `group`.

    An entry point names a `Kind`. Raises `ConfigError` for one that cannot be loaded, is none, or has a name that is
    taken: nothing is replaced in silence.
    """
    kinds = dict(builtin)
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        who = f"the entry point {entry.name!r} of {group}" + (f" ({entry.dist.name})" if entry.dist else "")
        try:
            kind = entry.load()
        except Exception as error:
            raise ConfigError(f"{who} cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(kind, Kind):
            raise ConfigError(f"{who} is a {type(kind).__name__}, not a rxlapce.registry.Kind")
        if kind.name in kinds:
            raise ConfigError(f"{who} has the name {kind.name!r}, which is taken")
        kinds[kind.name] = kind
    return kinds
