from typing import get_args

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.tap import Durations
from rxlapce.operators.totals import (
    BREATH_STREAMS,
    MAX_NAME_CHARS,
    OTHER,
    OUTCOMES,
    USAGE,
    ModelTotals,
    Sizes,
    StreamTotals,
)
from rxlapce.testing.clocked import on_next
from rxlapce.tokens import Finish, FinishKind, Reasoning, StreamToken, Text, Usage, UsageReport

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
FINISH = Finish(FinishKind.STOP)
ACME = ("acme", "m")


class Bench:
    """Totals, and streams to push into at virtual times."""

    def __init__(self, *, max_series: int = 256) -> None:
        self.scheduler = TestScheduler()
        self.totals = StreamTotals(max_series=max_series, stall_s=3)

    def stream(self, provider: str = "acme", model: str = "m") -> "Pushed":
        return Pushed(self, provider, model)

    def acme(self) -> ModelTotals:
        return self.totals.collect()[ACME]


class Pushed:
    """One stream under way."""

    def __init__(self, bench: Bench, provider: str, model: str) -> None:
        self.bench = bench
        self.exchange = Exchange()
        self.source: Subject[StreamToken] = Subject()
        tapped = self.source.pipe(bench.totals.tap(provider, model, exchange=self.exchange))
        self.subscription: DisposableBase = tapped.subscribe(on_error=lambda _: None, scheduler=bench.scheduler)

    def read(self, time_s: float, *tokens: StreamToken) -> None:
        self.bench.scheduler.advance_to(time_s)
        self.exchange.last_read_s = time_s
        for token in tokens:
            self.source.on_next(token)


def counted(numbers: dict[str, int]) -> dict[str, int]:
    """Those that are not 0."""
    return {name: number for name, number in numbers.items() if number}


def at(durations: Durations) -> dict[float, int]:
    """How many are in each bucket that has any, by its bound."""
    bounds = (*durations.BOUNDS_S, float("inf"))
    return {bound: count for bound, count in zip(bounds, durations.buckets, strict=True) if count}


# -- the operator -----------------------------------------------------------------------------------------------------


def test_marbles_everything_is_handed_on_unchanged_and_the_source_disposed() -> None:
    scheduler, totals = TestScheduler(), StreamTotals()
    sent: list[Recorded[StreamToken]] = [on_next(210, Text("a")), on_next(220, FINISH), on_completed(230)]
    source = scheduler.create_hot_observable(*sent)
    got = scheduler.start(lambda: source.pipe(totals.tap(*ACME)))
    assert got.messages == sent
    assert [(sub.subscribe, sub.unsubscribe) for sub in source.subscriptions] == [(200, 230)]


def test_each_subscription_is_an_attempt_and_ends_in_one_outcome() -> None:
    scheduler, totals = TestScheduler(), StreamTotals()
    failure = ProviderError(ErrorKind.OVERLOADED, "no")
    source: Observable[StreamToken] = reactivex.throw(failure)
    attempts = source.pipe(totals.tap(*ACME))
    for _ in range(3):
        attempts.subscribe(on_error=lambda _: None, scheduler=scheduler)
    scheduler.start()
    bench = Bench()
    bench.totals = totals
    bench.stream().source.on_completed()
    bench.stream().source.on_error(KeyError("x"))
    bench.stream().subscription.dispose()
    bench.stream()
    acme = totals.collect()[ACME]
    assert (acme.attempts, acme.running) == (7, 1)
    assert counted(acme.outcomes) == {"overloaded": 3, "completed": 1, "internal": 1, "disposed": 1}
    assert acme.duration.count == 6


def test_tokens_usage_and_times_are_added_up_over_streams() -> None:
    bench = Bench()
    one, two = bench.stream(), bench.stream()
    one.read(0.5, Reasoning("why"), Text("ab"), Text("c"))
    two.read(1, Text("d"))
    one.read(1.5, UsageReport(Usage(input=5)), UsageReport(Usage(input=7, output=3, reasoning=0)), FINISH)
    two.read(6, Text("e"))
    one.source.on_completed()
    two.source.on_completed()
    acme = bench.acme()
    assert counted(acme.tokens) == {"reasoning": 1, "text": 4, "usage": 2, "finish": 1}
    assert counted(acme.usage) == {"input": 7, "output": 3}
    assert (acme.characters, acme.stalls, acme.paused_gaps) == (5, 1, 0)
    assert at(acme.first_token) == {0.64: 1, 1.28: 1}
    assert at(acme.gaps) == {0.00125: 4, 1.28: 1, 5.12: 1}
    assert acme.gaps.sum_us == pytest.approx(6_000_000)
    assert acme.duration.sum_us == pytest.approx(12_000_000)


