import asyncio
import threading
from collections.abc import Callable
from typing import Any

import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest

from rxlapce.flow import FlowControl
from rxlapce.notebook.marks import LaneEnd, Outcome, Span, SpanKind
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.trace import Trace
from rxlapce.testing.clocked import Clocked

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed


class Bench:
    """Probes on a trace, and what passes them: one tick of the scheduler is a second, subscribed to at 200."""

    def __init__(self, *names: str) -> None:
        self.scheduler = Clocked()
        self.trace = Trace()
        self.probes = TraceProbes(self.trace)
        self.taps: list[Callable[[Observable[Any]], Observable[Any]]] = [self.probes.lane(name) for name in names]

    def seen(self) -> list[tuple[int, float, object, int | None]]:
        return [(mark.lane, mark.t, mark.item, mark.cause) for mark in self.trace.kept]


def pair(item: object) -> Observable[object]:
    return reactivex.from_iterable([item, item], scheduler=ImmediateScheduler.singleton())


def test_marbles_everything_is_handed_on_unchanged_and_noted() -> None:
    bench = Bench("a")
    failure = ValueError("x")
    source = bench.scheduler.create_hot_observable(on_next(210, "a"), on_next(230, "b"), on_error(250, failure))
    result = bench.scheduler.start(lambda: source.pipe(bench.taps[0]))
    assert result.messages == [on_next(210, "a"), on_next(230, "b"), on_error(250, failure)]
    assert bench.seen() == [(0, 10.0, "a", None), (0, 30.0, "b", None)]
    assert bench.trace.ends == [LaneEnd(0, 50.0, Outcome.FAILED, "ValueError: x")]
    assert source.subscriptions == [ReactiveTest.subscribe(200, 250)]


def test_what_comes_while_a_mark_is_handed_on_has_it_as_its_cause() -> None:
    bench = Bench("a", "b", "c")
    a, b, c = bench.taps
    source = bench.scheduler.create_hot_observable(on_next(210, 1), on_next(220, 2), on_completed(230))
    bench.scheduler.start(lambda: source.pipe(a, ops.flat_map(pair), b, ops.filter(lambda item: item == 2), c))
    assert [(lane, item, cause) for lane, _, item, cause in bench.seen()] == [
        (0, 1, None),
        (1, 1, 0),
        (1, 1, 0),
        (0, 2, None),
        (1, 2, 3),
        (2, 2, 4),
        (1, 2, 3),
        (2, 2, 6),
    ]
    assert [(end.lane, end.outcome) for end in bench.trace.ends] == [
        (0, Outcome.COMPLETED),
        (1, Outcome.COMPLETED),
        (2, Outcome.COMPLETED),
    ]


def test_what_comes_later_by_itself_has_no_cause() -> None:
    bench = Bench("a", "b")
    a, b = bench.taps
    source = bench.scheduler.create_hot_observable(on_next(210, 1), on_completed(250))
    bench.scheduler.start(lambda: source.pipe(a, ops.delay(5), b))
    assert bench.seen() == [(0, 10.0, 1, None), (1, 15.0, 1, None)]


def test_what_is_fed_back_is_no_effect_of_a_lane_further_down() -> None:
    bench = Bench("a", "b")
    a, b = bench.taps
    source: Subject[int] = Subject()

    def feed_back(item: int) -> None:
        if item < 2:
            source.on_next(item + 1)

    source.pipe(a, b).subscribe(feed_back, scheduler=bench.scheduler)
    source.on_next(1)
    assert [(lane, item, cause) for lane, _, item, cause in bench.seen()] == [
        (0, 1, None),
        (1, 1, 0),
        (0, 2, None),
        (1, 2, 2),
    ]


def test_a_subscriber_that_raises_leaves_no_cause_behind() -> None:
    bench = Bench("a", "b")
    a, b = bench.taps
    source: Subject[int] = Subject()

    def raise_it(item: int) -> None:
        raise RuntimeError(item)

    source.pipe(a, b).subscribe(raise_it, scheduler=bench.scheduler)
    for item in (1, 2):
        try:
            source.on_next(item)
        except RuntimeError:
            assert bench.probes.delivering == (None, -1)


