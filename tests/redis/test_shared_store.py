"""`SharedStore` over a real Redis that is shared, asked, killed, stopped and locked."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from reactivex import from_iterable

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import iterate
from rxlapce.operators.ledger import Limit, Reservation, Unit, Verdict, Wait
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import rate_limit_gate
from rxlapce.operators.shared_ledger import LimitsLedger
from rxlapce.operators.shared_store import MAX_CONNECTIONS, SharedStore
from rxlapce.operators.store_address import StoreAddress
from rxlapce.testing.redis_server import RedisServer
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

DOCUMENT = Path(__file__).parents[2] / "docs" / "resilience.md"
REQUESTS = Limit(1000, Unit.REQUESTS, 3600)
TOKENS = Limit(1_000_000, Unit.TOKENS, 3600)
TIMEOUT_S = 1.0
#: How long a machine under load may take for what is done in no time.
SLACK_S = 5.0


class Told:
    """A store, and what it told of itself."""

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        self.changes: list[str | None] = []
        address_ = StoreAddress.parse(address)
        self.store = SharedStore(address_, timeout_s=timeout_s, on_change=self.changes.append)
        self.ledger = self.store.ledger((REQUESTS,))

    async def take(self, key: str = "acme") -> Verdict:
        return await asked(self.ledger, key)


async def asked(ledger: LimitsLedger, key: str = "acme", tokens: int = 0) -> Verdict:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Verdict] = loop.create_future()
    ledger.take(key, tokens, loop.time(), answer.set_result)
    return await answer


def is_granted(verdict: Verdict) -> bool:
    return not isinstance(verdict, Wait | Exception)


@pytest.fixture
async def told(server: RedisServer) -> AsyncIterator[Told]:
    made = Told(server.address)
    yield made
    await made.store.aclose()


def questions(server: RedisServer) -> int:
    """How often a script was called, which is how the store is asked."""
    stats = dict(line.split(":", 1) for line in server.ask("info", "commandstats").splitlines() if ":" in line)
    calls, _, _ = stats["cmdstat_evalsha"].removeprefix("calls=").partition(",")
    return int(calls)


# -- what it costs ----------------------------------------------------------------------------------------------------


async def test_a_stream_of_many_tokens_asks_once_for_each_limit(server: RedisServer) -> None:
    async with SharedStore(StoreAddress.parse(server.address)) as store:
        limiter = RateLimiter(store.ledger((REQUESTS, TOKENS)))
        answer: list[StreamToken] = [Text("word ")] * 1000
        answer += [UsageReport(Usage(total=50)), UsageReport(Usage(total=900)), Finish(FinishKind.STOP)]

        async def stream() -> list[StreamToken]:
            gate = rate_limit_gate(limiter, "acme", estimate=1000)
            return [token async for token in iterate(from_iterable(answer).pipe(gate))]

        assert await stream() == answer  # opens the connection and the windows
        before = questions(server)
        for _ in range(3):
            assert await stream() == answer
        assert questions(server) - before == 3 * 2


# -- what is shared ---------------------------------------------------------------------------------------------------

TAKER = """
import asyncio, sys
from rxlapce.operators.ledger import Limit, Unit, Wait
from rxlapce.operators.shared_store import SharedStore
from rxlapce.operators.store_address import StoreAddress

async def main():
    limits = Limit(40, Unit.REQUESTS, 3600), Limit(10_000, Unit.TOKENS, 3600)
    loop = asyncio.get_running_loop()
    granted = 0
    async with SharedStore(StoreAddress.parse(sys.argv[1]), timeout_s=20) as store:
        ledger = store.ledger(limits)
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        sys.stdin.readline()
        for _ in range(60):
            answer = loop.create_future()
            ledger.take("acme", 100, loop.time(), answer.set_result)
            verdict = await answer
            if isinstance(verdict, Exception):
                raise verdict
            if not isinstance(verdict, Wait):
                granted += 1
                verdict.settle(150, loop.time(), final=True)
                await ledger.settled()
        print(granted)
