"""The circuit breakers of all routes."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from rxlapce.operators.breaker import Breaker, BreakerSettings, Change, State
from rxlapce.typing import Clock


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

    def __len__(self) -> int:
        return len(self._breakers)

    def __iter__(self) -> Iterator[tuple[tuple[str, str, str | None], Breaker]]:
        """Each with its provider, model and key, the least lately used first."""
        return iter(tuple(self._breakers.items()))

    def find(self, provider: str, model: str, key: str | None = None) -> Breaker | None:
        """The breaker, if there is one: who only looks makes none, and keeps none."""
        return self._breakers.get((provider, model, key))

    def get(self, provider: str, model: str, key: str | None = None) -> Breaker:
        """The breaker of that provider, model and key."""
        place = (provider, model, key)
        breaker = self._breakers.get(place)
        if breaker is None:
            if len(self._breakers) >= self.max_breakers:
                del self._breakers[self._least_needed()]
            name = f"{provider}/{model}" if key is None else f"{provider}/{model} by key {key}"
            breaker = Breaker(self.clock, self.settings, name=name, keyed=key is not None, on_change=self.on_change)
            self._breakers[place] = breaker
        self._breakers.move_to_end(place)
        return breaker

    def _least_needed(self) -> tuple[str, str, str | None]:
        for place, breaker in self._breakers.items():
            if breaker.state is State.CLOSED and not breaker.gauges.active:
                return place
        return next(iter(self._breakers))
