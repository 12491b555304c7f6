import pytest
import reactivex
from reactivex import Observable
from reactivex.notification import OnError
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.hotobservable import HotObservable
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.operators.breaker import Breaker, BreakerSettings, Change, State
from rxlapce.operators.circuit import circuit_break
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit, stream_timeouts
from rxlapce.operators.verdict import Verdict, verdict_of
from rxlapce.testing.clocked import on_next
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
HIDDEN, WORD, FINISH = UsageReport(Usage()), Text("a"), Finish(FinishKind.STOP)
CUT = ProviderError(ErrorKind.TRUNCATED, "cut")
TRIGGER = BreakerSettings(consecutive=1)

# `TestScheduler.start` subscribes at 200 and disposes at 1000; one tick is one second.


class Bench:
    """A breaker in virtual time."""

    def __init__(self, options: BreakerSettings | None = TRIGGER) -> None:
        self.scheduler = TestScheduler()
        self.breaker = Breaker(lambda: self.scheduler.to_seconds(self.scheduler.now), options, name="acme/m")

    def half_opened(self) -> "Bench":
        """At 200, when the next request is the probe."""
        self.breaker.ask().fail(CUT)
        return self

    def source(self, *messages: Recorded[StreamToken]) -> HotObservable[StreamToken]:
        return self.scheduler.create_hot_observable(*messages)


def test_marbles_what_comes_is_handed_on_and_the_end_is_a_success() -> None:
    bench = Bench()
    sent: list[Recorded[StreamToken]] = [
        on_next(210, HIDDEN),
        on_next(220, WORD),
        on_next(230, FINISH),
        on_completed(240),
    ]
    source = bench.source(*sent)
    got = bench.scheduler.start(lambda: source.pipe(circuit_break(bench.breaker)))
    assert got.messages == sent
    assert [(sub.subscribe, sub.unsubscribe) for sub in source.subscriptions] == [(200, 240)]
    gauges = bench.breaker.gauges
    assert (gauges.admitted, gauges.successes, gauges.active) == (1, 1, 0)


def test_marbles_an_error_is_handed_on_and_counts() -> None:
    bench = Bench()
    sent: list[Recorded[StreamToken]] = [on_next(210, WORD), on_error(220, CUT)]
    source = bench.source(*sent)
    got = bench.scheduler.start(lambda: source.pipe(circuit_break(bench.breaker)))
    assert got.messages == sent
    assert bench.breaker.gauges.failures == 1
    assert bench.breaker.state is State.HALF_OPEN  # 780 s later
    assert bench.breaker.gauges.opened == 1


def test_marbles_while_it_is_open_the_source_is_not_subscribed_to() -> None:
    bench = Bench(BreakerSettings(consecutive=1, open_s=250, max_open_s=250)).half_opened()
    source = bench.source(on_next(210, WORD))
    guarded = source.pipe(circuit_break(bench.breaker, exchange=Exchange(provider="acme")))
    (message,) = bench.scheduler.start(lambda: guarded).messages
    assert isinstance(message.value, OnError)
    error = message.value.exception
    assert isinstance(error, ProviderError)
    assert (message.time, source.subscriptions) == (200, [])
    assert (error.kind, error.phase, error.retry) == (ErrorKind.OVERLOADED, Phase.ADMIT, Retry.OTHER_PROVIDER)
    assert (error.retry_after_s, error.provider) == (50, "acme")
    assert bench.breaker.gauges.refused == 1


def test_marbles_disposing_reaches_the_source_and_says_nothing_of_the_provider() -> None:
    bench = Bench()
    source = bench.source(on_next(210, WORD), on_next(990, WORD))
    bench.scheduler.start(lambda: source.pipe(circuit_break(bench.breaker)), disposed=300)
    assert [(sub.subscribe, sub.unsubscribe) for sub in source.subscriptions] == [(200, 300)]
    gauges = bench.breaker.gauges
    assert (gauges.active, gauges.successes, gauges.failures, bench.breaker.state) == (0, 0, 0, State.CLOSED)


