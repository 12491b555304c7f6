import asyncio
from collections.abc import Callable

import pytest
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, connect
from rxlapce.operators.timeouts import StreamTimeout, stream_timeouts
from rxlapce.testing.clocked import Clocked, on_next, run, told
from rxlapce.tokens import Finish, FinishKind, Seam, StreamToken, Text, Usage, UsageReport

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
HIDDEN = UsageReport(Usage(input=1))
WORD = Text("a")
FINISH = Finish(FinishKind.STOP)

# `TestScheduler.start` subscribes at 200 and disposes at 1000; one tick is one second.


@pytest.fixture
def clock() -> Clocked:
    return Clocked()


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(provider="acme", status=200, provider_request_id="req_1")


# -- first token ------------------------------------------------------------------------------------------------------


def test_marbles_without_a_visible_token_in_time_the_stream_fails(clock: Clocked) -> None:
    seam = Seam(1, "restart")
    got = run(clock, stream_timeouts(first_token_s=10), on_next(202, HIDDEN), on_next(205, seam), on_next(215, WORD))
    assert got[:2] == [on_next(202, HIDDEN), on_next(205, seam)]
    assert [message.time for message in got] == [202, 205, 210]
    error = told(got[2])
    assert (error.kind, error.phase, error.retry) == (ErrorKind.TIMEOUT, Phase.FIRST_TOKEN, Retry.OTHER_PROVIDER)
    assert error.message == "no token within 10 s of the request"


def test_marbles_a_visible_token_in_time_ends_the_first_limit(clock: Clocked) -> None:
    sent: list[Recorded[StreamToken]] = [on_next(209, WORD), on_next(900, FINISH), on_completed(901)]
    assert run(clock, stream_timeouts(first_token_s=10), *sent) == sent


def test_keep_alives_are_no_first_token_and_are_told(clock: Clocked, exchange: Exchange) -> None:
    clock.reads(exchange, 203, 206, 209)
    (message,) = run(clock, stream_timeouts(first_token_s=10, idle_s=5, exchange=exchange))
    error = told(message)
    assert message.time == 210
    assert error.phase is Phase.FIRST_TOKEN
    assert error.message == "no token within 10 s of the request; 3 reads brought 30 bytes without a token"
    assert (error.provider, error.status, error.request_id) == ("acme", 200, "req_1")


def test_the_first_limit_stands_still_while_we_do_not_read(clock: Clocked, exchange: Exchange) -> None:
    clock.at(204, lambda: exchange.flow.close("reader"))
    clock.at(250, lambda: exchange.flow.open("reader"))
    (message,) = run(clock, stream_timeouts(first_token_s=10, exchange=exchange))
    assert message.time == 256


def test_the_first_limit_stands_still_from_the_start_if_the_gate_is_closed(clock: Clocked, exchange: Exchange) -> None:
    exchange.flow.close("reader")
    clock.at(300, lambda: exchange.flow.open("reader"))
    (message,) = run(clock, stream_timeouts(first_token_s=10, exchange=exchange))
    assert message.time == 310


# -- idle -------------------------------------------------------------------------------------------------------------


def test_marbles_silence_after_a_token_is_idle(clock: Clocked) -> None:
    got = run(clock, stream_timeouts(idle_s=10), on_next(205, WORD), on_next(212, WORD), on_next(230, WORD))
    assert got[:2] == [on_next(205, WORD), on_next(212, WORD)]
    assert got[2].time == 222
    error = told(got[2])
    assert (error.kind, error.phase) == (ErrorKind.TIMEOUT, Phase.FLOW)
    assert error.message == "nothing arrived for 10 s"


def test_silence_before_any_token_is_of_the_first_phase(clock: Clocked) -> None:
    (message,) = run(clock, stream_timeouts(idle_s=10))
    assert message.time == 210
    assert told(message).phase is Phase.FIRST_TOKEN
    assert told(message).message == "nothing arrived for 10 s, and no token before that"


def test_silence_of_a_socket_says_that_nothing_came(clock: Clocked, exchange: Exchange) -> None:
    (message,) = run(clock, stream_timeouts(idle_s=10, exchange=exchange))
    assert told(message).message == "nothing arrived for 10 s; not one byte came"