def test_gaps_of_our_own_making_are_set_apart() -> None:
    bench = Bench()
    stream = bench.stream()
    stream.read(1, Text("a"))
    stream.exchange.flow.close("reader")
    stream.exchange.flow.open("reader")
    stream.read(60, Text("b"))
    assert (bench.acme().paused_gaps, bench.acme().stalls, at(bench.acme().gaps)) == (1, 0, {})


def test_a_stream_that_runs_is_seen_and_its_end_takes_nothing_back() -> None:
    bench = Bench()
    stream = bench.stream()
    seen: list[tuple[int, int, int, int, int, int]] = []

    def look() -> None:
        acme = bench.acme()
        tokens, ended = sum(acme.tokens.values()), sum(acme.outcomes.values())
        seen.append((acme.attempts, acme.running, tokens, acme.first_token.count, acme.gaps.count, ended))

    look()
    stream.read(1, Text("a"), Text("b"))
    look()
    stream.read(2, FINISH)
    look()
    stream.source.on_completed()
    look()
    assert seen == [(1, 1, 0, 0, 0, 0), (1, 1, 2, 1, 1, 0), (1, 1, 3, 1, 2, 0), (1, 0, 3, 1, 2, 1)]


def test_what_was_collected_does_not_change_any_more() -> None:
    bench = Bench()
    stream = bench.stream()
    before = bench.acme()
    stream.read(1, Text("a"))
    stream.source.on_completed()
    before.outcomes["completed"] += 100
    assert (before.attempts, before.tokens["text"]) == (1, 0)
    assert bench.acme().outcomes["completed"] == 1


def test_models_and_providers_have_totals_of_their_own() -> None:
    bench = Bench()
    for provider, model in (("acme", "a"), ("acme", "b"), ("other firm", "a")):
        bench.stream(provider, model).source.on_completed()
    assert {place: totals.attempts for place, totals in bench.totals.collect().items()} == {
        ("acme", "a"): 1,
        ("acme", "b"): 1,
        ("other firm", "a"): 1,
    }


def test_names_that_clients_make_up_take_no_memory_without_end() -> None:
    bench = Bench(max_series=3)
    for number in range(100):
        bench.stream("acme", f"model-{number}").source.on_completed()
        bench.stream(f"provider-{number}", "m").source.on_completed()
    attempts = {place: totals.attempts for place, totals in bench.totals.collect().items()}
    assert attempts == {
        ("acme", "model-0"): 1,
        ("provider-0", "m"): 1,
        ("acme", "model-1"): 1,
        ("acme", OTHER): 98,
        (OTHER, OTHER): 99,
    }


def test_a_long_name_is_cut() -> None:
    bench = Bench()
    bench.stream("acme", "m" * 10_000)
    assert list(bench.totals.collect()) == [("acme", "m" * MAX_NAME_CHARS)]
    with pytest.raises(ValueError, match="at least 1"):
        StreamTotals(max_series=0)


def test_names_are_those_of_the_tokens_and_the_errors() -> None:
    assert {type_.__struct_config__.tag for type_ in get_args(StreamToken)} == set(ModelTotals().tokens)
    assert set(OUTCOMES) == {"completed", "disposed", *ErrorKind}
    assert set(USAGE) == set(Usage.__struct_fields__) - {"total", "cost_usd", "source", "reported"}


def test_merging_two_is_adding_everything() -> None:
    bench = Bench()
    for _ in range(2):
        stream = bench.stream()
        stream.read(stream.bench.scheduler.clock + 5, Text("abc"), UsageReport(Usage(output=2)))
        stream.read(stream.bench.scheduler.clock + 5, FINISH)
        stream.source.on_completed()
    one, both = bench.acme(), bench.acme()
    both.merge(one)
    assert (both.attempts, both.characters, both.stalls) == (4, 12, 4)
    assert (both.outcomes["completed"], both.tokens["text"], both.usage["output"]) == (4, 4, 8)
    for name in ("first_token", "gaps", "duration"):
        assert getattr(both, name).buckets == [2 * count for count in getattr(one, name).buckets]


def test_bytes_are_counted_while_they_come_and_only_for_the_attempt_that_reads_them() -> None:
    bench = Bench()
    one = bench.stream()
    one.exchange.bytes_read += 100
    assert bench.acme().bytes_read == 100
    one.exchange.bytes_read += 11
    one.source.on_error(KeyError("x"))
    one.exchange.bytes_read += 1000  # by a further attempt of the same request
    assert bench.acme().bytes_read == 111


