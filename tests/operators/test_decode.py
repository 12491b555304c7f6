"""`sse_decode` in virtual time: what comes out when, and what happens to the source."""

import pytest
from reactivex import Observable, operators
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.notification import OnError
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.mockobserver import MockObserver

from rxlapce.codec.event import Event
from rxlapce.errors import ErrorKind, EventTooLarge, Phase, ProviderError, Retry
from rxlapce.flow import Receiver, Stage
from rxlapce.operators.decode import sse_decode

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed
subscribe = ReactiveTest.subscribe


def error_of(results: MockObserver[Event]) -> Exception:
    """The exception of the last notification, which must be an error."""
    last = results.messages[-1].value
    assert isinstance(last, OnError)
    error: Exception = last.exception
    return error


def test_each_event_comes_at_once_with_the_read_that_completes_it() -> None:
    scheduler = TestScheduler()
    reads = scheduler.create_hot_observable(
        on_next(150, b"data: before anybody listened\n\n"),
        on_next(210, b"data: a\n\ndata: b\n\nda"),
        on_next(220, b"ta: c\n"),
        on_next(230, b": ping\n\nevent: e\r\ndata: d\r"),
        on_next(240, b"\n\r"),
        on_completed(250),
    )
    results = scheduler.start(lambda: reads.pipe(sse_decode()))
    assert results.messages == [
        on_next(210, Event("a")),
        on_next(210, Event("b")),
        on_next(230, Event("c")),
        on_next(240, Event("d", "e")),
        on_completed(250),
    ]
    assert reads.subscriptions == [subscribe(200, 250)]


def test_event_without_its_blank_line_is_dropped_when_the_source_completes() -> None:
    scheduler = TestScheduler()
    reads = scheduler.create_hot_observable(on_next(210, b"data: a\n\ndata: b\n"), on_completed(220))
    results = scheduler.start(lambda: reads.pipe(sse_decode()))
    assert results.messages == [on_next(210, Event("a")), on_completed(220)]


def test_error_of_the_source_passes_as_it_is() -> None:
    scheduler = TestScheduler()
    failure = ProviderError(ErrorKind.NETWORK, "connection reset")
    reads = scheduler.create_hot_observable(on_next(210, b"data: a\n\ndata: b"), on_error(220, failure))
    results = scheduler.start(lambda: reads.pipe(sse_decode()))
    assert results.messages[0] == on_next(210, Event("a"))
    assert [message.time for message in results.messages] == [210, 220]
    assert error_of(results) is failure
    assert reads.subscriptions == [subscribe(200, 220)]


def test_event_past_the_bound_is_a_protocol_error_at_once_after_the_events_before_it() -> None:
    scheduler = TestScheduler()
    reads = scheduler.create_hot_observable(
        on_next(210, b"data: a\n\n"),
        on_next(220, b"data: b\n\ndata: c\n\ndata: " + b"d" * 20),
        on_next(230, b"\n\ndata: e\n\n"),
        on_completed(240),
    )
    results = scheduler.start(lambda: reads.pipe(sse_decode(max_event_bytes=16)))
    assert results.messages[:3] == [
        on_next(210, Event("a")),
        on_next(220, Event("b")),
        on_next(220, Event("c")),
    ]
    assert [message.time for message in results.messages[3:]] == [220]
    error = error_of(results)
    assert isinstance(error, ProviderError)
    assert (error.kind, error.phase, error.retry) == (ErrorKind.PROTOCOL, Phase.FLOW, Retry.OTHER_PROVIDER)
    assert isinstance(error.__cause__, EventTooLarge)
    assert "max_event_bytes = 16: 26 bytes" in error.message
    assert reads.subscriptions == [subscribe(200, 220)]


def test_disposing_disposes_the_source_and_stops_the_events() -> None:
    scheduler = TestScheduler()
    reads = scheduler.create_hot_observable(
        on_next(210, b"data: a\n\n"), on_next(230, b"data: b\n\n"), on_completed(240)
    )
    results = scheduler.start(lambda: reads.pipe(sse_decode()), disposed=220)
    assert results.messages == [on_next(210, Event("a"))]
    assert reads.subscriptions == [subscribe(200, 220)]


