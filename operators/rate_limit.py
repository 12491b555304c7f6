"""Limits on how often a provider is asked, and for how many tokens; the only module that knows `limits`."""

import asyncio
import math
from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.aio.storage import SlidingWindowCounterSupport, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxlapce.errors import Phase, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, Tasks, connect
from rxlapce.operators.admission import Ticket, check_wait
from rxlapce.operators.ledger import Limit, Unit, Verdict, Wait, counter_wait_s
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


class LimitsLedger:
    """The limits in one of `limits`' asyncio storages, so that all processes which use one storage share them.

    `storage` is a storage or its address (`async+memory://`, `async+redis://...`); it must know the sliding window
    counter. That strategy, because it takes two numbers a key and limit, whatever a request costs: the moving window of
    `limits` keeps an entry for each token, and in memory hands its housekeeping to a thread. It is an estimate: it
    takes the last window's use as spread evenly. At worst, a burst at a window's end, twice the amount passes within
    one period, spread over it: as with the token buckets that providers describe.

    `limits` gives nothing back, so each key has an account in this process. What was not used is a credit: the
    next requests of this process take from it before they ask the storage. It is worth something until the window of
    the storage ends in which it was paid, as from then on the payment fades. What was used beyond the estimate is paid
    at settlement, and if the storage refuses that, it is a debt for at most a period, paid with the next request. So
    other processes see too little for a moment, or too much for up to two periods: wrong on the safe side.

    Answers on the running loop, after one question to the storage for each limit (a second one when a window begins
    and on a refusal), within `timeout_s` seconds for all of them; a failure or timeout of the storage refuses the
    request (fails closed). What its tasks do after that, `aclose` ends. Memory: an account for each key and limit;
    those that are spent are swept out when the number of keys has doubled.

    Raises `ValueError` without limits, `TypeError` for a storage of another kind.
    """

    _FIRST_SWEEP = 64

    def __init__(
        self,
        *limits: Limit,
        storage: Storage | str = "async+memory://",
        timeout_s: float = 2.0,
        prefix: str = "rxlapce",
    ) -> None:
        if not limits:
            raise ValueError("a ledger needs at least one limit")
        store = storage_from_string(storage) if isinstance(storage, str) else storage
        if not isinstance(store, Storage) or not isinstance(store, SlidingWindowCounterSupport):
            raise TypeError(f"{type(store).__name__} is no asyncio storage that knows the sliding window counter")
        self.limits = limits
        self.timeout_s = timeout_s
        self.prefix = prefix
        self._storage: SlidingWindowCounterSupport = store
        self._strategy = SlidingWindowCounterRateLimiter(store)
        self._tasks = Tasks()
        self._accounts: dict[str, list[_Account]] = {}
        self._sweep_at = self._FIRST_SWEEP

    def __len__(self) -> int:
        """How many keys have an account in memory."""
        return len(self._accounts)

    def take(self, key: str, tokens: int, now_s: float, answer: Callable[[Verdict], None]) -> None:
        """As `Ledger.take`; answers later."""

        async def ask() -> None:
            try:
                async with asyncio.timeout(self.timeout_s):
                    verdict = await self._take(key, tokens, now_s)
            except Exception as error:  # noqa: BLE001 - a storage raises whatever its driver does; the gate tells of it
                verdict = error
            answer(verdict)

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # told from here, since a task cancelled before its first step runs nothing of `ask`
                answer(RuntimeError("the ledger was closed"))

        self._tasks.spawn(ask(), name=f"rate limit {key}").add_done_callback(ended)

    def look(self, key: str, requests_ahead: int, tokens_ahead: int, tokens: int, now_s: float) -> None:
        """None: the storage would have to be asked."""

    async def settled(self) -> None:
        """Wait until what was asked of the storage has been answered."""
        await self._tasks.settled()

    async def aclose(self) -> None:
        """Stop asking the storage; who waits for an answer is refused. The storage is its maker's to close."""
        await self._tasks.aclose()

    async def _take(self, key: str, tokens: int, now_s: float) -> Verdict:
        paid = _Paid(tokens, now_s)
        try:
            for account in self._of(key, now_s):
                wait = await account.pay(account.limit.cost(1, tokens), now_s)
                if wait is not None:
                    paid.give_back(now_s)
                    return wait
                paid.add(account)
        except BaseException:
            paid.give_back(now_s)
            raise
        return paid

    def _of(self, key: str, now_s: float) -> "list[_Account]":
        accounts = self._accounts.get(key)
        if accounts is None:
            if len(self._accounts) >= self._sweep_at:
                self._accounts = {k: kept for k, kept in self._accounts.items() if any(a.lives(now_s) for a in kept)}
                self._sweep_at = max(self._FIRST_SWEEP, 2 * len(self._accounts))
            accounts = self._accounts[key] = [
                _Account(key, limit, self.prefix, self._strategy, self._storage, self._tasks) for limit in self.limits
            ]
        return accounts


