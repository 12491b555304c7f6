from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import FlowControl, Receiver, Stage, connect
from rxlapce.operators.backpressure import BufferStats, Policy, buffer_with_backpressure
from rxlapce.tokens import (
    Finish,
    FinishKind,
    StreamToken,
    Text,
    ToolCall,
)

FINISH = Finish(FinishKind.STOP)
on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed


class Gate(FlowControl):
    """A gate that knows how many listen to it."""

    __slots__ = ("listeners",)

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0

    def on_change(self, listener: Callable[[], None]) -> DisposableBase:
        self.listeners += 1
        forget = super().on_change(listener)

        def forgotten() -> None:
            self.listeners -= 1
            forget.dispose()

        return Disposable(forgotten)


class Bench:
    """A source to push into, a reader that notes what it gets, and both gates."""

    def __init__(self, **options: Any) -> None:
        self.source: Subject[StreamToken] = Subject()
        self.upstream = FlowControl()
        self.downstream = Gate()
        self.stats = BufferStats()
        self.got: list[StreamToken] = []
        self.ends: list[Exception | None] = []
        self.react: Callable[[StreamToken], None] = lambda token: None
        buffered = self.source.pipe(
            buffer_with_backpressure(upstream=self.upstream, downstream=self.downstream, stats=self.stats, **options)
        )
        # by `connect`, without an auto-detach that would hide what comes after the end
        self.subscription = connect(buffered, Receiver(self.on_next, self.ends.append, self.on_completed), None)

    def on_next(self, token: StreamToken) -> None:
        self.got.append(token)
        self.react(token)

    def on_completed(self) -> None:
        self.ends.append(None)

    def push(self, *tokens: StreamToken) -> None:
        for token in tokens:
            self.source.on_next(token)

    def end(self, failure: Exception | None) -> None:
        if failure is None:
            self.source.on_completed()
        else:
            self.source.on_error(failure)

    def shut(self) -> None:
        self.downstream.close("reader")

    def open(self) -> None:
        self.downstream.open("reader")

    def let(self, count: int) -> None:
        """Open the gate for `count` tokens."""
        left = len(self.got) + count

        def stop(token: StreamToken) -> None:
            if len(self.got) >= left:
                self.shut()

        self.react = stop
        self.open()
        self.react = lambda token: None

    @property
    def words(self) -> str:
        return " ".join(token.text for token in self.got if isinstance(token, Text))


def fail(token: StreamToken) -> None:
    raise ZeroDivisionError


def at(scheduler: TestScheduler, time_s: float, do: Callable[[], None]) -> None:
    def action(_: SchedulerBase, __: object = None) -> None:
        do()

    scheduler.schedule_absolute(time_s, action)


def words(count: int, start: int = 0) -> list[StreamToken]:
    return [Text(str(number)) for number in range(start, start + count)]


# -- passing and waiting ----------------------------------------------------------------------------------------------


def test_marbles_pass_while_open_wait_while_closed_and_the_end_waits_behind_them() -> None:
    scheduler = TestScheduler()
    source: Observable[str] = scheduler.create_hot_observable(
        on_next(210, "a"), on_next(220, "b"), on_next(230, "c"), on_next(240, "d"), on_completed(250)
    )
    upstream, gate = FlowControl(), FlowControl()
    at(scheduler, 215.0, lambda: gate.close("reader"))
    at(scheduler, 235.0, lambda: gate.open("reader"))
    at(scheduler, 238.0, lambda: gate.close("reader"))
    at(scheduler, 300.0, lambda: gate.open("reader"))
    result = scheduler.start(lambda: source.pipe(buffer_with_backpressure(upstream=upstream, downstream=gate)))
    assert result.messages == [
        on_next(210, "a"),
        on_next(235, "b"),
        on_next(235, "c"),
        on_next(300, "d"),
        on_completed(300),
    ]