def test_keep_alives_reset_idle(clock: Clocked, exchange: Exchange) -> None:
    clock.reads(exchange, 207, 214, 221)
    got = run(clock, stream_timeouts(idle_s=10, exchange=exchange), on_next(201, WORD))
    assert got[1].time == 231
    assert told(got[1]).message == "nothing arrived for 10 s; 3 reads brought 30 bytes"


def test_what_an_earlier_attempt_read_is_not_counted(clock: Clocked, exchange: Exchange) -> None:
    exchange.reads, exchange.bytes_read, exchange.last_read_s = 5, 500, 199.0
    (message,) = run(clock, stream_timeouts(idle_s=10, exchange=exchange))
    assert (message.time, told(message).message) == (210, "nothing arrived for 10 s; not one byte came")


def test_idle_does_not_run_while_we_do_not_read_and_starts_anew(clock: Clocked, exchange: Exchange) -> None:
    clock.at(205, lambda: exchange.flow.close("reader"))
    clock.at(400, lambda: exchange.flow.open("reader"))
    got = run(clock, stream_timeouts(idle_s=10, exchange=exchange), on_next(201, WORD))
    assert got[1].time == 410


def test_a_gate_closed_for_an_instant_sets_no_second_timer(clock: Clocked, exchange: Exchange) -> None:
    for time_s in range(202, 208):
        clock.at(time_s, lambda: exchange.flow.close("reader"))
        clock.at(time_s + 0.5, lambda: exchange.flow.open("reader"))
    got = run(clock, stream_timeouts(idle_s=10, exchange=exchange))
    assert got[0].time == pytest.approx(217.5)
    assert clock.timers == [pytest.approx(210), pytest.approx(217.5)]


