from collections.abc import Callable
from datetime import datetime
from typing import get_args

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import SchedulerBase
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.tap import KINDS, GapHistogram, Outcome, StreamStats, metrics_tap
from rxlapce.tokens import Finish, FinishKind, Reasoning, StreamToken, Text, ToolCall, Usage, UsageReport

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed
FINISH = Finish(FinishKind.STOP)


class Bench:
    """A source to push into at virtual times, its tap and who it told of the end."""

    def __init__(self, *, stall_s: float = 1.0, shared: bool = True) -> None:
        self.scheduler = TestScheduler()
        self.exchange = Exchange()
        self.source: Subject[StreamToken] = Subject()
        self.stats = StreamStats(stall_s=stall_s)
        self.ended: list[StreamStats] = []
        self.got: list[StreamToken] = []
        self.ends: list[Exception | None] = []
        tapped = self.source.pipe(
            metrics_tap(self.stats, exchange=self.exchange if shared else None, on_end=self.ended.append)
        )
        self.subscription = tapped.subscribe(
            self.got.append, self.ends.append, lambda: self.ends.append(None), scheduler=self.scheduler
        )

    def read(self, time_s: float, *tokens: StreamToken) -> None:
        """At `time_s` one read brings `tokens`."""
        self.scheduler.advance_to(time_s)
        self.exchange.last_read_s = time_s
        for token in tokens:
            self.source.on_next(token)


def test_marbles_everything_is_handed_on_unchanged() -> None:
    scheduler = TestScheduler()
    failure = ProviderError(ErrorKind.NETWORK, "gone")
    source: Observable[StreamToken] = scheduler.create_hot_observable(
        on_next(210, Text("a")), on_next(220, FINISH), on_error(230, failure)
    )
    result = scheduler.start(lambda: source.pipe(metrics_tap(StreamStats())))
    assert result.messages == [on_next(210, Text("a")), on_next(220, FINISH), on_error(230, failure)]


def test_tokens_are_counted_by_kind_and_text_by_character() -> None:
    bench = Bench()
    bench.read(1, Text("abc"), Text("ä"), Reasoning("hidden"), ToolCall(0), UsageReport(Usage()), FINISH)
    assert bench.stats.by_kind == {"text": 2, "reasoning": 1, "tool_call": 1, "usage": 1, "finish": 1}
    assert (bench.stats.tokens, bench.stats.characters) == (6, 4)


def test_kinds_are_all_tokens_by_their_name_in_json() -> None:
    assert {kind: kind.__struct_config__.tag for kind in KINDS} == KINDS
    assert set(KINDS) == set(get_args(StreamToken))


@pytest.mark.parametrize("shared", [True, False], ids=["with exchange", "without"])
def test_the_first_token_is_the_first_that_a_user_would_see(shared: bool) -> None:
    bench = Bench(shared=shared)
    bench.read(2, UsageReport(Usage()))
    assert bench.stats.time_to_first_token_s is None
    bench.read(5, UsageReport(Usage()), Text("a"))
    bench.read(9, Text("b"))
    assert bench.stats.time_to_first_token_s == pytest.approx(5)


@pytest.mark.parametrize("shared", [True, False], ids=["with exchange", "without"])
def test_gaps_and_stalls_are_measured_from_read_to_read(shared: bool) -> None:
    bench = Bench(stall_s=3, shared=shared)
    bench.read(1, Text("a"), Text("b"), Text("c"))
    bench.read(3, Text("d"))
    bench.read(7, Text("e"))
    stats = bench.stats
    assert [stats.gap_quantile(q) for q in (0.5, 0.75, 1)] == [
        0.0,
        pytest.approx(2, rel=0.04),
        pytest.approx(4, rel=0.04),
    ]
    assert stats.stalls == 1
    assert stats.paused_gaps == 0


def test_there_is_no_gap_before_the_second_token() -> None:
    bench = Bench()
    bench.read(1, Text("a"))
    assert bench.stats.gap_quantile(0.5) is None
    bench.read(1, Text("b"))
    assert bench.stats.gap_quantile(0.5) == 0.0


def test_gaps_in_which_we_did_not_read_are_not_the_providers() -> None:
    bench = Bench(stall_s=1)
    bench.read(1, Text("a"))
    bench.exchange.flow.close("reader")
    bench.scheduler.advance_to(50)
    bench.exchange.flow.open("reader")
    bench.read(51, Text("b"))
    assert (bench.stats.paused_gaps, bench.stats.stalls, bench.stats.gap_quantile(0.5)) == (1, 0, None)
    bench.read(53, Text("c"))
    assert bench.stats.gap_quantile(1) == pytest.approx(2, rel=0.04)
    assert bench.stats.stalls == 1


class Watched(TestScheduler):
    """A clock that knows how often it was looked at."""

    looks = 0

    @property
    def now(self) -> datetime:
        self.looks += 1
        return super().now


@pytest.mark.parametrize(("exchange", "looks"), [(Exchange(last_read_s=1.0), 1), (None, 100)])
def test_with_an_exchange_the_clock_is_read_once_a_read(exchange: Exchange | None, looks: int) -> None:
    scheduler, source = Watched(), Subject[StreamToken]()
    source.pipe(metrics_tap(StreamStats(), exchange=exchange)).subscribe(scheduler=scheduler)
    before = scheduler.looks
    for _ in range(100):
        source.on_next(Text("a"))
    assert scheduler.looks - before == looks


