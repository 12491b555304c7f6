import asyncio
from collections.abc import AsyncIterator
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.aio.storage import MemoryStorage
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.subject import Subject

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.admission import Gauges
from rxlapce.operators.ledger import (
    DEFAULT_LIMIT,
    Limit,
    MemoryLedger,
    Reservation,
    Unit,
    Verdict,
    Wait,
    counter_wait_s,
)
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import LimitsLedger, rate_limit_gate
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

# The storage's windows begin at the multiples of a period since 1970: in 2001 and 2033, so that none ends in a test.
AGE_S = 1_000_000_000
THREE = Limit(3, Unit.REQUESTS, AGE_S)
HUNDRED = Limit(100, Unit.TOKENS, AGE_S)


def granted(verdict: Verdict) -> Reservation:
    assert not isinstance(verdict, Wait | Exception)
    return verdict


# -- in memory --------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 8), st.none() | st.integers(0, 20)), max_size=30),
    st.integers(1, 10),
)
def test_a_memory_ledger_agrees_with_counting_all_anew(steps: list[tuple[int, int, int | None]], amount: int) -> None:
    limit = Limit(amount, Unit.TOKENS, 10)
    ledger = MemoryLedger(limit)
    now, kept = 0, list[tuple[int, int]]()
    for pause, cost, usage in steps:
        now += pause
        if cost > amount:
            continue
        inside = [(at, size) for at, size in kept if at + 10 > now]
        verdicts: list[Verdict] = []
        ledger.take("a", cost, now, verdicts.append)
        (verdict,) = verdicts
        fits = sum(size for _, size in inside) + cost <= amount
        assert isinstance(verdict, Wait) is not fits
        if isinstance(verdict, Wait):
            then = now + verdict.likely_s
            for moment, free in ((then, True), (then - 0.5, False)):
                held = sum(size for at, size in inside if at + 10 > moment)
                assert (held + cost <= amount) is free
        else:
            settled = cost if usage is None else usage
            granted(verdict).settle(settled, now, final=True)
            kept.append((now, settled))


def test_the_default_is_60_requests_a_minute() -> None:
    assert str(DEFAULT_LIMIT) == "60 requests a minute"
    verdicts: list[Verdict] = []
    ledger = MemoryLedger(DEFAULT_LIMIT)
    for _ in range(61):
        ledger.take("acme", 0, 5.0, verdicts.append)
    assert verdicts[60] == Wait(DEFAULT_LIMIT, 60.0, 60.0)
    assert not any(isinstance(verdict, Wait) for verdict in verdicts[:60])


def test_a_memory_ledger_forgets_keys_that_are_idle() -> None:
    ledger = MemoryLedger(Limit(5, Unit.REQUESTS, 10))
    verdicts: list[Verdict] = []
    for number in range(1000):
        ledger.take(f"user {number}", 0, number, verdicts.append)
    assert len(ledger) <= 65
    granted(verdicts[0]).give_back(1000)  # long forgotten, and harmless


def test_a_refusal_takes_nothing_from_any_limit() -> None:
    ledger = MemoryLedger(THREE, HUNDRED)
    verdicts: list[Verdict] = []
    for tokens in (90, 20, 20, 20, 10):
        ledger.take("a", tokens, 0, verdicts.append)
    assert [isinstance(verdict, Wait) for verdict in verdicts] == [False, True, True, True, False]
    assert verdicts[1] == Wait(HUNDRED, 0.0, AGE_S)  # a running stream may still give its tokens back


def test_what_is_settled_can_no_longer_be_given_back() -> None:
    ledger = MemoryLedger(HUNDRED)
    verdicts: list[Verdict] = []
    ledger.take("a", 90, 0, verdicts.append)
    assert ledger.look("a", 0, 0, 20, 1) == Wait(HUNDRED, 0.0, AGE_S - 1)
    granted(verdicts[0]).settle(95, 1, final=True)
    assert ledger.look("a", 0, 0, 20, 1) == Wait(HUNDRED, AGE_S - 1, AGE_S - 1)


def test_what_is_settled_after_its_period_counts_no_more() -> None:
    ledger = MemoryLedger(Limit(10, Unit.TOKENS, 5))
    verdicts: list[Verdict] = []
    ledger.take("a", 10, 0, verdicts.append)
    ledger.take("a", 6, 7, verdicts.append)
    granted(verdicts[0]).settle(8, 8, final=True)
    ledger.take("a", 4, 8, verdicts.append)
    granted(verdicts[2])


