"""Usage that is added up: of the legs of one answer, of the attempts at one request."""

from collections.abc import Sequence
from typing import Final, TypeVar

from rxlapce.tokens import Usage, UsageSource

#: The numbers of a `Usage`, in its order.
NUMBERS: Final = ("input", "cached_input", "cache_write", "output", "reasoning", "total", "cost_usd")
Number = TypeVar("Number", int, float)
#: From the surest to the least sure: a sum is no surer than its parts.
_SURENESS: Final = (UsageSource.PROVIDER, UsageSource.ESTIMATED, UsageSource.PARTIAL)


def total_usage(parts: Sequence[Usage | None]) -> Usage | None:
    """The usage of what several attempts made: the sum; None if none told any.

    A number that some part did not tell is the sum of those that did, and the source is then `partial`; else it is the
    least sure of the parts'. `reported` is empty: it is the provider's own, without arithmetic, and there are several.
    """
    told = [usage for usage in parts if usage is not None]
    if not told:
        return None
    sureness = max(_SURENESS.index(usage.source) for usage in told)
    partial = len(told) < len(parts) or any(
        len({getattr(usage, name) is None for usage in told}) > 1 for name in ("input", "output", "total")
    )
    return Usage(
        input=_sum([usage.input for usage in told]),
        cached_input=_sum([usage.cached_input for usage in told]),
        cache_write=_sum([usage.cache_write for usage in told]),
        output=_sum([usage.output for usage in told]),
        reasoning=_sum([usage.reasoning for usage in told]),
        total=_sum([usage.total for usage in told]),
        cost_usd=_sum([usage.cost_usd for usage in told]),
        source=UsageSource.PARTIAL if partial else _SURENESS[sureness],
    )


def told_usage(usage: Usage) -> dict[str, int | float | str]:
    """The numbers that are known, by their names, and `source`: for a line of a log. Not the provider's own report."""
    told: dict[str, int | float | str] = {
        name: number for name in NUMBERS if (number := getattr(usage, name)) is not None
    }
    told["source"] = usage.source.value
    return told


def _sum(numbers: list[Number | None]) -> Number | None:
    known = [number for number in numbers if number is not None]
    return sum(known[1:], known[0]) if known else None
