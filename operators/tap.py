"""What a stream did, in plain integers: counted as it passes, read by whoever wants it, at any time."""

import math
from bisect import bisect_left
from collections.abc import Callable
from enum import StrEnum
from itertools import accumulate
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, clock_of, connect
from rxlapce.tokens import (
    VISIBLE,
    Finish,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

KINDS: Final[dict[type[StreamToken], str]] = {
    Text: "text",
    Reasoning: "reasoning",
    Refusal: "refusal",
    ToolCall: "tool_call",
    UsageReport: "usage",
    Finish: "finish",
    Seam: "seam",
    Opaque: "opaque",
}


class Outcome(StrEnum):
    """How a stream ended for the one who watched it."""

    COMPLETED = "completed"
    FAILED = "failed"
    DISPOSED = "disposed"


class GapHistogram:
    """A histogram of durations in a fixed number of integer buckets, which grow with what they hold.

    Each power of two of microseconds is cut into `PARTS` equal buckets, so `quantile` is within 1 / (2 * PARTS) = 3.2 %
    of a true value from 16 us up, exact to half a microsecond below; the last bucket begins at 2^32 us (71 minutes) and
    holds all that is longer. Memory: 465 integers, whatever is recorded. `record` takes constant time.
    """

    __slots__ = ("buckets", "count")

    PARTS: Final = 16
    _SHIFT: Final = 4
    _LAST: Final = (32 - _SHIFT + 1) << _SHIFT

    def __init__(self) -> None:
        self.buckets = [0] * (self._LAST + 1)
        self.count = 0

    def record(self, us: int) -> None:
        """Count one duration of `us` microseconds; a negative one counts as 0."""
        if us < self.PARTS:
            place = max(us, 0)
        else:
            octave = us.bit_length() - 1 - self._SHIFT
            place = min((octave << self._SHIFT) + (us >> octave), self._LAST)
        self.buckets[place] += 1
        self.count += 1

    def merge(self, other: "GapHistogram") -> None:
        """Add what `other` recorded."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.count += other.count

    def quantile(self, q: float, *, zeros: int = 0) -> float | None:
        """The duration in seconds that a share `q` (0 to 1) does not exceed; None if nothing was recorded.

        `zeros` more durations of 0 count as recorded.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"q must be from 0 to 1, not {q}")
        total = self.count + zeros
        if total == 0:
            return None
        rank = max(1, math.ceil(q * total)) - zeros
        if rank <= 0:
            return 0.0
        return self._middle_us(bisect_left(list(accumulate(self.buckets)), rank)) / 1e6

    def _middle_us(self, place: int) -> float:
        if place < self.PARTS:
            return float(place)
        octave = (place >> self._SHIFT) - 1
        low = (place - (octave << self._SHIFT)) << octave
        return low + ((1 << octave) - 1) / 2


