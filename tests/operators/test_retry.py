import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.notification import OnError, OnNext
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.coldobservable import ColdObservable
from reactivex.testing.recorded import Recorded
from reactivex.testing.subscription import Subscription

from rxlapce.errors import DEFAULT_RETRY, ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.operators.breaker import CircuitOpen
from rxlapce.operators.retry import HOPELESS, RetryPolicy, may_ask_again, retry_stream
from rxlapce.operators.retry_budget import RetryBudget
from rxlapce.testing.thoroughness import examples
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

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
A, B, FINISH = Text("a"), Text("b"), Finish(FinishKind.STOP)
EARLY, LATER = UsageReport(Usage(input=1)), UsageReport(Usage(input=2))
BUSY = ProviderError(ErrorKind.OVERLOADED, "busy", status=503, phase=Phase.HEADERS)

# `TestScheduler.start` subscribes at 200 and disposes at 1000; one tick is one second. `random` is 1: the wait after
# the first failure is `base_s`, after the second twice that.


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    return Recorded(time_s, OnNext(token))


@dataclass
class Case:
    """A source that answers each subscription by the next of `scripts`, the last one for ever."""

    scripts: list[list[Recorded[StreamToken]]]
    clock: TestScheduler = field(default_factory=TestScheduler)
    exchange: Exchange = field(default_factory=lambda: Exchange(provider="acme", model="m1"))
    opened: list[ColdObservable[StreamToken]] = field(default_factory=list[ColdObservable[StreamToken]])

    def source(self) -> Observable[StreamToken]:
        def subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            script = self.scripts[min(len(self.opened), len(self.scripts) - 1)]
            cold = self.clock.create_cold_observable(*script)
            self.opened.append(cold)
            return connect(cold, receiver, scheduler)

        return Stage(subscribe)

    def run(
        self,
        policy: RetryPolicy | None = None,
        *,
        budget: RetryBudget | None = None,
        random: Callable[[], float] = lambda: 1.0,
        disposed: float = 1000,
    ) -> list[Recorded[StreamToken]]:
        operator = retry_stream(policy, budget=budget, random=random, exchange=self.exchange)
        return self.clock.start(lambda: self.source().pipe(operator), disposed=disposed).messages

    @property
    def starts(self) -> list[float]:
        return [cold.subscriptions[0].subscribe for cold in self.opened]


def failing(error: Exception, *, after_s: int = 10) -> list[Recorded[StreamToken]]:
    return [on_error(after_s, error)]


def error_of(messages: Iterable[Recorded[StreamToken]]) -> Exception:
    *_, last = messages
    assert isinstance(last.value, OnError)
    return last.value.exception


POLICY = RetryPolicy(max_attempts=3, base_s=4, max_s=100, min_s=1, deadline_s=None)


# -- what is handed on ------------------------------------------------------------------------------------------------


def test_marbles_a_stream_that_does_not_fail_passes_through() -> None:
    case = Case([[on_next(10, A), on_next(20, LATER), on_next(30, FINISH), on_completed(31)]])
    assert case.run() == [on_next(210, A), on_next(220, LATER), on_next(230, FINISH), on_completed(231)]
    assert case.opened[0].subscriptions == [Subscription(200, 231)]


def test_marbles_a_failure_before_commit_is_retried_after_a_wait() -> None:
    case = Case([failing(BUSY), [on_next(5, A), on_next(6, FINISH), on_completed(7)]])
    assert case.run(POLICY) == [on_next(219, A), on_next(220, FINISH), on_completed(221)]
    assert [cold.subscriptions for cold in case.opened] == [[Subscription(200, 210)], [Subscription(214, 221)]]


@pytest.mark.parametrize(
    "visible", [A, Reasoning("r"), Refusal("no"), ToolCall(0, "id", "f"), Opaque("k", "{}"), FINISH, Seam(1, "restart")]
)
def test_nothing_is_retried_after_a_token_that_commits(visible: StreamToken) -> None:
    case = Case([[on_next(5, visible), on_error(10, BUSY)]])
    assert case.run(POLICY) == [on_next(205, visible), on_error(210, BUSY)]
    assert case.starts == [200]


