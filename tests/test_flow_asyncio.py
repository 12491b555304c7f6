import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, FlowControl, Receiver, Tasks, connect, from_reads, iterate
from rxlapce.testing.thoroughness import examples


async def settle(rounds: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


# -- from_reads -------------------------------------------------------------------------------------------------------


class Script:
    """A reader that a test feeds: it notes each call, and waits where nothing was put in."""

    def __init__(self, *chunks: bytes | Exception, exchange: Exchange | None = None) -> None:
        self.exchange = exchange or Exchange(request_id="r1")
        self.tasks = Tasks()
        self.queue: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        for chunk in chunks:
            self.queue.put_nowait(chunk)
        self.log: list[str] = []
        self.left = asyncio.Event()

    def open(self) -> AbstractAsyncContextManager[Callable[[], Awaitable[bytes]]]:
        @asynccontextmanager
        async def context() -> AsyncGenerator[Callable[[], Awaitable[bytes]], None]:
            self.log.append("enter")
            try:
                yield self.read
            finally:
                await asyncio.sleep(0)  # leaving may need the loop
                self.log.append("leave")
                self.left.set()

        return context()

    async def read(self) -> bytes:
        self.log.append(f"read {'open' if self.exchange.flow.is_open else 'CLOSED'}")
        try:
            chunk = await self.queue.get()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def source(self) -> Observable[bytes]:
        return from_reads(self.open, self.exchange, self.tasks)


class Seen:
    """What a subscriber was told."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self.ended = asyncio.Event()

    def on_next(self, item: object) -> None:
        self.items.append(item)

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)
        self.ended.set()

    def on_completed(self) -> None:
        self.completed += 1
        self.ended.set()

    def receiver(self) -> Receiver[Any]:
        return Receiver(self.on_next, self.on_error, self.on_completed)

    def subscribe(self, source: Observable[Any], on_next: Callable[[Any], None] | None = None) -> DisposableBase:
        return source.subscribe(on_next or self.on_next, self.on_error, self.on_completed)

    @property
    def kinds(self) -> list[ErrorKind]:
        return [error.kind for error in self.errors if isinstance(error, ProviderError)]


async def test_reads_come_in_order_then_completion_and_the_context_is_left() -> None:
    script, seen = Script(b"a", b"bc", b""), Seen()
    seen.subscribe(script.source())
    await seen.ended.wait()
    assert (seen.items, seen.completed, seen.errors) == ([b"a", b"bc"], 1, [])
    assert script.log == ["enter", "read open", "read open", "read open", "leave"]
    assert (script.exchange.reads, script.exchange.bytes_read) == (2, 3)
    assert 0 < script.exchange.last_read_s <= asyncio.get_running_loop().time()
    await settle()
    assert len(script.tasks) == 0


async def test_nothing_is_opened_before_the_subscription() -> None:
    script = Script(b"")
    script.source()
    await settle()
    assert script.log == []


async def test_the_gate_is_asked_before_every_read() -> None:
    script, seen = Script(b"a", b"b", b""), Seen()

    def on_next(data: bytes) -> None:
        seen.items.append(data)
        script.exchange.flow.close(seen)

    seen.subscribe(script.source(), on_next)
    for expected in ([b"a"], [b"a", b"b"]):
        await settle()
        assert seen.items == expected
        assert script.log.count("read open") == len(expected)
        script.exchange.flow.open(seen)
    await seen.ended.wait()
    assert "read CLOSED" not in script.log


async def test_disposing_cancels_the_read_and_leaves_the_context() -> None:
    script, seen = Script(b"a"), Seen()
    subscription = seen.subscribe(script.source())
    await settle()
    subscription.dispose()
    await script.left.wait()
    await settle()
    assert script.log == ["enter", "read open", "read open", "cancelled", "leave"]
    assert (seen.items, seen.completed, seen.errors, len(script.tasks)) == ([b"a"], 0, [], 0)


async def test_disposing_while_the_gate_is_closed_leaves_the_context() -> None:
    script, seen = Script(b"a"), Seen()
    script.exchange.flow.close("reader")
    subscription = seen.subscribe(script.source())
    await settle()
    subscription.dispose()
    await script.left.wait()
    assert script.log == ["enter", "leave"]


async def test_disposing_before_the_task_began_opens_nothing() -> None:
    script, seen = Script(b"a"), Seen()
    seen.subscribe(script.source()).dispose()
    await settle()
    assert (script.log, len(script.tasks), seen.errors) == ([], 0, [])


@pytest.mark.parametrize("more", [(), (b"b", b"c", b"")], ids=["waiting", "already there"])
async def test_disposing_from_inside_on_next_stops_at_once_even_if_reads_never_wait(more: tuple[bytes, ...]) -> None:
    script, seen = Script(b"a", *more), Seen()
    subscription: DisposableBase = Disposable()

    def on_next(data: bytes) -> None:
        seen.items.append(data)
        subscription.dispose()

    # by `connect`: no auto-detach hides what comes afterwards
    subscription = connect(script.source(), Receiver(on_next, seen.on_error, seen.on_completed), None)
    await script.left.wait()
    await settle()
    assert script.log == ["enter", "read open", "leave"]
    assert (seen.items, seen.completed, seen.errors, len(script.tasks)) == ([b"a"], 0, [], 0)


async def test_a_provider_error_reaches_on_error_as_it_is() -> None:
    failure = ProviderError(ErrorKind.TRUNCATED, "broke off")
    script, seen = Script(b"a", failure), Seen()
    seen.subscribe(script.source())
    await seen.ended.wait()
    assert seen.items == [b"a"]
    assert seen.errors == [failure]
    assert script.log[-1] == "leave"


async def test_any_other_error_becomes_internal_with_its_cause() -> None:
    failure = KeyError("x")
    script, seen = Script(failure), Seen()
    seen.subscribe(script.source())
    await seen.ended.wait()
    assert seen.kinds == [ErrorKind.INTERNAL]
    assert seen.errors[0].__cause__ is failure
    assert "KeyError" in str(seen.errors[0])


async def test_an_error_while_opening_reaches_on_error() -> None:
    @asynccontextmanager
    async def refuse() -> AsyncGenerator[Callable[[], Awaitable[bytes]], None]:
        raise ProviderError(ErrorKind.NETWORK, "nobody there")
        yield

    seen = Seen()
    seen.subscribe(from_reads(refuse, Exchange(), Tasks()))
    await seen.ended.wait()
    assert seen.kinds == [ErrorKind.NETWORK]


async def test_what_downstream_raises_ends_the_stream_as_an_internal_error() -> None:
    script, seen = Script(b"a", b"b", b""), Seen()

    def on_next(data: bytes) -> None:
        raise ZeroDivisionError

    seen.subscribe(script.source(), on_next)
    await seen.ended.wait()
    assert seen.kinds == [ErrorKind.INTERNAL]
    assert isinstance(seen.errors[0].__cause__, ZeroDivisionError)
    assert script.log == ["enter", "read open", "leave"]


async def test_closing_the_tasks_ends_their_streams_as_cancelled() -> None:
    script, seen = Script(b"a"), Seen()
    seen.subscribe(script.source())
    await settle()
    await script.tasks.aclose()
    assert seen.kinds == [ErrorKind.CANCELLED]
    assert script.log[-1] == "leave"
    assert len(script.tasks) == 0


async def test_a_task_that_fails_is_told_to_the_loop() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    tasks = Tasks()

    async def fail() -> None:
        raise ZeroDivisionError

    tasks.spawn(fail(), name="doomed")
    await settle()
    assert [context["message"] for context in told] == ["task 'doomed' failed"]
    assert len(tasks) == 0


async def test_closing_the_tasks_from_one_of_them_spares_that_one() -> None:
    tasks, other = Tasks(), asyncio.Event()
    closed: list[int] = []

    async def closer() -> None:
        await tasks.aclose()
        closed.append(len(tasks))

    async def wait_forever() -> None:
        await other.wait()

    waiting = tasks.spawn(wait_forever(), name="waiting")
    await tasks.spawn(closer(), name="closer")
    assert closed == [1]
    assert waiting.cancelled()


async def test_two_subscriptions_read_twice() -> None:
    script, first, second = Script(b"a", b"b", b"", b""), Seen(), Seen()
    source = script.source()
    first.subscribe(source)
    second.subscribe(source)
    await asyncio.gather(first.ended.wait(), second.ended.wait())
    assert script.log.count("enter") == 2
    assert sorted(first.items + second.items) == [b"a", b"b"]


Step = tuple[str, int]


@given(st.lists(st.tuples(st.sampled_from(["read", "close", "open", "round"]), st.integers(0, 2)), max_size=40))
@settings(max_examples=examples(60), deadline=None)
def test_no_interleaving_of_gate_and_reads_loses_or_reorders_anything(steps: list[Step]) -> None:
    async def run() -> None:
        script, seen, sent = Script(), Seen(), list[bytes]()
        seen.subscribe(script.source())
        for step, holder in steps:
            if step == "read":
                sent.append(b"%d" % len(sent))
                script.queue.put_nowait(sent[-1])
            elif step == "close":
                script.exchange.flow.close(holder)
            elif step == "open":
                script.exchange.flow.open(holder)
            else:
                await settle(1)
        script.queue.put_nowait(b"")
        for holder in range(3):
            script.exchange.flow.open(holder)
        await seen.ended.wait()
        assert seen.items == sent
        assert "read CLOSED" not in script.log
        assert (seen.completed, script.exchange.reads) == (1, len(sent))

    asyncio.run(run())


# -- iterate ----------------------------------------------------------------------------------------------------------


class Pushed(Subject[int]):
    """A subject that knows whether somebody listens."""

    @property
    def listened_to(self) -> bool:
        return bool(self.observers)


async def test_iterate_yields_in_order_and_ends_with_the_source() -> None:
    assert [item async for item in iterate(reactivex.of(1, 2, 3))] == [1, 2, 3]


async def test_iterate_raises_the_error_after_the_items_before_it() -> None:
    failure = ProviderError(ErrorKind.NETWORK, "gone")
    source = reactivex.concat(reactivex.of(1, 2), reactivex.throw(failure))
    items: list[int] = []

    async def read_all() -> None:
        async for item in iterate(source):
            items.append(item)  # noqa: PERF401 - a comprehension would lose them when it raises

    with pytest.raises(ProviderError) as caught:
        await read_all()
    assert items == [1, 2]
    assert caught.value is failure


async def test_iterate_closes_the_gate_at_high_water_and_opens_it_at_half() -> None:
    gate, source = FlowControl(), Pushed()
    async with aclosing(iterate(source, flow=gate, high_water=4)) as items:
        first = asyncio.ensure_future(anext(items))
        await settle()
        states: list[bool] = []
        for number in range(5):
            source.on_next(number)
            states.append(gate.is_open)
        assert states == [True, True, True, False, False]
        assert await first == 0
        assert not gate.is_open
        assert [await anext(items), gate.is_open] == [1, False]
        assert [await anext(items), gate.is_open] == [2, True]
        source.on_completed()
        assert [item async for item in items] == [3, 4]


async def test_leaving_the_iteration_disposes_and_takes_the_hold_off() -> None:
    gate, source = FlowControl(), Pushed()
    async with aclosing(iterate(source, flow=gate, high_water=1)) as items:
        first = asyncio.ensure_future(anext(items))
        await settle()
        source.on_next(1)
        source.on_next(2)
        await first
        assert source.listened_to
        assert not gate.is_open
    assert not source.listened_to
    assert gate.is_open


async def test_cancelling_the_iteration_disposes() -> None:
    source = Pushed()

    async def read_all() -> None:
        async for _ in iterate(source):
            pass

    reading = asyncio.ensure_future(read_all())
    await settle()
    assert source.listened_to
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await settle()
    assert not source.listened_to


async def test_iterate_refuses_a_high_water_below_one() -> None:
    with pytest.raises(ValueError, match="high_water"):
        await anext(iterate(reactivex.of(1), high_water=0))


async def test_a_slow_iteration_of_reads_holds_no_more_than_high_water() -> None:
    script = Script(*(b"%d" % n for n in range(100)), b"")
    received: list[bytes] = []
    most = 0
    async for item in iterate(script.source(), flow=script.exchange.flow, high_water=4):
        received.append(item)
        await settle(10)
        most = max(most, script.exchange.reads - len(received))
    assert received == [b"%d" % n for n in range(100)]
    assert most == 4
