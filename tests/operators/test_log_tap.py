"""What a tap tells of a stream: its beginning, its first token, its end; and what the stages of its exchange tell."""

from collections.abc import Callable

import pytest
from reactivex import Observable
from reactivex.testing import ReactiveTest, TestScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.happenings import Answered, Begun, Ended, FallingBack, FirstToken, Happening, Retrying
from rxlapce.operators.fallback import fallback
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg
from rxlapce.operators.log_tap import audit_tap, log_tap
from rxlapce.operators.retry import RetryPolicy, retry_stream
from rxlapce.operators.tap import StreamStats, metrics_tap
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed
A, B, FINISH = Text("a"), Text("b"), Finish(FinishKind.STOP)
USED = UsageReport(Usage(input=3, output=2, total=5))
BUSY = ProviderError(ErrorKind.OVERLOADED, "busy", status=503, phase=Phase.HEADERS)
CUT = ProviderError(ErrorKind.TRUNCATED, "broke off", status=200)

Told = list[tuple[float, Happening]]


def exchange() -> Exchange:
    return Exchange(request_id="1.7", user="ada", client="lapce", provider="acme", model="large")


def ended(**members: object) -> Ended:
    told: dict[str, object] = {
        "request_id": "1.7",
        "user": "ada",
        "client": "lapce",
        "provider": "acme",
        "model": "large",
        "outcome": "completed",
        "error_kind": None,
        "took_s": 50.0,
        "first_token_s": 20.0,
        "tokens": 4,
        "usage": USED.usage,
        **members,
    }
    return Ended(**told)  # type: ignore[arg-type] # they are those of the class, as the call itself checks


@pytest.fixture
def scheduler() -> TestScheduler:
    return TestScheduler()


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def tell(scheduler: TestScheduler, told: Told) -> Callable[[Happening], None]:
    return lambda happening: told.append((scheduler.to_seconds(scheduler.now), happening))


Tell = Callable[[Happening], None]


def test_marbles_everything_is_handed_on_and_told_at_its_time(scheduler: TestScheduler, told: Told, tell: Tell) -> None:
    source: Observable[StreamToken] = scheduler.create_cold_observable(
        on_next(10, USED), on_next(20, A), on_next(30, B), on_next(40, FINISH), on_completed(50)
    )
    result = scheduler.start(lambda: source.pipe(log_tap(tell, exchange=exchange())))
    assert result.messages == [
        on_next(210, USED), on_next(220, A), on_next(230, B), on_next(240, FINISH), on_completed(250)
    ]  # fmt: skip
    assert told == [
        (200, Begun(request_id="1.7", provider="acme", model="large")),
        (220, FirstToken(provider="acme", model="large")),
        (250, ended()),
    ]


def test_marbles_an_error_is_told_before_it_is_handed_on(scheduler: TestScheduler, told: Told, tell: Tell) -> None:
    source: Observable[StreamToken] = scheduler.create_cold_observable(on_next(20, A), on_error(50, CUT))
    seen: list[int] = []
    source.pipe(log_tap(tell, exchange=exchange())).subscribe(
        on_error=lambda _: seen.append(len(told)), scheduler=scheduler
    )
    scheduler.advance_to(300)
    assert told[-1][1] == ended(outcome="failed", error_kind=ErrorKind.TRUNCATED, tokens=1, usage=None)
    assert seen == [3]


def test_marbles_a_stream_that_is_given_up_has_its_end_too(scheduler: TestScheduler, told: Told, tell: Tell) -> None:
    source: Observable[StreamToken] = scheduler.create_cold_observable(on_next(60, A))
    shared = exchange()
    scheduler.start(lambda: source.pipe(log_tap(tell, exchange=shared)), disposed=250)
    assert told[-1] == (250, ended(outcome="disposed", tokens=0, usage=None, first_token_s=None))
    assert shared.watchers == []


def test_those_who_watch_the_exchange_are_told_where_nobody_else_is(
    scheduler: TestScheduler, told: Told, tell: Tell
) -> None:
    source: Observable[StreamToken] = scheduler.create_cold_observable(on_next(20, A), on_completed(50))
    shared = exchange()
    shared.watchers.append(tell)
    scheduler.start(lambda: source.pipe(log_tap(exchange=shared)))
    assert [type(happening) for _, happening in told] == [Begun, FirstToken, Ended]
    assert shared.watchers == [tell]


def test_each_subscription_is_told_of_by_itself(scheduler: TestScheduler, told: Told, tell: Tell) -> None:
    source: Observable[StreamToken] = scheduler.create_cold_observable(on_next(20, A), on_completed(50))
    tapped = source.pipe(log_tap(tell))
    for _ in range(2):
        tapped.subscribe(scheduler=scheduler)
    scheduler.advance_to(300)
    kinds = [type(happening) for _, happening in told]
    assert kinds == [Begun, Begun, FirstToken, FirstToken, Ended, Ended]