class _Account:
    """What this process has over, and owes, in one limit of one key."""

    __slots__ = (
        "credit",
        "debt",
        "debt_until_s",
        "item",
        "key",
        "limit",
        "open",
        "storage",
        "strategy",
        "tasks",
        "window_end_s",
    )

    def __init__(
        self,
        key: str,
        limit: Limit,
        prefix: str,
        strategy: SlidingWindowCounterRateLimiter,
        storage: SlidingWindowCounterSupport,
        tasks: Tasks,
    ) -> None:
        self.key = key
        self.limit = limit
        self.item = RateLimitItemPerSecond(limit.amount, limit.period_s, f"{prefix}/{limit.unit}")
        self.strategy = strategy
        self.storage = storage
        self.tasks = tasks
        self.credit = 0
        self.debt = 0
        self.debt_until_s = -math.inf
        self.window_end_s = -math.inf
        self.open = 0  # what running streams may still give back

    def lives(self, now_s: float) -> bool:
        return self.open > 0 or now_s < self.window_end_s or now_s < self.debt_until_s

    async def pay(self, cost: int, now_s: float) -> Wait | None:
        """Take `cost` and what is owed, from the credit and then from the storage; a `Wait`: nothing was taken."""
        if now_s >= self.window_end_s:
            await self.ask_window(now_s)
        # Both are taken before the storage is asked: a stream may settle meanwhile.
        owed, self.debt = self.debt if now_s < self.debt_until_s else 0, 0
        due = min(cost + owed, self.limit.amount)
        from_credit = min(self.credit, due)
        self.credit -= from_credit
        window_end_s = self.window_end_s
        paid = due == from_credit
        try:
            paid = paid or await self.strategy.hit(self.item, self.key, cost=due - from_credit)
        finally:
            if not paid:
                self.debt += owed
                self.put(from_credit, window_end_s, now_s)
        if paid:
            return None
        wait_s = counter_wait_s(self.limit, due - from_credit, *await self.ask_window(now_s))
        return Wait(self.limit, 0.0 if self.open else wait_s, wait_s)

    async def ask_window(self, now_s: float) -> tuple[int, float, int, float]:
        """The last window's count, the seconds for which it counts; the present one's, and the seconds it has left."""
        before, before_s, count, ttl_s = await self.storage.get_sliding_window(
            self.item.key_for(self.key), self.limit.period_s
        )
        # A window lives for two periods. One that is not there yet begins with the next payment.
        left_s = ttl_s - self.limit.period_s if ttl_s > 0 else float(self.limit.period_s)
        if now_s >= self.window_end_s:
            self.credit, self.window_end_s = 0, now_s + left_s
        return before, before_s, count, left_s

    def put(self, amount: int, window_end_s: float, now_s: float) -> None:
        """Give back what was paid in the window that ends at `window_end_s`, if that is the present one."""
        if now_s < window_end_s == self.window_end_s:
            self.credit += amount

    def owe(self, amount: int, now_s: float) -> None:
        from_credit = min(self.credit, amount)
        self.credit -= from_credit
        if amount > from_credit:
            self.debt += amount - from_credit
            self.debt_until_s = now_s + self.limit.period_s
            self.tasks.spawn(self.pay_debt(), name=f"rate limit debt {self.key}")

    async def pay_debt(self) -> None:
        """Pay what is owed, if the storage takes it; else it stays owed."""
        owed, self.debt = self.debt, 0
        paid = not owed
        try:
            paid = paid or await self.strategy.hit(self.item, self.key, cost=min(owed, self.limit.amount))
        finally:
            self.debt += 0 if paid else owed


class _Paid:
    """A reservation of `LimitsLedger`: what was paid to which account, and until when it can be a credit."""

    __slots__ = ("accounts", "tokens")

    def __init__(self, tokens: int, now_s: float) -> None:
        self.tokens = tokens
        self.accounts: list[tuple[_Account, int, float]] = []

    def add(self, account: _Account) -> None:
        cost = account.limit.cost(1, self.tokens)
        account.open += cost if account.limit.unit is Unit.TOKENS else 0
        self.accounts.append((account, cost, account.window_end_s))

    def settle(self, tokens: int, now_s: float, *, final: bool) -> None:
        if not final:  # the storage is never asked for a token: what is too much is paid at the end
            return
        for account, cost, window_end_s in self.accounts:
            if account.limit.unit is Unit.TOKENS:
                account.open -= cost
                if tokens > cost:
                    account.owe(tokens - cost, now_s)
                else:
                    account.put(cost - tokens, window_end_s, now_s)

    def give_back(self, now_s: float) -> None:
        for account, cost, window_end_s in self.accounts:
            account.open -= cost if account.limit.unit is Unit.TOKENS else 0
            account.put(cost, window_end_s, now_s)
