from collections.abc import Callable

import pytest
import reactivex
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.notification import OnError, OnNext
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.operators.admission import Gauges, Waits
from rxlapce.operators.ledger import Ledger, Limit, MemoryLedger, Unit, Verdict
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import rate_limit_gate, tokens_used
from rxlapce.testing.ledgers import Late
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, Usage, UsageReport

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
WORD = Text("a")
FINISH = Finish(FinishKind.STOP)
BROKEN = ProviderError(ErrorKind.NETWORK, "gone")
NOT_SENT = ProviderError(ErrorKind.RATE_LIMIT, "another gate", phase=Phase.ADMIT)


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    return Recorded(time_s, OnNext(token))


def used(tokens: int) -> UsageReport:
    return UsageReport(Usage(total=tokens))


def refusal(messages: list[Recorded[StreamToken]]) -> tuple[float, ProviderError]:
    (message,) = messages
    assert isinstance(message.value, OnError)
    error = message.value.exception
    assert isinstance(error, ProviderError)
    assert (error.kind, error.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
    return message.time, error


class Bench:
    """Streams through one gate on virtual time; each says WORD after 1 s and ends after 2, if not told otherwise."""

    def __init__(self, *limits: Limit, late: bool = False, max_waiters: int = 1000) -> None:
        self.scheduler = TestScheduler()
        self.memory = MemoryLedger(*limits)
        ledger: Ledger = Late(self.memory, self.scheduler) if late else self.memory
        self.limiter = RateLimiter(ledger, max_waiters=max_waiters)

    def at(self, time_s: float, do: Callable[[], object]) -> None:
        def action(_: SchedulerBase, __: object = None) -> None:
            do()

        self.scheduler.schedule_absolute(time_s, action)

    def stream(
        self,
        time_s: float,
        *sent: Recorded[StreamToken],
        key: str = "acme",
        estimate: int = 0,
        max_wait_s: float = 1000,
        dispose_s: float | None = None,
    ) -> list[Recorded[StreamToken]]:
        observer = self.scheduler.create_observer()
        subscription: list[DisposableBase] = []
        source = self.scheduler.create_cold_observable(*(sent or (on_next(1, WORD), on_completed(2))))
        gated = source.pipe(rate_limit_gate(self.limiter, key, estimate=estimate, max_wait_s=max_wait_s))
        self.at(time_s, lambda: subscription.append(gated.subscribe(observer, scheduler=self.scheduler)))
        if dispose_s is not None:
            self.at(dispose_s, lambda: subscription[0].dispose())
        return observer.messages

    def run(self) -> None:
        self.scheduler.start()
        assert (self.limiter.gauges.waiting, self.limiter.gauges.active) == (0, 0)

    def taken(self, unit: Unit, at_s: float) -> int:
        """What a limit of `amount` is short of: found by asking, at the end of everything."""
        amount = next(limit.amount for limit in self.memory.limits if limit.unit is unit)
        for free in range(amount, 0, -1):
            wait = self.memory.look("acme", *((free - 1, 0, 0) if unit is Unit.REQUESTS else (0, 0, free)), at_s)
            if wait.likely_s == 0:
                return amount - free
        return amount


def whole(start_s: int) -> list[Recorded[StreamToken]]:
    return [on_next(start_s + 1, WORD), on_completed(start_s + 2)]


TWO = Limit(2, Unit.REQUESTS, 10)
HUNDRED = Limit(100, Unit.TOKENS, 60)

# -- requests ---------------------------------------------------------------------------------------------------------


def test_marbles_who_is_over_the_limit_waits_until_the_window_frees_in_the_order_of_arrival() -> None:
    bench = Bench(TWO)
    got = [bench.stream(time_s) for time_s in (1, 3, 4, 5, 6)]
    bench.run()
    assert got == [whole(1), whole(3), whole(11), whole(13), whole(21)]
    assert bench.limiter.gauges == Gauges(waiting=0, active=0, admitted=5, refused=0)


def test_waits_are_counted_by_key_whatever_became_of_them() -> None:
    bench = Bench(TWO)
    bench.stream(1)
    bench.stream(3)  # both at once: no wait
    bench.stream(4)  # waits until 11
    bench.stream(5, dispose_s=8)  # left after 3 s
    bench.stream(6, max_wait_s=1)  # refused at once, as it could not be in time
    bench.stream(6, key="other")
    bench.run()
    assert bench.limiter.waits == {"acme": Waits(waits=2, waited_us=10_000_000, refused=1)}


def test_keys_have_limits_of_their_own() -> None:
    bench = Bench(Limit(1, Unit.REQUESTS, 10))
    got = [bench.stream(1, key="acme"), bench.stream(1, key="other")]
    bench.run()
    assert got == [whole(1), whole(1)]


def test_who_would_not_wait_is_refused_at_once_and_told_when_the_window_frees() -> None:
    bench = Bench(TWO)
    got = [bench.stream(time_s, max_wait_s=0) for time_s in (1, 3, 4)]
    bench.run()
    assert got[:2] == [whole(1), whole(3)]
    time_s, error = refusal(got[2])
    assert (time_s, error.retry_after_s, error.retry) == (4, 7, Retry.SAME)
    assert error.message == "the limit of 2 requests in 10 s of 'acme' is reached; try again in 7 s"
    assert bench.limiter.gauges.refused == 1


@pytest.mark.parametrize(("max_wait_s", "admitted"), [(6.5, False), (7, True), (9, True)])
def test_a_wait_that_cannot_succeed_in_time_is_refused_at_once(max_wait_s: float, admitted: bool) -> None:
    bench = Bench(TWO)
    for time_s in (1, 3):
        bench.stream(time_s)
    got = bench.stream(4, max_wait_s=max_wait_s)
    bench.run()
    if admitted:
        assert got == whole(11)
    else:
        assert refusal(got)[0] == 4


def test_behind_others_a_wait_that_cannot_succeed_in_time_is_refused_at_once() -> None:
    # The first frees at 11 for the third, the second at 13 for the fourth; then 21, 23: the fifth and sixth.
    bench = Bench(TWO)
    for at_s in (1, 3, 4, 4):
        bench.stream(at_s)
    fifth_in_vain, fifth = bench.stream(5, max_wait_s=15), bench.stream(5, max_wait_s=16)
    bench.run()
    time_s, error = refusal(fifth_in_vain)
    assert (time_s, error.retry_after_s) == (5, 16)
    assert fifth == whole(21)


def test_with_a_late_ledger_those_who_would_not_wait_are_refused_when_the_first_must() -> None:
    bench = Bench(Limit(1, Unit.REQUESTS, 10), late=True)
    first, second, third = bench.stream(1), bench.stream(2), bench.stream(2, max_wait_s=0)
    bench.run()
    assert first == whole(2)
    assert second == whole(13)  # asked at 2, told 9 s at 3, asked at 12, told at 13
    assert refusal(third)[0] == 3


def test_a_full_line_refuses_whoever_comes_next() -> None:
    bench = Bench(TWO, max_waiters=1)
    for at_s in (1, 1):
        bench.stream(at_s)
    third, fourth = bench.stream(4), bench.stream(5)
    bench.run()
    assert third == whole(11)
    time_s, error = refusal(fourth)
    assert (time_s, error.retry_after_s) == (5, 6)
    assert error.message == "1 requests wait for 2 requests in 10 s of 'acme'"


def test_who_is_disposed_while_waiting_takes_nothing() -> None:
    bench = Bench(Limit(1, Unit.REQUESTS, 10))
    first, second, third = bench.stream(1), bench.stream(2, dispose_s=5), bench.stream(3)
    bench.run()
    assert (first, second, third) == (whole(1), [], whole(11))
    assert bench.limiter.gauges.admitted == 2


def test_who_is_disposed_while_the_ledger_is_asked_takes_nothing() -> None:
    bench = Bench(Limit(1, Unit.REQUESTS, 10), late=True)
    first, second = bench.stream(1, dispose_s=1.5), bench.stream(2)
    bench.run()
    assert (first, second) == ([], whole(3))
    assert bench.limiter.gauges.admitted == 1


def test_who_is_disposed_in_the_moment_of_being_admitted_gives_the_request_back() -> None:
    bench = Bench(Limit(1, Unit.REQUESTS, 10), Limit(50, Unit.TOKENS, 1000))
    gate = rate_limit_gate(bench.limiter, "acme", estimate=50, max_wait_s=100)
    holder, source = Subject[StreamToken](), Subject[StreamToken]()
    ends: list[Exception] = []
    holder.pipe(gate).subscribe(on_error=ends.append, scheduler=bench.scheduler)
    waiting = source.pipe(gate).subscribe(scheduler=bench.scheduler)
    bench.scheduler.advance_by(20)
    holder.on_error(BROKEN)  # its tokens are back: the second is admitted, to start in the next round
    assert (bench.limiter.gauges.admitted, len(source.observers)) == (2, 0)
    waiting.dispose()
    bench.run()
    assert len(source.observers) == 0
    assert bench.taken(Unit.REQUESTS, 20) == bench.taken(Unit.TOKENS, 20) == 0


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_marbles_unused_tokens_are_free_again_at_the_finish() -> None:
    bench = Bench(HUNDRED)
    sent = [on_next(1, WORD), on_next(2, used(50)), on_next(3, used(30)), on_next(4, FINISH), on_completed(9)]
    first, second, third = (bench.stream(time_s, *sent, estimate=70) for time_s in (1, 2, 3))
    bench.run()
    assert [messages[0].time - 1 for messages in (first, second)] == [1, 5]
    assert third[0].time - 1 == 61  # the first's 30 leave the window; the second's 30 and 70 fit
    assert len(first) == len(second) == len(third) == 5


def test_a_report_that_is_more_than_reserved_counts_before_the_end() -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, on_next(1, used(90)), on_completed(20), estimate=10)
    got = bench.stream(5, estimate=20, max_wait_s=0)
    bench.run()
    assert refusal(got)[1].retry_after_s == 56


