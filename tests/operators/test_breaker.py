import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.operators.breaker import BreakerSettings, Change, CircuitOpen, State
from rxlapce.testing.breaking import DOWN, MINE, NO_KEY, SLOW_DOWN, BreakerBench

# -- closed -----------------------------------------------------------------------------------------------------------


def test_it_opens_at_the_fifth_failure_in_a_row_and_a_success_begins_a_new_row() -> None:
    bench = BreakerBench()
    bench.fails(4)
    bench.succeeds()
    bench.fails(4)
    assert bench.is_now(State.CLOSED)
    bench.fails(1)
    assert bench.is_now(State.OPEN)


def test_a_provider_that_fails_every_other_time_is_found_by_the_share_of_failures() -> None:
    bench = BreakerBench()
    for _ in range(4):
        bench.fails(1)
        bench.succeeds()
    bench.succeeds()
    assert bench.is_now(State.CLOSED)
    bench.fails(1)  # 5 of 10
    assert bench.is_now(State.OPEN)
    assert bench.breaker.cause == "5 of 10 requests failed, the last: overloaded in phase headers, HTTP 503"


def test_only_the_last_outcomes_are_looked_at() -> None:
    bench = BreakerBench(BreakerSettings(consecutive=4, window=4, min_outcomes=4, failure_percent=75))
    bench.fails(2)
    bench.succeeds(2)
    bench.fails(2)  # 2 of the last 4, 4 of 6
    assert bench.is_now(State.CLOSED)
    bench.succeeds()
    bench.fails(1)  # 3 of the last 4
    assert bench.is_now(State.OPEN)


def test_failures_of_a_time_ago_are_forgotten() -> None:
    bench = BreakerBench()
    bench.fails(4)
    bench.time.now_s += 61
    bench.fails(4)
    assert bench.is_now(State.CLOSED)


def test_the_callers_own_faults_and_cancels_change_nothing() -> None:
    bench = BreakerBench()
    bench.fails(4)
    bench.fails(50, MINE)
    bench.breaker.ask().release()
    bench.fails(50, NO_KEY)  # told to the caller each time: there is no other key
    assert (bench.breaker.state, bench.breaker.gauges.failures) == (State.CLOSED, 4)
    bench.fails(1)  # nor do they end a row
    assert bench.is_now(State.OPEN)


def test_a_ticket_is_settled_once() -> None:
    bench = BreakerBench(BreakerSettings(consecutive=2))
    ticket = bench.breaker.ask()
    for _ in range(3):
        ticket.fail(DOWN)
    ticket.release()
    ticket.succeed()
    gauges = bench.breaker.gauges
    assert (bench.breaker.state, gauges.failures, gauges.successes, gauges.active) == (State.CLOSED, 1, 0, 0)


# -- open -------------------------------------------------------------------------------------------------------------


def test_a_refusal_says_until_when_and_why() -> None:
    bench = BreakerBench().opened()
    bench.time.now_s += 2
    error = bench.refusal()
    assert (error.kind, error.phase, error.retry) == (ErrorKind.OVERLOADED, Phase.ADMIT, Retry.OTHER_PROVIDER)
    assert error.retry_after_s == pytest.approx(3)
    assert error.message == (
        "the circuit to acme/m is open (for 3 s more); "
        "5 of 5 requests failed, the last: overloaded in phase headers, HTTP 503"
    )


def test_it_opens_for_twice_as_long_each_time_up_to_a_bound() -> None:
    bench = BreakerBench().opened()
    waits: list[float | None] = []
    for _ in range(5):
        waits.append(bench.refusal().retry_after_s)
        bench.probe().fail(DOWN)
    assert waits == [pytest.approx(wait_s) for wait_s in (5, 10, 20, 20, 20)]


@pytest.mark.parametrize(("closed_for_s", "wait_s"), [(59, 10), (61, 5)])
def test_how_often_it_opened_is_remembered_for_a_while(closed_for_s: float, wait_s: float) -> None:
    bench = BreakerBench().opened()
    bench.probe().succeed()
    bench.time.now_s += closed_for_s
    assert bench.opened().refusal().retry_after_s == pytest.approx(wait_s)