def test_the_probe_lets_others_in_with_its_first_visible_token() -> None:
    bench = Bench().half_opened()
    bench.scheduler.advance_to(200)
    source: Subject[StreamToken] = Subject()
    got: list[StreamToken] = []
    source.pipe(circuit_break(bench.breaker)).subscribe(got.append, scheduler=bench.scheduler)
    states: list[State] = []
    for token in (HIDDEN, WORD, WORD):
        source.on_next(token)
        states.append(bench.breaker.state)
    source.on_completed()
    assert states == [State.PROBING, State.TRIAL, State.TRIAL]
    assert got == [HIDDEN, WORD, WORD]
    assert bench.breaker.state is State.CLOSED


def test_a_probe_that_is_disposed_frees_its_place() -> None:
    bench = Bench().half_opened()
    bench.scheduler.advance_to(200)
    source: Subject[StreamToken] = Subject()
    subscription = source.pipe(circuit_break(bench.breaker)).subscribe(scheduler=bench.scheduler)
    assert bench.breaker.state is State.PROBING
    subscription.dispose()
    subscription.dispose()
    assert (bench.breaker.state, bench.breaker.gauges.active) == (State.HALF_OPEN, 0)


def test_each_subscription_asks_anew() -> None:
    bench = Bench(BreakerSettings(consecutive=2))
    source: Subject[StreamToken] = Subject()
    guarded = source.pipe(circuit_break(bench.breaker))
    errors: list[Exception] = []
    for _ in range(3):
        guarded.subscribe(on_error=errors.append, scheduler=bench.scheduler)
    assert bench.breaker.gauges.active == 3
    source.on_error(CUT)
    guarded.subscribe(on_error=errors.append, scheduler=bench.scheduler)
    assert errors[:3] == [CUT] * 3
    assert isinstance(errors[3], ProviderError)
    assert errors[3].kind is ErrorKind.OVERLOADED


def test_whoever_retries_on_an_error_finds_the_breaker_as_it_is_now() -> None:
    bench = Bench()
    states: list[State] = []
    source: Subject[StreamToken] = Subject()
    guarded = source.pipe(circuit_break(bench.breaker))
    guarded.subscribe(on_error=lambda _: states.append(bench.breaker.state), scheduler=bench.scheduler)
    source.on_error(CUT)
    assert states == [State.OPEN]


def test_a_source_that_cannot_start_leaves_no_ticket() -> None:
    def refuse() -> Observable[StreamToken]:
        raise RuntimeError("cannot start")

    bench = Bench().half_opened()
    bench.scheduler.advance_to(200)
    errors: list[Exception] = []
    source: Observable[StreamToken] = reactivex.defer(lambda _: refuse())
    source.pipe(circuit_break(bench.breaker)).subscribe(on_error=errors.append, scheduler=bench.scheduler)
    assert [str(error) for error in errors] == ["cannot start"]
    assert (bench.breaker.state, bench.breaker.gauges.active) == (State.HALF_OPEN, 0)


@pytest.mark.parametrize("error", [CUT, None], ids=["error", "completed"])
def test_a_hook_that_fails_does_not_keep_the_end_from_the_reader(error: Exception | None) -> None:
    def hook(change: Change) -> None:
        if change.before is not State.OPEN and change.after is not State.PROBING:
            raise ZeroDivisionError

    bench = Bench().half_opened()
    bench.scheduler.advance_to(200)
    bench.breaker.on_change = hook
    source: Subject[StreamToken] = Subject()
    ends: list[object] = []
    source.pipe(circuit_break(bench.breaker)).subscribe(
        on_error=ends.append, on_completed=lambda: ends.append(None), scheduler=bench.scheduler
    )
    with pytest.raises(ZeroDivisionError):
        source.on_error(error) if error else source.on_completed()
    assert ends == [error]


