"""Several attempts on one exchange: nothing that is known of one is taken for a fact of the next."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.notification import OnError, OnNext
from reactivex.testing.recorded import Recorded

from rxlapce.codec.event import Event
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.operators.circuit import circuit_break
from rxlapce.operators.fallback import fallback
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg
from rxlapce.operators.retry import RetryPolicy, retry_stream
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit, stream_timeouts
from rxlapce.operators.totals import StreamTotals
from rxlapce.providers.provider import Api, by_content
from rxlapce.testing.breaking import BreakerBench
from rxlapce.testing.clocked import Clocked, told
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport
from rxlapce.typing import Dialect

A, FINISH = Text("a"), Finish(FinishKind.STOP)
USAGE = UsageReport(Usage(input=1))
BUSY = ProviderError(ErrorKind.OVERLOADED, "busy", status=503, phase=Phase.HEADERS)
UNREACHED = ProviderError(ErrorKind.NETWORK, "reset", phase=Phase.HEADERS)
#: Waits 4 s after the first failure, 8 s after the second.
POLICY = RetryPolicy(max_attempts=3, base_s=4, max_s=100, min_s=1, deadline_s=None)

# `TestScheduler.start` subscribes at 200 and disposes at 1000; one tick is one second.


@dataclass(frozen=True)
class Headers:
    """The response's headers come."""

    status: int = 200
    request_id: str | None = None
    content_type: str = "text/event-stream"


#: What comes at a time after the subscription: headers, a read of so many bytes, an item, an error, the end.
Happening = Headers | int | StreamToken | bytes | Exception | None
Script = dict[float, Happening]


class Wire:
    """Plays the next of `scripts` at each subscription, and fills in the exchange as the HTTP client does."""

    def __init__(self, clock: Clocked, exchange: Exchange, *scripts: Script) -> None:
        self.clock = clock
        self.exchange = exchange
        self.scripts = list(scripts)
        self.starts: list[float] = []
        self.connect_s: list[float | None] = []

    def source(self) -> Observable[StreamToken]:
        return Stage(self._subscribe)

    def body(self) -> Observable[bytes]:
        return Stage(self._subscribe)

    def _subscribe(self, receiver: Receiver[StreamToken] | Receiver[bytes], _: SchedulerBase | None) -> DisposableBase:
        script = self.scripts[min(len(self.starts), len(self.scripts) - 1)]
        self.starts.append(self.clock.now_s)
        self.connect_s.append(self.exchange.connect_s)
        gone = Disposable()

        def play(happening: Happening) -> Callable[[], None]:
            return lambda: None if gone.is_disposed else self._happen(happening, receiver)

        for after_s, happening in script.items():
            self.clock.at(self.clock.now_s + after_s, play(happening))
        return gone

    def _happen(self, happening: Happening, receiver: Receiver[StreamToken] | Receiver[bytes]) -> None:
        exchange = self.exchange
        match happening:
            case None:
                receiver.on_completed()
            case Exception():
                receiver.on_error(happening)
            case Headers():
                exchange.status, exchange.content_type = happening.status, happening.content_type
                exchange.provider_request_id = happening.request_id
                exchange.last_read_s = self.clock.now_s
            case int():
                self._read(happening)
            case bytes():
                self._read(len(happening))
                receiver.on_next(happening)  # type: ignore[arg-type]  # it was subscribed to as bytes
            case _:
                self._read(10)
                receiver.on_next(happening)  # type: ignore[arg-type]  # it was subscribed to as tokens

    def _read(self, size: int) -> None:
        self.exchange.last_read_s = self.clock.now_s
        self.exchange.reads += 1
        self.exchange.bytes_read += size


@pytest.fixture
def clock() -> Clocked:
    return Clocked()


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(provider="acme", model="m1")


def retried(exchange: Exchange) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    return retry_stream(POLICY, random=lambda: 1.0, exchange=exchange)


def run(clock: Clocked, source: Observable[StreamToken]) -> list[Recorded[StreamToken]]:
    return clock.start(lambda: source).messages


def tokens(messages: list[Recorded[StreamToken]]) -> list[tuple[float, StreamToken]]:
    return [(message.time, message.value.value) for message in messages if isinstance(message.value, OnNext)]


def last_error(messages: list[Recorded[StreamToken]]) -> ProviderError:
    assert isinstance(messages[-1].value, OnError)
    return told(messages[-1])


# -- limits -----------------------------------------------------------------------------------------------------------


def test_marbles_the_second_attempt_has_its_own_time_for_the_headers(clock: Clocked, exchange: Exchange) -> None:
    wire = Wire(clock, exchange, {1: Headers(503, "req_1"), 2: 70, 3: BUSY}, {})
    limits = stream_timeouts(headers_s=10, first_token_s=100, exchange=exchange)
    got = run(clock, wire.source().pipe(limits, retried(exchange)))
    assert wire.starts == [200, 207]
    error = last_error(got)
    assert isinstance(error, StreamTimeout)
    assert (got[-1].time, error.limit) == (217, TimeLimit.HEADERS)
    assert error.message == "no response headers within 10 s of the request; not one byte came"