@pytest.mark.parametrize("down_s", [1, 17, 30, 45, 60, 61, 200])
@pytest.mark.parametrize("every_s", [0.5, 1, 4, 7])
def test_a_provider_that_comes_back_is_found_within_half_a_minute_by_few_probes(down_s: float, every_s: float) -> None:
    bench = BreakerBench()
    start_s, asked = bench.time.now_s, 0
    while True:
        up = bench.time.now_s - start_s >= down_s
        if bench.breaker.usable:
            ticket = bench.breaker.ask()
            if up:
                break
            asked += 1
            ticket.fail(DOWN)
        bench.time.now_s += every_s
    assert bench.time.now_s - start_s - down_s <= 20 + every_s <= 30
    assert asked <= 5 + 3 + down_s / 20


def test_opening_again_before_it_closed_keeps_it_open_for_longer_however_long_it_was_closed_before() -> None:
    bench = BreakerBench()
    bench.time.now_s += 1000
    bench.opened().probe().commit()
    assert bench.is_now(State.TRIAL)
    assert bench.opened().refusal().retry_after_s == pytest.approx(10)


# -- the probe --------------------------------------------------------------------------------------------------------


def test_one_probe_goes_and_all_others_are_refused_until_it_has_begun() -> None:
    bench = BreakerBench().opened()
    ticket = bench.probe()
    error = bench.refusal()
    assert "a probe is under way" in error.message
    assert error.retry_after_s == 5
    ticket.commit()
    assert bench.is_now(State.TRIAL)
    assert not bench.breaker.ask().is_probe


def test_a_probe_that_is_cancelled_frees_its_place() -> None:
    bench = BreakerBench().opened()
    bench.probe().release()
    assert bench.is_now(State.HALF_OPEN)
    assert bench.breaker.ask().is_probe


def test_a_hook_that_fails_as_the_probe_is_admitted_leaves_the_probe_to_the_next_request() -> None:
    def hook(change: Change) -> None:
        if change.after is State.PROBING:
            raise ZeroDivisionError

    bench = BreakerBench().opened()
    bench.time.now_s += 20
    bench.breaker.on_change = hook
    with pytest.raises(ZeroDivisionError):
        bench.breaker.ask()
    bench.breaker.on_change = None
    assert bench.breaker.ask().is_probe
    assert bench.breaker.gauges.active == 1


def test_a_probe_that_breaks_off_after_it_began_opens_again() -> None:
    bench = BreakerBench().opened()
    ticket = bench.probe()
    ticket.commit()
    other = bench.breaker.ask()
    ticket.fail(ProviderError(ErrorKind.TRUNCATED, "cut"))
    assert (bench.breaker.state, bench.breaker.cause) == (State.OPEN, "the probe failed: truncated in phase flow")
    other.succeed()
    assert bench.is_now(State.OPEN)


def test_a_probe_that_somebody_cancels_in_the_middle_of_its_answer_has_shown_enough() -> None:
    bench = BreakerBench().opened()
    ticket = bench.probe()
    ticket.commit()
    ticket.release()
    assert bench.is_now(State.CLOSED)


def test_what_was_sent_before_it_opened_decides_nothing_afterwards() -> None:
    bench = BreakerBench()
    old = [bench.breaker.ask() for _ in range(12)]
    bench.opened()
    old.pop().succeed()
    assert bench.is_now(State.OPEN)
    probe = bench.probe()
    old.pop().succeed()
    old.pop().fail(DOWN)
    assert bench.is_now(State.PROBING)
    probe.succeed()
    for ticket in old:
        ticket.fail(DOWN)
    assert (bench.breaker.state, bench.breaker.gauges.active) == (State.CLOSED, 0)


