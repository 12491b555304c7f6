"""The figures of a run: exact, on times that are given."""

import math
import random
from collections.abc import Iterable

import pytest

from rxlapce.notebook.marks import Outcome, SpanKind, State
from rxlapce.notebook.timing import quantile_of, share_within, timing_of
from rxlapce.notebook.trace import Trace
from rxlapce.tokens import Finish, FinishKind, Reasoning, StreamToken, Text, Usage, UsageReport


def run(marks: Iterable[tuple[float, StreamToken]], *, until: float | None = None, most: int = 20_000) -> Trace:
    """A run of one lane, that has ended at `until` if that is given."""
    trace = Trace(max_marks=most)
    trace.lane("tokens", "tokens")
    trace.begin(0, 0.0)
    for t, token in marks:
        trace.mark(0, t, token)
    if until is not None:
        trace.end(0, until, Outcome.COMPLETED)
        trace.finish(until, Outcome.COMPLETED)
    return trace


def test_the_figures_are_those_of_what_a_reader_sees() -> None:
    timing = timing_of(
        run(
            [
                (0.5, Reasoning("hm")),
                (0.75, Text("a")),
                (1.0, Text("b")),
                (1.5, Text("c")),
                (1.5, UsageReport(Usage(input=3, output=7))),
                (2.0, Finish(FinishKind.STOP)),
            ],
            until=2.25,
        )
    )
    assert timing.first_s == 0.5
    assert timing.tokens == 4
    assert timing.gaps == [0.25, 0.25, 0.5]
    assert timing.tokens_per_s == 3.0
    assert (timing.seconds, timing.output, timing.finish, timing.state) == (2.25, 7, "stop", State.COMPLETED)
    assert timing.counts == {"reasoning": 1, "text": 3, "usage": 1, "finish": 1}
    assert timing.whole
    assert [timing.gap(quantile) for quantile in (0.0, 0.5, 0.9, 1.0)] == [0.25, 0.25, 0.5, 0.5]


@pytest.mark.parametrize("marks", [[], [(0.1, Text("a"))], [(0.1, Text("a")), (0.1, Text("b"))]])
def test_of_too_little_there_is_no_speed(marks: list[tuple[float, StreamToken]]) -> None:
    timing = timing_of(run(marks, until=1.0))
    assert timing.tokens_per_s is None
    assert timing.first_s == (0.1 if marks else None)
    assert timing.gap(0.5) == (0.0 if len(marks) == 2 else None)


def test_what_is_kept_no_longer_counts_all_the_same_and_its_gaps_are_not_told() -> None:
    timing = timing_of(run(((place / 100, Text("x")) for place in range(1, 1001)), until=10.0, most=100))
    assert timing.tokens == 1000
    assert len(timing.times) == 100
    assert not timing.whole
    assert timing.first_s == pytest.approx(0.01, abs=1 / 64)
    assert timing.tokens_per_s == pytest.approx(100, rel=0.01)


def test_a_stall_is_told() -> None:
    times = [*(place / 10 for place in range(1, 31)), 9.0, 9.1]
    timing = timing_of(run(((t, Text("x")) for t in times), until=9.1))
    assert [(span.kind, span.t0, span.t1) for span in timing.stalls] == [(SpanKind.STALL, 3.0, 9.0)]


def test_rates_count_each_token_once() -> None:
    chance = random.Random(1)  # noqa: S311 - a seed, not a secret
    times = sorted(chance.uniform(0, 7) for _ in range(500))
    timing = timing_of(run(((t, Text("x")) for t in times), until=7.0))
    for width_s in (0.03, 0.5, 20.0):
        rates = timing.rates(width_s)
        assert sum(rate * width_s for _, rate in rates) == pytest.approx(500)
        assert [middle for middle, _ in rates] == pytest.approx(
            [(place + 0.5) * width_s for place in range(len(rates))]
        )


def test_a_quantile_is_the_least_value_that_so_many_do_not_pass() -> None:
    values = [float(place) for place in range(1, 101)]
    for quantile in (0.01, 0.1, 0.5, 0.9, 0.99, 1.0):
        assert quantile_of(values, quantile) == math.ceil(quantile * 100 - 1e-9)
        assert share_within(values, quantile_of(values, quantile) or 0.0) >= quantile
    assert quantile_of([], 0.5) is None
    assert share_within([], 1.0) == 0.0
