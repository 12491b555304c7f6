"""What one page is told of a trace: a snapshot, then what changed, in messages of a bounded size."""

from collections import Counter, deque

from rxlapce.notebook.bins import Bins, Counts
from rxlapce.notebook.marks import Bin, Mark, Span, SpanKind
from rxlapce.notebook.messages import MARKS_PER_DELTA, Delta, Snapshot
from rxlapce.notebook.trace import Trace, columns


class Feed:
    """The messages for one page, which has what it was told and nothing else.

    Of marks that came faster than `MARKS_PER_DELTA` a message the newest are told one by one, and the rest are counted
    in bins, though the trace keeps them: the next snapshot has them. So a page's bin is the trace's and such marks on
    top, which leave it when the trace folds them.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._seq = 0
        self._ends = 0
        self._told: object = None
        """What else there is to compare: see `_condition`."""
        self._bins: list[_PageBins] = []
        self._over: deque[Mark] = deque()
        """Marks that the page has in bins, and the trace still one by one."""
        self._spans: dict[tuple[int, SpanKind, float], Span] = {}

    @property
    def counted_only(self) -> bool:
        """Whether the page has marks only in bins that the trace keeps."""
        return bool(self._over)

    def snapshot(self, now: float) -> Snapshot:
        """All of the trace, for a page that has nothing; the deltas from here on follow it."""
        trace = self._trace
        self._seq, self._ends, self._told = trace.next_seq, len(trace.ends), self._condition(now)
        self._over.clear()
        self._bins = [_PageBins(trace.bins_of(lane.id)) for lane in trace.lanes]
        for bins in self._bins:
            bins.all_told()
        self._new_spans(now)
        return trace.snapshot(now)

    def delta(self, now: float) -> Delta | None:
        """What has changed since the last message; None if nothing has."""
        trace = self._trace
        condition = self._condition(now)
        if condition == self._told:
            return None
        lanes = trace.lanes[len(self._bins) :]
        self._bins += [_PageBins(trace.bins_of(lane.id)) for lane in lanes]
        marks = self._new_marks()
        ends = trace.ends[self._ends :]
        self._ends, self._told = len(trace.ends), condition
        return Delta(
            state=trace.state,
            now=now,
            marks=columns(marks),
            bins=[changed for bins in self._bins for changed in bins.news()],
            spans=self._new_spans(now),
            ends=ends,
            lanes=lanes,
            totals=trace.totals,
            kept_from=trace.kept_from,
        )

    def _condition(self, now: float) -> object:
        trace = self._trace
        return (
            trace.next_seq,
            trace.state,
            len(trace.lanes),
            len(trace.ends),
            trace.spans_version,
            len(trace.stalling(now)),
        )

    def _new_marks(self) -> list[Mark]:
        trace = self._trace
        for bins in self._bins:
            bins.align()
        while self._over and self._over[0].seq < trace.kept_from:
            mark = self._over.popleft()  # the trace has folded it: its own bin has it now
            self._bins[mark.lane].count(mark, -1)
        new = trace.since(self._seq)
        marks = new[-MARKS_PER_DELTA:]
        for mark in new[: -len(marks)]:
            self._over.append(mark)
            self._bins[mark.lane].count(mark, 1)
        self._seq = trace.next_seq
        return marks

    def _new_spans(self, now: float) -> list[Span]:
        spans = {(span.lane, span.kind, span.t0): span for span in self._trace.spans(now)}
        changed = [span for key, span in spans.items() if self._spans.get(key) != span]
        self._spans = spans
        return changed


class _PageBins:
    """The bins of one lane as a page has them: the trace's, and counted on top the marks that it was not told."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._width = bins.width
        self._version = 0
        self._over: dict[int, Counts] = {}
        self._touched: set[int] = set()

    def all_told(self) -> None:
        """The page has all of the trace's."""
        self._version = self._bins.version

    def align(self) -> None:
        """Follow the trace's bins when they have become wider; on the page each takes the place of those within it."""
        times = int(self._bins.width / self._width)
        if times == 1:
            return
        wider: dict[int, Counts] = {}
        for place, counts in self._over.items():
            wider.setdefault(place // times, Counter()).update(counts)
        # Of the trace's own, each has changed with the width.
        self._over, self._touched = wider, set(wider)
        self._width = self._bins.width

    def count(self, mark: Mark, by: int) -> None:
        """Add (`by` 1) a mark that the page is not told, or take it away (-1), since the trace has counted it."""
        place = self._bins.place_of(mark.t)
        counts = self._over.setdefault(place, Counter())
        counts[mark.kind] += by
        if not counts.total():
            del self._over[place]
        self._touched.add(place)

    def news(self) -> list[Bin]:
        """Those that changed since the last call."""
        bins, places = self._bins, self._touched
        if bins.version != self._version:
            places = places.union(bins.changed(self._version))
            self._version = bins.version
        self._touched = set()
        return [bins.bin(place, self._over.get(place)) for place in sorted(places)]