def test_use_beyond_the_limit_keeps_all_others_waiting_until_it_is_a_period_old() -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, on_next(1, used(300)), on_completed(3), estimate=10)
    got = bench.stream(5, estimate=0)
    bench.run()
    assert got == whole(61)


def test_a_report_that_is_less_than_reserved_gives_nothing_back_before_the_end() -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, on_next(1, used(5)), on_completed(20), estimate=90)
    got = bench.stream(5, estimate=20)
    bench.run()
    assert got == whole(21)


@pytest.mark.parametrize(
    ("sent", "tokens", "requests"),
    [
        ([on_next(1, WORD), on_completed(2)], 40, 1),
        ([on_completed(2)], 40, 1),
        ([on_next(1, WORD), on_error(2, BROKEN)], 40, 1),
        ([on_error(2, BROKEN)], 0, 1),
        ([on_next(1, UsageReport(Usage())), on_error(2, BROKEN)], 0, 1),
        ([on_next(1, used(7)), on_error(2, BROKEN)], 7, 1),
        ([on_next(1, used(7)), on_next(2, used(0)), on_completed(3)], 0, 1),
        ([on_error(2, NOT_SENT)], 0, 0),
    ],
    ids=[
        "completed in silence about usage", "empty", "cut", "failed", "an empty report", "failed but reported",
        "the last report wins", "refused by an inner gate",
    ],
)  # fmt: skip
def test_what_stays_taken_when_a_stream_has_ended(
    sent: list[Recorded[StreamToken]], tokens: int, requests: int
) -> None:
    bench = Bench(HUNDRED, TWO)
    bench.stream(1, *sent, estimate=40)
    bench.run()
    assert (bench.taken(Unit.TOKENS, 5), bench.taken(Unit.REQUESTS, 5)) == (tokens, requests)


