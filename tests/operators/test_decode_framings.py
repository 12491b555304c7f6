"""The framings besides SSE as operators, in virtual time: what comes out when, and how each of them ends."""

import struct
from collections.abc import Callable
from zlib import crc32

import pytest
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.notification import OnError
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.mockobserver import MockObserver

from rxlapce.codec.event import Event
from rxlapce.errors import (
    BadEventStream,
    BadJsonArray,
    CodecError,
    ErrorKind,
    EventTooLarge,
    Phase,
    ProviderError,
    UnfinishedBody,
)
from rxlapce.operators.decode import eventstream_decode, json_array_decode, ndjson_decode

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed
subscribe = ReactiveTest.subscribe

Decode = Callable[[Observable[bytes]], Observable[Event]]


def message(kind: str, payload: bytes) -> bytes:
    headers = b""
    for name, value in ((":message-type", "event"), (":event-type", kind)):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return body + struct.pack(">I", crc32(body))


A, B = message("a", b"{}"), message("b", b"[]")


def failure(results: MockObserver[Event], at: float) -> ProviderError:
    """The error of the last notification, which comes at `at`."""
    last = results.messages[-1]
    assert last.time == at
    assert isinstance(last.value, OnError)
    error = last.value.exception
    assert isinstance(error, ProviderError)
    assert error.phase is Phase.FLOW
    assert str(error.__cause__) == error.message
    return error


@pytest.mark.parametrize(
    ("decode", "reads", "events"),
    [
        (eventstream_decode(), (A + B[:30], B[30:] + A[:5]), (Event("{}", "a"), Event("[]", "b"))),
        (json_array_decode(), (b'[{"a":1},{"b"', b":2}\n] "), (Event('{"a":1}'), Event('{"b":2}'))),
        (ndjson_decode(), (b'{"a":1}\n\n{"b"', b":2}\n"), (Event('{"a":1}'), Event('{"b":2}'))),
    ],
    ids=["eventstream", "json-array", "ndjson"],
)
def test_each_event_comes_at_once_and_the_end_with_the_sources(
    decode: Decode, reads: tuple[bytes, bytes], events: tuple[Event, Event]
) -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, reads[0]), on_next(220, reads[1]), on_completed(250))
    results = scheduler.start(lambda: source.pipe(decode))
    assert results.messages == [on_next(210, events[0]), on_next(220, events[1]), on_completed(250)]
    assert source.subscriptions == [subscribe(200, 250)]


@pytest.mark.parametrize(
    ("decode", "good", "bad", "cause"),
    [
        (eventstream_decode(), A, B[:-1] + b"\0", BadEventStream),
        (eventstream_decode(64), A, message("b", b"x" * 30), EventTooLarge),
        (json_array_decode(), b'[{"a":1}', b"}", BadJsonArray),
        (json_array_decode(8), b'[{"a":1}', b',{"bb":22}]', EventTooLarge),
        (ndjson_decode(8), b"[1]\n", b"[2,3,4,5]\n", EventTooLarge),
    ],
)
def test_bytes_outside_the_framing_are_a_protocol_error_after_the_events_before(
    decode: Decode, good: bytes, bad: bytes, cause: type[CodecError]
) -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, good + bad), on_next(220, good), on_completed(230))
    results = scheduler.start(lambda: source.pipe(decode))
    assert [recorded.time for recorded in results.messages] == [210, 210]
    error = failure(results, 210)
    assert error.kind is ErrorKind.PROTOCOL
    assert isinstance(error.__cause__, cause)
    assert source.subscriptions == [subscribe(200, 210)]


def test_last_line_comes_with_the_end() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, b"[1]\n[2]"), on_completed(220))
    results = scheduler.start(lambda: source.pipe(ndjson_decode()))
    assert results.messages == [on_next(210, Event("[1]")), on_next(220, Event("[2]")), on_completed(220)]


def test_array_without_its_end_is_truncated() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(on_next(210, b"[{},"), on_completed(220))
    results = scheduler.start(lambda: source.pipe(json_array_decode()))
    assert results.messages[0] == on_next(210, Event("{}"))
    error = failure(results, 220)
    assert error.kind is ErrorKind.TRUNCATED
    assert isinstance(error.__cause__, UnfinishedBody)


@pytest.mark.parametrize(
    ("decode", "read"), [(eventstream_decode(), A[:9]), (json_array_decode(), b"[{"), (ndjson_decode(), b"[1]")]
)
def test_error_of_the_source_passes_as_it_is(decode: Decode, read: bytes) -> None:
    scheduler = TestScheduler()
    reset = ProviderError(ErrorKind.NETWORK, "connection reset")
    source = scheduler.create_hot_observable(on_next(210, read), on_error(220, reset))
    results = scheduler.start(lambda: source.pipe(decode))
    assert results.messages == [on_error(220, reset)]


def test_each_subscription_has_a_codec_of_its_own() -> None:
    scheduler = TestScheduler()
    source = scheduler.create_cold_observable(on_next(10, A[:40]), on_next(20, A[40:]), on_completed(30))
    events = source.pipe(eventstream_decode())
    first, second = scheduler.create_observer(), scheduler.create_observer()

    def listen(_: SchedulerBase, observer: ObserverBase[Event] | None = None) -> DisposableBase:
        return events.subscribe(observer, scheduler=scheduler)

    scheduler.schedule_absolute(200, listen, first)
    scheduler.schedule_absolute(215, listen, second)
    scheduler.start()
    for start, observer in ((200, first), (215, second)):
        assert observer.messages == [on_next(start + 20, Event("{}", "a")), on_completed(start + 30)]


def test_wrong_bound_is_told_when_the_stage_is_made() -> None:
    with pytest.raises(ValueError, match="max_message_bytes must be at least 16"):
        eventstream_decode(15)
    with pytest.raises(ValueError, match="max_element_bytes must be at least 1"):
        json_array_decode(0)
    with pytest.raises(ValueError, match="max_line_bytes must be at least 1"):
        ndjson_decode(0)
