"""What all streams did, by provider and model: added up when a stream ends, and with those that run when asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
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


#: How many streams are added to the totals between two places where `gather` can be left for something else.
BREATH_STREAMS: Final = 32

#: A provider and one of its models.
Place = tuple[str, str]


class Sizes:
    """A histogram of counts: of what is at most 1, 2, 4, ... 65,536, and more.

    18 integers and their sum, whatever is recorded; exact at the bounds. `record` takes constant time.
    """

    __slots__ = ("buckets", "sum")

    #: The upper bounds, which belong to their buckets; the last bucket has none.
    BOUNDS: Final = tuple(1 << place for place in range(17))

    def __init__(self) -> None:
        self.buckets = [0] * 18
        self.sum = 0

    def record(self, size: int) -> None:
        """Count one of `size`, from 0."""
        self.sum += size
        self.buckets[min((max(size, 1) - 1).bit_length(), 17)] += 1

    def add(self, other: "Sizes") -> None:
        """Add what `other` recorded."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.sum += other.sum


@dataclass(slots=True)
class ModelTotals:
    """The totals of one provider's model in plain numbers: only `running` ever falls.

    An attempt is one subscription. `tokens` are by the names that kinds of token have in JSON, and `usage` by those of
    `tokens.Usage`, as the providers reported it, like `cost_usd`. `first_token` holds the times to the first visible
    token, `gaps` those between tokens, but for gaps in which our own gate was closed; `duration` and `sizes`, the
    tokens of each, are of attempts that ended. `bytes_read` are those of the answers, as they came.
    """

    attempts: int = 0
    running: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS.values(), 0))
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE, 0))
    cost_usd: float = 0.0
    characters: int = 0
    bytes_read: int = 0
    stalls: int = 0
    paused_gaps: int = 0
    first_token: Durations = field(default_factory=Durations)
    gaps: Durations = field(default_factory=Durations)
    duration: Durations = field(default_factory=Durations)
    sizes: Sizes = field(default_factory=Sizes)

    def add(self, stats: StreamStats) -> None:
        """Add what a stream did, so far or as a whole."""
        self.attempts += 1
        for kind, count in stats.by_kind.items():
            self.tokens[kind] += count
        self.characters += stats.characters
        self.bytes_read += stats.bytes_read
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
        self.sizes.record(stats.tokens)
        if stats.usage is not None:  # only now: a later report replaces an earlier one
            for name in USAGE:
                self.usage[name] += getattr(stats.usage, name) or 0
            self.cost_usd += stats.usage.cost_usd or 0.0

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
        self.cost_usd += other.cost_usd
        self.characters += other.characters
        self.bytes_read += other.bytes_read
        self.stalls += other.stalls
        self.paused_gaps += other.paused_gaps
        self.first_token.add(other.first_token)
        self.gaps.add(other.gaps)
        self.duration.add(other.duration)
        self.sizes.add(other.sizes)


class StreamTotals:
    """Counts attempts by provider and model: `tap` watches, `collect` tells.

    A stream costs what `metrics_tap` does, and is added to the totals once, when it ends. `collect` adds the streams
    that run as they stand, so no scrape misses a long answer, and no count but `running` ever falls. At most
    `max_series` pairs, from 1, have totals of their own: of the next ones the model becomes `other`, and the provider
    too if it is a new one, since the model is a word of the client's. Pairs that `reserved` is true of have as many
    places for themselves, which nobody can take by inventing others. A gap longer than `stall_s` seconds is a stall.
    """

    def __init__(
        self, *, max_series: int = 256, stall_s: float = 1.0, reserved: Callable[[str, str], bool] | None = None
    ) -> None:
        if max_series < 1:
            raise ValueError(f"max_series must be at least 1, not {max_series}")
        self.max_series = max_series
        self.stall_s = stall_s
        self.reserved = reserved or _nobody
        self._in_reserved = 0
        self._ended: dict[Place, ModelTotals] = {}
        self._providers: set[str] = set()
        self._running: dict[Place, dict[StreamStats, None]] = {}

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
                place = self._place(provider, model)
                self._running.setdefault(place, {})[stats] = None
                counted = source.pipe(metrics_tap(stats, exchange=exchange, on_end=partial(self._on_end, place)))
                return connect(counted, receiver, scheduler)

            return Stage(on_subscribe)

        return tapped

    def speaking(self, provider: str) -> bool:
        """Whether an answer of the provider's flows now: its first visible token has come. Linear in the streams."""
        return any(
            place[0] == provider[:MAX_NAME_CHARS] and any(stats.first_token_s is not None for stats in running)
            for place, running in self._running.items()
        )

    def collect(self) -> dict[Place, ModelTotals]:
        """The totals now, by provider and model: copies, which the caller may keep. Linear in series and streams."""
        return dict(told for told in self.gather() if told is not None)

    def gather(self) -> Iterator[tuple[Place, ModelTotals] | None]:
        """The same one by one, for who has something else to do in between: then the counts go on.

        None says that more of one place is to come; between two steps are `BREATH_STREAMS` streams at most. The totals
        of each place are those of one moment, or of a later one for the streams that ran then.
        """
        for place in tuple(self._ended):
            running = tuple(self._running.get(place, ()))
            totals = ModelTotals()
            totals.merge(self._ended[place])
            for number, stats in enumerate(running, 1):
                totals.add(stats)
                if number % BREATH_STREAMS == 0:
                    yield None
            yield place, totals

    def tokens(self) -> dict[Place, int]:
        """The tokens of all kinds so far, by provider and model: what `collect` has of them, at a tenth of its cost."""
        counts = {place: sum(totals.tokens.values()) for place, totals in self._ended.items()}
        for place, running in self._running.items():
            counts[place] += sum(stats.tokens for stats in running)
        return counts

    def _place(self, provider: str, model: str) -> Place:
        place = (provider[:MAX_NAME_CHARS], model[:MAX_NAME_CHARS])
        if place not in self._ended:
            is_reserved = self.reserved(*place)
            taken = self._in_reserved if is_reserved else len(self._ended) - self._in_reserved
            if taken >= self.max_series:
                place = (place[0] if place[0] in self._providers else OTHER, OTHER)
            elif is_reserved:
                self._in_reserved += 1
            self._providers.add(place[0])
            self._ended.setdefault(place, ModelTotals())
        return place

    def _on_end(self, place: Place, stats: StreamStats) -> None:
        running = self._running[place]
        del running[stats]
        if not running:
            del self._running[place]
        self._ended[place].add(stats)


def _nobody(_: str, __: str) -> bool:
    return False
