"""A diagram in words, and in plain characters: where no picture can be."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from rxlapce.notebook.axis import amount, duration
from rxlapce.notebook.items import escaped
from rxlapce.notebook.layout import until_of
from rxlapce.notebook.marks import MarkKind, Outcome, State
from rxlapce.notebook.trace import Trace

_CELLS: Final = 64
_SIGNS: Final = {Outcome.COMPLETED: "|", Outcome.FAILED: "X", Outcome.CANCELLED: "¦"}


def kind_words(kind: str) -> str:
    """What a kind of marks is called."""
    return kind.replace("_", " ")


def counted(counts: Mapping[str, int]) -> str:
    """How many of which kind: "12 text, 1 tool call"; the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {kind_words(kind)}" for kind, count in ordered)


def total_words(trace: Trace, lane: int) -> str:
    """What passed a lane: "12", "1,234 · 4.1 kB", "204 · 3,121 chars"."""
    total = trace.totals[lane]
    if not total.size:
        return f"{total.marks:,}"
    kind = next((mark.kind for mark in reversed(trace.kept) if mark.lane == lane), None)
    in_bytes = kind in (MarkKind.BYTES, MarkKind.EVENT)
    chars = f"{total.size:,}" if total.size < 10_000 else f"{total.size / 1_000:,.1f}k"
    return f"{total.marks:,} · {amount(total.size) if in_bytes else f'{chars} chars'}"


def summary_of(trace: Trace, now: float, *, titled: bool = True) -> str:
    """One sentence: what it is, how it ended, what came last, and how long it took."""
    last = trace.totals[-1].marks if trace.totals else 0
    lanes = f" in {len(trace.lanes)} lanes" if len(trace.lanes) > 1 else ""
    marks = f"{trace.next_seq:,} {'mark' if trace.next_seq == 1 else 'marks'}{lanes}"
    came = marks if not lanes else f"{marks}, {last:,} in the last"
    until = duration(until_of(trace, now)) if trace.state is not State.WAITING else duration(now)
    state = {State.WAITING: "nothing has come yet", State.RUNNING: "running"}.get(trace.state, trace.state.value)
    title = escaped(trace.title, {}) if titled else ""
    return (
        f"{title}{': ' if title else ''}{state} after {until}: {came}"
        if trace.is_over
        else (f"{title}{': ' if title else ''}{state}, {until} so far: {came}")
    )


def words_of(trace: Trace, now: float) -> str:
    """The diagram in plain characters, one line a lane: o a mark, 2 to 9 and * more at one place, = nothing passed.

    completed after 1.2 s: 7 marks in 2 lanes, 4 in the last
    bytes   -o-----o===o---|
    tokens  -o-----2===o---|
    """
    until = until_of(trace, now)
    wide = max((len(lane.name) for lane in trace.lanes), default=0)
    lines = [summary_of(trace, now)]
    lines += [f"{escaped(lane.name, {}):<{wide}}  {_line(trace, lane.id, now, until)}" for lane in trace.lanes]
    return "\n".join(lines if trace.error is None else [*lines, f"error: {trace.error}"])


def _line(trace: Trace, lane: int, now: float, until: float) -> str:
    def place(t: float) -> int:
        return min(int(t / until * _CELLS), _CELLS - 1)

    cells = ["-"] * _CELLS
    for span in trace.spans(now):
        if span.lane == lane:
            first, last = place(span.t0), place(now if span.t1 is None else span.t1)
            cells[first : last + 1] = "=" * (last + 1 - first)
    counts = Counter(place(mark.t) for mark in trace.kept if mark.lane == lane)
    for folded in trace.bins():
        if folded.lane == lane:
            counts[place(folded.t0)] += sum(folded.counts.values())
    for at, count in counts.items():
        cells[at] = "o" if count == 1 else str(count) if count <= 9 else "*"
    line = "".join(cells)
    ends = [end for end in trace.ends if end.lane == lane]
    return f"{line[: place(ends[-1].t) + 1]}{_SIGNS[ends[-1].outcome]}" if ends and trace.is_over else line