def test_source_is_left_with_the_event_that_was_enough() -> None:
    scheduler = TestScheduler()
    reads = scheduler.create_hot_observable(on_next(210, b"data: a\n\ndata: b\n\ndata: c\n\n"), on_completed(240))
    results = scheduler.start(lambda: reads.pipe(sse_decode(), operators.take(2)))
    assert results.messages == [on_next(210, Event("a")), on_next(210, Event("b")), on_completed(210)]
    assert reads.subscriptions == [subscribe(200, 210)]


def test_each_subscription_has_a_codec_of_its_own() -> None:
    scheduler = TestScheduler()
    reads = scheduler.create_cold_observable(
        on_next(10, b"id: 1\ndata: a\n"), on_next(30, b"\ndata: b\n\n"), on_completed(40)
    )
    events = reads.pipe(sse_decode())
    first, second = scheduler.create_observer(), scheduler.create_observer()

    def listen(_: SchedulerBase, observer: ObserverBase[Event] | None = None) -> DisposableBase:
        return events.subscribe(observer, scheduler=scheduler)

    scheduler.schedule_absolute(200, listen, first)
    scheduler.schedule_absolute(215, listen, second)
    scheduler.start()
    for start, observer in ((200, first), (215, second)):
        assert observer.messages == [
            on_next(start + 30, Event("a", id="1")),
            on_next(start + 30, Event("b", id="1")),
            on_completed(start + 40),
        ]
    assert reads.subscriptions == [subscribe(200, 240), subscribe(215, 255)]


def insistent(*more: bytes | Exception | None) -> tuple[Observable[bytes], list[str]]:
    """A stage that goes on after the bound is passed, as one does that is inside the call which passed it."""
    log: list[str] = []

    def on_subscribe(receiver: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
        for item in (b"data: a\n\ndata: " + b"b" * 20, *more):
            if item is None:
                receiver.on_completed()
            elif isinstance(item, bytes):
                receiver.on_next(item)
            else:
                receiver.on_error(item)
        return Disposable(lambda: log.append("disposed"))

    return Stage(on_subscribe), log


@pytest.mark.parametrize("more", [b"\n\ndata: c\n\n", ValueError("late"), None])
def test_nothing_follows_its_own_error_even_without_an_auto_detach(more: bytes | Exception | None) -> None:
    source, log = insistent(more)
    stage = source.pipe(sse_decode(16))
    assert isinstance(stage, Stage)
    seen: list[object] = []
    receiver: Receiver[Event] = Receiver(seen.append, seen.append, lambda: seen.append("completed"))
    subscription = stage.on_subscribe(receiver, None)
    assert seen[0] == Event("a")
    assert len(seen) == 2
    assert isinstance(seen[1], ProviderError)
    subscription.dispose()
    assert log == ["disposed"]


def test_scheduler_of_the_subscription_reaches_the_source() -> None:
    scheduler = TestScheduler()
    given: list[SchedulerBase | None] = []

    def on_subscribe(receiver: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
        given.append(scheduler)
        receiver.on_completed()
        return Disposable()

    Stage(on_subscribe).pipe(sse_decode()).subscribe(scheduler=scheduler)
    assert given == [scheduler]


def test_wrong_bound_is_told_when_the_stage_is_made() -> None:
    with pytest.raises(ValueError, match="max_event_bytes must be at least 1"):
        sse_decode(max_event_bytes=0)


def test_a_subscribers_own_exception_is_not_taken_for_a_decoding_error() -> None:
    def fail(_: Event) -> None:
        raise KeyError("the subscriber's")

    errors: list[Exception] = []
    reads: Subject[bytes] = Subject()
    reads.pipe(sse_decode()).subscribe(fail, errors.append)
    with pytest.raises(KeyError):
        reads.on_next(b"data: a\n\n")
    assert errors == []