def test_an_audit_tap_writes_one_record_at_the_end(scheduler: TestScheduler) -> None:
    source: Observable[StreamToken] = scheduler.create_cold_observable(
        on_next(10, USED), on_next(20, A), on_next(30, B), on_next(40, FINISH), on_completed(50)
    )
    written: list[Ended] = []
    result = scheduler.start(lambda: source.pipe(audit_tap(written.append, exchange=exchange())))
    assert len(result.messages) == 5
    assert written == [ended()]


def asked(scheduler: TestScheduler, shared: Exchange, *legs: Observable[StreamToken]) -> Observable[StreamToken]:
    """What answers as in a daemon: each leg with retries, and a tap within them."""
    policy = RetryPolicy(max_attempts=2, base_s=4, min_s=4, max_s=4)

    def leg(number: int, source: Observable[StreamToken]) -> Leg:
        tapped = source.pipe(
            metrics_tap(StreamStats(), exchange=shared) if len(legs) == 1 else log_tap(lambda _: None, exchange=shared),
            retry_stream(policy, exchange=shared),
        )
        return Leg(provider=f"p{number}", model=f"m{number}", open=lambda _: tapped)

    return fallback(
        [leg(number, source) for number, source in enumerate(legs)],
        policy=FallbackPolicy(after_commit=AfterCommit.RESTART),
        exchange=shared,
    )


def test_retries_and_next_models_are_told_with_what_they_follow(
    scheduler: TestScheduler, told: Told, tell: Tell
) -> None:
    failing: Observable[StreamToken] = scheduler.create_cold_observable(on_error(10, BUSY))
    speaking: Observable[StreamToken] = scheduler.create_cold_observable(
        on_next(5, A), on_next(6, FINISH), on_completed(9)
    )
    shared = Exchange()
    shared.watchers.append(tell)
    scheduler.start(lambda: asked(scheduler, shared, failing, speaking))
    assert told == [
        (210, Retrying(provider="p0", model="m0", attempt=2, error=BUSY, wait_s=4)),
        (224, FallingBack(provider="p0", model="m0", to_provider="p1", to_model="m1", error=BUSY)),
        (229, FirstToken(provider="p1", model="m1")),
        (230, Answered(provider="p1", model="m1")),
    ]
    assert [attempt.number for attempt in shared.attempts] == [1, 2, 3]


def test_the_first_token_is_told_once_though_another_model_begins_anew(
    scheduler: TestScheduler, told: Told, tell: Tell
) -> None:
    breaking: Observable[StreamToken] = scheduler.create_cold_observable(on_next(5, A), on_error(10, CUT))
    speaking: Observable[StreamToken] = scheduler.create_cold_observable(
        on_next(5, A), on_next(6, FINISH), on_completed(9)
    )
    shared = Exchange()
    shared.watchers.append(tell)
    scheduler.start(lambda: asked(scheduler, shared, breaking, speaking))
    assert [(type(happening), getattr(happening, "seam", "")) for _, happening in told] == [
        (FirstToken, ""),
        (FallingBack, "restart"),
        (Answered, ""),
    ]


def test_a_whole_answer_is_noted_and_told_before_its_reader_has_the_finish(scheduler: TestScheduler) -> None:
    speaking: Observable[StreamToken] = scheduler.create_cold_observable(
        on_next(5, A), on_next(6, FINISH), on_completed(900)
    )
    shared, order = Exchange(), list[str]()
    shared.watchers.append(lambda happening: order.append(type(happening).__name__))
    asked(scheduler, shared, speaking).subscribe(lambda token: order.append(type(token).__name__), scheduler=scheduler)
    scheduler.advance_to(100)
    assert order == ["FirstToken", "Text", "Answered", "Finish"]
    (attempt,) = shared.attempts
    assert (attempt.finished, attempt.tokens, attempt.took_s) == (True, 2, 6)


def test_a_watcher_that_raises_at_the_end_keeps_no_finish_from_the_reader(scheduler: TestScheduler) -> None:
    speaking: Observable[StreamToken] = scheduler.create_cold_observable(on_next(6, FINISH), on_completed(9))
    shared, got = Exchange(), list[StreamToken]()

    def broken(happening: Happening) -> None:
        raise LookupError(happening)

    shared.watchers.append(broken)
    asked(scheduler, shared, speaking).subscribe(got.append, scheduler=scheduler)
    with pytest.raises(LookupError):
        scheduler.advance_to(100)
    assert [type(token) for token in got] == [Finish]