def test_marbles_an_error_does_not_overtake_what_had_arrived() -> None:
    scheduler = TestScheduler()
    failure = ProviderError(ErrorKind.NETWORK, "gone")
    source: Observable[str] = scheduler.create_cold_observable(on_next(10, "a"), on_error(20, failure))
    gate = FlowControl()
    gate.close("reader")
    at(scheduler, 300.0, lambda: gate.open("reader"))
    result = scheduler.start(lambda: source.pipe(buffer_with_backpressure(upstream=FlowControl(), downstream=gate)))
    assert result.messages == [on_next(300, "a"), on_error(300, failure)]
    assert source.subscriptions == [ReactiveTest.subscribe(200, 220)]  # type: ignore[attr-defined]  # untyped test double


def test_tokens_pass_straight_through_an_open_gate_without_being_counted() -> None:
    bench = Bench()
    bench.push(*words(3))
    assert bench.got == words(3)
    assert bench.stats == BufferStats()


@pytest.mark.parametrize("failure", [None, ProviderError(ErrorKind.NETWORK, "gone")])
def test_an_end_with_nothing_before_it_does_not_wait_for_the_gate(failure: Exception | None) -> None:
    bench = Bench()
    bench.shut()
    bench.end(failure)
    assert bench.ends == [failure]


def test_a_finish_needs_no_gate_once_nothing_is_before_it() -> None:
    bench = Bench()
    bench.shut()
    bench.push(FINISH)
    assert bench.got == [FINISH]

    behind = Bench()
    behind.shut()
    behind.push(Text("a"), FINISH)
    behind.source.on_completed()
    assert (behind.got, behind.ends) == ([], [])
    behind.let(1)
    assert not behind.downstream.is_open
    assert (behind.got, behind.ends) == ([Text("a"), FINISH], [None])


def test_draining_stops_at_once_when_the_gate_closes_again() -> None:
    bench = Bench()
    bench.shut()
    bench.push(*words(5))
    bench.let(2)
    assert bench.words == "0 1"
    bench.let(1)
    assert bench.words == "0 1 2"
    assert bench.stats.queued == 2
    bench.open()
    assert bench.words == "0 1 2 3 4"
    assert (bench.stats.queued, bench.stats.max_queued) == (0, 5)


def test_a_reader_that_shuts_and_opens_in_every_token_keeps_order_and_stack() -> None:
    bench = Bench(high_water=2000, capacity=2000)
    bench.shut()
    bench.push(*words(2000))

    def flip(token: StreamToken) -> None:
        bench.shut()
        bench.open()

    bench.react = flip
    bench.open()
    assert bench.got == words(2000)


def test_tokens_that_a_reader_causes_come_after_those_that_wait() -> None:
    bench = Bench()
    bench.shut()
    bench.push(Text("a"), Text("b"))

    def answer(token: StreamToken) -> None:
        if token == Text("b"):
            bench.push(Text("c"))
            bench.source.on_completed()
            assert bench.ends == []  # not inside the token before it

    bench.react = answer
    bench.open()
    assert bench.words == "a b c"
    assert bench.ends == [None]


def test_an_end_that_a_reader_causes_in_the_last_token_comes_after_it() -> None:
    bench = Bench()
    bench.shut()
    bench.push(Text("a"))

    def finish(token: StreamToken) -> None:
        bench.source.on_completed()
        assert bench.ends == []

    bench.react = finish
    bench.open()
    assert bench.ends == [None]


# -- pause ------------------------------------------------------------------------------------------------------------


def test_the_source_is_stopped_at_high_water_and_goes_on_at_low_water() -> None:
    bench = Bench(high_water=4, low_water=1)
    bench.shut()
    bench.push(*words(3))
    assert bench.upstream.is_open
    bench.push(Text("3"))
    assert not bench.upstream.is_open
    bench.push(*words(2, 4))  # what the read under way still brings
    assert bench.stats == BufferStats(queued=6, max_queued=6, pauses=1)
    bench.let(4)
    assert not bench.upstream.is_open
    bench.let(1)
    assert bench.upstream.is_open
    bench.open()
    assert bench.got == words(6)


def test_a_source_that_answers_the_gate_at_once_does_not_overtake() -> None:
    bench = Bench(high_water=2, low_water=0)
    bench.shut()
    bench.upstream.on_change(lambda: bench.push(Text("next")) if bench.upstream.is_open else None)
    bench.push(Text("a"), Text("b"))
    bench.open()
    assert bench.words == "a b next"


