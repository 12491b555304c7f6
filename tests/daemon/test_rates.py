"""Rates over a window: what grew in the last seconds, and nothing of before."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.daemon.rates import RateWindow
from rxlapce.testing.thoroughness import examples


def looked(*looks: tuple[float, Mapping[str, int]], window_s: float = 10.0) -> RateWindow:
    window = RateWindow(window_s)
    for now_s, counts in looks:
        window.look(now_s, counts)
    return window


def test_before_the_first_look_nothing_grew() -> None:
    assert RateWindow(10.0).rates(5.0, {"a/m": 7}) == (10.0, {})


def test_a_rate_is_over_the_time_since_the_oldest_look_that_is_kept() -> None:
    window = looked((0.0, {"a/m": 0}), (2.0, {"a/m": 40}))
    assert window.rates(4.0, {"a/m": 100, "a/idle": 0}) == (4.0, {"a/m": 25.0})


def test_what_grew_before_the_window_does_not_count() -> None:
    window = looked((0.0, {"a/m": 0}), (2.0, {"a/m": 1000}), (12.0, {"a/m": 1000}))
    assert window.rates(12.0, {"a/m": 1000}) == (10.0, {})
    assert window.rates(14.0, {"a/m": 1024}) == (12.0, {"a/m": 2.0})


def test_a_model_that_is_new_grew_from_nothing() -> None:
    assert looked((0.0, {})).rates(2.0, {"a/m": 10}) == (2.0, {"a/m": 5.0})


def test_a_rate_is_over_a_second_at_least() -> None:
    assert looked((3.0, {"a/m": 0})).rates(3.01, {"a/m": 8}) == (1.0, {"a/m": 8.0})


def test_a_window_in_which_nothing_grew_is_told_apart() -> None:
    window = looked((0.0, {"a/m": 3}), (2.0, {"a/m": 3}))
    assert not window.grew({"a/m": 3})
    assert window.grew({"a/m": 4})
    window.clear()
    assert (len(window), window.grew({"a/m": 4})) == (0, False)


@settings(max_examples=examples(50))
@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 1000)), min_size=1, max_size=50),
    st.sampled_from([1.0, 10.0]),
)
def test_the_rate_is_what_grew_since_the_last_look_before_the_window(
    steps: list[tuple[float, int]], window_s: float
) -> None:
    window, now_s, count = RateWindow(window_s), 100.0, 0
    history: list[tuple[float, int]] = []
    for passed_s, more in steps:
        now_s, count = now_s + passed_s, count + more
        history.append((now_s, count))
        window.look(now_s, {"a/m": count})
    span_s, rates = window.rates(now_s, {"a/m": count})
    before = [look for look in history if look[0] <= now_s - window_s]
    since_s, counted = before[-1] if before else history[0]
    assert span_s == max(now_s - since_s, 1.0)
    assert rates.get("a/m", 0.0) * span_s == pytest.approx(count - counted)