# -- the end ----------------------------------------------------------------------------------------------------------


def complete(bench: Bench) -> None:
    bench.source.on_completed()


def fail(bench: Bench) -> None:
    bench.source.on_error(ProviderError(ErrorKind.TRUNCATED, "broke off"))


def fail_oddly(bench: Bench) -> None:
    bench.source.on_error(KeyError("x"))


def dispose(bench: Bench) -> None:
    bench.subscription.dispose()


@pytest.mark.parametrize(
    ("end", "outcome", "kind"),
    [
        (complete, Outcome.COMPLETED, None),
        (fail, Outcome.FAILED, ErrorKind.TRUNCATED),
        (fail_oddly, Outcome.FAILED, ErrorKind.INTERNAL),
        (dispose, Outcome.DISPOSED, None),
    ],
)
def test_the_hook_is_called_once_however_the_stream_ends(
    end: Callable[[Bench], None], outcome: Outcome, kind: ErrorKind | None
) -> None:
    bench = Bench()
    bench.read(4, Text("a"))
    assert bench.ended == []
    end(bench)
    bench.subscription.dispose()
    assert bench.ended == [bench.stats]
    assert (bench.stats.outcome, bench.stats.error_kind) == (outcome, kind)
    assert [bench.stats.started_s, bench.stats.ended_s] == pytest.approx([0, 4])
    assert not bench.source.observers


def test_the_hook_has_run_when_the_reader_hears_of_the_end() -> None:
    order: list[str] = []
    tapped = reactivex.of(FINISH).pipe(metrics_tap(StreamStats(), on_end=lambda _: order.append("hook")))
    tapped.subscribe(on_completed=lambda: order.append("end"), scheduler=(scheduler := TestScheduler()))
    scheduler.start()
    assert order == ["hook", "end"]


def test_a_hook_that_fails_does_not_keep_the_end_from_the_reader() -> None:
    def hook(stats: StreamStats) -> None:
        raise ZeroDivisionError

    source: Subject[StreamToken] = Subject()
    ends: list[str] = []
    source.pipe(metrics_tap(StreamStats(), on_end=hook)).subscribe(
        on_completed=lambda: ends.append("end"), scheduler=TestScheduler()
    )
    with pytest.raises(ZeroDivisionError):
        source.on_completed()
    assert ends == ["end"]


def test_a_source_that_cannot_start_is_a_failed_stream() -> None:
    def refuse(scheduler: SchedulerBase) -> Observable[StreamToken]:
        raise RuntimeError("cannot start")

    stats, ended, errors = StreamStats(), list[StreamStats](), list[Exception]()
    reactivex.defer(refuse).pipe(metrics_tap(stats, on_end=ended.append)).subscribe(
        on_error=errors.append, scheduler=TestScheduler()
    )
    assert (stats.outcome, ended, len(errors)) == (Outcome.FAILED, [stats], 1)


def test_one_stats_counts_one_stream() -> None:
    errors: list[Exception] = []
    tapped = reactivex.never().pipe(metrics_tap(StreamStats()))
    tapped.subscribe(scheduler=TestScheduler())
    tapped.subscribe(on_error=errors.append, scheduler=TestScheduler())
    assert [type(error) for error in errors] == [RuntimeError]


# -- the histogram ----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1), st.floats(0, 1))
def test_quantiles_are_within_the_promised_error(durations: list[int], q: float) -> None:
    histogram = GapHistogram()
    for us in durations:
        histogram.record(us)
    ordered = sorted(durations)
    true_us = min(us for us in ordered if sum(other <= us for other in ordered) >= q * len(ordered))
    assert histogram.quantile(q) == pytest.approx(true_us / 1e6, rel=0.032, abs=5e-7)


@given(st.lists(st.integers(0, 2**40)), st.lists(st.integers(0, 2**40)))
def test_merging_is_recording_both(first: list[int], second: list[int]) -> None:
    one, two, both = GapHistogram(), GapHistogram(), GapHistogram()
    for us in first:
        one.record(us)
    for us in second:
        two.record(us)
    for us in first + second:
        both.record(us)
    one.merge(two)
    assert (one.buckets, one.count) == (both.buckets, both.count)


def test_the_histogram_has_a_fixed_size_whatever_comes() -> None:
    histogram = GapHistogram()
    size = len(histogram.buckets)
    for us in (-5, 0, 15, 16, 2**32 - 1, 2**32, 2**80):
        histogram.record(us)
    assert len(histogram.buckets) == size == 465
    assert (histogram.buckets[0], histogram.buckets[-1], histogram.count) == (2, 2, 7)


def test_quantiles_of_nothing_and_out_of_range() -> None:
    assert GapHistogram().quantile(0.5) is None
    assert GapHistogram().quantile(0.5, zeros=3) == 0.0
    with pytest.raises(ValueError, match="0 to 1"):
        GapHistogram().quantile(1.5)


def test_the_bytes_of_a_stream_are_those_between_its_beginning_and_its_end() -> None:
    exchange, stats = Exchange(bytes_read=1000), StreamStats()
    source: Subject[StreamToken] = Subject()
    source.pipe(metrics_tap(stats, exchange=exchange)).subscribe(scheduler=TestScheduler())
    exchange.bytes_read += 20
    assert stats.bytes_read == 20
    source.on_completed()
    exchange.bytes_read += 300  # of the next attempt
    assert stats.bytes_read == 20
