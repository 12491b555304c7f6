import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.operators.retry_budget import RetryBudget
from rxlapce.testing.thoroughness import examples


def spend_all(budget: RetryBudget, now_s: float) -> int:
    return sum(1 for _ in iter(lambda: budget.spend(now_s), False))


def test_without_traffic_only_the_floor_may_be_spent() -> None:
    budget = RetryBudget(floor=3)
    assert spend_all(budget, 100.0) == 3
    assert (budget.spent, budget.refused, budget.left(100.0)) == (3, 1, 0)


def test_a_fraction_of_the_requests_is_added() -> None:
    budget = RetryBudget(fraction=0.2, floor=0)
    for _ in range(50):
        budget.count_request(7.0)
    assert budget.left(7.0) == 10
    assert spend_all(budget, 8.0) == 10


def test_four_requests_earn_no_retry_and_the_fifth_one() -> None:
    budget = RetryBudget(fraction=0.2, floor=0)
    for _ in range(4):
        budget.count_request(0.0)
    assert not budget.spend(0.0)
    budget.count_request(0.0)
    assert budget.spend(0.0)
    assert not budget.spend(0.0)


def test_what_lies_a_window_back_neither_earns_nor_costs() -> None:
    budget = RetryBudget(fraction=0.5, floor=1, window_s=60)
    for _ in range(4):
        budget.count_request(1000.0)
    assert spend_all(budget, 1000.0) == 3
    assert not budget.spend(1059.5)
    assert spend_all(budget, 1060.0) == 1


def test_an_outage_is_not_multiplied() -> None:
    budget = RetryBudget()
    sent = 0
    for request in range(6000):  # 100 requests a second for a minute; each would try three times
        now_s = request / 100
        budget.count_request(now_s)
        sent += 1 + budget.spend(now_s) + budget.spend(now_s)
    assert 7200 <= sent <= 7211
    assert sent == 6000 + budget.spent
    assert budget.refused == 12000 - budget.spent


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=80), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=examples(100), deadline=None)
def test_in_no_window_more_is_spent_than_the_window_allows(
    steps: list[tuple[float, bool]], fraction: float, floor: int
) -> None:
    budget, now_s = RetryBudget(fraction=fraction, floor=floor, window_s=60), 0.0
    requests: list[int] = []
    spent: list[int] = []
    for pause_s, is_request in steps:
        now_s += pause_s
        tick = int(now_s)
        if is_request:
            budget.count_request(now_s)
            requests.append(tick)
        else:
            in_window = sum(1 for then in requests if then > tick - 60)
            out = sum(1 for then in spent if then > tick - 60)
            assert budget.spend(now_s) == (out + 1 <= floor + fraction * in_window)
            if budget.spent > len(spent):
                spent.append(tick)


@pytest.mark.parametrize("wrong", [{"fraction": -0.1}, {"fraction": 1.1}, {"floor": -1}, {"window_s": 0}])
def test_a_wrong_bound_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryBudget(**wrong)  # type: ignore[arg-type] # one of them at a time
