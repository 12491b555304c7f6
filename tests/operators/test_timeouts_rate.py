"""The limits on connecting, on the headers, and on how slow an answer may be."""

import pytest
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, Phase, Retry
from rxlapce.flow import Exchange
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit, stream_timeouts
from rxlapce.testing.clocked import Clocked, on_next, run, told
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

on_completed = ReactiveTest.on_completed
HIDDEN, WORD = UsageReport(Usage(input=1)), Text("a")
FINISH = Finish(FinishKind.STOP)


@pytest.fixture
def clock() -> Clocked:
    return Clocked()


def timeout(message: Recorded[StreamToken]) -> StreamTimeout:
    error = told(message)
    assert isinstance(error, StreamTimeout)
    assert (error.kind, error.retry) == (ErrorKind.TIMEOUT, Retry.OTHER_PROVIDER)
    return error


# -- connecting -------------------------------------------------------------------------------------------------------


def test_without_an_exchange_the_client_could_not_be_told_how_long_to_connect() -> None:
    with pytest.raises(ValueError, match="connect_s needs the exchange"):
        stream_timeouts(connect_s=1)


def test_the_limit_on_connecting_stands_in_the_exchange_while_the_stream_runs(clock: Clocked) -> None:
    exchange = Exchange()
    seen: list[float | None] = []
    for time_s in (199, 201, 209, 211):
        clock.at(time_s, lambda: seen.append(exchange.connect_s))
    sent: list[Recorded[StreamToken]] = [on_next(205, FINISH), on_completed(210)]
    assert run(clock, stream_timeouts(connect_s=2, exchange=exchange), *sent) == sent
    assert seen == [None, 2, 2, None]
    assert clock.timers == []  # it is the HTTP client that looks at the clock


# -- headers ----------------------------------------------------------------------------------------------------------


def test_marbles_without_headers_in_time_the_stream_fails(clock: Clocked) -> None:
    exchange = Exchange(provider="acme")
    (message,) = run(clock, stream_timeouts(headers_s=10, first_token_s=10, total_s=10, exchange=exchange))
    error = timeout(message)
    assert (message.time, error.limit, error.phase, error.status) == (210, TimeLimit.HEADERS, Phase.HEADERS, None)
    assert error.message == "no response headers within 10 s of the request; not one byte came"


def test_headers_in_time_end_the_limit_on_them(clock: Clocked) -> None:
    exchange = Exchange()

    def headers() -> None:
        exchange.status, exchange.last_read_s = 200, clock.now_s

    clock.at(209, headers)
    (message,) = run(clock, stream_timeouts(headers_s=10, first_token_s=30, exchange=exchange))
    assert (message.time, timeout(message).phase) == (230, Phase.FIRST_TOKEN)


def test_headers_are_waited_for_also_while_the_gate_is_closed(clock: Clocked) -> None:
    exchange = Exchange()
    exchange.flow.close("reader")  # which is asked before reads only
    (message,) = run(clock, stream_timeouts(headers_s=10, exchange=exchange))
    assert (message.time, timeout(message).limit) == (210, TimeLimit.HEADERS)


def test_without_an_exchange_nobody_could_tell_that_the_headers_came() -> None:
    with pytest.raises(ValueError, match="headers_s needs the exchange"):
        stream_timeouts(headers_s=1)


# -- tokens a second --------------------------------------------------------------------------------------------------


def test_marbles_an_answer_below_the_floor_is_cut_at_the_end_of_the_window(clock: Clocked) -> None:
    fast = [on_next(205 + second, WORD) for second in range(10)]  # the first window is 205 to 215
    slow = [on_next(216, WORD), on_next(220, WORD), on_next(224, WORD)]
    got = run(clock, stream_timeouts(min_tokens_per_s=1), *fast, *slow)
    assert got[:-1] == fast + slow
    error = timeout(got[-1])
    assert got[-1].time == pytest.approx(225)
    assert (error.limit, error.phase) == (TimeLimit.RATE, Phase.FLOW)
    assert error.message == "too slow: about 3 tokens in 10 s, where 1 a second are asked for"


def test_exactly_the_floor_is_enough(clock: Clocked) -> None:
    sent: list[Recorded[StreamToken]] = [on_next(203 + 2 * number, WORD) for number in range(20)]
    sent += [on_next(242, FINISH), on_completed(300)]
    assert run(clock, stream_timeouts(min_tokens_per_s=0.5, rate_window_s=10), *sent) == sent