def test_another_holder_keeps_the_source_stopped() -> None:
    bench = Bench(high_water=1, low_water=0)
    bench.upstream.close("somebody")
    bench.shut()
    bench.push(Text("a"))
    bench.open()
    assert not bench.upstream.is_open


@pytest.mark.parametrize("policy", [Policy.PAUSE, Policy.ERROR])
def test_a_source_past_the_bound_fails_after_what_waits(policy: Policy) -> None:
    bench = Bench(high_water=2, low_water=1, capacity=3, policy=policy)
    bench.shut()
    bench.push(*words(5))
    assert bench.ends == []
    assert not bench.source.observers
    bench.open()
    assert bench.got == words(3)
    (error,) = bench.ends
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INTERNAL
    assert "3 tokens wait, which is the bound" in error.message


def test_only_pause_stops_the_source() -> None:
    for policy in Policy:
        bench = Bench(high_water=2, low_water=1, capacity=3, policy=policy)
        bench.shut()
        bench.push(*words(3))
        assert bench.upstream.is_open is (policy is not Policy.PAUSE)


# -- the end of it ----------------------------------------------------------------------------------------------------


def test_disposing_drops_the_queue_releases_the_source_and_forgets_the_gate() -> None:
    bench = Bench(high_water=1, low_water=0)
    bench.shut()
    bench.push(*words(2))
    assert not bench.upstream.is_open
    bench.subscription.dispose()
    assert bench.upstream.is_open
    assert bench.stats.queued == 0
    assert (bench.source.observers, bench.downstream.listeners) == ([], 0)
    bench.open()
    assert (bench.got, bench.ends) == ([], [])


def test_disposing_inside_a_drain_stops_it() -> None:
    bench = Bench()
    bench.shut()
    bench.push(*words(3))
    bench.source.on_completed()
    bench.react = lambda token: bench.subscription.dispose()
    bench.open()
    assert (bench.words, bench.ends) == ("0", [])


def test_the_source_is_released_before_the_end_is_told() -> None:
    bench = Bench(high_water=1, low_water=0)
    bench.shut()
    bench.push(Text("a"))
    bench.source.on_completed()
    bench.open()
    assert bench.upstream.is_open
    assert bench.downstream.listeners == 0
    assert bench.ends == [None]


def test_a_reader_that_raises_in_a_drain_hears_the_rest_later() -> None:
    bench = Bench()
    bench.shut()
    bench.push(*words(3))

    bench.react = fail
    with pytest.raises(ZeroDivisionError):
        bench.open()
    bench.react = lambda token: None
    bench.push(Text("3"))
    bench.shut()
    bench.open()
    assert bench.words == "0 1 2 3"


def test_nothing_passes_after_the_buffer_itself_has_ended_the_stream() -> None:
    receivers: list[Receiver[StreamToken]] = []

    def deaf(receiver: Receiver[StreamToken], scheduler: object) -> Disposable:
        receivers.append(receiver)
        return Disposable()

    gate, got = FlowControl(), list[object]()
    gate.close("reader")
    buffered = Stage(deaf).pipe(
        buffer_with_backpressure(upstream=FlowControl(), downstream=gate, high_water=2, low_water=1, capacity=2)
    )
    connect(buffered, Receiver(got.append, got.append, lambda: got.append("completed")), None)
    for token in words(4):
        receivers[0].on_next(token)
    gate.open("reader")
    receivers[0].on_next(Text("late"))
    receivers[0].on_completed()
    assert got[:2] == words(2)
    assert [type(item) for item in got[2:]] == [ProviderError]


