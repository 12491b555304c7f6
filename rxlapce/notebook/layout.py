"""Where what stands in a static diagram: marks and counts put into columns of the picture, so that it has a bound."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from rxlapce.notebook.bins import Counts
from rxlapce.notebook.marks import Mark, MarkKind, Span
from rxlapce.notebook.trace import Trace

#: Columns of all lanes together, and of one lane.
_COLUMNS: Final = 320
_MOST_COLUMNS: Final = 160
_FEWEST_COLUMNS: Final = 8
#: Marks that are drawn one by one in a column: with more, there is a bar.
_SINGLE: Final = 2
#: Kinds that turn the meaning of what is around them: drawn one by one also over a bar.
_NOTABLE: Final = (MarkKind.FINISH, MarkKind.SEAM)
#: The fullest column of a lane with few marks is no full bar.
_FULL: Final = 12
#: Spans that are drawn, of all lanes together: the longest ones.
_SPANS: Final = 120


@dataclass(slots=True)
class Column:
    """A while of one lane: how many of which kind passed, and which, if they were few.

    Where they were too many to be drawn one by one it is `crowded`: then `marks` has the first ones only.
    """

    t0: float
    t1: float
    counts: Counts = field(default_factory=Counter[str])
    marks: list[Mark] = field(default_factory=list[Mark])
    notable: list[Mark] = field(default_factory=list[Mark])
    crowded: bool = False

    def put(self, mark: Mark) -> None:
        """One more mark."""
        self.counts[mark.kind] += 1
        if mark.kind in _NOTABLE and len(self.notable) < _SINGLE:
            self.notable.append(mark)
        if len(self.marks) < _SINGLE:
            self.marks.append(mark)
        else:
            self.crowded = True


@dataclass(frozen=True, slots=True)
class Layout:
    """What a diagram draws, of a trace as it was at one moment: lanes with columns, on a clock from 0 to `until`."""

    until: float
    columns: list[list[Column]]
    """Of each lane those that are not empty, in the order of time."""
    spans: list[Span]
    most: int
    """What a bar of full height counts."""


def lay_out(trace: Trace, now: float) -> Layout:
    """Put all that `trace` has at `now` in its place; takes time in proportion to the marks that are kept."""
    until = until_of(trace, now)
    lanes = max(1, len(trace.lanes))
    number = max(_FEWEST_COLUMNS, min(_MOST_COLUMNS, _COLUMNS // lanes))
    width = until / number
    columns: list[dict[int, Column]] = [{} for _ in trace.lanes]

    def at(lane: int, t: float) -> Column:
        place = min(int(t / width), number - 1)
        found = columns[lane].get(place)
        if found is None:
            found = columns[lane][place] = Column(place * width, (place + 1) * width)
        return found

    for folded in trace.bins():
        column = at(folded.lane, min((folded.t0 + folded.t1) / 2, until))
        column.counts.update(folded.counts)
        column.crowded = True
    for mark in trace.kept:
        at(mark.lane, mark.t).put(mark)
    ordered = [[lane[place] for place in sorted(lane)] for lane in columns]
    crowded = [column.counts.total() for lane in ordered for column in lane if column.crowded]
    spans = sorted(trace.spans(now), key=lambda span: (span.t1 or now) - span.t0, reverse=True)[:_SPANS]
    return Layout(until, ordered, spans, max([*crowded, _FULL]))


def until_of(trace: Trace, now: float) -> float:
    """The end of the clock, in seconds: of the last thing that happened, or now while it runs; never 0."""
    if not trace.is_over:
        return max(now, 1e-3)
    last = trace.kept[-1].t if trace.kept else 0.0
    return max(last, max((end.t for end in trace.ends), default=0.0), 1e-6)
