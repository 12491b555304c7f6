"""What `MemoryLedger` counts, and how long a sliding window counter keeps somebody waiting."""

from math import floor

from hypothesis import given
from hypothesis import strategies as st

from rxlapce.operators.ledger import (
    DEFAULT_LIMIT,
    Limit,
    MemoryLedger,
    Reservation,
    Unit,
    Verdict,
    Wait,
    counter_wait_s,
)

# Longer than any test.
AGE_S = 1_000_000_000
THREE = Limit(3, Unit.REQUESTS, AGE_S)
HUNDRED = Limit(100, Unit.TOKENS, AGE_S)


def granted(verdict: Verdict) -> Reservation:
    assert not isinstance(verdict, Wait | Exception)
    return verdict


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 8), st.none() | st.integers(0, 20)), max_size=30),
    st.integers(1, 10),
)
def test_a_memory_ledger_agrees_with_counting_all_anew(steps: list[tuple[int, int, int | None]], amount: int) -> None:
    limit = Limit(amount, Unit.TOKENS, 10)
    ledger = MemoryLedger(limit)
    now, kept = 0, list[tuple[int, int]]()
    for pause, cost, usage in steps:
        now += pause
        if cost > amount:
            continue
        inside = [(at, size) for at, size in kept if at + 10 > now]
        verdicts: list[Verdict] = []
        ledger.take("a", cost, now, verdicts.append)
        (verdict,) = verdicts
        fits = sum(size for _, size in inside) + cost <= amount
        assert isinstance(verdict, Wait) is not fits
        if isinstance(verdict, Wait):
            then = now + verdict.likely_s
            for moment, free in ((then, True), (then - 0.5, False)):
                held = sum(size for at, size in inside if at + 10 > moment)
                assert (held + cost <= amount) is free
        else:
            settled = cost if usage is None else usage
            granted(verdict).settle(settled, now, final=True)
            kept.append((now, settled))


def test_the_default_is_60_requests_a_minute() -> None:
    assert str(DEFAULT_LIMIT) == "60 requests a minute"
    verdicts: list[Verdict] = []
    ledger = MemoryLedger(DEFAULT_LIMIT)
    for _ in range(61):
        ledger.take("acme", 0, 5.0, verdicts.append)
    assert verdicts[60] == Wait(DEFAULT_LIMIT, 60.0, 60.0)
    assert not any(isinstance(verdict, Wait) for verdict in verdicts[:60])


def test_a_memory_ledger_forgets_keys_that_are_idle() -> None:
    ledger = MemoryLedger(Limit(5, Unit.REQUESTS, 10))
    verdicts: list[Verdict] = []
    for number in range(1000):
        ledger.take(f"user {number}", 0, number, verdicts.append)
    assert len(ledger) <= 65
    granted(verdicts[0]).give_back(1000)  # long forgotten, and harmless


def test_a_refusal_takes_nothing_from_any_limit() -> None:
    ledger = MemoryLedger(THREE, HUNDRED)
    verdicts: list[Verdict] = []
    for tokens in (90, 20, 20, 20, 10):
        ledger.take("a", tokens, 0, verdicts.append)
    assert [isinstance(verdict, Wait) for verdict in verdicts] == [False, True, True, True, False]
    assert verdicts[1] == Wait(HUNDRED, 0.0, AGE_S)  # a running stream may still give its tokens back


def test_what_is_settled_can_no_longer_be_given_back() -> None:
    ledger = MemoryLedger(HUNDRED)
    verdicts: list[Verdict] = []
    ledger.take("a", 90, 0, verdicts.append)
    assert ledger.look("a", 0, 0, 20, 1) == Wait(HUNDRED, 0.0, AGE_S - 1)
    granted(verdicts[0]).settle(95, 1, final=True)
    assert ledger.look("a", 0, 0, 20, 1) == Wait(HUNDRED, AGE_S - 1, AGE_S - 1)


def test_what_is_settled_after_its_period_counts_no_more() -> None:
    ledger = MemoryLedger(Limit(10, Unit.TOKENS, 5))
    verdicts: list[Verdict] = []
    ledger.take("a", 10, 0, verdicts.append)
    ledger.take("a", 6, 7, verdicts.append)
    granted(verdicts[0]).settle(8, 8, final=True)
    ledger.take("a", 4, 8, verdicts.append)
    granted(verdicts[2])


@given(
    amount=st.integers(1, 20),
    cost=st.integers(1, 20),
    before=st.integers(0, 30),
    count=st.integers(0, 30),
    left=st.integers(0, 59),
)
def test_a_counters_wait_ends_when_it_would_let_the_cost_through(
    amount: int, cost: int, before: int, count: int, left: int
) -> None:
    cost, limit = min(cost, amount), Limit(amount, Unit.TOKENS, 60)

    def lets_through(in_s: float) -> bool:
        if in_s < left:
            return floor(before * (left - in_s) / 60 + count) + cost <= amount
        return floor(count * max(0.0, 60 - (in_s - left)) / 60) + cost <= amount

    wait_s = counter_wait_s(limit, cost, before, left, count, left)
    assert lets_through(wait_s + 0.001)
    assert wait_s == 0 or not lets_through(wait_s - 0.001)
