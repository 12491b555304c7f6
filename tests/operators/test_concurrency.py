import asyncio
from collections.abc import Callable
from functools import partial

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.notification import OnError, OnNext
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Receiver, Stage
from rxlapce.operators.admission import Gauges, Waits, WaitsByKey
from rxlapce.operators.concurrency import Slots, concurrency_gate
from rxlapce.operators.totals import OTHER
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
WORD = Text("a")
FINISH = Finish(FinishKind.STOP)
FAILURE = ProviderError(ErrorKind.NETWORK, "gone")


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    return Recorded(time_s, OnNext(token))


def refusal(message: Recorded[StreamToken]) -> ProviderError:
    assert isinstance(message.value, OnError)
    error = message.value.exception
    assert isinstance(error, ProviderError)
    assert (error.kind, error.phase, error.retry) == (ErrorKind.RATE_LIMIT, Phase.ADMIT, Retry.SAME)
    assert error.retry_after_s is None
    return error


class Bench:
    """Streams through one gate on virtual time; each answers WORD after 1 s and ends after 10."""

    def __init__(self, slots: Slots) -> None:
        self.scheduler = TestScheduler()
        self.slots = slots

    def at(self, time_s: float, do: Callable[[], object]) -> None:
        def action(_: SchedulerBase, __: object = None) -> None:
            do()

        self.scheduler.schedule_absolute(time_s, action)

    def source(self, *end: Recorded[StreamToken]) -> Observable[StreamToken]:
        return self.scheduler.create_cold_observable(on_next(1, WORD), *(end or (on_completed(10),)))

    def stream(
        self,
        time_s: float,
        *end: Recorded[StreamToken],
        key: str = "acme",
        max_wait_s: float = 100,
        dispose_s: float | None = None,
    ) -> list[Recorded[StreamToken]]:
        observer = self.scheduler.create_observer()
        subscription: list[DisposableBase] = []
        gated = self.source(*end).pipe(concurrency_gate(self.slots, key, max_wait_s=max_wait_s))
        self.at(time_s, lambda: subscription.append(gated.subscribe(observer, scheduler=self.scheduler)))
        if dispose_s is not None:
            self.at(dispose_s, lambda: subscription[0].dispose())
        return observer.messages

    def run(self) -> None:
        self.scheduler.start()


def whole(start_s: int) -> list[Recorded[StreamToken]]:
    return [on_next(start_s + 1, WORD), on_completed(start_s + 10)]


@pytest.fixture
def bench() -> Bench:
    return Bench(Slots(1))


def test_marbles_who_waits_starts_when_the_slot_is_free_in_the_order_of_arrival(bench: Bench) -> None:
    got = [bench.stream(time_s) for time_s in (1, 2, 3)]
    bench.run()
    assert got == [whole(1), whole(11), whole(21)]
    assert bench.slots.gauges == Gauges(waiting=0, active=0, admitted=3, refused=0)


def test_as_many_streams_run_at_once_as_there_are_slots() -> None:
    bench = Bench(Slots(2))
    got = [bench.stream(time_s) for time_s in (1, 2, 3)]
    in_use: list[int] = []
    bench.at(5, lambda: in_use.append(bench.slots.in_use("acme")))
    bench.run()
    assert got == [whole(1), whole(2), whole(11)]
    assert in_use == [2]


def test_keys_have_slots_of_their_own(bench: Bench) -> None:
    got = [bench.stream(1, key="acme"), bench.stream(1, key="other")]
    bench.run()
    assert got == [whole(1), whole(1)]
    assert bench.slots.in_use("acme") == bench.slots.in_use("other") == 0


def test_who_would_not_wait_is_refused_at_once(bench: Bench) -> None:
    first, second = bench.stream(1), bench.stream(2, max_wait_s=0)
    bench.run()
    assert first == whole(1)
    assert [message.time for message in second] == [2]
    assert refusal(second[0]).message == "all 1 slots of 'acme' are in use"
    assert bench.slots.gauges.refused == 1


