"""A name of the user's own for one or several models, and what is asked of a request before it goes to one."""

from dataclasses import dataclass
from enum import StrEnum

from rxlapce.operators.legs import FallbackPolicy
from rxlapce.registry import check_ranges, option, required
from rxlapce.routing.settings import StreamTimeouts


class Choose(StrEnum):
    """Which of an alias's models is asked first; the others follow if it fails."""

    IN_ORDER = "in_order"
    """As they are written."""
    WEIGHTED = "weighted"
    """By chance, each as often as its weight says, and so on among the rest."""
    LEAST_BUSY = "least_busy"
    """Who would have the fewest requests under way for its weight, with this one; of equals the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One of an alias's models, by `provider/model`, and which requests it takes.

    `weight` is from 1. `images` and `tools`: whether it takes requests with such; `context`: the most tokens that
    prompt and answer may have, as far as they can be estimated, None where that is left to the provider. `prefill`:
    whether it goes on with an answer's beginning; None where the provider's own word holds.

    Raises `ValueError` for numbers below 1.
    """

    model: str = required(
        help="`PROVIDER/MODEL`; of a provider with a default model (Azure's deployment) its name alone"
    )
    weight: int = option(1, help="its share under `weighted` and `least_busy`", at_least=1)
    images: bool = option(default=True, help="whether it takes requests with images")
    tools: bool = option(default=True, help="whether it takes requests with tools")
    context: int | None = option(
        None, help="longer requests, prompt and answer, go to the others", unit="tokens", at_least=1
    )
    prefill: bool | None = option(
        None, help="whether it goes on with an answer's beginning; null: as is known of the provider's models"
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for models: who is asked, in which order, and what becomes of an answer that breaks off.

    `fallback` and `timeouts` take the place of the daemon's, None where those hold.

    Raises `ValueError` for no targets, or the same model twice.
    """

    name: str
    targets: tuple[Target, ...]
    choose: Choose = option(Choose.IN_ORDER, help="which of them is asked first; the others follow if it fails")
    fallback: FallbackPolicy | None = None
    timeouts: StreamTimeouts | None = None

    def __post_init__(self) -> None:
        names = [target.model for target in self.targets]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the alias {self.name!r} needs one or more models, each once")
