"""What all streams did, by provider and model: added up when a stream ends, and with those that run when asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase

from rxlapce.errors import ErrorKind
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.operators.tap import KINDS, Durations, Outcome, StreamStats, metrics_tap
from rxlapce.tokens import StreamToken

#: Stands for the models, or the providers, that came when there was no place for their names any more.
OTHER: Final = "other"
#: A name's first characters; the rest would only make a series of its own.
MAX_NAME_CHARS: Final = 128
#: How a stream can have ended: whole, dropped by its reader, or with an error of a kind.
OUTCOMES: Final = (Outcome.COMPLETED.value, Outcome.DISPOSED.value, *(kind.value for kind in ErrorKind))
#: The counts of a `Usage` that are added up. The first three and the last two overlap as they do there.
USAGE: Final = ("input", "cached_input", "cache_write", "output", "reasoning")


@dataclass(slots=True)
class ModelTotals:
    """The totals of one provider's model in plain integers: only `running` ever falls.

    An attempt is one subscription. `tokens` are by the names that kinds of token have in JSON, and `usage` by those of
    `tokens.Usage`, as the providers reported it. `first_token` holds the times to the first visible token,
    `gaps` those between tokens, but for gaps in which our own gate was closed; `duration` is of attempts that ended.
    """

    attempts: int = 0
    running: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE, 0))
    characters: int = 0
    stalls: int = 0
    paused_gaps: int = 0
    first_token: Durations = field(default_factory=Durations)
    gaps: Durations = field(default_factory=Durations)
    duration: Durations = field(default_factory=Durations)

    def add(self, stats: StreamStats) -> None:
        """Add what a stream did, so far or as a whole."""
        self.attempts += 1
        for kind, count in stats.by_kind.items():
            self.tokens[kind] += count
        self.characters += stats.characters
        self.stalls += stats.stalls
        self.paused_gaps += stats.paused_gaps
        self.gaps.add(stats.gap_times, zeros=stats.gaps_within_reads)
        first_s = stats.time_to_first_token_s
        if first_s is not None:
            self.first_token.record(round(first_s * 1e6))
        if stats.outcome is None:
            self.running += 1
        else:
            self._end(stats, stats.outcome)

    def _end(self, stats: StreamStats, outcome: Outcome) -> None:
        self.outcomes[outcome.value if stats.error_kind is None else stats.error_kind.value] += 1
        if stats.started_s is not None and stats.ended_s is not None:
            self.duration.record(round((stats.ended_s - stats.started_s) * 1e6))
        if stats.usage is not None:  # only now: a later report replaces an earlier one
            for name in USAGE:
                self.usage[name] += getattr(stats.usage, name) or 0

    def merge(self, other: "ModelTotals") -> None:
        """Add what `other` has."""
        for mine, theirs in (
            (self.outcomes, other.outcomes),
            (self.tokens, other.tokens),
            (self.usage, other.usage),
        ):
            for name, count in theirs.items():
                mine[name] += count
        self.attempts += other.attempts
        self.running += other.running
        self.characters += other.characters
        self.stalls += other.stalls
        self.paused_gaps += other.paused_gaps
        self.first_token.add(other.first_token)
        self.gaps.add(other.gaps)
        self.duration.add(other.duration)


class StreamTotals:
    """Counts attempts by provider and model: `tap` watches, `collect` tells.

    A stream costs what `metrics_tap` does, and is added to the totals once, when it ends. `collect` adds the streams
    that run as they stand, so no scrape misses a long answer, and no count but `running` ever falls. At most
    `max_series` pairs, from 1, have totals of their own: of the next ones the model becomes `other`, and the provider
    too if it is a new one, since the model is a word of the client's. A gap longer than `stall_s` seconds is a stall.
    """

    def __init__(self, *, max_series: int = 256, stall_s: float = 1.0) -> None:
        if max_series < 1:
            raise ValueError(f"max_series must be at least 1, not {max_series}")
        self.max_series = max_series
        self.stall_s = stall_s
        self._ended: dict[tuple[str, str], ModelTotals] = {}
        self._providers: set[str] = set()
        self._running: dict[StreamStats, tuple[str, str]] = {}

    def tap(
        self, provider: str, model: str, *, exchange: Exchange | None = None
    ) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
        """A `metrics_tap` that counts each subscription as an attempt at `model` of `provider`.

        source: --a-b-c--|
        result: --a-b-c--|      and 1 attempt, 3 tokens, 1 completed more

        It stands inside `retry_stream` and `fallback`, so that each attempt counts where it belongs.
        """

        def tapped(source: Observable[StreamToken]) -> Observable[StreamToken]:
            def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
                stats = StreamStats(stall_s=self.stall_s)
                self._running[stats] = self._place(provider, model)
                counted = source.pipe(metrics_tap(stats, exchange=exchange, on_end=self._on_end))
                return connect(counted, receiver, scheduler)

            return Stage(on_subscribe)

        return tapped

    def speaking(self, provider: str) -> bool:
        """Whether an answer of the provider's flows now: its first visible token has come. Linear in the streams."""
        return any(
            place[0] == provider[:MAX_NAME_CHARS] and stats.first_token_s is not None
            for stats, place in self._running.items()
        )

    def collect(self) -> dict[tuple[str, str], ModelTotals]:
        """The totals now, by provider and model: copies, which the caller may keep. Linear in series and streams."""
        collected: dict[tuple[str, str], ModelTotals] = {}
        for place, totals in self._ended.items():
            collected[place] = ModelTotals()
            collected[place].merge(totals)
        for stats, place in self._running.items():
            collected[place].add(stats)
        return collected

    def tokens(self) -> dict[tuple[str, str], int]:
        """The tokens of all kinds so far, by provider and model: what `collect` has of them, at a tenth of its cost."""
        counts = {place: sum(totals.tokens.values()) for place, totals in self._ended.items()}
        for stats, place in self._running.items():
            counts[place] += stats.tokens
        return counts

    def _place(self, provider: str, model: str) -> tuple[str, str]:
        place = (provider[:MAX_NAME_CHARS], model[:MAX_NAME_CHARS])
        if place not in self._ended:
            if len(self._ended) >= self.max_series:
                place = (place[0] if place[0] in self._providers else OTHER, OTHER)
            self._providers.add(place[0])
            self._ended.setdefault(place, ModelTotals())
        return place

    def _on_end(self, stats: StreamStats) -> None:
        self._ended[self._running.pop(stats)].add(stats)
