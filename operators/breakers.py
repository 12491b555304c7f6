"""The circuit breakers of all routes."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rxlapce.operators.breaker import Breaker, BreakerSettings, Change, State
from rxlapce.operators.totals import OTHER
from rxlapce.typing import Clock


@dataclass(slots=True)
class Openings:
    """What the breakers of one model did since the start; both only grow."""

    opened: int = 0
    refused: int = 0


class Breakers:
    """The breakers by provider, model and, where there are several, key; made when first asked for.

    Never by host: two models of one server do not block each other. `key` is a name of the key and never its secret.
    At most `max_breakers` are kept, from 1; for a new one the least lately used is forgotten that is closed and
    has no request under way, or just the least lately used.
    """

    def __init__(
        self,
        clock: Clock,
        settings: BreakerSettings | None = None,
        *,
        max_breakers: int = 1024,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        if max_breakers < 1:
            raise ValueError(f"max_breakers must be at least 1, not {max_breakers}")
        self.clock = clock
        self.settings = settings or BreakerSettings()
        self.max_breakers = max_breakers
        self.on_change = on_change
        self._breakers: OrderedDict[tuple[str, str, str | None], Breaker] = OrderedDict()
        self._forgotten: dict[tuple[str, str], Openings] = {}

    def __len__(self) -> int:
        return len(self._breakers)

    def __iter__(self) -> Iterator[tuple[tuple[str, str, str | None], Breaker]]:
        """Each with its provider, model and key, the least lately used first."""
        return iter(tuple(self._breakers.items()))

    def find(self, provider: str, model: str, key: str | None = None, *, apart: str = "") -> Breaker | None:
        """The breaker, if there is one: who only looks makes none, and keeps none."""
        return self._breakers.get((provider, model, _place(key, apart)))

    def get(
        self,
        provider: str,
        model: str,
        key: str | None = None,
        *,
        apart: str = "",
        settings: BreakerSettings | None = None,
    ) -> Breaker:
        """The breaker of that provider, model and key.

        Under a name `apart` it is another one, which knows of nothing but what is asked under that name too, and has
        `settings` of its own.
        """
        place = (provider, model, _place(key, apart))
        breaker = self._breakers.get(place)
        if breaker is None:
            if len(self._breakers) >= self.max_breakers:
                self._forget(self._least_needed())
            name = f"{provider}/{model}" if key is None else f"{provider}/{model} by key {key}"
            breaker = Breaker(
                self.clock,
                settings or self.settings,
                name=f"{name}{_in(apart)}",
                keyed=key is not None,
                on_change=self.on_change,
            )
            self._breakers[place] = breaker
        self._breakers.move_to_end(place)
        return breaker

    def adopt(self, settings: BreakerSettings) -> None:
        """Let `settings` hold from now on, also for breakers that there are, but for those that have their own."""
        for breaker in self._breakers.values():
            if breaker.settings is self.settings:
                breaker.settings = settings
        self.settings = settings

    def openings(self) -> dict[tuple[str, str], Openings]:
        """How often breakers opened and refused, by provider and model, those that are forgotten too. Linear in them.

        Of those that are forgotten at most `max_breakers` are told by name.
        """
        told = {place: Openings(past.opened, past.refused) for place, past in self._forgotten.items()}
        for (provider, model, _), breaker in self._breakers.items():
            _count(told.setdefault((provider, model), Openings()), breaker)
        return told

    def _forget(self, place: tuple[str, str, str | None]) -> None:
        breaker = self._breakers.pop(place)
        if breaker.gauges.opened or breaker.gauges.refused:
            name = place[:2]
            if name not in self._forgotten and len(self._forgotten) >= self.max_breakers:
                name = (OTHER, OTHER)
            _count(self._forgotten.setdefault(name, Openings()), breaker)

    def _least_needed(self) -> tuple[str, str, str | None]:
        for place, breaker in self._breakers.items():
            if breaker.state is State.CLOSED and not breaker.gauges.active:
                return place
        return next(iter(self._breakers))


def _place(key: str | None, apart: str) -> str | None:
    return f"{key or ''}{_in(apart)}" if apart else key


def _in(apart: str) -> str:
    return f" in {apart}" if apart else ""


def _count(openings: Openings, breaker: Breaker) -> None:
    openings.opened += breaker.gauges.opened
    openings.refused += breaker.gauges.refused