@given(
    amount=st.integers(1, 20),
    cost=st.integers(1, 20),
    before=st.integers(0, 30),
    count=st.integers(0, 30),
    left=st.integers(0, 59),
)
def test_a_counters_wait_ends_when_it_would_let_the_cost_through(
    amount: int, cost: int, before: int, count: int, left: int
) -> None:
    cost, limit = min(cost, amount), Limit(amount, Unit.TOKENS, 60)

    def lets_through(in_s: float) -> bool:
        if in_s < left:
            return floor(before * (left - in_s) / 60 + count) + cost <= amount
        return floor(count * max(0.0, 60 - (in_s - left)) / 60) + cost <= amount

    wait_s = counter_wait_s(limit, cost, before, left, count, left)
    assert lets_through(wait_s + 0.001)
    assert wait_s == 0 or not lets_through(wait_s - 0.001)


# -- in a storage of `limits` -----------------------------------------------------------------------------------------


class Shared:
    """Two processes' ledgers over one storage."""

    def __init__(self, *limits: Limit) -> None:
        self.storage = MemoryStorage()
        self.ledgers = [LimitsLedger(*limits, storage=self.storage) for _ in range(2)]
        self.now_s = asyncio.get_running_loop().time

    async def take(self, tokens: int, process: int = 0) -> Verdict:
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.ledgers[process].take("acme", tokens, self.now_s(), answer.set_result)
        return await answer

    async def settle(self, reservation: Reservation, tokens: int, process: int = 0) -> None:
        reservation.settle(tokens, self.now_s(), final=True)
        await self.ledgers[process].settled()

    async def aclose(self) -> None:
        for ledger in self.ledgers:
            await ledger.aclose()


@pytest.fixture
async def tokens() -> AsyncIterator[Shared]:
    shared = Shared(HUNDRED)
    yield shared
    await shared.aclose()


@pytest.fixture
async def requests() -> AsyncIterator[Shared]:
    shared = Shared(THREE)
    yield shared
    await shared.aclose()


async def test_two_processes_share_what_the_storage_holds(requests: Shared) -> None:
    verdicts = [await requests.take(0, process) for process in (0, 1, 0, 1, 0)]
    assert [isinstance(verdict, Wait) for verdict in verdicts] == [False, False, False, True, True]
    refused = verdicts[3]
    assert isinstance(refused, Wait)
    assert refused.limit is THREE
    assert 0 < refused.soonest_s == refused.likely_s <= 2 * AGE_S


async def test_what_was_not_used_is_a_credit_of_this_process(tokens: Shared) -> None:
    await tokens.settle(granted(await tokens.take(100)), 30)
    assert isinstance(await tokens.take(1, process=1), Wait)  # the other one has none
    assert isinstance(await tokens.take(71), Wait)
    second = granted(await tokens.take(70))
    assert isinstance(await tokens.take(1), Wait)
    second.give_back(tokens.now_s())
    granted(await tokens.take(70))


async def test_a_credit_ends_with_the_window_in_which_it_was_paid(tokens: Shared) -> None:
    reservation = granted(await tokens.take(100))
    ledger = tokens.ledgers[0]
    tokens.now_s = lambda: asyncio.get_running_loop().time() + AGE_S  # the storage's clock does not follow
    await tokens.settle(reservation, 0)
    assert isinstance(await tokens.take(1), Wait)
    assert len(ledger) == 1


async def test_what_was_paid_in_a_window_that_is_over_is_no_credit_in_the_next(tokens: Shared) -> None:
    old = granted(await tokens.take(60))
    tokens.now_s = lambda: asyncio.get_running_loop().time() + AGE_S  # the storage's clock does not follow
    granted(await tokens.take(1))
    await tokens.settle(old, 0)
    assert isinstance(await tokens.take(40), Wait)
    granted(await tokens.take(39))


async def test_what_was_used_beyond_the_estimate_is_paid_at_the_end(tokens: Shared) -> None:
    await tokens.settle(granted(await tokens.take(10)), 60)
    assert isinstance(await tokens.take(41, process=1), Wait)
    granted(await tokens.take(40, process=1))


async def test_what_the_storage_refuses_to_take_is_owed(tokens: Shared) -> None:
    mine = granted(await tokens.take(10))
    other = granted(await tokens.take(80, process=1))
    await tokens.settle(mine, 60)  # 50 more than there are
    await tokens.settle(other, 0, process=1)
    for _ in range(2):
        assert isinstance(await tokens.take(1), Wait)  # 1 and the 50 that are owed, still
    granted(await tokens.take(80, process=1))