def test_marbles_usage_is_held_until_commit_and_only_the_last_is_kept() -> None:
    case = Case([[on_next(1, EARLY), on_next(2, LATER), on_next(3, A), on_next(4, EARLY), on_completed(5)]])
    assert case.run() == [on_next(203, LATER), on_next(203, A), on_next(204, EARLY), on_completed(205)]


def test_marbles_the_usage_of_a_failed_attempt_is_thrown_away_and_noted() -> None:
    case = Case([[on_next(1, EARLY), on_error(2, BUSY)], [on_next(1, A), on_completed(2)]])
    assert case.run(POLICY) == [on_next(207, A), on_completed(208)]
    assert case.exchange.attempts[0].usage == Usage(input=1)
    assert case.exchange.attempts[1].usage is None


def test_usage_alone_is_handed_on_at_completion() -> None:
    case = Case([[on_next(1, EARLY), on_completed(2)]])
    assert case.run() == [on_next(202, EARLY), on_completed(202)]


def test_any_number_of_reports_before_commit_holds_one() -> None:
    reports = [on_next(1 + n, UsageReport(Usage(input=n))) for n in range(500)]
    case = Case([[*reports, on_next(501, A), on_completed(502)]])
    assert case.run() == [on_next(701, UsageReport(Usage(input=499))), on_next(701, A), on_completed(702)]


# -- which errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ErrorKind))
@pytest.mark.parametrize("retry", list(Retry))
def test_only_errors_that_may_get_better_at_the_same_place_are_retried(kind: ErrorKind, retry: Retry) -> None:
    error = ProviderError(kind, "no", retry=retry, status=503, phase=Phase.HEADERS)
    case = Case([failing(error)])
    expected = 3 if retry is Retry.SAME and kind not in HOPELESS else 1
    assert error_of(case.run(POLICY)) is error
    assert len(case.opened) == expected


def test_the_hopeless_kinds_are_these() -> None:
    hopeless = {"auth", "billing", "quota", "bad_request", "context_length", "content_filter", "cancelled"}
    assert {kind.value for kind in HOPELESS} == hopeless


@pytest.mark.parametrize(
    ("kind", "phase", "status", "again"),
    [
        (ErrorKind.TIMEOUT, Phase.CONNECT, None, False),
        (ErrorKind.TIMEOUT, Phase.HEADERS, None, False),
        (ErrorKind.TIMEOUT, Phase.HEADERS, 504, True),
        (ErrorKind.TIMEOUT, Phase.FIRST_TOKEN, 200, True),
        (ErrorKind.NETWORK, Phase.CONNECT, None, False),
        (ErrorKind.NETWORK, Phase.HEADERS, None, True),
        (ErrorKind.TRUNCATED, Phase.FLOW, 200, True),
    ],
)
def test_a_provider_that_gave_no_answer_at_all_is_not_asked_again(
    kind: ErrorKind, phase: Phase, status: int | None, again: bool
) -> None:
    assert may_ask_again(ProviderError(kind, "x", retry=Retry.SAME, phase=phase, status=status)) is again


def test_a_bug_is_no_reason_to_ask_again() -> None:
    bug = KeyError("x")
    case = Case([failing(bug)])
    assert error_of(case.run(POLICY)) is bug
    assert case.exchange.attempts[0].error_kind is ErrorKind.INTERNAL


# -- how long ----------------------------------------------------------------------------------------------------------


def test_marbles_waits_double_up_to_the_bound() -> None:
    case = Case([failing(BUSY, after_s=1)])
    policy = RetryPolicy(max_attempts=6, base_s=4, max_s=20, min_s=1, deadline_s=None)
    assert error_of(case.run(policy)) is BUSY
    assert case.starts == [200, 205, 214, 231, 252, 273]


def test_marbles_jitter_comes_on_top_of_retry_after() -> None:
    asked = ProviderError(ErrorKind.RATE_LIMIT, "slow", status=429, retry_after_s=50)
    case = Case([failing(asked, after_s=1), [on_completed(1)]])
    case.run(POLICY)
    assert case.starts == [200, 255]


