"""`retry_stream`: the same request to the same provider once more, before anybody has seen anything of its answer."""

import asyncio
import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange, Receiver, Stage, clock_of, connect
from rxlapce.happenings import Retrying
from rxlapce.operators.attempt import Ongoing
from rxlapce.operators.breaker import CircuitOpen
from rxlapce.operators.retry_budget import RetryBudget
from rxlapce.operators.verdict import was_sent
from rxlapce.registry import SECONDS, check_ranges, option
from rxlapce.tokens import Finish, StreamToken, Text, UsageReport

#: Errors that the same request to the same provider gets again, whatever else is said about them.
HOPELESS: Final = frozenset(
    {
        ErrorKind.AUTH,
        ErrorKind.BILLING,
        ErrorKind.QUOTA,
        ErrorKind.BAD_REQUEST,
        ErrorKind.CONTEXT_LENGTH,
        ErrorKind.CONTENT_FILTER,
        ErrorKind.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon to ask again. Times are in seconds.

    Before attempt n + 1 there is a wait of what the provider asked for (`retry_after_s`), if it did, and on top of that
    a random time from `min_s` to `base_s` * 2^(n - 1), at most `max_s`. `max_attempts`, from 1, counts the first one.
    No attempt starts later than `deadline_s` after the subscription, None for no deadline; how long one may then take
    is for `stream_timeouts` to say.

    Source of "full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; `min_s` keeps it
    from being no wait at all.
    """

    max_attempts: int = option(
        3, help="how often a model is asked, the first time counted", unit="attempts", at_least=1
    )
    base_s: float = option(
        0.5,
        help="the longest random wait after the first failure; it doubles with each further one",
        unit=SECONDS,
        above=0,
    )
    max_s: float = option(8.0, help="the longest random wait of all", unit=SECONDS, above=0)
    min_s: float = option(
        0.1,
        help="the shortest random wait; all of them come on top of the provider's `Retry-After`",
        unit=SECONDS,
        above=0,
    )
    deadline_s: float | None = option(
        60.0, help="no attempt begins later than this after the request", unit=SECONDS, above=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.base_s < self.min_s:
            raise ValueError(f"base_s must be at least min_s, which is {self.min_s:g}, not {self.base_s:g}")
        if self.max_s < self.base_s:
            raise ValueError(f"max_s must be at least base_s, which is {self.base_s:g}, not {self.max_s:g}")

    def wait_s(self, failed: int, retry_after_s: float | None, random: Callable[[], float]) -> float:
        """How long to wait after `failed` (from 1) attempts; `random` gives a number from 0 to 1."""
        # 2**64 times any base is past any max: a larger exponent would only overflow the float.
        ceiling_s = min(self.max_s, self.base_s * 2.0 ** min(failed - 1, 64))
        return max(retry_after_s or 0.0, 0.0) + self.min_s + random() * (ceiling_s - self.min_s)


def may_ask_again(error: Exception) -> bool:
    """Whether the same request may get an answer at the same provider a little later.

    A provider that did not answer at all (no connection, no headers in time) has had its chance: asking it again would
    cost the user the same long wait. Another route may be tried at once.
    """
    if not isinstance(error, ProviderError) or error.retry is not Retry.SAME or error.kind in HOPELESS:
        return False
    if error.phase is Phase.ADMIT:
        # A gate of ours has waited as long as it may. A breaker has not: it tells for how long the provider wants rest.
        return isinstance(error, CircuitOpen) and error.cools
    if error.status is not None:
        return True
    if error.kind is ErrorKind.TIMEOUT:
        return error.phase not in (Phase.CONNECT, Phase.HEADERS)
    return not (error.kind is ErrorKind.NETWORK and error.phase is Phase.CONNECT)


def retry_stream(
    policy: RetryPolicy | None = None,
    *,
    budget: RetryBudget | None = None,
    random: Callable[[], float] = _random.random,
    exchange: Exchange | None = None,
    again: Callable[[Exception], bool] = may_ask_again,
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Hand tokens on; subscribe again if the source fails before the first of them that anybody would see.

        source:  --u-#    --u--a--b--F|
        result:  ------[wait]-----ua--b--F|

    Any token but a `UsageReport` commits the attempt: from then on everything passes through, errors too. Before it,
    the last usage report is held (a later one replaces an earlier one), and thrown away if the attempt fails.

    An error is retried if `again` has it so; by default if it says so (`Retry.SAME`), is none of `HOPELESS`, and the
    provider did answer (`may_ask_again`); at most `policy.max_attempts` times in all. The provider's last error goes on
    unchanged, also if a breaker or a gate has refused an attempt since. It goes on at once, with its `retry_after_s`,
    where the wait would reach past the deadline, and where `budget` is spent. The wait is never shorter than
    `Retry-After`.

    Disposing ends the attempt or the wait under way; nothing is subscribed after it. Each attempt is noted in
    `exchange.attempts` at its `Finish`, else as it ends, and who watches the exchange is told of each that follows an
    other. The scheduler comes from subscribe, and gives the clock and the timer, one at a
    wait; without one, the running loop's. Holds one token. `random` gives numbers from 0 to 1.
    """
    chosen = policy or RetryPolicy()

    def retried(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            return _Retrying(source, chosen, budget, random, exchange, again, receiver, scheduler).start()

        return Stage(on_subscribe)

    return retried


class _Retrying:
    """One subscription: the attempt under way, or the timer until the next."""

    __slots__ = (
        "again",
        "attempt",
        "budget",
        "clock",
        "current",
        "ended",
        "exchange",
        "failed",
        "failure",
        "policy",
        "random",
        "receiver",
        "scheduler",
        "source",
        "started_s",
    )

    def __init__(
        self,
        source: Observable[StreamToken],
        policy: RetryPolicy,
        budget: RetryBudget | None,
        random: Callable[[], float],
        exchange: Exchange | None,
        again: Callable[[Exception], bool],
        receiver: Receiver[StreamToken],
        scheduler: SchedulerBase | None,
    ) -> None:
        self.source = source
        self.again = again
        self.policy = policy
        self.budget = budget
        self.random = random
        self.exchange = exchange
        self.receiver = receiver
        self.scheduler = scheduler
        self.clock = clock_of(scheduler)
        self.started_s = self.clock()
        self.failed = 0
        self.failure: Exception | None = None
        """The last that was the provider's own."""
        self.ended = False
        self.attempt: _Attempt | None = None
        self.current = SerialDisposable()

    def start(self) -> DisposableBase:
        if self.budget is not None:
            self.budget.count_request(self.started_s)
        self.subscribe()
        return Disposable(self.stop)

    def subscribe(self, *_: object) -> None:
        attempt = self.attempt = _Attempt(self)
        # Put in place first: a source may fail, and be followed by a timer, while it is being subscribed to.
        upstream = SingleAssignmentDisposable()
        self.current.disposable = upstream
        upstream.disposable = connect(self.source, attempt.receiver(), self.scheduler)

    def wait_s(self, error: Exception) -> float | None:
        """How long to wait before the next attempt; None if there is none. Takes a retry from the budget.

        Not for one that was refused: it was not sent, and to send it then is not to send it twice.
        """
        if self.failed >= self.policy.max_attempts or not self.again(error):
            return None
        asked_s = error.retry_after_s if isinstance(error, ProviderError) else None
        wait_s = self.policy.wait_s(self.failed, asked_s, self.random)
        now_s, deadline_s = self.clock(), self.policy.deadline_s
        if deadline_s is not None and now_s + wait_s > self.started_s + deadline_s:
            return None
        if self.budget is not None and was_sent(error) and not self.budget.spend(now_s):
            return None
        return wait_s

    def on_failure(self, error: Exception) -> None:
        """The attempt failed before anybody saw anything of it."""
        self.failed += 1
        if was_sent(error):
            self.failure = error
        wait_s = self.wait_s(error)
        if wait_s is None:
            self.end(self.failure or error)  # that a gate or the circuit has closed since tells less
            return
        exchange = self.exchange
        if exchange is not None:
            coming, who = len(exchange.attempts) + 1, (exchange.provider, exchange.model)
            exchange.tell(Retrying(provider=who[0], model=who[1], attempt=coming, error=error, wait_s=wait_s))
        timer = SingleAssignmentDisposable()
        self.current.disposable = timer
        scheduler = self.scheduler if self.scheduler is not None else AsyncIOScheduler(asyncio.get_running_loop())
        timer.disposable = scheduler.schedule_relative(wait_s, self.subscribe)

    def end(self, error: Exception | None) -> None:
        self.ended = True
        self.current.dispose()
        if error is None:
            self.receiver.on_completed()
        else:
            self.receiver.on_error(error)

    def stop(self) -> None:
        self.ended = True
        if self.attempt is not None:
            self.attempt.end(None)
        self.current.dispose()


class _Attempt:
    """One subscription to the source."""

    __slots__ = ("committed", "ended", "finished", "held", "on_end", "ongoing", "retrying")

    def __init__(self, retrying: _Retrying) -> None:
        self.retrying = retrying
        self.ongoing = Ongoing(retrying.exchange, retrying.clock)
        self.held: UsageReport | None = None
        self.finished = False
        self.on_end: Callable[[], None] = _nothing
        self.committed = False
        self.ended = False

    def receiver(self) -> Receiver[StreamToken]:
        emit = self.retrying.receiver.on_next
        straight, tokens = False, 0  # cells, and not attributes, for what is looked at each token

        def on_next(token: StreamToken) -> None:
            nonlocal straight, tokens
            tokens += 1
            if straight and type(token) is Text:
                emit(token)
            elif not self.ended:
                straight = self.take(token)

        def stop() -> None:
            nonlocal straight
            straight = False
            self.ongoing.tokens = tokens

        self.on_end = stop
        return Receiver(on_next, self.on_error, self.on_completed)

    def take(self, token: StreamToken) -> bool:
        """Any token but text that follows others; whether text goes straight through after it."""
        if isinstance(token, Finish):
            self.finish()
        if isinstance(token, UsageReport):
            self.ongoing.usage = token.usage
            if not self.committed:
                self.held = token
                return False
        elif not self.committed:
            self.committed = True
            self.release()
        if not self.ended:  # the reader may have had enough of what was held
            self.retrying.receiver.on_next(token)
        return not self.ended

    def finish(self) -> None:
        """The answer is whole: noted before its reader knows, who may be gone then, as may this process."""
        self.finished = True
        self.on_end()
        self.ongoing.note(finished=True)

    def release(self) -> None:
        held, self.held = self.held, None
        if held is not None:
            self.retrying.receiver.on_next(held)

    def on_error(self, error: Exception) -> None:
        if self.ended:
            return
        self.end(error)
        if self.committed:
            self.retrying.end(error)
        else:
            self.retrying.on_failure(error)

    def on_completed(self) -> None:
        if self.ended:
            return
        self.release()
        if not self.ended:
            self.end(None)
            self.retrying.end(None)

    def end(self, error: Exception | None) -> None:
        """Nothing is handed on any more; the attempt is noted."""
        if not self.ended:
            self.ended = True
            self.on_end()
            self.ongoing.note(error, finished=self.finished)


def _nothing() -> None:
    pass