def test_the_floor_holds_only_from_the_first_visible_token_on(clock: Clocked) -> None:
    got = run(clock, stream_timeouts(min_tokens_per_s=1), on_next(205, HIDDEN), on_next(900, WORD))
    assert [message.time for message in got] == [205, 900, pytest.approx(910)]


def test_keep_alives_are_no_tokens(clock: Clocked) -> None:
    exchange = Exchange(status=200)
    clock.reads(exchange, *range(201, 230))
    got = run(clock, stream_timeouts(min_tokens_per_s=1, idle_s=5, exchange=exchange), on_next(204, WORD))
    assert got[-1].time == pytest.approx(214)
    assert timeout(got[-1]).limit is TimeLimit.RATE


@pytest.mark.parametrize(
    ("token", "tokens"),
    [
        (Text("a"), 1),
        (Text("a" * 39), 9.75),
        (Reasoning("a" * 8), 2),
        (Refusal("a" * 6), 1.5),
        (ToolCall(0, arguments_delta="a" * 12), 3),
        (ToolCall(0, id="1", name="f"), 1),
        (Opaque("x", "a" * 5), 1.25),
        (HIDDEN, 0),
        (Seam(1, "cut"), 0),
    ],
    ids=str,
)
def test_a_piece_counts_as_a_token_and_a_longer_one_as_its_characters_say(
    clock: Clocked, token: StreamToken, tokens: float
) -> None:
    got = run(clock, stream_timeouts(min_tokens_per_s=2), on_next(201, WORD), on_next(203, token))
    assert f"about {1 + tokens:g} tokens in 10 s" in timeout(got[-1]).message


def test_the_window_stands_still_while_we_do_not_read(clock: Clocked) -> None:
    exchange = Exchange(status=200)
    clock.at(204, lambda: exchange.flow.close("reader"))
    clock.at(400, lambda: exchange.flow.open("reader"))
    got = run(clock, stream_timeouts(min_tokens_per_s=1, exchange=exchange), on_next(201, WORD))
    assert got[-1].time == pytest.approx(407)


def test_the_end_of_a_window_that_falls_into_a_pause_waits_for_it_to_end(clock: Clocked) -> None:
    exchange = Exchange(status=200)
    clock.at(210, lambda: exchange.flow.close("reader"))
    clock.at(400, lambda: exchange.flow.open("reader"))
    tokens = [on_next(201, WORD), *(on_next(400, WORD) for _ in range(9))]
    got = run(clock, stream_timeouts(min_tokens_per_s=1, exchange=exchange), *tokens)
    assert got[-1].time == pytest.approx(411)  # enough by 401, and nothing in the window after it


def test_one_timer_is_set_again_and_only_the_first_token_touches_it(clock: Clocked) -> None:
    tokens = [on_next(201 + number // 10, WORD) for number in range(250)]  # up to 225
    got = run(clock, stream_timeouts(min_tokens_per_s=1, total_s=500), *tokens)
    assert got[-1].time == pytest.approx(241)
    assert clock.timers == [pytest.approx(time_s) for time_s in (700, 211, 221, 231, 241)]
    assert clock.fired == [pytest.approx(time_s) for time_s in (211, 221, 231, 241)]


@pytest.mark.parametrize(("idle_s", "limit"), [(4, TimeLimit.IDLE), (30, TimeLimit.RATE)])
def test_without_an_exchange_tokens_are_the_sign_of_life_beside_the_floor(
    clock: Clocked, idle_s: float, limit: TimeLimit
) -> None:
    got = run(clock, stream_timeouts(idle_s=idle_s, min_tokens_per_s=1), on_next(201, WORD), on_next(204, WORD))
    assert got[-1].time == pytest.approx(208 if limit is TimeLimit.IDLE else 211)
    assert timeout(got[-1]).limit is limit


def test_a_window_that_is_fast_enough_leaves_the_total_at_the_same_time_to_be_told(clock: Clocked) -> None:
    tokens = [on_next(201 + number // 2, WORD) for number in range(60)]
    got = run(clock, stream_timeouts(min_tokens_per_s=1, total_s=11), *tokens)
    assert got[-1].time == pytest.approx(211)
    assert timeout(got[-1]).limit is TimeLimit.TOTAL


def test_disposing_ends_the_windows(clock: Clocked) -> None:
    source: Subject[StreamToken] = Subject()
    ends: list[Exception] = []
    timed = source.pipe(stream_timeouts(min_tokens_per_s=1))
    subscription = timed.subscribe(on_error=ends.append, scheduler=clock)
    source.on_next(WORD)
    subscription.dispose()
    clock.advance_to(500)
    assert (ends, clock.timers, clock.fired, source.observers) == ([], [10], [], [])
