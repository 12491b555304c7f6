"""What requests see of a credential that expires: a clock moved by hand, and fetches that end when the test says so."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.credentials import Fetched, SharedCredential
from rxlapce.secret import Secret

LIFE_S = 3600.0


HANGING = """
import asyncio, threading
from rxlapce.errors import ProviderError
from rxlapce.providers.credentials import SharedCredential

async def main():
    try:
        await SharedCredential(threading.Event().wait, provider="p", wait_s=0).get()
    except ProviderError as error:
        print(error.message)

asyncio.run(main())
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Source:
    """Fetches that wait until they are let go, each in the order in which it began."""

    def __init__(self, clock: Clock, *, held: bool = False, life_s: float = LIFE_S) -> None:
        self.clock, self.life_s = clock, life_s
        self.count = 0
        self.threads: list[threading.Thread] = []
        self.failure: BaseException | None = None
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self) -> Fetched[str]:
        self.count += 1
        number, failure = self.count, self.failure
        self.threads.append(threading.current_thread())
        # A fetch on the event loop's own thread would keep the test from ever letting it go.
        assert self.go.wait(timeout=10), "the fetch was not let go"
        if failure is not None:
            raise failure
        name = f"token-{number}"
        return Fetched(value=name, secrets=(Secret(name),), expires_s=self.clock.now_s + self.life_s)

    async def ended(self) -> None:
        """Wait for the fetches that have begun, and for what they tell the loop."""
        for thread in self.threads:
            await asyncio.to_thread(thread.join)


def shared(source: Callable[[], Fetched[str]], clock: Clock, **settings: float) -> SharedCredential[str]:
    return SharedCredential(source, provider="p", now=clock, **settings)


def refused() -> ProviderError:
    return ProviderError(ErrorKind.AUTH, "sign in again", retry=Retry.OTHER_PROVIDER)


