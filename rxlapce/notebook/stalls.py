"""When nothing passed: stalls, and the spans in which a gate was closed."""

from typing import Final

import msgspec

from rxlapce.notebook.marks import Span, SpanKind
from rxlapce.operators.tap import GapHistogram

#: No wait that is shorter, in seconds, is a stall: nobody would see it.
STALL_S: Final = 0.25
#: How many times the usual gap a stall is.
STALL_TIMES: Final = 6
#: Gaps that a lane must have had before one can be unusual.
USUAL_GAPS: Final = 3
#: What is closer, in seconds, came with one read, and says nothing of the pace.
TOGETHER_S: Final = 0.001
#: Spans of one lane and kind until nearer ones become one.
MANY_SPANS: Final = 200


class Rhythm:
    """How fast one lane usually is, and so which wait of it is a stall.

        o--o---o-oo--o----------------o---o       a lane
                     ==================           a stall

    A wait is a stall when it is longer than `STALL_S` and than `STALL_TIMES` the usual gap. The usual gap is the median
    of the lane's gaps so far, stalls among them (so that a stream that has become slow is slow, and not one stall after
    another), without those under `TOGETHER_S`: marks of one read are no measure of its pace. The first `USUAL_GAPS`
    gaps are usual. The wait for the first mark is none. Memory: that of a `GapHistogram`.
    """

    __slots__ = ("_gaps", "_seen", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        """When the wait that goes on began; None while the lane waits for its first mark, or for nothing."""
        self._gaps = GapHistogram()
        self._seen = 0

    def passed(self, t: float) -> float | None:
        """A mark has come at `t`. Returns since when the lane had stalled, None if it had not."""
        since, self.since = self.since, t
        if since is None:
            return None
        gap = t - since
        stalled = gap > STALL_S and self._is_stall(gap)
        self._seen += 1
        if gap >= TOGETHER_S:
            self._gaps.record(int(gap * 1e6))
        return since if stalled else None

    def stalled(self, now: float) -> float | None:
        """Since when the lane stalls at `now`; None if it does not."""
        return self.since if self.since is not None and self._is_stall(now - self.since) else None

    def _is_stall(self, gap: float) -> bool:
        if gap <= STALL_S or self._seen < USUAL_GAPS:
            return False
        return gap > STALL_TIMES * (self._gaps.quantile(0.5) or TOGETHER_S)


class Spans:
    """The spans of one lane and kind, in the order of time.

    Of spans that come by the thousand (a gate that a slow reader turns) not each can be kept: after every `MANY_SPANS`
    the distance up to which two are one doubles, from `TOGETHER_S` on. So an hour of them is at most 22 times as many.
    """

    __slots__ = ("_lane", "_near", "all", "kind", "version")

    def __init__(self, lane: int, kind: SpanKind) -> None:
        self.kind = kind
        self.all: list[Span] = []
        self.version = 0
        self._lane = lane
        self._near = TOGETHER_S

    def begin(self, t0: float) -> None:
        """A span begins at `t0`, or the last one goes on."""
        self._put(t0, None)

    def end(self, t1: float) -> None:
        """The span that goes on ends at `t1`; without effect if there is none."""
        if self.all and self.all[-1].t1 is None:
            self.all[-1] = msgspec.structs.replace(self.all[-1], t1=t1)
            self.version += 1

    def add(self, t0: float, t1: float) -> None:
        """A span from `t0` to `t1`."""
        self._put(t0, t1)

    def going_on(self, t0: float) -> Span:
        """The span that `begin(t0)` would make."""
        return Span(self._lane, self.kind, self._start(t0), None)

    def _start(self, t0: float) -> float:
        if self.all:
            last = self.all[-1]
            if last.t1 is None or t0 - last.t1 <= self._near:
                return last.t0
        return t0

    def _put(self, t0: float, t1: float | None) -> None:
        start = self._start(t0)
        if self.all and self.all[-1].t0 == start:
            self.all.pop()
        elif len(self.all) % MANY_SPANS == MANY_SPANS - 1:
            self._near *= 2
        self.all.append(Span(self._lane, self.kind, start, t1))
        self.version += 1