def test_marbles_idle_waits_for_the_headers_of_the_second_attempt_too(clock: Clocked, exchange: Exchange) -> None:
    wire = Wire(clock, exchange, {1: Headers(503), 2: 70, 3: BUSY}, {60: Headers(), 65: 30})
    got = run(clock, wire.source().pipe(stream_timeouts(idle_s=10, exchange=exchange), retried(exchange)))
    error = last_error(got)
    assert isinstance(error, StreamTimeout)
    assert (got[-1].time, error.limit) == (207 + 65 + 10, TimeLimit.IDLE)
    assert error.message == "nothing arrived for 10 s; 1 reads brought 30 bytes without a token"


def test_a_source_that_forgets_the_old_response_when_subscribed_to_is_in_time(
    clock: Clocked, exchange: Exchange
) -> None:
    """As `from_reads` does, where no operator has done it before."""
    exchange.status, exchange.content_type, exchange.provider_request_id = 200, "application/json", "req_1"

    def on_subscribe(_: Receiver[StreamToken], __: SchedulerBase | None) -> DisposableBase:
        exchange.begin_attempt()
        return Disposable()

    got = run(clock, Stage(on_subscribe).pipe(stream_timeouts(headers_s=10, exchange=exchange)))
    error = last_error(got)
    assert (got[-1].time, error.phase, error.status, error.request_id) == (210, Phase.HEADERS, None, None)


def test_marbles_a_slow_first_leg_is_not_weighed_with_the_second(clock: Clocked, exchange: Exchange) -> None:
    first = Wire(clock, exchange, {1: Headers(), 2: A, 11: BUSY})
    # Within 10 s of its first token it sends enough: by the first leg's window it would end at 212 with too little.
    second = Wire(
        clock, exchange, {1: Headers(), **dict.fromkeys(range(4, 13), Text("abcdefgh")), 13: FINISH, 14: None}
    )

    def leg(wire: Wire) -> Leg:
        limits = stream_timeouts(min_tokens_per_s=1, rate_window_s=10, exchange=exchange)
        return Leg(provider="acme", model="m1", open=lambda _: wire.source().pipe(limits))

    policy = FallbackPolicy(after_commit=AfterCommit.RESTART)
    got = run(clock, fallback([leg(first), leg(second)], policy=policy, exchange=exchange))
    assert second.starts == [211]
    assert [type(message.value) for message in got if isinstance(message.value, OnError)] == []
    assert tokens(got)[-1] == (224, Finish(FinishKind.STOP, model="m1"))


# -- connecting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "seen"), [(None, [2, 2]), (1.5, [1.5, 1.5]), (30, [2, 2])])
def test_every_attempt_is_given_its_limit_on_connecting_and_none_leaves_it(
    clock: Clocked, own: float | None, seen: list[float]
) -> None:
    exchange = Exchange(connect_s=own)
    wire = Wire(clock, exchange, {1: UNREACHED}, {1: Headers(), 2: A, 3: FINISH, 4: None})
    got = run(clock, wire.source().pipe(stream_timeouts(connect_s=2, exchange=exchange), retried(exchange)))
    assert [token for _, token in tokens(got)] == [A, FINISH]
    assert wire.connect_s == seen
    assert exchange.connect_s == own


def test_a_leg_without_a_limit_on_connecting_does_not_inherit_one(clock: Clocked, exchange: Exchange) -> None:
    first = Wire(clock, exchange, {1: UNREACHED})
    second = Wire(clock, exchange, {1: Headers(), 2: A, 3: FINISH, 4: None})
    legs = [
        Leg(
            provider="acme",
            model="m1",
            open=lambda _: first.source().pipe(stream_timeouts(connect_s=2, exchange=exchange)),
        ),
        Leg(provider="acme", model="m2", open=lambda _: second.source()),
    ]
    run(clock, fallback(legs, exchange=exchange))
    assert (first.connect_s, second.connect_s) == ([2], [None])


def test_an_attempt_that_is_disposed_late_does_not_take_the_next_ones_limit(clock: Clocked, exchange: Exchange) -> None:
    """As RxPY's own operators do, which subscribe to the next source before they dispose the last."""
    wire = Wire(clock, exchange, {1: UNREACHED}, {})
    limited = wire.source().pipe(stream_timeouts(connect_s=2, exchange=exchange))
    failures: list[Exception] = []
    receiver = Receiver[StreamToken](lambda _: None, failures.append, lambda: None)
    first = connect(limited, receiver, clock)
    clock.advance_to(10)
    second = connect(limited, receiver, clock)
    first.dispose()
    assert failures == [UNREACHED]
    assert exchange.connect_s == 2
    second.dispose()
    assert exchange.connect_s is None


# -- facts of the response --------------------------------------------------------------------------------------------


