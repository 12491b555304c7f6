from dataclasses import replace

import pytest

from rxlapce.errors import ErrorKind
from rxlapce.flow import Attempt
from rxlapce.telemetry import metrics_families as told
from rxlapce.telemetry.hooks import Settled
from rxlapce.telemetry.metrics_families import Buckets, Family, Reading
from rxlapce.telemetry.metrics_labels import OTHER
from rxlapce.telemetry.metrics_requests import RequestCounts, Tried
from rxlapce.telemetry.settings import MetricsSettings
from rxlapce.tokens import Usage

SETTLED = Settled(
    request_id="1.1",
    user="ada",
    client="lapce",
    name="fast",
    provider="acme",
    model="m",
    finished=True,
    error_kind=None,
    attempts=(),
    took_s=0.1,
)


def attempt(name: str, usage: Usage | None = None) -> Attempt:
    provider, _, model = name.partition("/")
    return Attempt(number=1, provider=provider, model=model, started_s=0, took_s=1, usage=usage)


def rows(counts: RequestCounts, family: Family) -> dict[tuple[str, ...], object]:
    reading = Reading()
    counts.read_into(reading)
    return {labels: value for labels, value in reading.rows[family] if value}


def test_requests_are_counted_by_user_and_outcome() -> None:
    counts = RequestCounts(MetricsSettings())
    for settled in (
        SETTLED,
        SETTLED,
        replace(SETTLED, finished=False),
        replace(SETTLED, user="uid 1000", finished=False, error_kind=ErrorKind.QUOTA),
    ):
        counts.settled(settled)
    assert rows(counts, told.REQUESTS) == {
        ("ada", "completed"): 2,
        ("ada", "disposed"): 1,
        ("uid 1000", "failed"): 1,
    }
    assert rows(counts, told.REQUEST_ERRORS) == {("quota",): 1}


def test_every_outcome_and_kind_of_error_is_told_from_the_first_request_on() -> None:
    """A series that begins at 1 has no increase: nobody would be woken by a first error."""
    counts, reading = RequestCounts(MetricsSettings()), Reading()
    counts.settled(SETTLED)
    counts.read_into(reading)
    assert {labels for labels, _ in reading.rows[told.REQUESTS]} == {
        ("ada", outcome) for outcome in ("completed", "failed", "disposed")
    }
    assert {labels for labels, _ in reading.rows[told.REQUEST_ERRORS]} == {(kind.value,) for kind in ErrorKind}


def test_the_usage_of_all_attempts_is_the_users() -> None:
    counts = RequestCounts(MetricsSettings())
    wasted, used = Usage(input=10, output=1), Usage(input=12, cached_input=8, output=30, reasoning=20)
    counts.settled(replace(SETTLED, attempts=(attempt("a/m", wasted), attempt("a/m"), attempt("a/m", used))))
    assert rows(counts, told.USER_TOKENS) == {
        ("ada", "input"): 22,
        ("ada", "cached_input"): 8,
        ("ada", "output"): 31,
        ("ada", "reasoning"): 20,
    }


def test_the_same_model_again_is_a_retry_and_another_one_a_fallback_from_the_one_before() -> None:
    counts = RequestCounts(MetricsSettings(models=("a/*",)))
    counts.settled(replace(SETTLED, attempts=tuple(map(attempt, ("a/m", "a/m", "a/m", "a/n", "b/m", "b/m")))))
    counts.settled(replace(SETTLED, attempts=(attempt("a/m"),)))
    assert counts.tried("a", "m") == Tried(retries=2, fallbacks=1)
    assert counts.tried("a", "n") == Tried(fallbacks=1)
    assert counts.tried("b", OTHER) == Tried(retries=1)
    assert counts.tried("c", "never asked") == Tried()


def test_the_same_model_by_another_key_is_neither() -> None:
    counts = RequestCounts(MetricsSettings())
    keys = ("work", "work", "spare")
    counts.settled(replace(SETTLED, attempts=tuple(replace(attempt("a/m"), key=key) for key in keys)))
    assert counts.tried("a", "m") == Tried(retries=1, key_switches=1)


def test_durations_are_in_the_bucket_whose_bound_they_do_not_exceed() -> None:
    counts = RequestCounts(MetricsSettings())
    for took_s in (0.0, told.DURATION_BOUNDS[1], told.DURATION_BOUNDS[1] + 1e-6, 10_000.0):
        counts.settled(replace(SETTLED, took_s=took_s))
    value = rows(counts, told.REQUEST_DURATION)[()]
    assert isinstance(value, Buckets)
    assert list(value.up_to[:4]) == [1, 2, 3, 3]
    assert (value.up_to[-2], value.up_to[-1]) == (3, 4)
    assert value.sum == pytest.approx(10_000 + 2 * told.DURATION_BOUNDS[1], abs=1e-3)


def test_users_beyond_the_bound_are_counted_together() -> None:
    counts = RequestCounts(MetricsSettings(max_users=2))
    for number in range(100):
        counts.settled(replace(SETTLED, user=f"user {number}"))
    assert rows(counts, told.REQUESTS) == {
        ("user 0", "completed"): 1,
        ("user 1", "completed"): 1,
        (OTHER, "completed"): 98,
    }
