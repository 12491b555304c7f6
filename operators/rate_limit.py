"""Limits on how often a provider is asked, and for how many tokens."""

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxlapce.errors import Phase, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.operators.admission import Ticket, check_wait
from rxlapce.operators.limiter import Claim, RateLimiter
from rxlapce.tokens import VISIBLE, Finish, StreamToken, Text, Usage, UsageReport


def rate_limit_gate(
    limiter: RateLimiter,
    key: str,
    *,
    estimate: int = 0,
    max_wait_s: float = 30.0,
    exchange: Exchange | None = None,
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Subscribe to the source when `key`'s limits allow it, and settle what it used when it ends.

        1 request in 5 s, source:  --a-|
        first subscriber:          --a-|
        second, at once:           -------a-|
        third, waits 3 s:          #

    Every subscription takes one request and `estimate` tokens (from 0; say, the prompt's characters / 4, and the most
    that the answer may have) from all limits of `key`, or waits, first come first, for at most `max_wait_s` seconds
    (from 0, finite). `key` is the caller's choice: a provider, a provider and the name of a key, a user; it stands in
    messages, so it must hold no secret. For limits on several keys, pipe one gate for each, the narrowest outermost.

    A refusal is a `ProviderError` of kind `rate_limit` and phase `admit` with `retry_after_s`, the seconds until the
    limit lets this request through as things stand. It comes at once when `max_wait_s` is 0 and nothing is free, when
    even the best case is later than the deadline, or when the line is full (`RateLimiter.max_waiters`, policy: refuse);
    else at the deadline. An estimate larger than a whole limit is refused without `retry_after_s`: another provider may
    take it.

    Tokens are settled once: at the `Finish`, else at the end, by the last `UsageReport`, which until then can only
    raise what is reserved. Without a report a stream that completed or said something keeps its estimate; one that
    failed or was disposed before its first visible token gives the tokens back; one whose error is of phase `admit`, or
    that was disposed before it started, was never sent and gives the request back too. A wait that is disposed takes
    nothing. Whatever is given back is offered to the first who waits, before the end is told downstream.

    Tokens are handed on as they come; the ledger is asked at admission and told at settlement, never for a token. The
    scheduler comes from subscribe and gives the clock; without one, the running loop's.

    Raises `ValueError` for an estimate or a wait out of range.
    """
    check_wait(max_wait_s)
    if estimate < 0:
        raise ValueError(f"estimate must not be negative, not {estimate}")

    def gated(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            provider = (exchange.provider or None) if exchange is not None else None
            return _Passage(limiter, source, receiver, scheduler).enter(key, estimate, max_wait_s, provider)

        return Stage(on_subscribe)

    return gated


class _Passage:
    """One subscription's way through the gate."""

    __slots__ = ("claim", "limiter", "receiver", "scheduler", "sent", "source", "spoke", "upstream", "used")

    claim: Claim

    def __init__(
        self,
        limiter: RateLimiter,
        source: Observable[StreamToken],
        receiver: Receiver[StreamToken],
        scheduler: SchedulerBase | None,
    ) -> None:
        self.limiter = limiter
        self.source = source
        self.receiver = receiver
        self.scheduler = scheduler
        self.upstream = SingleAssignmentDisposable()
        self.sent = False
        self.spoke = False  # there was a token that a user would see
        self.used: int | None = None  # what the last report told of

    def enter(self, key: str, estimate: int, max_wait_s: float, provider: str | None) -> DisposableBase:
        ticket = Ticket(max_wait_s, self.scheduler, self.start, self.receiver.on_error)
        self.claim = claim = Claim(ticket, key, estimate, provider)
        self.limiter.enter(claim)
        ticket.entered(lambda: self.limiter.expire(claim))
        return Disposable(self.stop)

    def start(self) -> None:
        self.sent = True
        receiver = Receiver(self.tokens_to(self.receiver.on_next), self.on_error, self.on_completed)
        try:
            self.upstream.disposable = connect(self.source, receiver, self.scheduler)
        except BaseException:  # an observer's, from inside a source that speaks while it is subscribed to
            self.leave()
            raise

    def tokens_to(self, emit: Callable[[StreamToken], None]) -> Callable[[StreamToken], None]:
        straight = False  # text has nothing to tell any more: nearly all tokens

        def on_next(token: StreamToken) -> None:
            nonlocal straight
            if not straight or type(token) is not Text:
                self.note(token)
                straight = self.spoke
            emit(token)

        return on_next

    def note(self, token: StreamToken) -> None:
        if isinstance(token, UsageReport):
            used = tokens_used(token.usage)
            if used is not None:
                self.used = used
                self.limiter.report(self.claim, used)
        elif isinstance(token, VISIBLE):
            self.spoke = True
        elif isinstance(token, Finish) and self.used is not None:
            self.limiter.settle(self.claim, self.used)

    def on_error(self, error: Exception) -> None:
        if isinstance(error, ProviderError) and error.phase is Phase.ADMIT:
            self.sent = False
        self.leave()
        self.receiver.on_error(error)

    def on_completed(self) -> None:
        self.spoke = True  # an empty answer, too, has read the prompt
        self.leave()
        self.receiver.on_completed()

    def stop(self) -> None:
        try:
            self.upstream.dispose()
        finally:
            self.leave()

    def leave(self) -> None:
        if self.used is not None:
            self.limiter.leave(self.claim, self.used)
        elif self.spoke:
            self.limiter.leave(self.claim, self.claim.tokens)
        else:
            self.limiter.leave(self.claim, 0 if self.sent else None)


def tokens_used(usage: Usage) -> int | None:
    """The tokens that `usage` tells of, as far as it does; None if it tells of none."""
    if usage.total is not None:
        return usage.total
    if usage.input is None and usage.output is None:
        return None
    return (usage.input or 0) + (usage.output or 0)