@given(
    st.lists(st.sampled_from(["push", "push", "push", "shut", "open", "let"]), max_size=60),
    st.sampled_from([Policy.PAUSE, Policy.COALESCE]),
    st.booleans(),
)
@settings(deadline=None)
def test_no_interleaving_of_gate_and_tokens_loses_or_reorders(steps: list[str], policy: Policy, fails: bool) -> None:
    bench = Bench(high_water=3, low_water=1, capacity=64, policy=policy)
    sent = 0
    for step in steps:
        if step == "push":
            bench.push(Text(f"{sent} "))
            sent += 1
        elif step == "let":
            bench.let(2)
        else:
            {"shut": bench.shut, "open": bench.open}[step]()
        assert bench.upstream.is_open or bench.stats.queued > 1
    failure = ProviderError(ErrorKind.NETWORK, "gone") if fails else None
    bench.end(failure)
    bench.open()
    assert "".join(token.text for token in bench.got if isinstance(token, Text)) == "".join(
        f"{number} " for number in range(sent)
    )
    assert bench.ends == [failure]
    assert bench.upstream.is_open


# -- merging what had to wait -------------------------------------------------------------------------------------


def text(said: str, choice: int = 0) -> Text:
    return Text(said, choice)


def test_text_that_had_to_wait_goes_on_as_one_piece_and_the_rest_as_it_came() -> None:
    bench = Bench(merge_chars=8)
    bench.source.on_next(text("straight"))
    bench.downstream.close("test")
    call = [ToolCall(0, "c1", "f", '{"a"'), ToolCall(0, None, None, ": 1}")]
    waiting: list[StreamToken] = [
        text("ab"),
        text("cd"),
        text("ef", 1),
        *call,
        text("12345"),
        text("678"),
        text("9"),
        FINISH,
    ]
    for token in waiting:
        bench.source.on_next(token)
    assert bench.got == [text("straight")]
    bench.downstream.open("test")
    assert bench.got[1:] == [text("abcd"), text("ef", 1), *call, text("12345678"), text("9"), FINISH]
    assert (bench.stats.coalesced, bench.stats.queued) == (2, 0)


def test_a_piece_longer_than_the_bound_goes_alone() -> None:
    bench = Bench(merge_chars=4)
    bench.downstream.close("test")
    for said in ("long one", "a", "b"):
        bench.source.on_next(text(said))
    bench.downstream.open("test")
    assert bench.got == [text("long one"), text("ab")]


def test_merging_opens_the_source_again_when_the_queue_is_low() -> None:
    bench = Bench(merge_chars=100, high_water=4, low_water=1)
    bench.downstream.close("test")
    for said in "abcd":
        bench.source.on_next(text(said))
    assert not bench.upstream.is_open
    bench.downstream.open("test")
    assert bench.got == [text("abcd")]
    assert bench.upstream.is_open


@pytest.mark.parametrize("chars", [-1, 64 * 1024 + 1])
def test_merge_chars_out_of_range_is_refused(chars: int) -> None:
    with pytest.raises(ValueError, match="merge_chars must be from 0 to 65536"):
        Bench(merge_chars=chars)


@given(
    st.lists(
        st.one_of(
            st.builds(Text, st.text("ab", max_size=3), st.integers(0, 1)),
            st.builds(ToolCall, st.just(0), st.none(), st.none(), st.text("{}", max_size=2)),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_merging_changes_neither_text_nor_order_nor_calls(steps: list[Text | ToolCall | bool]) -> None:
    bench = Bench(merge_chars=5)
    sent: list[StreamToken] = []
    for step in steps:
        if isinstance(step, bool):
            (bench.downstream.open if step else bench.downstream.close)("test")
        else:
            sent.append(step)
            bench.source.on_next(step)
    bench.downstream.open("test")
    assert spelled(bench.got) == spelled(sent)
    assert [token for token in bench.got if isinstance(token, ToolCall)] == [
        token for token in sent if isinstance(token, ToolCall)
    ]
    assert all(len(token.text) <= 5 for token in bench.got if isinstance(token, Text))


def spelled(tokens: list[StreamToken]) -> list[tuple[int | ToolCall, str]]:
    """Letter by letter, with the choice of each; a piece of a call stays whole."""
    letters: list[tuple[int | ToolCall, str]] = []
    for token in tokens:
        if isinstance(token, Text):
            letters += [(token.choice, letter) for letter in token.text]
        elif isinstance(token, ToolCall):
            letters.append((token, ""))
    return letters
