"""`LimitsLedger`, over a storage in memory and over a real Redis, alone and behind the gate."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from limits.aio.storage import MemoryStorage
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.subject import Subject

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.admission import Gauges
from rxlapce.operators.ledger import Limit, Reservation, Unit, Verdict, Wait
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import rate_limit_gate
from rxlapce.operators.shared_ledger import LimitsLedger
from rxlapce.operators.shared_store import SharedStore
from rxlapce.operators.store_address import StoreAddress
from rxlapce.testing.redis_server import NO_REDIS, RedisServer, has_redis, redis_server
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

# The storage's windows begin at the multiples of a period since 1970: in 2001 and 2033, so that none ends in a test.
AGE_S = 1_000_000_000
THREE = Limit(3, Unit.REQUESTS, AGE_S)
HUNDRED = Limit(100, Unit.TOKENS, AGE_S)


def granted(verdict: Verdict) -> Reservation:
    assert not isinstance(verdict, Wait | Exception)
    return verdict


Make = Callable[[tuple[Limit, ...]], LimitsLedger]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    if not has_redis():
        pytest.skip(NO_REDIS)
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def makers(request: pytest.FixtureRequest) -> AsyncIterator[list[Make]]:
    """What makes a ledger in each of two processes, over one empty storage."""
    if request.param == "memory":
        storage = MemoryStorage()
        yield [lambda limits: LimitsLedger(*limits, storage=storage)] * 2
        return
    server: RedisServer = request.getfixturevalue("server")
    server.ask("flushall")
    address = StoreAddress.parse(server.address)
    async with SharedStore(address, timeout_s=10) as first, SharedStore(address, timeout_s=10) as second:
        yield [first.ledger, second.ledger]


class Shared:
    """Two processes' ledgers over one storage."""

    def __init__(self, makers: list[Make], *limits: Limit) -> None:
        self.ledgers = [make(limits) for make in makers]
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
async def tokens(makers: list[Make]) -> AsyncIterator[Shared]:
    shared = Shared(makers, HUNDRED)
    yield shared
    await shared.aclose()


@pytest.fixture
async def requests(makers: list[Make]) -> AsyncIterator[Shared]:
    shared = Shared(makers, THREE)
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


async def test_a_request_that_one_limit_refuses_gives_back_what_the_other_took(makers: list[Make]) -> None:
    shared = Shared(makers, THREE, HUNDRED)
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

    shared = Shared([lambda limits: LimitsLedger(*limits, storage=Stuck(), timeout_s=0.01)], THREE)
    assert isinstance(await shared.take(0), TimeoutError)
    shared = Shared([lambda limits: LimitsLedger(*limits, storage=Stuck())], THREE)
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    shared.ledgers[0].take("acme", 0, shared.now_s(), answer.set_result)
    await shared.aclose()
    assert isinstance(await answer, RuntimeError)


async def test_a_changed_limit_goes_on_counting_and_the_stricter_process_stops_first(makers: list[Make]) -> None:
    shared = Shared(makers[:1], HUNDRED)
    shared.ledgers.append(makers[1]((Limit(60, Unit.TOKENS, AGE_S),)))
    granted(await shared.take(50))
    assert isinstance(await shared.take(20, process=1), Wait)
    granted(await shared.take(10, process=1))
    granted(await shared.take(40))
    assert isinstance(await shared.take(1), Wait)
    await shared.aclose()


async def test_a_debt_that_the_storage_fails_to_take_is_owed_and_no_error_of_the_loop() -> None:
    class Failing(MemoryStorage):
        failing = False

        async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
            if self.failing:
                raise ConnectionError
            return await super().acquire_sliding_window_entry(key, limit, expiry, amount)

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    storage = Failing()
    shared = Shared([lambda limits: LimitsLedger(*limits, storage=storage)], HUNDRED)
    running = granted(await shared.take(10))
    storage.failing = True
    await shared.settle(running, 60)
    storage.failing = False
    assert isinstance(await shared.take(41), Wait)
    granted(await shared.take(40))
    assert told == []
    await shared.aclose()


async def test_a_debt_is_not_waited_for_longer_than_the_timeout() -> None:
    class Stuck(MemoryStorage):
        stuck = False

        async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
            if self.stuck:
                await asyncio.Event().wait()
            return await super().acquire_sliding_window_entry(key, limit, expiry, amount)

    storage = Stuck()
    shared = Shared([lambda limits: LimitsLedger(*limits, storage=storage, timeout_s=0.05)], HUNDRED)
    running = granted(await shared.take(10))
    storage.stuck = True
    await shared.settle(running, 60)  # or this would never return
    await shared.aclose()


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


async def test_on_a_loop_streams_are_admitted_settled_and_refused(makers: list[Make]) -> None:
    ledger = makers[0]((THREE, HUNDRED))
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