asyncio.run(main())
"""


@pytest.mark.heavy
def test_processes_that_share_a_quota_never_exceed_it(server: RedisServer) -> None:
    takers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", TAKER, server.address], stdin=-1, stdout=-1, text=True)
        for _ in range(3)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    granted = [int(taker.communicate("go\n", timeout=25)[0]) for taker in takers]
    assert [taker.returncode for taker in takers] == [0, 0, 0]
    assert sum(granted) == 40


# -- when it fails ----------------------------------------------------------------------------------------------------


async def test_a_store_that_is_killed_refuses_and_grants_again_when_it_is_back(server: RedisServer, told: Told) -> None:
    assert is_granted(await told.take())
    server.kill()
    verdicts = [await told.take() for _ in range(3)]
    assert [isinstance(verdict, Exception) for verdict in verdicts] == [True] * 3
    server.start()
    assert is_granted(await told.take())
    broke, back = told.changes  # once each
    assert broke is not None
    assert "onnection" in broke
    assert back is None


async def test_a_store_that_is_killed_while_it_is_asked_refuses(server: RedisServer) -> None:
    told = Told(server.address, timeout_s=60)
    assert is_granted(await told.take())
    server.pause()
    asking = asyncio.ensure_future(told.take())
    assert await asyncio.wait({asking}, timeout=0.2) == (set(), {asking})
    server.kill()
    assert isinstance(await asyncio.wait_for(asking, SLACK_S), Exception)
    await told.store.aclose()


async def test_a_store_that_stands_still_refuses_in_time_and_is_not_answered_for_another_question(
    server: RedisServer, told: Told
) -> None:
    assert is_granted(await told.take())
    server.pause()
    started_s = time.monotonic()
    verdicts = await asyncio.gather(*(told.take(f"user {n}") for n in range(3 * MAX_CONNECTIONS)))
    assert time.monotonic() - started_s < TIMEOUT_S + SLACK_S
    assert {type(verdict) for verdict in verdicts} == {TimeoutError}
    server.resume()
    assert is_granted(await told.take())
    small = told.store.ledger((Limit(3, Unit.REQUESTS, 3600),))
    after = [await asked(small, "other") for _ in range(5)]
    assert [isinstance(verdict, Wait) for verdict in after] == [False, False, False, True, True]
    assert told.changes == [f"TimeoutError: no answer within {TIMEOUT_S:g} s", None]
    assert len(server.ask("client", "list").splitlines()) <= MAX_CONNECTIONS + 1


async def test_who_waits_behind_a_silent_store_is_refused_with_the_first(server: RedisServer, told: Told) -> None:
    server.pause()
    limiter = RateLimiter(told.ledger)
    loop = asyncio.get_running_loop()
    ended = [loop.create_future() for _ in range(20)]
    started_s = loop.time()
    for end in ended:
        gate = rate_limit_gate(limiter, "acme", max_wait_s=20)
        from_iterable(list[StreamToken]()).pipe(gate).subscribe(on_error=end.set_result)
    errors = await asyncio.gather(*ended)
    assert loop.time() - started_s < 20 * TIMEOUT_S  # what one answer each would take
    for error in errors:
        assert isinstance(error, ProviderError)
        assert (error.kind, error.phase) == (ErrorKind.INTERNAL, Phase.ADMIT)
        assert error.message == "the store of the rate limits failed (TimeoutError), and nothing is sent uncounted"
    assert (len(limiter), limiter.gauges.waiting, limiter.gauges.refused) == (0, 0, 20)


async def test_closing_waits_for_a_silent_store_no_longer_than_the_timeout(server: RedisServer) -> None:
    told = Told(server.address)
    tokens = told.store.ledger((TOKENS,))
    running: Verdict = await asked(tokens, tokens=10)
    assert not isinstance(running, Wait | Exception)
    server.pause()
    overrun(running)
    started_s = time.monotonic()
    await told.store.aclose()
    assert time.monotonic() - started_s < TIMEOUT_S + SLACK_S


async def test_what_streams_used_beyond_their_estimate_is_paid_before_the_store_is_left(server: RedisServer) -> None:
    async with SharedStore(StoreAddress.parse(server.address)) as store:
        running = await asked(store.ledger((TOKENS,)), tokens=10)
        assert not isinstance(running, Wait | Exception)
        overrun(running)
    key = server.ask("keys", "*")
    assert key == "LIMITS:{rxlapce/tokens/acme/3600}"
    assert server.ask("get", key) == "500000"


def overrun(running: Reservation) -> None:
    running.settle(500_000, asyncio.get_running_loop().time(), final=True)


# -- passwords --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", "canary-of-another-one"])
async def test_a_wrong_password_refuses_and_is_never_shown(locked: RedisServer, given: str) -> None:
    told = Told(f"unix://{f':{given}@' if given else ''}{locked.path}")
    verdict = await told.take()
    assert isinstance(verdict, Exception)
    assert not await told.store.check()
    (change,) = told.changes
    shown = [change, verdict, verdict.__cause__, verdict.__context__, vars(told.store), told.ledger, told.store.address]
    assert "canary" not in f"{shown} {shown!r}"
    await told.store.aclose()


async def test_the_right_password_is_taken_and_never_shown(locked: RedisServer) -> None:
    told = Told(locked.address)
    assert await told.store.check()
    assert is_granted(await told.take())
    assert told.changes == []
    assert "canary" not in f"{vars(told.store)} {vars(told.ledger)}"
    await told.store.aclose()


async def test_a_user_of_its_own_needs_no_more_rights_than_the_document_says(server: RedisServer) -> None:
    found = re.search(r"`(~LIMITS.*?)`", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    server.ask("acl", "setuser", "team", "on", ">canary-0123456789", *found[1].split())
    told = Told(f"unix://team:canary-0123456789@{server.path}")
    assert await told.store.check()
    small = told.store.ledger((Limit(2, Unit.REQUESTS, 1),))
    verdicts = [await asked(small) for _ in range(3)]
    assert [isinstance(verdict, Wait) for verdict in verdicts] == [False, False, True]
    assert told.changes == []
    await told.store.aclose()


async def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    told = Told("redis://127.0.0.1:1")
    assert not await told.store.check()
    (change,) = told.changes
    assert change is not None
    assert "127.0.0.1:1" in change
    await told.store.aclose()