def test_marbles_an_attempt_that_fails_ahead_of_its_headers_has_no_status(clock: Clocked, exchange: Exchange) -> None:
    wire = Wire(clock, exchange, {1: Headers(503, "req_1"), 2: BUSY}, {5: UNREACHED})
    got = run(clock, wire.source().pipe(retried(exchange)))
    assert last_error(got) is UNREACHED
    assert [attempt.status for attempt in exchange.attempts] == [503, None, None]
    assert (exchange.status, exchange.provider_request_id, exchange.content_type) == (None, None, "")


def test_marbles_an_attempt_that_its_breaker_refuses_is_not_told_as_the_answer_before(
    clock: Clocked, exchange: Exchange
) -> None:
    bench = BreakerBench()
    bench.fails(4)
    wire = Wire(clock, exchange, {1: Headers(503, "req_1"), 2: BUSY})
    run(clock, wire.source().pipe(circuit_break(bench.breaker, exchange=exchange), retried(exchange)))
    assert wire.starts == [200]
    assert [(attempt.phase, attempt.status) for attempt in exchange.attempts] == [
        (Phase.HEADERS, 503),
        (Phase.ADMIT, None),
    ]
    assert (exchange.status, exchange.provider_request_id) == (None, None)


SAID = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
REFUSED = b'{"error":{"message":"come back later","type":"x","code":"rate_limit_exceeded"}}'


@pytest.mark.parametrize("content_type", ["text/event-stream", ""])
def test_marbles_a_stream_after_a_refusal_in_json_is_read_as_a_stream(
    clock: Clocked, exchange: Exchange, content_type: str
) -> None:
    dialect: Dialect[Event] = ChatCompletions()
    refused: Script = {1: Headers(200, content_type="application/json"), 2: REFUSED, 3: None}
    said: Script = {2: SAID, 3: None}
    if content_type:
        said = {1: Headers(200, content_type=content_type), **said}
    wire = Wire(clock, exchange, refused, said)
    got = run(clock, wire.body().pipe(by_content(Api(dialect=dialect, path=""), exchange), retried(exchange)))
    assert [token for _, token in tokens(got)] == [A, Finish(FinishKind.STOP, "stop")]
    assert wire.starts == [200, 207]


# -- counts -----------------------------------------------------------------------------------------------------------


def test_marbles_times_to_the_first_token_and_gaps_are_of_one_attempt(clock: Clocked, exchange: Exchange) -> None:
    totals = StreamTotals()
    first: Script = {1: Headers(), 2: USAGE, 3: BUSY}
    second: Script = {1: Headers(), 2: A, 5: A, 6: FINISH, 7: None}
    wire = Wire(clock, exchange, first, second)
    counted = wire.source().pipe(totals.tap("acme", "m1", exchange=exchange), retried(exchange))
    assert [time_s for time_s, _ in tokens(run(clock, counted))] == [209, 212, 213]
    (model,) = totals.collect().values()
    assert (model.attempts, model.outcomes["overloaded"], model.outcomes["completed"]) == (2, 1, 1)
    assert (model.first_token.count, model.first_token.sum_us) == (1, 2_000_000)
    assert (model.gaps.count, model.gaps.sum_us, model.stalls) == (2, 4_000_000, 1)


def test_marbles_a_read_at_the_very_time_of_the_last_one_is_the_next_attempts(clock: Clocked) -> None:
    """A leg may be opened, and answer, within the instant in which the one before failed."""
    exchange, totals = Exchange(), StreamTotals()
    first = Wire(clock, exchange, {1: Headers(), 2: USAGE, 2.0001: BUSY})
    second = Wire(clock, exchange, {0: A, 3: FINISH, 4: None})

    def leg(wire: Wire, model: str) -> Leg:
        tap = totals.tap("acme", model, exchange=exchange)
        return Leg(provider="acme", model=model, open=lambda _: wire.source().pipe(tap))

    run(clock, fallback([leg(first, "m1"), leg(second, "m2")], exchange=exchange))
    found = totals.collect()["acme", "m2"]
    assert (found.first_token.count, found.gaps.count, found.gaps.sum_us) == (1, 1, 3_000_000)


def test_marbles_a_reader_that_held_up_an_earlier_attempt_does_not_excuse_the_next(
    clock: Clocked, exchange: Exchange
) -> None:
    bench = BreakerBench()
    clock.at(201, lambda: exchange.flow.close("reader"))
    clock.at(202, lambda: exchange.flow.open("reader"))
    wire = Wire(clock, exchange, {1: Headers(503), 3: BUSY}, {})
    limits = stream_timeouts(total_s=10, exchange=exchange)
    got = run(clock, wire.source().pipe(limits, circuit_break(bench.breaker, exchange=exchange), retried(exchange)))
    assert (got[-1].time, last_error(got).kind) == (217, ErrorKind.TIMEOUT)
    assert bench.breaker.gauges.failures == 2