def test_disposing_ends_every_lane_and_what_is_above() -> None:
    bench = Bench("a", "b")
    a, b = bench.taps
    source = bench.scheduler.create_hot_observable(on_next(210, 1), on_next(310, 2))
    bench.scheduler.start(lambda: source.pipe(a, ops.map(str), b), disposed=300)
    assert source.subscriptions == [ReactiveTest.subscribe(200, 300)]
    assert sorted((end.lane, end.t, end.outcome) for end in bench.trace.ends) == [
        (0, 100.0, Outcome.CANCELLED),
        (1, 100.0, Outcome.CANCELLED),
    ]


def test_a_lane_that_is_subscribed_to_again_goes_on() -> None:
    bench = Bench("attempts", "answer")
    attempts, answer = bench.taps
    source = bench.scheduler.create_cold_observable(on_next(10, 1), on_error(20, ValueError("again")))
    bench.scheduler.start(lambda: source.pipe(attempts, ops.retry(2), answer))
    assert bench.seen() == [(0, 10.0, 1, None), (1, 10.0, 1, 0), (0, 30.0, 1, None), (1, 30.0, 1, 2)]
    assert [(end.lane, end.t, end.outcome) for end in bench.trace.ends] == [
        (0, 20.0, Outcome.FAILED),
        (0, 40.0, Outcome.FAILED),
        (1, 40.0, Outcome.FAILED),
    ]


def test_a_gate_is_shown_in_the_first_lane_while_any_is_closed() -> None:
    bench = Bench("a", "b")
    one, other = FlowControl(), FlowControl()
    bench.probes.gate(one)
    bench.probes.gate(other)
    bench.scheduler.at(210, lambda: one.close("reader"))
    bench.scheduler.at(220, lambda: other.close("reader"))
    bench.scheduler.at(230, lambda: one.open("reader"))
    bench.scheduler.at(240, lambda: other.open("reader"))
    source = bench.scheduler.create_hot_observable(on_completed(900))
    bench.scheduler.start(lambda: source.pipe(*bench.taps))
    assert bench.trace.spans(700.0) == [Span(0, SpanKind.PAUSED, 10.0, 40.0)]


def test_a_gate_that_is_closed_already_is_shown_from_the_beginning_and_not_after_close() -> None:
    bench = Bench("a")
    flow = FlowControl()
    flow.close("reader")
    bench.probes.gate(flow)
    source: Subject[int] = Subject()
    source.pipe(*bench.taps).subscribe(scheduler=bench.scheduler)
    assert bench.trace.spans(1.0) == [Span(0, SpanKind.PAUSED, 0.0)]
    bench.probes.close()
    flow.open("reader")
    assert bench.trace.spans(1.0) == [Span(0, SpanKind.PAUSED, 0.0)]


async def test_what_passes_on_another_thread_is_noted_on_the_loop_without_a_cause() -> None:
    trace = Trace()
    probes = TraceProbes(trace)
    source: Subject[int] = Subject()
    got: list[int] = []
    noted = threading.get_ident()
    threads: list[int] = []
    source.pipe(probes.lane("a")).subscribe(got.append)
    ended = asyncio.Event()

    def changed() -> None:
        threads.append(threading.get_ident())
        trace.on_change = changed
        if trace.ends:
            ended.set()

    trace.on_change = changed

    def emit() -> None:
        source.on_next(1)
        source.on_completed()

    other = threading.Thread(target=emit)
    other.start()
    other.join()
    assert (got, trace.next_seq) == ([1], 0)
    await ended.wait()
    assert ([mark.item for mark in trace.kept], [end.outcome for end in trace.ends]) == ([1], [Outcome.COMPLETED])
    assert threads == [noted] * 2