def test_a_wait_ends_at_its_deadline(bench: Bench) -> None:
    first, second, third = bench.stream(1), bench.stream(2, max_wait_s=5), bench.stream(3)
    bench.run()
    assert (first, third) == (whole(1), whole(11))
    assert [message.time for message in second] == [7]
    assert refusal(second[0]).message == "none of the 1 slots of 'acme' became free in time"
    assert bench.slots.gauges == Gauges(waiting=0, active=0, admitted=2, refused=1)


def test_a_full_line_refuses_whoever_comes_next() -> None:
    bench = Bench(Slots(1, max_waiters=1))
    got = [bench.stream(time_s) for time_s in (1, 2, 3)]
    bench.run()
    assert got[:2] == [whole(1), whole(11)]
    assert [message.time for message in got[2]] == [3]
    assert refusal(got[2][0]).message == "all 1 slots of 'acme' are in use and 1 streams wait"


def test_an_error_frees_the_slot(bench: Bench) -> None:
    first, second = bench.stream(1, on_error(4, FAILURE)), bench.stream(2)
    bench.run()
    assert first == [on_next(2, WORD), on_error(5, FAILURE)]
    assert second == whole(5)


def test_disposal_frees_the_slot_and_stops_the_source(bench: Bench) -> None:
    first, second = bench.stream(1, dispose_s=4), bench.stream(2)
    bench.run()
    assert first == [on_next(2, WORD)]
    assert second == whole(4)


def test_who_is_disposed_while_waiting_takes_no_slot_and_starts_nothing(bench: Bench) -> None:
    first, second, third = bench.stream(1), bench.stream(2, dispose_s=5), bench.stream(3)
    bench.run()
    assert (first, second, third) == (whole(1), [], whole(11))
    assert bench.slots.gauges.admitted == 2


def test_who_is_disposed_in_the_moment_of_being_granted_passes_the_slot_on(bench: Bench) -> None:
    first, starts = Subject[StreamToken](), list[str]()

    def noted(name: str) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            starts.append(name)
            return Disposable()

        return Stage(on_subscribe)

    held = [
        source.pipe(concurrency_gate(bench.slots, "acme")).subscribe(scheduler=bench.scheduler)
        for source in (first, noted("second"), noted("third"))
    ]
    first.on_completed()
    assert (bench.slots.gauges.admitted, starts) == (2, [])  # granted, not started
    held[1].dispose()
    held[1].dispose()
    bench.scheduler.advance_by(1)
    assert starts == ["third"]
    assert bench.slots.gauges == Gauges(waiting=0, active=1, admitted=3, refused=0)
    held[2].dispose()
    assert bench.slots.gauges == Gauges(waiting=0, active=0, admitted=3, refused=0)


def test_a_slot_is_released_once_when_the_subscriber_disposes_inside_the_end(bench: Bench) -> None:
    held: list[DisposableBase] = []
    source = Subject[StreamToken]()
    gated = source.pipe(concurrency_gate(bench.slots, "acme"))
    held.append(gated.subscribe(on_completed=lambda: held[0].dispose(), scheduler=bench.scheduler))
    other = Subject[StreamToken]()
    other.pipe(concurrency_gate(bench.slots, "acme")).subscribe(scheduler=bench.scheduler)
    source.on_completed()
    held[0].dispose()
    assert bench.slots.in_use("acme") == 1  # the other one's
    assert bench.slots.gauges == Gauges(waiting=0, active=1, admitted=2, refused=0)


@pytest.mark.parametrize("fails", [True, False])
def test_the_slot_is_free_before_the_end_is_told(bench: Bench, fails: bool) -> None:
    gate = concurrency_gate(bench.slots, "acme", max_wait_s=0)
    ended: Observable[StreamToken] = reactivex.throw(FAILURE) if fails else reactivex.empty()
    got: list[StreamToken] = []

    def again(_: Exception | None = None) -> None:
        word: Observable[StreamToken] = reactivex.of(WORD)
        word.pipe(gate).subscribe(got.append, scheduler=bench.scheduler)

    ended.pipe(gate).subscribe(on_error=again, on_completed=again, scheduler=bench.scheduler)
    bench.scheduler.advance_by(1)
    assert got == [WORD]
    assert bench.slots.gauges.active == 0