# -- what an end says -------------------------------------------------------------------------------------------------

VERDICTS = {
    ErrorKind.AUTH: Verdict.NEITHER,
    ErrorKind.BILLING: Verdict.NEITHER,
    ErrorKind.QUOTA: Verdict.NEITHER,
    ErrorKind.RATE_LIMIT: Verdict.FAILURE,
    ErrorKind.OVERLOADED: Verdict.FAILURE,
    ErrorKind.TIMEOUT: Verdict.FAILURE,
    ErrorKind.NETWORK: Verdict.FAILURE,
    ErrorKind.TRUNCATED: Verdict.FAILURE,
    ErrorKind.BAD_REQUEST: Verdict.NEITHER,
    ErrorKind.CONTEXT_LENGTH: Verdict.NEITHER,
    ErrorKind.CONTENT_FILTER: Verdict.NEITHER,
    ErrorKind.PROTOCOL: Verdict.FAILURE,
    ErrorKind.CANCELLED: Verdict.NEITHER,
    ErrorKind.INTERNAL: Verdict.NEITHER,
}


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize("phase", Phase)
def test_each_kind_of_error_says_something_of_the_provider_or_not(kind: ErrorKind, phase: Phase) -> None:
    expected = Verdict.NEITHER if phase is Phase.ADMIT else VERDICTS[kind]
    assert verdict_of(ProviderError(kind, "", phase=phase)) is expected


def test_what_is_no_error_of_a_provider_says_nothing() -> None:
    assert verdict_of(KeyError("x")) is Verdict.NEITHER


@pytest.mark.parametrize(("after_s", "verdict"), [(None, Verdict.FAILURE), (0, Verdict.FAILURE), (3, Verdict.COOLDOWN)])
def test_a_rate_limit_is_a_cooldown_if_it_says_how_long(after_s: float | None, verdict: Verdict) -> None:
    error = ProviderError(ErrorKind.RATE_LIMIT, "", phase=Phase.HEADERS, retry_after_s=after_s)
    assert verdict_of(error) is verdict


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.BILLING, ErrorKind.QUOTA])
def test_a_refused_key_is_a_cooldown_where_there_are_others(kind: ErrorKind) -> None:
    assert verdict_of(ProviderError(kind, "", phase=Phase.HEADERS), keyed=True) is Verdict.COOLDOWN


@pytest.mark.parametrize("limit", TimeLimit)
def test_only_the_total_limit_is_excused_by_a_slow_reader(limit: TimeLimit) -> None:
    error = StreamTimeout(limit, "", Phase.FLOW, None)
    assert verdict_of(error) is Verdict.FAILURE
    assert verdict_of(error, paused=True) is (Verdict.NEITHER if limit is TimeLimit.TOTAL else Verdict.FAILURE)


@pytest.mark.parametrize(
    ("before", "after", "failures"),
    [
        ("", "", 1),
        ("", "close", 0),
        ("", "close open", 0),
        ("close", "", 0),
        ("close", "open", 0),
        ("close open", "", 1),
    ],
)
def test_a_stream_that_its_reader_held_up_is_no_failure_of_the_provider(before: str, after: str, failures: int) -> None:
    bench, exchange = Bench(), Exchange(status=200)
    turns = {"close": exchange.flow.close, "open": exchange.flow.open}
    source: Subject[StreamToken] = Subject()
    ends: list[Exception] = []
    for turn in before.split():
        turns[turn]("reader")
    source.pipe(
        stream_timeouts(total_s=10, exchange=exchange), circuit_break(bench.breaker, exchange=exchange)
    ).subscribe(on_error=ends.append, scheduler=bench.scheduler)
    for turn in after.split():
        turns[turn]("reader")
    bench.scheduler.advance_to(11)
    assert [type(error) for error in ends] == [StreamTimeout]
    assert bench.breaker.gauges.failures == failures
