"""Who took how much of which limit, and when: what a rate limiter asks, in memory or in a store that many share."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` (from 1) of `unit` in any `period_s` whole seconds (from 1; a minute by default).

    Raises `ValueError` for an amount or a period below 1.
    """

    amount: int
    unit: Unit = Unit.REQUESTS
    period_s: int = 60

    def __post_init__(self) -> None:
        if self.amount < 1 or self.period_s < 1:
            raise ValueError(f"a limit's amount and period_s must be at least 1, not {self.amount} and {self.period_s}")

    def __str__(self) -> str:
        return f"{self.amount} {self.unit} {'a minute' if self.period_s == 60 else f'in {self.period_s} s'}"

    def cost(self, requests: int, tokens: int) -> int:
        """How much of this limit so many requests with so many tokens take."""
        return requests if self.unit is Unit.REQUESTS else tokens


#: What a provider is asked at most, where nobody said otherwise.
DEFAULT_LIMIT: Final = Limit(60, Unit.REQUESTS, 60)


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; `limit` is what stands in the way.

    - `soonest_s`: seconds until it could fit at best, were all that running streams have reserved given back.
    - `likely_s`: seconds until it fits if nothing is given back.
    """

    limit: Limit
    soonest_s: float
    likely_s: float


class Reservation(Protocol):
    """One request and its tokens, taken from every limit of a key."""

    def settle(self, tokens: int, now_s: float, *, final: bool) -> None:
        """The stream has used `tokens`; `final` says that this is its last word.

        Before that only more than was reserved counts: a first report knows of no answer yet. Never waits.
        """
        ...

    def give_back(self, now_s: float) -> None:
        """Nothing was sent: the request and its tokens are free again. Never waits."""
        ...


#: What `Ledger.take` answers; an exception is what the store failed with.
Verdict = Reservation | Wait | Exception


class Ledger(Protocol):
    """What was taken from `limits`, for each key. `now_s` is the time on one steady clock, which all callers share."""

    limits: tuple[Limit, ...]

    def take(self, key: str, tokens: int, now_s: float, answer: Callable[[Verdict], None]) -> None:
        """Take one request and `tokens` from every limit of `key`, or nothing; `answer` is called once, now or later.

        `tokens` is at most each token limit's amount.
        """
        ...

    def look(self, key: str, requests_ahead: int, tokens_ahead: int, tokens: int, now_s: float) -> Wait | None:
        """How long a request with `tokens` waits behind those ahead; None where the ledger cannot tell at once."""
        ...


class _Entry:
    """What one request took from one limit; `out` when its period is over and it counts no more."""

    __slots__ = ("at_s", "cost", "open", "out")

    def __init__(self, at_s: float, cost: int, open_: bool) -> None:
        self.at_s = at_s
        self.cost = cost
        self.open = open_
        self.out = False


class _Window:
    """What was taken from one limit of one key in the last period, to the entry."""

    __slots__ = ("entries", "limit", "open", "total")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.entries: deque[_Entry] = deque()
        self.total = 0
        self.open = 0
        """The part of `total` that running streams may still give back."""

    def expire(self, now_s: float) -> None:
        entries, period_s = self.entries, self.limit.period_s
        while entries and entries[0].at_s + period_s <= now_s:
            self.change(entries[0], 0, final=True)
            entries.popleft().out = True

    def add(self, cost: int, now_s: float) -> _Entry:
        entry = _Entry(now_s, 0, self.limit.unit is Unit.TOKENS)
        self.entries.append(entry)
        self.change(entry, cost, final=False)
        return entry

    def change(self, entry: _Entry, cost: int, *, final: bool) -> None:
        if entry.out:
            return
        self.total += cost - entry.cost
        if entry.open:
            self.open -= entry.cost
            entry.open = not final
            self.open += cost if entry.open else 0
        entry.cost = cost

    def fits_in_s(self, cost: int, now_s: float, *, given_back: bool) -> float:
        """Seconds until `cost` fits; with `given_back`, were all open entries nothing.

        A cost above the amount is that of a whole line: no period takes in more than the amount, so that for each
        further amount a further period goes by.
        """
        amount, period_s = self.limit.amount, self.limit.period_s
        periods, rest = divmod(max(cost, 1) - 1, amount)
        excess = self.total + rest + 1 - amount if cost else self.total - amount
        if given_back:
            excess -= self.open
        wait_s = 0.0
        if excess > 0:
            for entry in self.entries:
                excess -= 0 if given_back and entry.open else entry.cost
                if excess <= 0:
                    wait_s = entry.at_s + period_s - now_s
                    break
        return wait_s + periods * period_s


class _Held:
    """A reservation of `MemoryLedger`."""

    __slots__ = ("_entries", "_tokens")

    def __init__(self, tokens: int, entries: list[tuple[_Window, _Entry]]) -> None:
        self._tokens = tokens
        self._entries = entries

    def settle(self, tokens: int, now_s: float, *, final: bool) -> None:
        for window, entry in self._entries:
            if window.limit.unit is Unit.TOKENS:
                window.change(entry, tokens if final else max(tokens, self._tokens), final=final)

    def give_back(self, now_s: float) -> None:
        for window, entry in self._entries:
            window.change(entry, 0, final=True)


class MemoryLedger:
    """An exact moving window of this process: whenever a period begins, no more than the amount is taken in it.

    One entry a request, whatever it costs, at the time of its admission; settling changes the entry, so that what was
    not used is free again at once and for good, and what was used beyond the estimate keeps others waiting. (`limits`
    in memory can do neither: its moving window has an entry for each *token*, and nothing it took can be given back.)

    Answers within `take`. Memory: one entry for each request and limit of the last period; keys whose entries have all
    expired are swept out when the number of keys has doubled. `take` takes constant time, a refusal and `look` are
    linear in the entries that must expire first.

    Raises `ValueError` without limits.
    """

    _FIRST_SWEEP: Final = 64

    def __init__(self, *limits: Limit) -> None:
        if not limits:
            raise ValueError("a ledger needs at least one limit")
        self.limits = limits
        self._keys: dict[str, list[_Window]] = {}
        self._sweep_at = self._FIRST_SWEEP

    def __len__(self) -> int:
        """How many keys have a window in memory."""
        return len(self._keys)

    def take(self, key: str, tokens: int, now_s: float, answer: Callable[[Verdict], None]) -> None:
        """As `Ledger.take`; answers at once."""
        windows = self._windows(key, now_s)
        if all(window.total + window.limit.cost(1, tokens) <= window.limit.amount for window in windows):
            answer(_Held(tokens, [(window, window.add(window.limit.cost(1, tokens), now_s)) for window in windows]))
        else:
            answer(self.look(key, 0, 0, tokens, now_s))

    def look(self, key: str, requests_ahead: int, tokens_ahead: int, tokens: int, now_s: float) -> Wait:
        """As `Ledger.look`; always knows."""
        requests = requests_ahead + 1
        soonest_s, likely_s, limit = 0.0, -1.0, self.limits[0]
        for window in self._windows(key, now_s):
            # Those ahead may give their tokens back, but not their requests.
            at_best, as_it_stands = (window.limit.cost(requests, n) for n in (tokens, tokens_ahead + tokens))
            soonest_s = max(soonest_s, window.fits_in_s(at_best, now_s, given_back=True))
            wait_s = window.fits_in_s(as_it_stands, now_s, given_back=False)
            if wait_s > likely_s:
                likely_s, limit = wait_s, window.limit
        return Wait(limit, soonest_s, likely_s)

    def _windows(self, key: str, now_s: float) -> list[_Window]:
        windows = self._keys.get(key)
        if windows is None:
            if len(self._keys) >= self._sweep_at:
                self._sweep(now_s)
            windows = self._keys[key] = [_Window(limit) for limit in self.limits]
        for window in windows:
            window.expire(now_s)
        return windows

    def _sweep(self, now_s: float) -> None:
        for key, windows in list(self._keys.items()):
            for window in windows:
                window.expire(now_s)
            if not any(window.entries for window in windows):
                del self._keys[key]
        self._sweep_at = max(self._FIRST_SWEEP, 2 * len(self._keys))


def counter_wait_s(limit: Limit, cost: int, before: int, before_s: float, count: int, left_s: float) -> float:
    """Seconds until a sliding window counter lets `cost` (from 1 to the limit's amount) through.

    It does when the last window's count `before`, in the share of a period for which it still counts (`before_s`), and
    this window's `count`, rounded down, leave room. `left_s` is what is left of this window; then it is the last.
    """
    room = limit.amount - cost + 1 - count  # the last window's share must be less than this
    if room > 0:
        return max(0.0, before_s - limit.period_s * room / before) if before else 0.0
    return left_s + max(0.0, limit.period_s - limit.period_s * (limit.amount - cost + 1) / count)