def test_one_timer_is_set_again_by_timestamp_and_never_by_a_token(clock: Clocked) -> None:
    tokens = [on_next(201 + number // 10, WORD) for number in range(250)]  # up to 225
    got = run(clock, stream_timeouts(idle_s=10), *tokens)
    assert len(got) == 251
    assert got[-1].time == pytest.approx(235)
    assert clock.timers == [pytest.approx(time_s, abs=1) for time_s in (210, 220, 230, 235)]


# -- total ------------------------------------------------------------------------------------------------------------


def test_marbles_an_endless_answer_is_cut_at_the_total(clock: Clocked) -> None:
    got = run(clock, stream_timeouts(total_s=10), *(on_next(201 + number, WORD) for number in range(20)))
    assert [message.time for message in got[:-1]] == [*range(201, 211)]
    assert got[-1].time == 210
    error = told(got[-1])
    assert (error.kind, error.phase) == (ErrorKind.TIMEOUT, Phase.FLOW)
    assert error.message == "the answer did not end within 10 s"


def test_the_total_runs_on_while_we_do_not_read(clock: Clocked, exchange: Exchange) -> None:
    clock.at(202, lambda: exchange.flow.close("reader"))
    (message,) = run(clock, stream_timeouts(first_token_s=5, idle_s=5, total_s=30, exchange=exchange))
    assert message.time == 230
    assert told(message).phase is Phase.FLOW


def test_the_earliest_of_the_limits_decides(clock: Clocked) -> None:
    (message,) = run(clock, stream_timeouts(first_token_s=30, idle_s=20, total_s=40))
    assert (message.time, told(message).message[:7]) == (220, "nothing")


def test_of_two_limits_at_one_time_the_more_telling_is_told(clock: Clocked) -> None:
    (message,) = run(clock, stream_timeouts(first_token_s=10, idle_s=10, total_s=10))
    assert told(message).message == "no token within 10 s of the request"


# -- ends -------------------------------------------------------------------------------------------------------------


def test_after_the_finish_no_limit_runs(clock: Clocked, exchange: Exchange) -> None:
    sent: list[Recorded[StreamToken]] = [on_next(205, FINISH), on_completed(250)]
    assert run(clock, stream_timeouts(first_token_s=10, idle_s=10, total_s=20, exchange=exchange), *sent) == sent
    assert clock.timers == [210]


@pytest.mark.parametrize("end", [on_completed(205), on_error(205, ValueError("x"))])
def test_an_end_passes_and_leaves_no_timer(clock: Clocked, end: Recorded[StreamToken]) -> None:
    got = run(clock, stream_timeouts(first_token_s=10, idle_s=10, total_s=10), on_next(203, WORD), end)
    assert got == [on_next(203, WORD), end]
    assert (clock.timers, clock.fired) == ([210], [])


class Gate(FlowControl):
    """A gate that notes when a listener is forgotten."""

    __slots__ = ("forgotten",)

    def __init__(self) -> None:
        super().__init__()
        self.forgotten = 0

    def on_change(self, listener: Callable[[], None]) -> DisposableBase:
        listening = super().on_change(listener)

        def forget() -> None:
            self.forgotten += 1
            listening.dispose()

        return Disposable(forget)


def test_disposing_cancels_the_timer_and_forgets_the_gate(clock: Clocked) -> None:
    gate = Gate()
    exchange = Exchange(flow=gate)
    source: Subject[StreamToken] = Subject()
    ends: list[object] = []
    timed = source.pipe(stream_timeouts(idle_s=10, total_s=100, exchange=exchange))
    subscription = timed.subscribe(ends.append, ends.append, lambda: ends.append("end"), scheduler=clock)
    subscription.dispose()
    exchange.flow.close("reader")
    exchange.flow.open("reader")
    clock.advance_to(500)
    assert (ends, clock.timers, clock.fired, source.observers) == ([], [10], [], [])
    assert gate.forgotten == 1


def test_nothing_follows_the_timeout_even_from_a_source_that_goes_on(clock: Clocked) -> None:
    above: list[Receiver[StreamToken]] = []

    got: list[object] = []
    disposed: list[int] = []

    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        above.append(receiver)
        return Disposable(lambda: disposed.append(len(got)))

    timed = Stage(on_subscribe).pipe(stream_timeouts(idle_s=1))
    connect(timed, Receiver(got.append, got.append, lambda: got.append("end")), clock)
    above[0].on_next(WORD)
    clock.advance_to(5)
    above[0].on_next(WORD)
    above[0].on_error(ValueError("late"))
    above[0].on_completed()
    assert [type(item) for item in got] == [Text, StreamTimeout]
    assert disposed == [1]  # before the error was told


def test_a_stream_that_ends_while_subscribing_leaves_no_timer(clock: Clocked) -> None:
    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        raise RuntimeError("cannot start")

    got: list[object] = []
    timed = Stage(on_subscribe).pipe(stream_timeouts(total_s=1))
    connect(timed, Receiver(got.append, got.append, lambda: got.append("end")), clock)
    clock.advance_to(5)
    assert [str(item) for item in got] == ["cannot start"]
    assert clock.fired == []


def test_without_limits_the_source_is_handed_back() -> None:
    source: Subject[StreamToken] = Subject()
    assert source.pipe(stream_timeouts()) is source


@pytest.mark.parametrize(
    "name", ["connect_s", "headers_s", "first_token_s", "idle_s", "min_tokens_per_s", "rate_window_s", "total_s"]
)
@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_not_above_zero_is_refused(name: str, limit: float) -> None:
    with pytest.raises(ValueError, match=name):
        stream_timeouts(**{name: limit})  # type: ignore[arg-type]  # a number for each of these names


async def test_on_a_running_loop_it_needs_no_scheduler() -> None:
    ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    source: Subject[StreamToken] = Subject()
    timed = source.pipe(stream_timeouts(idle_s=0.01))
    connect(timed, Receiver(lambda _: None, ended.set_result, lambda: None), None)
    error = await ended
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.TIMEOUT


def test_idle_does_not_run_before_the_headers_which_the_http_client_waits_for(clock: Clocked) -> None:
    exchange = Exchange()

    def headers() -> None:
        exchange.status, exchange.last_read_s = 200, clock.clock

    clock.at(250, headers)
    (message,) = run(clock, stream_timeouts(first_token_s=500, idle_s=5, exchange=exchange))
    assert message.time == 255
    assert "nothing arrived for 5 s" in told(message).message