async def started(*coroutines: Coroutine[Any, Any, str]) -> list[asyncio.Task[str]]:
    """Tasks that have run up to where they wait: a task begins no earlier than those created before it."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]

    async def last() -> None:
        """Nothing."""

    await asyncio.create_task(last())
    return tasks


async def test_a_hundred_waiters_share_one_fetch_that_does_not_block_the_loop() -> None:
    clock = Clock()
    source = Source(clock, held=True)
    credential = shared(source, clock)
    waiting = await started(*(credential.get() for _ in range(100)))
    assert not any(task.done() for task in waiting)
    source.go.set()  # by the loop, which therefore ran while the fetch stood
    assert await asyncio.gather(*waiting) == ["token-1"] * 100
    assert source.count == 1
    assert source.threads[0] is not threading.current_thread()


async def test_far_from_its_end_a_credential_is_given_without_a_fetch() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    for passed_s in (0, LIFE_S - 301):
        clock.now_s += passed_s
        assert await credential.get() == "token-1"
    assert source.count == 1


async def test_near_its_end_the_old_one_is_given_at_once_while_one_refresh_runs_behind() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    await credential.get()
    clock.now_s += LIFE_S - 300
    source.go.clear()
    for _ in range(10):
        assert await credential.get() == "token-1"
    source.go.set()
    await source.ended()
    assert source.count == 2
    assert await credential.get() == "token-2"
    assert source.count == 2


@pytest.mark.parametrize(("life_s", "early_s"), [(600.0, 60.0), (3000.0, 300.0), (86400.0, 300.0)])
async def test_early_is_five_minutes_or_a_tenth_of_a_shorter_life(life_s: float, early_s: float) -> None:
    clock = Clock()
    source = Source(clock, life_s=life_s)
    credential = shared(source, clock)
    await credential.get()
    clock.now_s += life_s - early_s - 1
    await credential.get()
    await source.ended()
    assert source.count == 1
    clock.now_s += 1
    await credential.get()
    await source.ended()
    assert source.count == 2


async def test_an_early_refresh_that_fails_keeps_the_old_one_and_is_tried_again_only_later() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    await credential.get()
    clock.now_s += LIFE_S - 200
    source.failure = refused()
    for _ in range(3):
        assert await credential.get() == "token-1"
        await source.ended()
    assert source.count == 2
    clock.now_s += 9.9
    assert await credential.get() == "token-1"
    await source.ended()
    assert source.count == 2
    clock.now_s += 0.1
    source.failure = None
    assert await credential.get() == "token-1"
    await source.ended()
    assert await credential.get() == "token-3"


async def test_an_early_refresh_that_takes_long_is_not_joined_by_another() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    await credential.get()
    clock.now_s += LIFE_S - 200
    source.go.clear()
    for _ in range(3):
        assert await credential.get() == "token-1"
        clock.now_s += 60
    source.go.set()
    await source.ended()
    assert source.count == 2


async def test_a_refresh_that_brings_nothing_newer_is_repeated_only_later() -> None:
    clock = Clock()
    same = Fetched(value="token", secrets=(Secret("token"),), expires_s=clock.now_s + LIFE_S)
    source = Source(clock)

    def fetch() -> Fetched[str]:
        source()
        return same

    credential = shared(fetch, clock)
    await credential.get()
    clock.now_s += LIFE_S - 100
    for passed_s, count in ((0, 2), (0, 2), (9.9, 2), (0.1, 3), (0, 3), (10, 4)):
        clock.now_s += passed_s
        assert await credential.get() == "token"
        await source.ended()
        assert source.count == count
    assert credential.secrets == (Secret("token"),)


async def test_an_expired_one_is_waited_for() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    await credential.get()
    clock.now_s += LIFE_S
    source.go.clear()
    waiting = await started(credential.get(), credential.get())
    assert not any(task.done() for task in waiting)
    source.go.set()
    assert await asyncio.gather(*waiting) == ["token-2", "token-2"]
    assert source.count == 2


async def test_what_expires_during_an_early_refresh_is_waited_for_without_another() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    await credential.get()
    clock.now_s += LIFE_S - 1
    source.go.clear()
    assert await credential.get() == "token-1"
    clock.now_s += 1
    waiting = await started(credential.get())
    source.go.set()
    assert await waiting[0] == "token-2"
    assert source.count == 2


async def test_one_that_comes_expired_serves_those_who_waited_and_no_one_after() -> None:
    clock = Clock()
    source = Source(clock, life_s=-5)  # our clock is ahead
    credential = shared(source, clock)
    assert await credential.get() == "token-1"
    assert await credential.get() == "token-2"


async def test_one_that_never_expires_is_fetched_once() -> None:
    clock = Clock()
    credential = shared(Source(clock, life_s=float("inf")), clock)
    for _ in range(2):
        assert await credential.get() == "token-1"
        clock.now_s += 1e9


async def test_a_needed_fetch_that_fails_is_told_to_all_and_tried_again_by_the_next() -> None:
    clock = Clock()
    source = Source(clock, held=True)
    source.failure = refused()
    credential = shared(source, clock)
    waiting = await started(*(credential.get() for _ in range(3)))
    source.go.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    for error in errors:
        assert isinstance(error, ProviderError)
        assert (error.kind, error.retry, error.phase) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER, Phase.ADMIT)
        assert (error.message, error.provider) == ("sign in again", "p")
    assert len({id(error) for error in errors}) == 3
    assert source.count == 1
    source.failure = None
    assert await credential.get() == "token-2"


@pytest.mark.parametrize("breakage", [RuntimeError, SystemExit])
async def test_a_fetch_that_breaks_is_told_without_its_text(breakage: type[BaseException]) -> None:
    clock = Clock()
    source = Source(clock)
    source.failure = breakage("refresh_token=1//very-secret")
    with pytest.raises(ProviderError, match=breakage.__name__) as caught:
        await shared(source, clock).get()
    assert caught.value.kind is ErrorKind.AUTH
    assert "very-secret" not in f"{caught.value} {caught.value.__cause__!r}"


async def test_a_waiter_that_is_cancelled_leaves_the_fetch_to_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    source = Source(clock, held=True)
    credential = shared(source, clock)
    first, second = await started(credential.get(), credential.get())
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    source.go.set()
    assert await second == "token-1"
    assert (source.count, caplog.records) == (1, [])


async def test_what_a_lone_cancelled_waiter_began_serves_the_next_request_and_leaves_no_task() -> None:
    clock = Clock()
    source = Source(clock, held=True)
    credential = shared(source, clock)
    (lone,) = await started(credential.get())
    lone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lone
    assert asyncio.all_tasks() == {asyncio.current_task()}
    source.go.set()
    await source.ended()
    assert await credential.get() == "token-1"
    assert source.count == 1


async def test_nobody_waits_longer_than_the_bound_and_the_fetch_goes_on() -> None:
    clock = Clock()
    source = Source(clock, held=True)
    credential = shared(source, clock, wait_s=0.0)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no credential came within 0 s") as caught:
            await credential.get()
        assert caught.value.kind is ErrorKind.AUTH
    source.go.set()
    await source.ended()
    assert await credential.get() == "token-1"
    assert source.count == 1


def test_it_serves_one_loop_after_another() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    assert asyncio.run(credential.get()) == "token-1"
    clock.now_s += LIFE_S
    assert asyncio.run(credential.get()) == "token-2"


def test_a_loop_that_closed_while_its_waiter_was_cancelled_disturbs_no_one(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    source = Source(clock, held=True)
    credential = shared(source, clock)

    async def give_up() -> None:
        (lone,) = await started(credential.get())
        lone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lone

    asyncio.run(give_up())
    source.go.set()
    source.threads[0].join()
    assert asyncio.run(credential.get()) == "token-1"
    assert (source.count, caplog.records) == (1, [])


def test_loops_in_several_threads_share_one_fetch() -> None:
    clock = Clock()
    source = Source(clock, held=True)
    credential = shared(source, clock)
    waiting, got = threading.Barrier(4), list[str]()

    async def ask() -> str:
        (task,) = await started(credential.get())
        await asyncio.to_thread(waiting.wait, 10)
        return await task

    threads = [threading.Thread(target=lambda: got.append(asyncio.run(ask()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.wait(10)
    source.go.set()
    for thread in threads:
        thread.join()
    assert (got, source.count) == (["token-1"] * 3, 1)


async def test_a_system_without_threads_is_an_error_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        with pytest.raises(ProviderError, match="can't start new thread"):
            await credential.get()
    assert await credential.get() == "token-1"
    clock.now_s += LIFE_S - 1
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        assert await credential.get() == "token-1"


async def test_a_fetch_that_hangs_keeps_no_process_from_its_end() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HANGING, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    assert (process.returncode, stdout) == (0, b"no credential came within 0 s; it is still waited for\n")


async def test_the_secrets_are_those_held_and_those_before_and_none_is_shown() -> None:
    clock = Clock()
    source = Source(clock)
    credential = shared(source, clock)
    assert credential.secrets == ()
    for number in (1, 2, 3):
        await credential.get()
        assert credential.secrets == tuple(Secret(f"token-{n}") for n in (number, number - 1) if n)
        clock.now_s += LIFE_S
    assert "token-3" not in f"{credential!r} {credential}"
