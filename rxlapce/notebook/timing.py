"""The figures of one run: how long the first token took, how many came a second, and what passed between two of them.

A *token* here is what a provider sent as one delta, which a reader sees: of text, thoughts, a refusal or a tool call.
It is mostly near to a token of the model's, and not always one: `output` is how many of those the provider counted.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import Final

from rxlapce.notebook.layout import until_of
from rxlapce.notebook.marks import MarkKind, Span, SpanKind, State
from rxlapce.notebook.trace import Trace
from rxlapce.tokens import Finish, Usage, UsageReport

#: What a reader sees. The rest tells about an answer.
SEEN: Final = frozenset(
    {MarkKind.TEXT, MarkKind.REASONING, MarkKind.REFUSAL, MarkKind.TOOL_CALL, MarkKind.OPAQUE, MarkKind.VALUE}
)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The figures of the last lane of a run, in seconds from its subscription.

    `times` are those of the tokens that are kept one by one, `tokens` counts all, `counts` all marks by kind. `whole`
    says that each token is among `times`: if not, gaps and percentiles are of the newest ones.
    """

    state: State
    error: str | None
    seconds: float
    times: tuple[float, ...]
    tokens: int
    counts: Mapping[str, int]
    first_s: float | None
    usage: Usage | None
    finish: str | None
    stalls: tuple[Span, ...]

    @property
    def whole(self) -> bool:
        """Whether all tokens are among `times`."""
        return self.tokens == len(self.times)

    @cached_property
    def gaps(self) -> list[float]:
        """Seconds between each two tokens that follow each other."""
        return [later - earlier for earlier, later in pairwise(self.times)]

    @cached_property
    def ordered(self) -> list[float]:
        """The gaps, the shortest first."""
        return sorted(self.gaps)

    @property
    def output(self) -> int | None:
        """The model's own tokens, as the provider counted them."""
        return None if self.usage is None else self.usage.output

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second from the first to the last; None for fewer than two, and for those that came at once."""
        if self.first_s is None or not self.times or self.times[-1] <= self.first_s or self.tokens < 2:
            return None
        return (self.tokens - 1) / (self.times[-1] - self.first_s)

    def gap(self, quantile: float) -> float | None:
        """The gap in seconds that so many of them (0 to 1) do not pass; None for fewer than two tokens."""
        return quantile_of(self.ordered, quantile)

    def rates(self, width_s: float) -> list[tuple[float, float]]:
        """Tokens a second in windows of `width_s`: the middle of each, and its rate; from 0 to the last token."""
        if not self.times or width_s <= 0:
            return []
        windows = int(self.times[-1] / width_s) + 1
        counts = Counter(int(t / width_s) for t in self.times)
        return [((place + 0.5) * width_s, counts[place] / width_s) for place in range(windows)]


def timing_of(trace: Trace, now: float | None = None) -> Timing:
    """The figures of `trace` as it is; of one that runs, at `now` seconds of its clock."""
    lane = trace.lanes[-1].id
    marks = [mark for mark in trace.kept if mark.lane == lane]
    times = tuple(mark.t for mark in marks if mark.kind in SEEN)
    folded = [one for one in trace.bins() if one.lane == lane]
    counts: Counter[str] = Counter(mark.kind.value for mark in marks)
    for one in folded:
        counts.update(one.counts)
    tokens = sum(counts[kind] for kind in SEEN)
    seen_early = [one.t0 for one in folded if any(one.counts.get(kind, 0) for kind in SEEN)]
    usages = [mark.item.usage for mark in marks if isinstance(mark.item, UsageReport)]
    finishes = [mark.item.kind.value for mark in marks if isinstance(mark.item, Finish)]
    until = until_of(trace, now if now is not None else (trace.kept[-1].t if trace.kept else 0.0))
    return Timing(
        state=trace.state,
        error=trace.error,
        seconds=until,
        times=times,
        tokens=tokens,
        counts=counts,
        first_s=min(seen_early) if seen_early else (times[0] if times else None),
        usage=usages[-1] if usages else None,
        finish=finishes[-1] if finishes else None,
        stalls=tuple(span for span in trace.spans(until) if span.lane == lane and span.kind is SpanKind.STALL),
    )


def quantile_of(ordered: list[float], quantile: float) -> float | None:
    """The value that `quantile` (0 to 1) of `ordered` do not pass (nearest rank); None if there is none."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, ceil(quantile * len(ordered) - 1e-9) - 1))]


def share_within(ordered: list[float], value: float) -> float:
    """The share of `ordered` that does not pass `value`."""
    return bisect_right(ordered, value) / len(ordered) if ordered else 0.0