@given(st.integers(1, 2000), st.none() | st.floats(0, 1e6), st.floats(0, 1), st.floats(0.001, 5))
@settings(max_examples=examples(200), deadline=None)
def test_no_wait_is_shorter_than_asked_nor_none_at_all(
    failed: int, asked_s: float | None, luck: float, min_s: float
) -> None:
    policy = RetryPolicy(base_s=5, max_s=8, min_s=min_s)
    wait_s = policy.wait_s(failed, asked_s, lambda: luck)
    assert (asked_s or 0) + min_s <= wait_s * (1 + 1e-12)
    assert wait_s <= (asked_s or 0) + 8.0 + 1e-6


def test_a_retry_after_of_zero_is_no_leave_to_hammer() -> None:
    assert RetryPolicy().wait_s(1, 0.0, lambda: 0.0) == RetryPolicy().min_s > 0


def test_marbles_a_retry_after_past_the_deadline_goes_on_at_once() -> None:
    asked = ProviderError(ErrorKind.RATE_LIMIT, "slow", status=429, retry_after_s=61)
    case = Case([failing(asked)])
    assert case.run(RetryPolicy(deadline_s=60)) == [on_error(210, asked)]
    assert asked.retry_after_s == 61


def test_marbles_the_deadline_counts_from_the_subscription_over_all_attempts() -> None:
    policy = RetryPolicy(max_attempts=100, base_s=4, max_s=4, min_s=4, deadline_s=40)
    case = Case([failing(BUSY)])
    assert case.run(policy) == [on_error(238, BUSY)]
    assert case.starts == [200, 214, 228]


def test_an_attempt_may_start_right_at_the_deadline() -> None:
    case = Case([failing(BUSY)])
    case.run(RetryPolicy(max_attempts=2, base_s=4, max_s=4, min_s=4, deadline_s=14))
    assert case.starts == [200, 214]


# -- budget ------------------------------------------------------------------------------------------------------------


def test_without_budget_left_the_error_goes_on_at_once() -> None:
    budget = RetryBudget(fraction=0, floor=1)
    case = Case([failing(BUSY)])
    assert case.run(POLICY, budget=budget) == [on_error(224, BUSY)]
    assert case.starts == [200, 214]
    assert (budget.spent, budget.refused) == (1, 1)


def test_what_was_refused_while_the_provider_rests_is_not_sent_twice_and_costs_no_budget() -> None:
    resting = CircuitOpen(ErrorKind.RATE_LIMIT, "resting", retry=Retry.SAME, retry_after_s=20, cools=True)
    budget = RetryBudget(fraction=0, floor=0)
    case = Case([failing(resting, after_s=1), [on_next(5, A), on_next(6, FINISH), on_completed(7)]])
    assert case.run(POLICY, budget=budget) == [on_next(230, A), on_next(231, FINISH), on_completed(232)]
    assert (budget.spent, budget.refused) == (0, 0)


def test_what_is_not_retried_anyway_costs_no_budget() -> None:
    budget = RetryBudget(floor=5)
    Case([failing(ProviderError(ErrorKind.AUTH, "no"))]).run(POLICY, budget=budget)
    Case([failing(BUSY)]).run(RetryPolicy(max_attempts=1), budget=budget)
    Case([failing(BUSY)]).run(RetryPolicy(deadline_s=0.01), budget=budget)
    assert (budget.spent, budget.refused) == (0, 0)


def test_a_subscription_counts_as_one_request_however_often_it_is_tried() -> None:
    budget = RetryBudget(fraction=1, floor=1)
    Case([failing(BUSY)]).run(POLICY, budget=budget)
    assert (budget.spent, budget.left(230)) == (2, 0)


# -- cancel ------------------------------------------------------------------------------------------------------------


def test_marbles_disposing_during_the_wait_stops_the_timer_and_asks_nobody() -> None:
    case = Case([failing(BUSY)])
    assert case.run(POLICY, disposed=212) == []
    assert case.starts == [200]
    assert [attempt.error_kind for attempt in case.exchange.attempts] == [ErrorKind.OVERLOADED]


