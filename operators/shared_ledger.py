"""Limits in a storage that several processes share; the only module that knows how `limits` counts."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress

from limits import RateLimitItemPerSecond
from limits.aio.storage import SlidingWindowCounterSupport, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from rxlapce.flow import Tasks
from rxlapce.operators.ledger import Limit, Unit, Verdict, Wait, counter_wait_s


class LimitsLedger:
    """The limits in one of `limits`' asyncio storages, so that all processes which use one storage share them.

    `storage` is a storage or its address (`async+memory://`; for Redis see `shared_store`); it must know the sliding
    window counter. That strategy, because it takes two numbers a key and limit, whatever a request costs: the moving
    window of `limits` keeps an entry for each token, and in memory hands its housekeeping to a thread. It is an
    estimate: it takes the last window's use as spread evenly. At worst, a burst at a window's end, twice the amount
    passes within one period, spread over it: as with the token buckets that providers describe. It is counted by key
    and period, whatever the amount: of two processes with different limits the stricter one stops first.

    `limits` gives nothing back, so each key has an account in this process. What was not used is a credit: the
    next requests of this process take from it before they ask the storage. It is worth something until the window of
    the storage ends in which it was paid, as from then on the payment fades. What was used beyond the estimate is paid
    at settlement, and if the storage refuses that, it is a debt for at most a period, paid with the next request. So
    other processes see too little for a moment, or too much for up to two periods: wrong on the safe side.

    Answers on the running loop, after one question to the storage for each limit (a second one when a window begins
    and on a refusal), within `timeout_s` seconds for all of them; a failure or timeout of the storage refuses the
    request (fails closed). What it may have taken nevertheless, it keeps: once more the safe side. `on_outcome` is told
    after each such round what the storage failed with, or None. Whatever else is under way, `aclose` ends. Memory: an
    account for each key and limit; those that are spent are swept out when the number of keys has doubled.

    Raises `ValueError` without limits, `TypeError` for a storage of another kind.
    """

    _FIRST_SWEEP = 64

    def __init__(
        self,
        *limits: Limit,
        storage: Storage | str = "async+memory://",
        timeout_s: float = 2.0,
        prefix: str = "rxlapce",
        on_outcome: Callable[[Exception | None], None] | None = None,
    ) -> None:
        if not limits:
            raise ValueError("a ledger needs at least one limit")
        store = storage_from_string(storage) if isinstance(storage, str) else storage
        if not isinstance(store, Storage) or not isinstance(store, SlidingWindowCounterSupport):
            raise TypeError(f"{type(store).__name__} is no asyncio storage that knows the sliding window counter")
        self.limits = limits
        self.timeout_s = timeout_s
        self.prefix = prefix
        self.on_outcome = on_outcome
        self.storage: SlidingWindowCounterSupport = store
        self.strategy = SlidingWindowCounterRateLimiter(store)
        self.tasks = Tasks()
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
            if self.on_outcome is not None:
                self.on_outcome(verdict if isinstance(verdict, Exception) else None)
            answer(verdict)

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # told from here, since a task cancelled before its first step runs nothing of `ask`
                answer(RuntimeError("the ledger was closed"))

        self.tasks.spawn(ask(), name=f"rate limit {key}").add_done_callback(ended)

    def look(self, key: str, requests_ahead: int, tokens_ahead: int, tokens: int, now_s: float) -> None:
        """None: the storage would have to be asked."""

    async def settled(self) -> None:
        """Wait until what was asked of the storage has been answered."""
        await self.tasks.settled()

    async def aclose(self) -> None:
        """Stop asking the storage; who waits for an answer is refused. The storage is its maker's to close."""
        await self.tasks.aclose()

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
            accounts = self._accounts[key] = [_Account(self, key, limit) for limit in self.limits]
        return accounts


class _Item(RateLimitItemPerSecond):
    """A limit as `limits` knows it, counted under a name without the amount, so that a changed one goes on counting."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        return "/".join((self.namespace, *map(str, identifiers), str(self.get_expiry())))


class _Account:
    """What this process has over, and owes, in one limit of one key."""

    __slots__ = ("credit", "debt", "debt_until_s", "item", "key", "ledger", "limit", "open", "window_end_s")

    def __init__(self, ledger: LimitsLedger, key: str, limit: Limit) -> None:
        self.ledger = ledger
        self.key = key
        self.limit = limit
        self.item = _Item(limit.amount, limit.period_s, f"{ledger.prefix}/{limit.unit}")
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
            paid = paid or await self.ledger.strategy.hit(self.item, self.key, cost=due - from_credit)
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
        before, before_s, count, ttl_s = await self.ledger.storage.get_sliding_window(
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
            self.ledger.tasks.spawn(self.pay_debt(), name=f"rate limit debt {self.key}")

    async def pay_debt(self) -> None:
        """Pay what is owed, if the storage takes it; else it stays owed. What it fails with, the next request meets."""
        owed, self.debt = self.debt, 0
        paid = not owed
        try:
            with suppress(Exception):
                async with asyncio.timeout(self.ledger.timeout_s):
                    cost = min(owed, self.limit.amount)
                    paid = paid or await self.ledger.strategy.hit(self.item, self.key, cost=cost)
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
