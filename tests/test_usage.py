"""Adding up what was used, with no more sureness than there is."""

import pytest

from rxlapce.tokens import Usage, UsageSource
from rxlapce.usage import total_usage


def test_the_usage_of_several_legs_is_their_sum() -> None:
    first = Usage(input=1, output=2, total=3, cached_input=1, cost_usd=0.5)
    second = Usage(input=10, output=20, total=30, reasoning=4, cost_usd=0.25)
    assert total_usage([first, second]) == Usage(
        input=11, output=22, total=33, cached_input=1, reasoning=4, cost_usd=0.75
    )


@pytest.mark.parametrize(
    ("sources", "total"),
    [
        ("provider provider", "provider"),
        ("provider estimated", "estimated"),
        ("estimated partial", "partial"),
        ("partial provider", "partial"),
    ],
)
def test_a_sum_is_as_sure_as_its_least_sure_part(sources: str, total: str) -> None:
    legs: list[Usage | None] = [Usage(input=1, output=1, total=2, source=UsageSource(word)) for word in sources.split()]
    usage = total_usage(legs)
    assert usage is not None
    assert usage.source == total


@pytest.mark.parametrize("other", [None, Usage(input=1)])
def test_a_sum_over_what_was_not_told_is_partial(other: Usage | None) -> None:
    usage = total_usage([Usage(input=1, output=2, total=3), other])
    assert usage is not None
    assert (usage.output, usage.source) == (2, UsageSource.PARTIAL)


def test_legs_that_told_nothing_have_no_sum() -> None:
    assert total_usage([None, None]) is None


def test_zero_is_not_missing() -> None:
    assert total_usage([Usage(input=0, output=0, total=0), Usage(input=0, output=0, total=0)]) == Usage(
        input=0, output=0, total=0
    )