@pytest.mark.parametrize(("dispose_s", "tokens"), [(1.5, 0), (2.5, 40)])
def test_what_stays_taken_when_a_stream_is_disposed(dispose_s: float, tokens: int) -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, on_next(1, WORD), on_completed(50), estimate=40, dispose_s=dispose_s)
    bench.run()
    assert bench.taken(Unit.TOKENS, 5) == tokens


def test_a_wait_for_tokens_that_running_streams_may_give_back_is_kept_until_its_deadline() -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, on_completed(10), estimate=90)
    in_vain, in_time = bench.stream(2, estimate=50, max_wait_s=3), bench.stream(2, estimate=50, max_wait_s=300)
    bench.run()
    assert refusal(in_vain)[0] == 5
    assert in_time == whole(61)


def test_a_large_request_is_not_passed_by_small_ones() -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, estimate=60)
    large, small = bench.stream(4, estimate=80), bench.stream(5, estimate=10)
    bench.run()
    assert (large, small) == (whole(61), whole(61))


def test_who_is_behind_a_large_request_that_leaves_need_not_wait_for_what_it_waited_for() -> None:
    bench = Bench(HUNDRED)
    bench.stream(1, estimate=60)
    large, small = bench.stream(4, estimate=80, dispose_s=10), bench.stream(5, estimate=10)
    bench.run()
    assert (large, small) == ([], whole(10))