class Durations:
    """A histogram of durations as scrapers take it: counts of what is at most 1.25 ms, 2.5 ms, ... 655.36 s, and more.

    21 integers and their sum in microseconds, whatever is recorded; exact at the bounds. `record` takes constant time.
    Among the bounds are those that OpenTelemetry recommends for such durations: 0.01 s, doubling up to 81.92 s.
    """

    __slots__ = ("buckets", "sum_us")

    #: The upper bounds in seconds, which belong to their buckets; the last bucket has none.
    BOUNDS_S: Final = tuple(0.00125 * 2**place for place in range(20))

    def __init__(self) -> None:
        self.buckets = [0] * 21
        self.sum_us = 0

    @property
    def count(self) -> int:
        """How many were recorded."""
        return sum(self.buckets)

    def record(self, us: int) -> None:
        """Count one duration of `us` microseconds; a negative one counts as 0."""
        if us > 0:
            self.sum_us += us
            self.buckets[min(((us - 1) // 1250).bit_length(), 20)] += 1
        else:
            self.buckets[0] += 1

    def add(self, other: "Durations", *, zeros: int = 0) -> None:
        """Add what `other` recorded, and `zeros` durations of 0."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.buckets[0] += zeros
        self.sum_us += other.sum_us


class StreamStats:
    """The counts of one stream; a collector reads them at scrape time. Times are of the scheduler's clock, in seconds.

    A *gap* is the time from one token to the next. Tokens of one read come at once: their gaps are 0 and are not
    recorded one by one. Gaps in which our own gate was closed say nothing of the provider: they are counted in
    `paused_gaps` and nowhere else. A gap longer than `stall_s` is a stall.
    """

    __slots__ = (
        "_bytes",
        "_reading",
        "characters",
        "counts",
        "ended_s",
        "error_kind",
        "first_token_s",
        "gap_times",
        "gaps",
        "outcome",
        "paused_gaps",
        "stall_s",
        "stalls",
        "started_s",
        "texts",
        "usage",
    )

    def __init__(self, *, stall_s: float = 1.0) -> None:
        self.stall_s = stall_s
        self.texts = 0
        """Tokens of kind text: nearly all of most streams, and so not in `counts`, where adding one takes longer."""
        self.counts: dict[type[StreamToken], int] = dict.fromkeys(KINDS, 0)
        """Tokens of each other kind."""
        self.characters = 0
        """Of text, the visible answer; reasoning, refusals and arguments are not counted."""
        self.started_s: float | None = None
        self.first_token_s: float | None = None
        """When the first token came that a user would see (`tokens.VISIBLE`)."""
        self.ended_s: float | None = None
        self.gaps = GapHistogram()
        """For quantiles of this stream."""
        self.gap_times = Durations()
        """The same gaps, in buckets that add up over streams."""
        self.usage: Usage | None = None
        """The last that was told."""
        self.paused_gaps = 0
        self.stalls = 0
        self.outcome: Outcome | None = None
        """None while the stream runs."""
        self.error_kind: ErrorKind | None = None
        self._bytes = 0
        self._reading: Exchange | None = None

    def reads_begin(self, exchange: Exchange) -> None:
        """What `exchange` reads from now on is this stream's."""
        self._bytes, self._reading = -exchange.bytes_read, exchange

    def reads_end(self) -> None:
        """What it reads from now on is not."""
        self._bytes, self._reading = self.bytes_read, None

    @property
    def bytes_read(self) -> int:
        """Bytes of answers read from the provider so far; 0 where the tap has no exchange."""
        return self._bytes if self._reading is None else self._bytes + self._reading.bytes_read

    @property
    def tokens(self) -> int:
        """All tokens so far."""
        return self.texts + sum(self.counts.values())

    @property
    def by_kind(self) -> dict[str, int]:
        """Tokens so far by the name that their kind has in JSON; kinds that did not come are left out."""
        counts = {**self.counts, Text: self.texts}
        return {KINDS[kind]: count for kind, count in counts.items() if count}

    @property
    def time_to_first_token_s(self) -> float | None:
        """From the subscription to the first visible token, in seconds; None while there was none."""
        if self.started_s is None or self.first_token_s is None:
            return None
        return self.first_token_s - self.started_s

    @property
    def gaps_within_reads(self) -> int:
        """Gaps of 0, between tokens that one read brought."""
        return max(0, self.tokens - 1 - self.gaps.count - self.paused_gaps)

    def gap_quantile(self, q: float) -> float | None:
        """The gap in seconds that a share `q` (0 to 1) of all gaps does not exceed; None before the second token."""
        return self.gaps.quantile(q, zeros=self.gaps_within_reads)


def metrics_tap(
    stats: StreamStats, *, exchange: Exchange | None = None, on_end: Callable[[StreamStats], None] | None = None
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Hand everything on unchanged, and count it into `stats`.

        source: --a-b-c--|
        result: --a-b-c--|      then stats.tokens == 3, stats.outcome == "completed"

    With an `exchange` the clock is read once a read and not once a token: tokens of one read come at one time.
    `on_end(stats)` is called exactly once, however the stream ends: before the end is handed on, or when the
    subscription is disposed. `stats` counts one stream: a second subscription fails with RuntimeError.
    Synchronous; holds no token; memory is that of `StreamStats`.
    """

    def tapped(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            if stats.started_s is not None:
                raise RuntimeError("a StreamStats counts one stream: make a new one for each subscription")
            return _Tap(stats, exchange, on_end, receiver, scheduler).start(source, scheduler)

        return Stage(on_subscribe)

    return tapped


class _Tap:
    """One subscription's bookkeeping beside its counts."""

    __slots__ = (
        "clock",
        "closings",
        "exchange",
        "flow",
        "last_s",
        "on_end",
        "read_s",
        "receiver",
        "shared",
        "source",
        "stats",
    )

    def __init__(
        self,
        stats: StreamStats,
        exchange: Exchange | None,
        on_end: Callable[[StreamStats], None] | None,
        receiver: Receiver[StreamToken],
        scheduler: SchedulerBase | None,
    ) -> None:
        self.stats = stats
        self.on_end = on_end
        self.receiver = receiver
        self.shared = exchange is not None
        # Without an exchange an idle one stands for it; `read_s` stays None, so that each token counts as a read.
        self.exchange = Exchange() if exchange is None else exchange
        self.flow: FlowControl = self.exchange.flow
        self.closings = self.flow.closings
        self.clock = clock_of(scheduler)
        self.read_s: float | None = None
        """The exchange's last read that was seen here; None makes the next token look at the clock."""
        self.last_s: float | None = None
        """When the last token came."""
        self.source = SingleAssignmentDisposable()
        stats.started_s = self.clock()
        stats.reads_begin(self.exchange)

    def start(self, source: Observable[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        stats, exchange, counts, emit = self.stats, self.exchange, self.stats.counts, self.receiver.on_next

        def on_next(token: StreamToken) -> None:
            if type(token) is Text:
                stats.texts += 1
                stats.characters += len(token.text)
            else:
                counts[type(token)] += 1
                if type(token) is UsageReport:
                    stats.usage = token.usage
            if exchange.last_read_s != self.read_s:
                self.on_read(token)
            emit(token)

        self.source.disposable = connect(source, Receiver(on_next, self.on_error, self.on_completed), scheduler)
        return CompositeDisposable(self.source, Disposable(self.on_dispose))

    def on_read(self, token: StreamToken) -> None:
        """Note the time of a token that is the first of its read."""
        stats, now_s = self.stats, self.clock()
        if self.last_s is not None:
            if self.closings == self.flow.closings:
                gap_s = now_s - self.last_s
                gap_us = round(gap_s * 1e6)
                stats.gaps.record(gap_us)
                stats.gap_times.record(gap_us)
                stats.stalls += gap_s > stats.stall_s
            else:
                stats.paused_gaps += 1
        self.closings = self.flow.closings
        self.last_s = now_s
        if stats.first_token_s is None and isinstance(token, VISIBLE):
            stats.first_token_s = now_s
            self.exchange.tell_first_token()
        if stats.first_token_s is not None and self.shared:
            self.read_s = self.exchange.last_read_s

    def finish(self, outcome: Outcome, error_kind: ErrorKind | None = None) -> None:
        stats = self.stats
        if stats.outcome is None:
            stats.outcome = outcome
            stats.error_kind = error_kind
            stats.ended_s = self.clock()
            stats.reads_end()
            if self.on_end is not None:
                self.on_end(stats)

    def on_error(self, error: Exception) -> None:
        kind = error.kind if isinstance(error, ProviderError) else ErrorKind.INTERNAL
        try:
            self.finish(Outcome.FAILED, kind)
        finally:  # a hook that fails must not keep the end from the reader
            self.receiver.on_error(error)

    def on_completed(self) -> None:
        try:
            self.finish(Outcome.COMPLETED)
        finally:
            self.receiver.on_completed()

    def on_dispose(self) -> None:
        self.finish(Outcome.DISPOSED)
