import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import FlowControl, Receiver, Stage, clock_of, connect


async def settle(rounds: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


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


class Pushed(Subject[int]):
    """A subject that knows whether somebody listens."""

    @property
    def listened_to(self) -> bool:
        return bool(self.observers)


# -- FlowControl ------------------------------------------------------------------------------------------------------


def test_a_gate_is_open_only_when_nobody_holds_it() -> None:
    gate = FlowControl()
    gate.close("a")
    gate.close("b")
    gate.close("a")
    gate.open("a")
    assert not gate.is_open
    gate.open("b")
    assert gate.is_open
    assert gate.closings == 1


def test_opening_a_gate_that_one_does_not_hold_changes_nothing() -> None:
    gate = FlowControl()
    changes: list[bool] = []
    gate.on_change(lambda: changes.append(gate.is_open))
    gate.open("stranger")
    gate.close("a")
    gate.open("stranger")
    assert not gate.is_open
    assert changes == [False]


def test_listeners_are_told_each_change_once_and_in_order() -> None:
    gate = FlowControl()
    told: list[tuple[str, bool]] = []
    gate.on_change(lambda: told.append(("first", gate.is_open)))
    gate.on_change(lambda: told.append(("second", gate.is_open)))
    gate.close("a")
    gate.close("b")
    gate.open("b")
    gate.open("a")
    assert told == [("first", False), ("second", False), ("first", True), ("second", True)]


def test_a_listener_that_turns_the_gate_leaves_all_with_the_last_state() -> None:
    gate = FlowControl()
    told: list[tuple[str, bool]] = []

    def close_again() -> None:
        told.append(("turner", gate.is_open))
        if gate.is_open:
            gate.close("turner")

    gate.on_change(close_again)
    gate.on_change(lambda: told.append(("other", gate.is_open)))
    gate.close("a")
    told.clear()
    gate.open("a")
    assert told == [("turner", True), ("turner", False), ("other", False)]


def test_a_listener_ended_by_another_in_the_same_change_is_not_called() -> None:
    gate = FlowControl()
    told: list[str] = []
    forget: DisposableBase = Disposable()

    gate.on_change(lambda: forget.dispose())
    forget = gate.on_change(lambda: told.append("late"))
    gate.close("a")
    assert told == []
    forget.dispose()


async def test_waiters_go_on_when_the_gate_opens_and_wait_on_when_it_closes_at_once() -> None:
    gate = FlowControl()
    gate.close("a")
    waiter = asyncio.ensure_future(gate.wait_open())
    await settle()
    gate.open("a")
    gate.close("a")
    await settle()
    assert not waiter.done()
    gate.open("a")
    await waiter


async def test_a_cancelled_waiter_leaves_no_trace_and_others_wait_on() -> None:
    gate = FlowControl()
    gate.close("a")
    first, second = (asyncio.ensure_future(gate.wait_open()) for _ in range(2))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    gate.open("a")
    await second


# -- Stage and connect ------------------------------------------------------------------------------------------------


def numbers(items: Iterable[int], seen_scheduler: list[SchedulerBase | None] | None = None) -> Stage[int]:
    """A stage that emits at once, and goes on after its terminal as no stage should."""

    def on_subscribe(receiver: Receiver[int], scheduler: SchedulerBase | None) -> DisposableBase:
        if seen_scheduler is not None:
            seen_scheduler.append(scheduler)
        for item in items:
            receiver.on_next(item)
        receiver.on_completed()
        receiver.on_next(-1)
        receiver.on_completed()
        return Disposable()

    return Stage(on_subscribe)


def doubled(source: Observable[int]) -> Observable[int]:
    def on_subscribe(receiver: Receiver[int], scheduler: SchedulerBase | None) -> DisposableBase:
        def on_next(item: int) -> None:
            receiver.on_next(2 * item)

        return connect(source, Receiver(on_next, receiver.on_error, receiver.on_completed), scheduler)

    return Stage(on_subscribe)


def add_one(item: int) -> int:
    return item + 1


def test_stages_work_between_stock_operators_on_both_sides() -> None:
    seen = Seen()
    seen.subscribe(reactivex.of(1, 2, 3).pipe(ops.map(add_one), doubled, doubled, ops.map(add_one), ops.take(2)))
    assert (seen.items, seen.completed) == ([9, 13], 1)


def test_the_subscriber_keeps_the_grammar_whatever_a_stage_does() -> None:
    seen = Seen()
    seen.subscribe(numbers([1, 2]).pipe(doubled))
    assert (seen.items, seen.completed) == ([2, 4], 1)


def test_a_stage_passes_the_scheduler_of_subscribe_up() -> None:
    schedulers: list[SchedulerBase | None] = []
    scheduler = TestScheduler()
    numbers([1], schedulers).pipe(doubled).subscribe(lambda _: None, scheduler=scheduler)
    assert schedulers == [scheduler]


def test_connect_to_a_stage_puts_nothing_in_between() -> None:
    inner: list[Receiver[int]] = []

    def on_subscribe(receiver: Receiver[int], scheduler: SchedulerBase | None) -> DisposableBase:
        inner.append(receiver)
        return Disposable()

    mine: Receiver[int] = Receiver(lambda _: None, lambda _: None, lambda: None)
    connect(Stage(on_subscribe), mine, None)
    assert inner == [mine]


def test_connect_tells_an_error_of_subscribing_to_on_error() -> None:
    def fail(receiver: Receiver[int], scheduler: SchedulerBase | None) -> DisposableBase:
        raise RuntimeError("cannot start")

    def fail_stock(observer: ObserverBase[int], scheduler: SchedulerBase | None) -> DisposableBase:
        raise RuntimeError("cannot start")

    for source in (Stage(fail), reactivex.create(fail_stock)):
        seen = Seen()
        connect(source, seen.receiver(), None).dispose()
        assert [str(error) for error in seen.errors] == ["cannot start"]


def test_disposing_reaches_through_stages_and_stock_operators() -> None:
    source, seen = Pushed(), Seen()
    subscription = seen.subscribe(source.pipe(doubled, ops.map(add_one), doubled))
    source.on_next(1)
    subscription.dispose()
    assert not source.listened_to
    assert seen.items == [6]


async def test_the_clock_agrees_with_the_scheduler() -> None:
    virtual = TestScheduler()
    virtual.advance_to(7.5)
    assert clock_of(virtual)() == pytest.approx(7.5)
    loop = asyncio.get_running_loop()
    assert clock_of(None)() == pytest.approx(loop.time(), abs=1)
    assert clock_of(AsyncIOScheduler(loop))() == pytest.approx(loop.time(), abs=1)