def test_disposing_an_attempt_reaches_the_source_and_is_noted() -> None:
    case = Case([failing(BUSY), [on_next(5, A), on_completed(500)]])
    case.run(POLICY, disposed=300)
    assert case.opened[1].subscriptions == [Subscription(214, 300)]
    cancelled = case.exchange.attempts[1]
    assert (cancelled.finished, cancelled.error_kind, cancelled.tokens, cancelled.took_s) == (False, None, 1, 86)


def test_a_reader_that_leaves_at_what_was_held_gets_no_more() -> None:
    got: list[StreamToken] = []
    subscription: list[DisposableBase] = []

    def source(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        sources.append(receiver)
        return Disposable()

    def on_token(token: StreamToken) -> None:
        got.append(token)
        subscription[0].dispose()

    sources: list[Receiver[StreamToken]] = []
    stage = Stage(source).pipe(retry_stream())
    subscription.append(connect(stage, Receiver(on_token, fail_test, fail_test), TestScheduler()))
    sources[0].on_next(EARLY)
    sources[0].on_next(A)
    sources[0].on_error(BUSY)
    assert got == [EARLY]


def fail_test(*_: object) -> None:
    raise AssertionError("nothing may follow a disposal")


# -- records -----------------------------------------------------------------------------------------------------------


def test_each_attempt_is_noted_once_with_its_facts() -> None:
    case = Case([failing(BUSY), [on_next(5, A), on_next(6, LATER), on_next(7, FINISH), on_completed(9)]])
    case.run(POLICY)
    first, second = case.exchange.attempts
    assert (first.number, first.provider, first.model) == (1, "acme", "m1")
    assert (first.started_s, first.took_s, first.tokens, first.finished) == (200, 10, 0, False)
    assert (first.error_kind, first.phase, first.status) == (ErrorKind.OVERLOADED, Phase.HEADERS, 503)
    assert (second.number, second.started_s, second.took_s, second.tokens) == (2, 214, 7, 3)
    assert (second.finished, second.error_kind, second.usage) == (True, None, Usage(input=2))


def test_the_http_facts_of_an_attempt_are_forgotten_before_the_next() -> None:
    case = Case([failing(BUSY), [on_completed(1)]])
    case.exchange.status, case.exchange.content_type, case.exchange.provider_request_id = 503, "text/html", "r1"
    seen: list[tuple[int | None, str, str | None]] = []
    at = case.exchange

    def look(_: SchedulerBase, __: object = None) -> None:
        seen.append((at.status, at.content_type, at.provider_request_id))

    case.clock.schedule_absolute(214.5, look)
    case.run(POLICY)
    assert seen == [(None, "", None)]


def test_each_subscription_has_its_own_count() -> None:
    case = Case([failing(BUSY, after_s=1)])
    stage = case.source().pipe(retry_stream(POLICY, random=lambda: 1.0))
    for _ in range(2):
        ends: list[Exception] = []
        stage.subscribe(on_error=ends.append, scheduler=case.clock)
        case.clock.advance_by(100)
        assert ends == [BUSY]
    assert len(case.opened) == 6


async def test_without_a_scheduler_the_running_loop_times_the_wait() -> None:
    ended = asyncio.Event()
    tries = 0

    def source(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        nonlocal tries
        tries += 1
        if tries == 1:
            receiver.on_error(BUSY)
        else:
            receiver.on_completed()
        return Disposable()

    policy = RetryPolicy(base_s=0.01, min_s=0.01, max_s=0.01)
    connect(Stage(source).pipe(retry_stream(policy)), Receiver(fail_test, fail_test, ended.set), None)
    await asyncio.wait_for(ended.wait(), 5)
    assert tries == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"min_s": 0}, "min_s must be above 0"),
        ({"min_s": 1, "base_s": 0.5}, "base_s must be at least min_s"),
        ({"base_s": 9}, "max_s must be at least base_s"),
        ({"deadline_s": 0}, "deadline_s"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RetryPolicy(**wrong)  # type: ignore[arg-type] # some of them at a time


def test_every_kind_has_a_default_so_that_no_new_one_is_forgotten() -> None:
    assert set(DEFAULT_RETRY) == set(ErrorKind)