def test_tokens_of_a_stream_and_its_cost_count_when_it_has_ended() -> None:
    bench = Bench()
    for tokens, cost_usd in ((3, 0.25), (0, None), (20, 0.5)):
        stream = bench.stream()
        stream.read(1, *[Text("a")] * tokens, UsageReport(Usage(input=1, cost_usd=cost_usd)))
        assert bench.acme().sizes.sum < 25
        stream.source.on_completed()
    sizes = bench.acme().sizes
    assert {bound: count for bound, count in zip(Sizes.BOUNDS, sizes.buckets, strict=False) if count} == {
        1: 1,
        4: 1,
        32: 1,
    }
    assert (sizes.sum, bench.acme().cost_usd) == (26, 0.75)


def test_what_ends_between_two_steps_of_gathering_is_counted_once() -> None:
    bench = Bench()
    streams = [bench.stream() for _ in range(3 * BREATH_STREAMS)]
    for stream in streams:
        stream.read(1, Text("a"))
    steps = bench.totals.gather()
    assert next(steps) is None
    for stream in (*streams[:5], *streams[-5:]):  # of those that are in already, and of those that are not
        stream.read(2, Text("b"))
        stream.source.on_completed()
    bench.stream()
    told = [step for step in steps if step is not None]
    assert [place for place, _ in told] == [ACME]
    totals = told[0][1]
    assert (totals.attempts, totals.running, totals.outcomes["completed"]) == (3 * BREATH_STREAMS, len(streams) - 5, 5)
    assert totals.tokens["text"] == len(streams) + 5
    assert bench.acme().attempts == len(streams) + 1


def test_reserved_pairs_have_places_that_others_cannot_take() -> None:
    totals = StreamTotals(max_series=2, reserved=lambda provider, model: model.startswith("listed"))
    source: Observable[StreamToken] = reactivex.empty()
    for model in ("invented 1", "invented 2", "invented 3", "listed 1", "listed 2", "listed 3", "invented 4"):
        source.pipe(totals.tap("acme", model)).subscribe(scheduler=TestScheduler())
    assert [model for _, model in totals.collect()] == ["invented 1", "invented 2", OTHER, "listed 1", "listed 2"]


# -- the buckets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(20))
def test_a_bound_belongs_to_its_bucket(place: int) -> None:
    bound_us = 1250 * 2**place
    assert pytest.approx(bound_us / 1e6) == Durations.BOUNDS_S[place]
    for us, expected in ((bound_us, place), (bound_us + 1, place + 1)):
        durations = Durations()
        durations.record(us)
        assert durations.buckets.index(1) == expected


@given(st.lists(st.integers(-(10**6), 2**40)), st.lists(st.integers(0, 10**9)), st.integers(0, 5))
def test_adding_is_recording_both(first: list[int], second: list[int], zeros: int) -> None:
    one, two, both = Durations(), Durations(), Durations()
    for us in first:
        one.record(us)
    for us in second:
        two.record(us)
    for us in (*first, *second, *[0] * zeros):
        both.record(us)
    one.add(two, zeros=zeros)
    assert (one.buckets, one.sum_us, one.count) == (both.buckets, both.sum_us, len(first) + len(second) + zeros)
    assert len(one.buckets) == 21


def test_who_speaks_is_who_has_a_stream_with_a_visible_token() -> None:
    bench = Bench()
    stream = bench.stream()
    stream.read(1, UsageReport(Usage(input=1)))
    assert not bench.totals.speaking("acme")
    stream.read(2, Text("a"))
    assert (bench.totals.speaking("acme"), bench.totals.speaking("other")) == (True, False)
    stream.subscription.dispose()
    assert not bench.totals.speaking("acme")


def test_the_tokens_alone_are_those_of_all_that_is_collected() -> None:
    bench = Bench(max_series=2)
    assert bench.totals.tokens() == {}
    ended, running, other = bench.stream(), bench.stream(), bench.stream("zeta", "n")
    ended.read(1, Text("a"), Reasoning("b"), FINISH)
    ended.source.on_completed()
    running.read(2, Text("c"), Text("d"))
    other.read(3, Reasoning("e"))
    bench.stream("zeta", "p").read(4, Text("f"))
    assert bench.totals.tokens() == {ACME: 5, ("zeta", "n"): 1, ("zeta", OTHER): 1}
    collected = {place: sum(totals.tokens.values()) for place, totals in bench.totals.collect().items()}
    assert bench.totals.tokens() == collected


@pytest.mark.parametrize(
    ("size", "place"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (65_536, 16), (65_537, 17)]
)
def test_a_size_is_in_the_bucket_whose_bound_it_does_not_exceed(size: int, place: int) -> None:
    sizes = Sizes()
    sizes.record(size)
    assert sizes.buckets.index(1) == place
    twice = Sizes()
    twice.add(sizes)
    twice.add(sizes)
    assert (twice.buckets[place], twice.sum) == (2, 2 * size)
