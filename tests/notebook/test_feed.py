"""What a page has been told is what a fresh snapshot would tell it, whatever has passed."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rxlapce.notebook import bins, feed, stalls
from rxlapce.notebook.feed import Feed
from rxlapce.notebook.marks import Bin, Lane, LaneEnd, Outcome, Span, SpanKind, State
from rxlapce.notebook.messages import Columns, Delta, LaneTotal, Snapshot
from rxlapce.notebook.trace import Trace, columns
from rxlapce.tokens import Reasoning, Text

MAX_MARKS = 12
MARKS_A_DELTA = 4
MAX_BINS = 6


@dataclass
class ModelPage:
    """The other end, as `messages` tells it to be."""

    lanes: list[Lane] = field(default_factory=list[Lane])
    marks: dict[int, tuple[int, float, str]] = field(default_factory=dict[int, tuple[int, float, str]])
    bins: list[Bin] = field(default_factory=list[Bin])
    spans: dict[tuple[int, SpanKind, float], Span] = field(default_factory=dict[tuple[int, SpanKind, float], Span])
    ends: list[LaneEnd] = field(default_factory=list[LaneEnd])
    totals: list[LaneTotal] = field(default_factory=list[LaneTotal])
    state: State = State.WAITING

    def hear(self, message: Snapshot | Delta) -> None:
        if isinstance(message, Snapshot):
            self.lanes, self.marks, self.bins, self.spans, self.ends = [], {}, [], {}, []
        self.lanes += message.lanes
        self.put(message.marks)
        for new in message.bins:
            self.bins = [old for old in self.bins if old.lane != new.lane or not new.t0 <= old.t0 < new.t1]
            self.bins.append(new)
        self.spans.update({(span.lane, span.kind, span.t0): span for span in message.spans})
        self.ends += message.ends
        self.totals, self.state = message.totals, message.state
        if isinstance(message, Delta):
            self.marks = {seq: mark for seq, mark in self.marks.items() if seq >= message.kept_from}

    def put(self, marks: Columns) -> None:
        told = zip(marks.seq, marks.lane, marks.t, marks.kind, strict=True)
        self.marks.update({seq: (lane, t, kind) for seq, lane, t, kind in told})

    def counts(self, trace: Trace) -> Counter[tuple[int, int, str]]:
        """How many of which kind are in which lane and bin, whether they were told one by one or not."""
        counts: Counter[tuple[int, int, str]] = Counter()
        for lane, t, kind in self.marks.values():
            counts[lane, trace.bins_of(lane).place_of(t), kind] += 1
        for told in self.bins:
            place = trace.bins_of(told.lane).place_of((told.t0 + told.t1) / 2)
            counts.update({(told.lane, place, kind): count for kind, count in told.counts.items()})
        return counts


Step = tuple[str, int, float]

steps = st.lists(
    st.tuples(
        st.sampled_from(["mark"] * 12 + ["begin", "end", "gate", "delta", "delta", "delta", "snapshot", "lane"]),
        st.integers(0, 2),
        st.sampled_from([0.0, 0.0, 0.0005, 0.004, 0.02, 0.02, 0.1, 1.0, 7.0]),
    ),
    max_size=120,
)


def play(trace: Trace, step: str, number: int, t: float, gate: list[bool]) -> None:
    lane = number % len(trace.lanes)
    match step:
        case "mark":
            trace.mark(lane, t, Text("a" * 40) if number else Reasoning("b"))
        case "begin":
            trace.begin(lane, t)
        case "end":
            trace.end(lane, t, list(Outcome)[number])
        case "lane" if len(trace.lanes) < 4:
            trace.lane("more")
        case "gate":
            (trace.resume if gate[0] else trace.pause)(t)
            gate[0] = not gate[0]
        case _:
            pass


#: A burst that the page has in bins, of which the trace folds so much that its bins become wider.
BURST = [("mark", 1, 1 / 64)] * 12 + [("delta", 0, 0.0)] + [("mark", 1, 0.0)] * 7


@given(steps, st.booleans())
@example(played=BURST, finishes=False)
def test_snapshot_and_deltas_make_the_page_that_a_fresh_snapshot_makes(played: list[Step], finishes: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "MARKS_PER_DELTA", MARKS_A_DELTA)
        patch.setattr(bins, "MAX_BINS", MAX_BINS)
        patch.setattr(stalls, "MANY_SPANS", 3)
        trace, page, t, gate = Trace(max_marks=MAX_MARKS, max_bytes=1_500), ModelPage(), 0.0, [False]
        trace.lane("first")
        trace.begin(0, 0.0)
        told = Feed(trace)
        page.hear(told.snapshot(t))
        for step, number, wait_s in played:
            t += wait_s
            play(trace, step, number, t, gate)
            message = told.snapshot(t) if step == "snapshot" else told.delta(t) if step == "delta" else None
            if message is not None:
                assert isinstance(message, Snapshot) or len(message.marks.seq) <= MARKS_A_DELTA
                page.hear(message)
        if finishes:
            trace.finish(t, Outcome.COMPLETED)
        last = told.delta(t)
        if last is not None:
            page.hear(last)
        fresh = ModelPage()
        fresh.hear(trace.snapshot(t))
        assert page.counts(trace) == fresh.counts(trace)
        assert set(page.marks.items()) <= set(fresh.marks.items())
        assert (page.lanes, page.ends, page.totals, page.state) == (fresh.lanes, fresh.ends, fresh.totals, fresh.state)
        assert page.spans == fresh.spans
        assert all(one.t1 - one.t0 == trace.bins_of(one.lane).width for one in page.bins)
        assert told.delta(t) is None


@given(steps)
def test_what_is_kept_and_what_is_folded_is_all_that_passed_within_the_bounds(played: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins, "MAX_BINS", MAX_BINS)
        trace, t, gate = Trace(max_marks=MAX_MARKS, max_bytes=1_500), 0.0, [False]
        trace.lane("first")
        trace.begin(0, 0.0)
        for step, number, wait_s in played:
            t += wait_s
            play(trace, step, number, t, gate)
            folded = trace.bins()
            assert len(trace.kept) <= MAX_MARKS
            assert trace.kept_bytes <= trace.max_bytes
            assert all(len(trace.bins_of(lane.id)) <= MAX_BINS for lane in trace.lanes)
            assert len(trace.kept) + sum(sum(one.counts.values()) for one in folded) == trace.next_seq
            for lane in trace.lanes:
                kept = sum(mark.lane == lane.id for mark in trace.kept)
                counted = sum(sum(one.counts.values()) for one in folded if one.lane == lane.id)
                assert trace.totals[lane.id].marks == kept + counted


def test_the_newest_marks_of_a_burst_are_told_one_by_one_and_the_rest_is_counted() -> None:
    trace = Trace()
    trace.lane("a")
    trace.begin(0, 0.0)
    told = Feed(trace)
    told.snapshot(0.0)
    for number in range(1_200):
        trace.mark(0, 0.001, number)
    delta = told.delta(0.002)
    assert delta is not None
    assert delta.marks.seq == list(range(700, 1_200))
    assert [one.counts for one in delta.bins] == [{"value": 700}]
    assert told.counted_only
    assert told.snapshot(0.003).marks == columns(list(trace.kept))
    assert not told.counted_only