def test_a_probe_of_an_earlier_time_is_no_probe_any_more() -> None:
    bench = BreakerBench()
    old = bench.breaker.ask()
    bench.opened()
    first = bench.probe()
    old.fail(SLOW_DOWN)
    bench.time.now_s += 30
    second = bench.breaker.ask()
    first.commit()
    first.succeed()
    assert (second.is_probe, bench.breaker.state) == (True, State.PROBING)


# -- cooldowns --------------------------------------------------------------------------------------------------------


def test_a_rate_limit_that_says_how_long_is_obeyed_at_once() -> None:
    bench = BreakerBench()
    bench.fails(1, SLOW_DOWN)
    error = bench.refusal()
    assert (error.kind, error.retry_after_s, error.retry) == (ErrorKind.RATE_LIMIT, 30, Retry.SAME)
    assert bench.breaker.cause == "rate_limit in phase headers"
    bench.time.now_s += 30
    assert bench.breaker.ask().is_probe


def test_who_meets_the_probe_after_a_cooldown_is_told_to_come_again_and_after_failures_to_go_elsewhere() -> None:
    bench = BreakerBench()
    bench.fails(1, SLOW_DOWN)
    bench.time.now_s += 30
    probe = bench.breaker.ask()
    error = bench.refusal()
    assert isinstance(error, CircuitOpen)
    assert (error.kind, error.retry, error.retry_after_s, error.cools) == (ErrorKind.RATE_LIMIT, Retry.SAME, 5, True)
    assert "a probe is under way" in error.message
    probe.fail(DOWN)
    bench.probe()
    error = bench.refusal()
    assert isinstance(error, CircuitOpen)
    assert (error.kind, error.retry, error.cools) == (ErrorKind.OVERLOADED, Retry.OTHER_PROVIDER, False)


def test_a_later_cooldown_never_shortens_an_earlier_one() -> None:
    bench = BreakerBench()
    first, second, third = (bench.breaker.ask() for _ in range(3))
    first.fail(SLOW_DOWN)
    second.fail(ProviderError(ErrorKind.RATE_LIMIT, "", phase=Phase.HEADERS, retry_after_s=1))
    assert bench.refusal().retry_after_s == 30
    third.fail(ProviderError(ErrorKind.RATE_LIMIT, "", phase=Phase.HEADERS, retry_after_s=40))
    assert bench.refusal().retry_after_s == 40


def test_nobody_can_ask_to_be_left_alone_for_days() -> None:
    bench = BreakerBench()
    bench.fails(1, ProviderError(ErrorKind.RATE_LIMIT, "", phase=Phase.HEADERS, retry_after_s=1e9))
    assert bench.refusal().retry_after_s == 3600


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.BILLING, ErrorKind.QUOTA])
def test_one_key_of_several_rests_at_once_when_it_is_refused(kind: ErrorKind) -> None:
    bench = BreakerBench(keyed=True)
    bench.fails(1, ProviderError(kind, "no", phase=Phase.HEADERS))
    error = bench.refusal()
    assert (error.retry_after_s, error.retry) == (60, Retry.OTHER_KEY)


def test_after_failures_another_key_is_no_help() -> None:
    bench = BreakerBench(keyed=True)
    bench.fails(1, NO_KEY)
    bench.time.now_s += 60
    bench.breaker.ask().fail(DOWN)
    assert bench.refusal().retry is Retry.OTHER_PROVIDER


# -- what it tells of itself ------------------------------------------------------------------------------------------


def test_each_change_is_told_with_its_cause() -> None:
    bench = BreakerBench().opened()
    bench.probe().succeed()
    cause = "5 of 5 requests failed, the last: overloaded in phase headers, HTTP 503"
    assert bench.changes == [
        Change("acme/m", State.CLOSED, State.OPEN, cause),
        Change("acme/m", State.OPEN, State.HALF_OPEN, cause),
        Change("acme/m", State.HALF_OPEN, State.PROBING, cause),
        Change("acme/m", State.PROBING, State.CLOSED, cause),
    ]
    gauges = bench.breaker.gauges
    assert (gauges.admitted, gauges.probes, gauges.failures, gauges.successes, gauges.opened) == (6, 1, 5, 1, 1)