async def test_tokens_of_a_running_stream_keep_a_wait_open(tokens: Shared) -> None:
    running = granted(await tokens.take(100))
    wait = await tokens.take(1)
    assert isinstance(wait, Wait)
    assert wait.soonest_s == 0 < wait.likely_s
    running.settle(100, tokens.now_s(), final=True)
    wait = await tokens.take(1)
    assert isinstance(wait, Wait)
    assert wait.soonest_s == wait.likely_s > 0


async def test_a_request_that_one_limit_refuses_gives_back_what_the_other_took() -> None:
    shared = Shared(THREE, HUNDRED)
    granted(await shared.take(90))
    for _ in range(5):
        assert isinstance(await shared.take(20), Wait)
    granted(await shared.take(5))
    granted(await shared.take(5))
    assert isinstance(await shared.take(0), Wait)
    await shared.aclose()


async def test_a_storage_that_does_not_answer_in_time_fails_the_request() -> None:
    class Stuck(MemoryStorage):
        async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
            await asyncio.Event().wait()
            return True

    shared = Shared(THREE)
    shared.ledgers = [LimitsLedger(THREE, storage=Stuck(), timeout_s=0.01)]
    assert isinstance(await shared.take(0), TimeoutError)
    shared.ledgers = [LimitsLedger(THREE, storage=Stuck())]
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    shared.ledgers[0].take("acme", 0, shared.now_s(), answer.set_result)
    await shared.aclose()
    assert isinstance(await answer, RuntimeError)


async def test_idle_accounts_are_forgotten() -> None:
    ledger = LimitsLedger(Limit(5, Unit.REQUESTS, 10))
    for number in range(300):
        ledger.take(f"user {number}", 0, number, lambda _: None)
        await ledger.settled()
    assert len(ledger) <= 65
    await ledger.aclose()


@pytest.mark.parametrize("storage", ["memory://", "async+nowhere://"])
def test_a_storage_of_another_kind_is_refused(storage: str) -> None:
    with pytest.raises(Exception, match=r"no asyncio storage|unknown storage"):
        LimitsLedger(THREE, storage=storage)
    with pytest.raises(ValueError, match="at least one limit"):
        LimitsLedger()


# -- through the gate, on a loop --------------------------------------------------------------------------------------


class Subscriber:
    def __init__(self, limiter: RateLimiter, *, estimate: int, max_wait_s: float) -> None:
        self.source = Subject[StreamToken]()
        self.got: list[StreamToken] = []
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        gate = rate_limit_gate(limiter, "acme", estimate=estimate, max_wait_s=max_wait_s)
        self.started = asyncio.Event()

        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            self.started.set()
            return connect(self.source, receiver, scheduler)

        self.subscription = (
            Stage(on_subscribe)
            .pipe(gate)
            .subscribe(self.got.append, self.ended.set_result, lambda: self.ended.set_result(None))
        )


async def test_on_a_loop_streams_are_admitted_settled_and_refused() -> None:
    ledger = LimitsLedger(THREE, HUNDRED)
    limiter = RateLimiter(ledger)
    first = Subscriber(limiter, estimate=80, max_wait_s=20)
    await first.started.wait()
    second, third = (Subscriber(limiter, estimate=60, max_wait_s=wait_s) for wait_s in (20, 0))
    refused = await third.ended
    assert isinstance(refused, ProviderError)
    assert refused.kind is ErrorKind.RATE_LIMIT
    assert refused.retry_after_s is not None
    assert refused.retry_after_s > 0
    tokens: list[StreamToken] = [Text("a"), UsageReport(Usage(total=30)), Finish(FinishKind.STOP)]
    for token in tokens:
        first.source.on_next(token)
    await second.started.wait()  # 50 of the first's tokens were free again at its Finish
    first.source.on_completed()
    assert (first.got, await first.ended) == (tokens, None)
    second.subscription.dispose()
    assert not second.source.observers
    await ledger.settled()
    assert limiter.gauges == Gauges(waiting=0, active=0, admitted=2, refused=1)
    await ledger.aclose()


async def test_on_a_loop_a_closed_ledger_refuses_who_asks() -> None:
    ledger = LimitsLedger(THREE)
    limiter = RateLimiter(ledger)
    asks, waits = (Subscriber(limiter, estimate=0, max_wait_s=20) for _ in range(2))
    await ledger.aclose()
    error = await asks.ended
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INTERNAL
    await waits.started.wait()  # asked for after that, on a loop that goes on
    waits.source.on_completed()
    assert await waits.ended is None
    await ledger.aclose()
