"""What all requests of a daemon share: quotas, slots, breakers, the retry budget, counts; and how they pass them."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange, Receiver, Stage, Tasks, connect
from rxlapce.happenings import Watcher
from rxlapce.operators.breaker import Change, State
from rxlapce.operators.breakers import Breakers
from rxlapce.operators.concurrency import Slots, concurrency_gate
from rxlapce.operators.ledger import Ledger, Limit, MemoryLedger, Unit
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import rate_limit_gate
from rxlapce.operators.retry_budget import RetryBudget
from rxlapce.operators.totals import StreamTotals
from rxlapce.routing.health import HealthMonitor
from rxlapce.routing.needs import Needs
from rxlapce.routing.router import Route
from rxlapce.routing.settings import BudgetSettings, Quota, RoutingSettings
from rxlapce.tokens import StreamToken
from rxlapce.typing import Clock

Operator = Callable[[Observable[StreamToken]], Observable[StreamToken]]
#: Makes the ledger of a quota: in memory, or in a store that several processes share.
MakeLedger = Callable[[tuple[Limit, ...]], Ledger]


def in_memory(limits: tuple[Limit, ...]) -> Ledger:
    """A ledger of this process."""
    return MemoryLedger(*limits)


@dataclass(slots=True)
class CopyCounts:
    """What a sink besides the client took, in plain integers that anybody may read at any time; all only grow.

    `tokens` are those that got there and `dropped` those that did not. Copies that lack some are `incomplete`; those
    that `failed` could not be carried on at all: a full disk, a socket where nobody listens.
    """

    streams: int = 0
    tokens: int = 0
    dropped: int = 0
    incomplete: int = 0
    failed: int = 0


#: Makes a watcher for an exchange.
LogOf = Callable[[Exchange], Watcher]
#: Told of a pipeline, its sink, the request's id, and the error.
OnTrouble = Callable[[str, str, str, Exception], None]


class Traffic:
    """The state that outlives a request. Everything in it is kept by provider and model, never by host.

    `make_ledger` is for the quotas of models; those of users and clients are this machine's, and counted in memory.

    `clock` is that of the requests' schedulers. Memory: a few hundred bytes for each model that was asked, bounded as
    `Breakers` and `StreamTotals` are; ledgers sweep out what has expired. All on one loop.
    """

    def __init__(
        self,
        settings: RoutingSettings,
        *,
        clock: Clock = time.monotonic,
        make_ledger: MakeLedger = in_memory,
        on_breaker: Callable[[Change], None] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.breakers = Breakers(clock, settings.breaker, on_change=on_breaker)
        self.budget = _budget(settings.budget)
        self.totals = StreamTotals()
        self.health: HealthMonitor | None = None
        self.limiters: dict[tuple[Limit, ...], RateLimiter] = {}
        self.local_limiters = self.limiters if make_ledger is in_memory else dict[tuple[Limit, ...], RateLimiter]()
        self.slots: dict[int, Slots] = {}
        self._make_ledger = make_ledger
        self._running: Counter[str] = Counter()
        self.tasks = Tasks()
        """What goes on behind the streams: the copies of answers on their way to sinks."""
        self.copied: dict[tuple[str, str], CopyCounts] = {}
        """By pipeline and sink."""
        self.on_trouble: OnTrouble | None = None
        """Told of each copy that could not get where it belongs."""
        self.log_of: LogOf | None = None
        """Makes what the stages `log_tap` of a request tell; None: they tell nobody."""

    # -- what the router asks (`router.RouteState`) -------------------------------------------------------------------

    def running(self, route: Route) -> int:
        """The requests that the model has under way, waiting ones too."""
        return self._running[route.name]

    @property
    def all_running(self) -> int:
        """The requests under way at all models."""
        return self._running.total()

    def under_way(self) -> dict[str, int]:
        """The requests under way, waiting ones too, by the names of their models; only of those that have any."""
        return dict(self._running)

    def obstacle(self, route: Route, *, apart: str = "") -> str | None:
        """Why the model can hardly answer now: its provider is not well, or its breaker is open.

        `apart` is the name of those that a way has for itself (`Breakers.get`).
        """
        if self.health is not None and not self.health.usable(route.provider.name):
            return f"{route.provider.name} is not well ({self.health[route.provider.name].reason})"
        breaker = self.breakers.find(route.provider.name, route.model, route.key, apart=apart)
        if breaker is not None and breaker.state is State.OPEN:
            return f"its circuit is open ({breaker.cause})"
        return None

    def adopt(self, settings: RoutingSettings) -> None:
        """Let `settings` hold for whatever begins from now on; counts go on, and so do what runs and what waits.

        A quota with other numbers is counted anew: what it has let through by then counts for nobody.
        """
        self.settings = settings
        self.breakers.adopt(settings.breaker)
        before, self.budget = self.budget, _budget(settings.budget)
        if settings.budget.window_s == before.window_s:
            self.budget = before
            before.fraction, before.floor = settings.budget.fraction, settings.budget.floor
        else:
            self.budget.spent, self.budget.refused = before.spent, before.refused

    def copied_by(self, pipeline: str, sink: str) -> CopyCounts:
        """The counts of a sink. Both names are the file's, so there are as many as it has."""
        return self.copied.setdefault((pipeline, sink), CopyCounts())

    def trouble(self, pipeline: str, sink: str, request_id: str, error: Exception) -> None:
        """Tell that the sink's copy of a request goes no further."""
        if self.on_trouble is not None:
            self.on_trouble(pipeline, sink, request_id, error)

    async def aclose(self, within_s: float = 5.0) -> None:
        """Return when the copies of streams that have ended are where they belong, or `within_s` seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.tasks.settled()
        await self.tasks.aclose()

    # -- what a request passes ----------------------------------------------------------------------------------------

    def admit(
        self, key: str, quota: Quota, needs: Needs, wait_s: float, exchange: Exchange, *, local: bool = False
    ) -> Operator:
        """Subscribe when `key`'s quota allows it, within `wait_s` seconds in all; see the two gates.

        A `local` quota is counted in this process, wherever the others are: another machine's user of the same number,
        or program of the same name, is somebody else.

        The slot comes first, so that a request which waits for one has not taken anything of the minute in which it is
        not sent.
        """
        limits = _limits_of(quota)

        def admitted(source: Observable[StreamToken]) -> Observable[StreamToken]:
            if not limits and quota.streams is None:
                return source

            def enter(scheduler: SchedulerBase | None) -> Observable[StreamToken]:
                deadline_s = self.clock() + wait_s

                def limited(_: SchedulerBase | None) -> Observable[StreamToken]:
                    left_s = max(0.0, deadline_s - self.clock())
                    return source.pipe(self.rate_gate(key, quota, needs, left_s, exchange, local=local))

                within = deferred(limited) if limits else source
                return within if quota.streams is None else within.pipe(self.slot_gate(key, quota.streams, wait_s))

            return deferred(enter)

        return admitted

    def rate_gate(
        self, key: str, quota: Quota, needs: Needs, wait_s: float, exchange: Exchange, *, local: bool = False
    ) -> Operator:
        """The gate of what `key` may ask a minute, where `quota` has such a limit; a `local` one as for `admit`."""
        limiter = self._limiter(_limits_of(quota), local=local)
        return rate_limit_gate(limiter, key, estimate=_estimate(needs, quota), max_wait_s=wait_s, exchange=exchange)

    def slot_gate(self, key: str, streams: int, wait_s: float) -> Operator:
        """The gate of how many `streams` of `key` may run at once."""
        return concurrency_gate(self._slots(streams), key, max_wait_s=wait_s)

    def counted(self, route: Route, *, others: bool) -> Operator:
        """Count the request as one that `route` has under way, and let health know of a whole answer.

        `others` says that further models may be asked: then what could not even be said to this one, so that nothing
        was sent, is one of those errors that another may have an answer to. Tokens pass untouched.
        """
        name, provider = route.name, route.provider.name

        def counting(source: Observable[StreamToken]) -> Observable[StreamToken]:
            def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
                self._running[name] += 1
                under_way = Disposable(lambda: self._leave(name))

                def on_error(error: Exception) -> None:
                    under_way.dispose()
                    if (
                        others
                        and isinstance(error, ProviderError)
                        and error.kind is ErrorKind.BAD_REQUEST
                        and error.phase is Phase.ADMIT
                    ):
                        error.retry = Retry.OTHER_PROVIDER
                    receiver.on_error(error)

                def on_completed() -> None:
                    under_way.dispose()
                    if self.health is not None:
                        self.health.served(provider)
                    receiver.on_completed()

                upstream = connect(source, Receiver(receiver.on_next, on_error, on_completed), scheduler)
                return CompositeDisposable(upstream, under_way)

            return Stage(on_subscribe)

        return counting

    def _leave(self, name: str) -> None:
        self._running[name] -= 1
        if not self._running[name]:
            del self._running[name]

    def _limiter(self, limits: tuple[Limit, ...], *, local: bool) -> RateLimiter:
        limiters = self.local_limiters if local else self.limiters
        limiter = limiters.get(limits)
        if limiter is None:
            ledger = in_memory(limits) if local else self._make_ledger(limits)
            limiter = limiters[limits] = RateLimiter(ledger)
        return limiter

    def _slots(self, streams: int) -> Slots:
        slots = self.slots.get(streams)
        if slots is None:
            slots = self.slots[streams] = Slots(streams)
        return slots


@dataclass(frozen=True, slots=True)
class SeenApart:
    """The state of the models for a way that has breakers of its own, under the name `apart` (`router.RouteState`)."""

    traffic: Traffic
    apart: str

    def running(self, route: Route) -> int:
        """The requests that the model has under way, by whatever way."""
        return self.traffic.running(route)

    def obstacle(self, route: Route) -> str | None:
        """Why the model can hardly answer now; of breakers, what those of the way know."""
        return self.traffic.obstacle(route, apart=self.apart)


def deferred(make: Callable[[SchedulerBase | None], Observable[StreamToken]]) -> Observable[StreamToken]:
    """What `make` gives, made anew at each subscription; as `reactivex.defer`, without its auto-detach in between."""

    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        return connect(make(scheduler), receiver, scheduler)

    return Stage(on_subscribe)


def _budget(settings: BudgetSettings) -> RetryBudget:
    return RetryBudget(fraction=settings.fraction, floor=settings.floor, window_s=settings.window_s)


def _limits_of(quota: Quota) -> tuple[Limit, ...]:
    limits = ((quota.requests, Unit.REQUESTS), (quota.tokens, Unit.TOKENS))
    return tuple(Limit(amount, unit) for amount, unit in limits if amount is not None)


def _estimate(needs: Needs, quota: Quota) -> int:
    """The tokens to reserve. An answer that nobody bounds is only guessed: a guess refuses no request for good."""
    if quota.tokens is None:
        return 0
    if needs.answer_is_bounded:
        return needs.tokens
    return max(needs.prompt_tokens, min(needs.tokens, quota.tokens))