def test_a_no_that_was_on_its_way_while_tokens_became_free_is_out_of_date() -> None:
    bench = Bench(HUNDRED, late=True)
    bench.stream(1, on_error(3, BROKEN), estimate=100)  # starts at 2, gives all back at 5
    got = bench.stream(4.5, estimate=100)  # asked at 4.5, answered no at 5.5, asked again, answered yes at 6.5
    bench.run()
    assert got[0].time == pytest.approx(7.5)


def test_an_estimate_above_the_whole_limit_is_refused_for_another_provider() -> None:
    bench = Bench(HUNDRED)
    got = bench.stream(1, estimate=101)
    bench.run()
    _, error = refusal(got)
    assert (error.retry, error.retry_after_s) == (Retry.OTHER_PROVIDER, None)
    assert error.message == "101 tokens are more than the limit of 100 tokens a minute of 'acme'"


def test_the_error_names_the_provider_of_the_exchange() -> None:
    bench = Bench(HUNDRED)
    gate = rate_limit_gate(bench.limiter, "k", estimate=101, exchange=Exchange(provider="acme"))
    ends: list[Exception] = []
    source: Observable[StreamToken] = reactivex.never()
    source.pipe(gate).subscribe(on_error=ends.append, scheduler=bench.scheduler)
    assert [isinstance(end, ProviderError) and end.provider for end in ends] == ["acme"]


def test_a_ledger_that_fails_refuses_and_keeps_its_words_to_itself() -> None:
    bench = Bench(TWO)

    class Down(Late):
        def take(self, key: str, tokens: int, now_s: float, answer: Callable[[Verdict], None]) -> None:
            answer(ConnectionError("redis://user:password@host"))

    bench.limiter.ledger = Down(bench.memory, bench.scheduler)
    got = [bench.stream(1), bench.stream(1)]
    bench.run()
    for messages in got:
        assert isinstance(messages[0].value, OnError)
        error = messages[0].value.exception
        assert isinstance(error, ProviderError)
        assert (error.kind, error.phase) == (ErrorKind.INTERNAL, Phase.ADMIT)
        assert error.message == "the store of the rate limits failed (ConnectionError), and nothing is sent uncounted"
        assert isinstance(error.__cause__, ConnectionError)
    assert bench.limiter.gauges.refused == 2


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (Usage(input=3, output=4, total=9), 9),
        (Usage(input=3, output=4), 7),
        (Usage(output=4), 4),
        (Usage(input=0), 0),
        (Usage(reasoning=4), None),
    ],
)
def test_tokens_used_are_the_total_or_what_is_known_of_it(usage: Usage, tokens: int | None) -> None:
    assert tokens_used(usage) == tokens


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Limit(0), "must be at least 1, not 0 and 60"),
        (lambda: Limit(1, Unit.TOKENS, 0), "must be at least 1, not 1 and 0"),
        (MemoryLedger, "at least one limit"),
        (lambda: RateLimiter(MemoryLedger(TWO), max_waiters=0), "max_waiters must be at least 1, not 0"),
        (lambda: rate_limit_gate(RateLimiter(MemoryLedger(TWO)), "a", estimate=-1), "estimate must not be negative"),
        (lambda: rate_limit_gate(RateLimiter(MemoryLedger(TWO)), "a", max_wait_s=-1), "max_wait_s must be from 0"),
    ],
)
def test_bounds_out_of_range_are_refused(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()