def test_what_raises_while_the_source_is_being_subscribed_to_leaks_no_slot(bench: Bench) -> None:
    def raises(*_: object) -> None:
        raise RuntimeError("broken")

    def talks(observer: ObserverBase[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        observer.on_next(WORD)
        return Disposable()

    gate = concurrency_gate(bench.slots, "acme")
    ends: list[Exception] = []
    source: Observable[StreamToken] = reactivex.create(talks)
    source.pipe(gate).subscribe(raises, ends.append, scheduler=bench.scheduler)
    assert [str(end) for end in ends] == ["broken"]
    assert bench.slots.gauges.active == 0
    with pytest.raises(RuntimeError, match="broken"):
        source.pipe(gate).subscribe(raises, raises, scheduler=bench.scheduler)
    assert bench.slots.gauges.active == 0


def test_a_hundred_streams_that_end_at_once_do_not_nest() -> None:
    bench = Bench(Slots(1, max_waiters=5000))
    ends: list[int] = []
    gate = concurrency_gate(bench.slots, "acme")
    first = Subject[StreamToken]()
    first.pipe(gate).subscribe(scheduler=bench.scheduler)
    for number in range(2000):
        empty: Observable[StreamToken] = reactivex.empty()
        empty.pipe(gate).subscribe(on_completed=partial(ends.append, number), scheduler=bench.scheduler)
    first.on_completed()
    bench.scheduler.advance_by(1)
    assert ends == list(range(2000))


async def test_on_a_loop_who_waits_starts_when_the_slot_is_free() -> None:
    slots = Slots(1)
    gate = concurrency_gate(slots, "acme")
    starts: list[str] = []
    ended = asyncio.Event()

    def stage(name: str) -> Stage[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            starts.append(name)
            if name != "first":
                receiver.on_completed()
            return Disposable()

        return Stage(on_subscribe)

    first = stage("first").pipe(gate).subscribe()
    stage("second").pipe(gate).subscribe(scheduler=AsyncIOScheduler(asyncio.get_running_loop()))
    stage("third").pipe(gate).subscribe(on_completed=ended.set)
    first.dispose()
    assert starts == ["first"]  # not from inside another one's end
    await ended.wait()
    assert starts == ["first", "second", "third"]
    assert slots.gauges == Gauges(waiting=0, active=0, admitted=3, refused=0)


async def test_on_a_loop_a_wait_ends_at_its_deadline() -> None:
    slots = Slots(1)
    held = Subject[StreamToken]().pipe(concurrency_gate(slots, "acme")).subscribe()
    refused: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
    Subject[StreamToken]().pipe(concurrency_gate(slots, "acme", max_wait_s=0.01)).subscribe(on_error=refused.set_result)
    assert isinstance(await refused, ProviderError)
    held.dispose()
    assert slots.gauges == Gauges(waiting=0, active=0, admitted=1, refused=1)


# -- over random interleavings ----------------------------------------------------------------------------------------


LIVES = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.sampled_from("ab"),
        st.sampled_from([0, 1, 3, 10, 1000]),
        st.integers(0, 8),
        st.sampled_from(["end", "error", "for ever"]),
        st.one_of(st.none(), st.integers(0, 30)),
    ),
    max_size=14,
)


@settings(max_examples=examples(80), deadline=None)
@given(per_key=st.integers(1, 3), max_waiters=st.integers(0, 4), lives=LIVES)
def test_over_any_interleaving_no_slot_leaks_and_order_is_kept(
    per_key: int, max_waiters: int, lives: list[tuple[int, str, int, int, str, int | None]]
) -> None:
    bench = Bench(Slots(per_key, max_waiters=max_waiters))
    running = {"a": 0, "b": 0}
    starts: dict[str, dict[int, float]] = {"a": {}, "b": {}}
    endings: list[list[str]] = [[] for _ in lives]

    def source(number: int, key: str, lasts: int, how: str) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            assert scheduler is not None
            assert number not in starts[key]
            starts[key][number] = scheduler.to_seconds(scheduler.now)
            running[key] += 1
            assert running[key] <= per_key
            ended = False

            def stopped() -> None:
                nonlocal ended
                if not ended:
                    ended = True
                    running[key] -= 1

            def end(_: SchedulerBase, __: object = None) -> None:
                stopped()
                if how == "end":
                    receiver.on_completed()
                else:
                    receiver.on_error(FAILURE)

            timer: DisposableBase = Disposable()
            if how != "for ever" and lasts == 0:
                end(scheduler)
            elif how != "for ever":
                timer = scheduler.schedule_relative(lasts, end)
            return CompositeDisposable(timer, Disposable(stopped))

        return Stage(on_subscribe)

    held: dict[int, DisposableBase] = {}

    def subscribe(number: int, key: str, max_wait_s: int, lasts: int, how: str) -> None:
        gated = source(number, key, lasts, how).pipe(concurrency_gate(bench.slots, key, max_wait_s=max_wait_s))
        held[number] = gated.subscribe(
            on_error=lambda error: endings[number].append(str(error)),
            on_completed=lambda: endings[number].append("completed"),
            scheduler=bench.scheduler,
        )

    def dispose(number: int) -> None:
        held[number].dispose()

    arrivals = sorted(range(len(lives)), key=lambda number: lives[number][0])
    for number in arrivals:
        at, key, max_wait_s, lasts, how, dispose_after = lives[number]
        bench.at(at, partial(subscribe, number, key, max_wait_s, lasts, how))
        if dispose_after is not None:
            bench.at(at + dispose_after, partial(dispose, number))
    for moment in range(1, 60):
        bench.scheduler.advance_to(moment + 0.5)
        for key in "ab":
            assert bench.slots.in_use(key) == running[key]
    for subscription in held.values():
        subscription.dispose()
    bench.scheduler.start()

    gauges = bench.slots.gauges
    assert (gauges.waiting, gauges.active) == (0, 0)
    assert (running, bench.slots.in_use("a"), bench.slots.in_use("b")) == ({"a": 0, "b": 0}, 0, 0)
    assert all(len(ending) <= 1 for ending in endings)
    for key in "ab":  # nobody starts before one who came earlier
        times = [starts[key][number] for number in arrivals if number in starts[key]]
        assert times == sorted(times)
    assert gauges.refused == sum(ending != [] and "rate_limit" in ending[0] for ending in endings)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Slots(0), "per_key must be at least 1, not 0"),
        (lambda: Slots(1, max_waiters=-1), "max_waiters must not be negative, not -1"),
        (lambda: concurrency_gate(Slots(1), "a", max_wait_s=-1), "max_wait_s must be from 0 .* not -1"),
        (lambda: concurrency_gate(Slots(1), "a", max_wait_s=float("inf")), "max_wait_s must be from 0 .* not inf"),
        (lambda: concurrency_gate(Slots(1), "a", max_wait_s=float("nan")), "max_wait_s must be from 0 .* not nan"),
    ],
)
def test_bounds_out_of_range_are_refused(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


# -- what waited ------------------------------------------------------------------------------------------------------


def test_waits_are_counted_by_key_whatever_became_of_them() -> None:
    bench = Bench(Slots(1, max_waiters=3))
    bench.stream(0)  # at once: no wait
    bench.stream(2)  # admitted after 8 s
    bench.stream(3, max_wait_s=4)  # refused after 4 s
    bench.stream(4, dispose_s=6)  # left after 2 s
    bench.stream(5, max_wait_s=0)  # refused at once
    bench.stream(5, key="other one")
    bench.run()
    assert bench.slots.waits == {"acme": Waits(waits=3, waited_us=14_000_000, refused=2)}


def test_at_most_so_many_keys_have_counts_of_their_own() -> None:
    waits = WaitsByKey(max_keys=2)
    for key in "abcda":
        waits.tell(key, 1.0)
    waits.tell("e", None)
    assert {key: counts.waits for key, counts in waits.items()} == {"a": 2, "b": 1, OTHER: 2}
