"""`compare`: two providers, or two runs, on one clock and in one table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rxlapce.notebook import cells
from rxlapce.notebook.axis import duration
from rxlapce.notebook.figure import Figure, Source, looked_at, viewed
from rxlapce.notebook.frames import frame_of
from rxlapce.notebook.items import escaped
from rxlapce.notebook.marks import Outcome, State
from rxlapce.notebook.plot import STYLE, Scale, decades, log_range, text
from rxlapce.notebook.svg import svg_of, themes
from rxlapce.notebook.timing import Timing, share_within, timing_of
from rxlapce.notebook.trace import Trace

if TYPE_CHECKING:
    from pandas import DataFrame

_WIDTH: Final = 960
_LEFT: Final = 80
_RIGHT: Final = 200
_PANEL: Final = 150
_STEPS: Final = 120
#: Lines of runs that follow each other: told apart by colour and dash.
_LINES: Final = (("text", ""), ("tool_call", "7 3"), ("finish", "2 3"), ("reasoning", "10 3 2 3"))

_TABLE: Final = """
.rxlapce-compare{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;background:var(--ground);color:var(--ink)}
.rxlapce-compare{overflow-x:auto}
.rxlapce-compare table{color:inherit;font-size:12px;border-collapse:collapse;table-layout:auto;margin:8px 0 8px 12px}
.rxlapce-compare table th,.rxlapce-compare table td{text-align:right;white-space:nowrap;padding:3px 10px 3px 0}
.rxlapce-compare table th,.rxlapce-compare table td{border-bottom:1px solid var(--line)}
.rxlapce-compare table th{color:var(--muted);font-weight:400}
.rxlapce-compare table td:first-child,.rxlapce-compare table .how{text-align:left}
.rxlapce-compare table .how{white-space:normal;min-width:110px;max-width:300px}
.rxlapce-compare table .best{font-weight:700}
.rxlapce-compare table .failed{color:var(--failed)}
""".strip()


def compare(
    streams: Sequence[Source],
    *,
    labels: Sequence[str] | None = None,
    together: bool = True,
    title: str = "",
) -> "Comparison":
    """Draw `streams` beside each other: views, traces, paths of recordings, or what is subscribed to now.

    See `Comparison`.

    Those that do not run yet begin at once, or with `together` False one after another, so that they do not share the
    machine. `labels` are their names; without, what they say of themselves. Raises `ValueError` for fewer than two, and
    for labels that are not one for each; else what `figure.looked_at` does.
    """
    names = list(labels) if labels is not None else [_name(stream, place) for place, stream in enumerate(streams, 1)]
    if len(streams) < 2 or len(names) != len(streams):
        raise ValueError(f"expected two streams or more and a label for each, got {len(streams)} and {len(names)}")
    made = Comparison(streams, names, title, together=together)
    cells.close_when_run_again(made)
    made.display()
    return made


class Comparison(Figure):
    """A lane for each run, on a clock that begins at each one's subscription; a table; how long one waited in each.

    In the table the best value of a column is bold. The last panel says how many of the waits were no longer than so
    much: the line further left is quicker. Drawn anew while something runs; `await` waits for all.
    """

    def __init__(self, streams: Sequence[Source], labels: Sequence[str], title: str, *, together: bool) -> None:
        self.labels = tuple(labels)
        self.title = title
        super().__init__((), self._drawn, self._told)
        # What cannot be looked at is refused here, before anything begins.
        self._waiting = [(looked_at(stream, label), label) for stream, label in zip(streams, labels, strict=True)]
        self._begin(len(self._waiting) if together else 1)

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return not self._waiting and super().is_over

    @property
    def timings(self) -> dict[str, Timing]:
        """The figures of each run, as they are now."""
        return {label: timing_of(view.trace, view.now()) for label, view in zip(self.labels, self.views, strict=False)}

    def cancel(self) -> None:
        """Dispose of what it has started, and begin nothing more."""
        self._waiting.clear()
        super().cancel()

    def frame(self) -> "DataFrame":
        """The kept marks of all runs: see `frames.frame_of`."""
        return frame_of(*(view.trace for view in self.views), labels=self.labels[: len(self.views)])

    async def _ended(self) -> "Figure":
        try:
            while not self.is_over:
                for view in self.views:
                    await view
                self._begin(1)
        except BaseException:
            self.cancel()
            raise
        self._draw()
        return self

    def _tick(self) -> None:
        if super().is_over:
            self._begin(1)
        super()._tick()

    def _begin(self, most: int) -> None:
        for stream, label in self._waiting[:most]:
            view = viewed(stream, label)
            self.views = (*self.views, view)
            if view is not stream:
                self.started([view])
        del self._waiting[:most]

    def _drawn(self) -> str:
        timings = self.timings
        style = f"<style>{_TABLE}{themes('.rxlapce-compare')}</style>"
        traces = {label: view.trace for label, view in zip(self.labels, self.views, strict=False)}
        lanes = svg_of(merged(self.title, traces), max((timing.seconds for timing in timings.values()), default=0.0))
        return f'<div class="rxlapce-compare">{style}{lanes}{_table(timings)}{_spread(timings)}</div>'

    def _told(self) -> str:
        rows = [
            ("", *(column.name for column in _COLUMNS)),
            *((label, *_cells(timing)) for label, timing in self.timings.items()),
        ]
        wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows
        )


def merged(title: str, traces: dict[str, Trace]) -> Trace:
    """The last lanes of several runs as the lanes of one."""
    whole = Trace(title, max_marks=max(1, sum(len(trace.kept) for trace in traces.values())))
    marks: list[tuple[float, int, Any]] = []
    for label, trace in traces.items():
        lane, last = whole.lane(label, trace.lanes[-1].shape).id, trace.lanes[-1].id
        whole.begin(lane, 0.0)
        marks += [(mark.t, lane, mark.item) for mark in trace.kept if mark.lane == last]
        for folded in trace.bins():
            for kind, count in folded.counts.items() if folded.lane == last else ():
                whole.bins_of(lane).add((folded.t0 + folded.t1) / 2, kind, count)
    for t, lane, item in sorted(marks, key=lambda mark: mark[0]):
        whole.mark(lane, t, item)
    for lane, trace in enumerate(traces.values()):
        ends = [end for end in trace.ends if end.lane == trace.lanes[-1].id]
        if trace.is_over and ends:
            whole.end(lane, ends[-1].t, ends[-1].outcome)
    if all(trace.is_over for trace in traces.values()):
        failed = any(trace.state is State.FAILED for trace in traces.values())
        until = max((end.t for end in whole.ends), default=0.0)
        whole.finish(until, Outcome.FAILED if failed else Outcome.COMPLETED)
    return whole


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table; `better` says which of the values is the best, None where none is."""

    name: str
    value: Callable[[Timing], float | None]
    words: Callable[[float], str]
    better: Callable[[Sequence[float]], float] | None = None


_COLUMNS: Final = (
    _Column("first token", lambda timing: timing.first_s, duration, min),
    _Column("tokens/s", lambda timing: timing.tokens_per_s, lambda value: f"{value:,.1f}", max),
    _Column("gap p50", lambda timing: timing.gap(0.5), duration, min),
    _Column("gap p99", lambda timing: timing.gap(0.99), duration, min),
    _Column("stalls", lambda timing: float(len(timing.stalls)), lambda value: f"{value:.0f}"),
    _Column("tokens", lambda timing: float(timing.tokens), lambda value: f"{value:,.0f}"),
    _Column("provider's count", lambda timing: timing.output, lambda value: f"{value:,.0f}"),
    _Column("seconds", lambda timing: timing.seconds, duration, min),
)


def _cells(timing: Timing) -> list[str]:
    values = [(column, column.value(timing)) for column in _COLUMNS]
    return ["-" if value is None else column.words(value) for column, value in values]


def _table(timings: dict[str, Timing]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("", *(column.name for column in _COLUMNS)))
    rows = [f'<tr>{heads}<th class="how">how it ended</th></tr>']
    whole = [timing for timing in timings.values() if timing.state is State.COMPLETED]
    for label, timing in timings.items():
        cells = [f"<td>{escape(escaped(label, {}))}</td>"]
        for column, said in zip(_COLUMNS, _cells(timing), strict=True):
            # One that did not end well is not the best of anything: it may have been quick to fail.
            rivals = [value for value in map(column.value, whole) if value is not None]
            best = column.better is not None and len(rivals) > 1 and timing in whole
            is_best = best and column.better is not None and column.value(timing) == column.better(rivals)
            cells.append(f"<td{' class=best' if is_best else ''}>{escape(said)}</td>")
        how = escaped(timing.error, {}) if timing.error else timing.finish or timing.state.value
        style = "how failed" if timing.error else "how"
        rows.append(f'<tr>{"".join(cells)}<td class="{style}">{escape(how[:120])}</td></tr>')
    return f"<table>{''.join(rows)}</table>"


def _spread(timings: dict[str, Timing]) -> str:
    """Which share of the waits for a token were no longer than so much."""
    gaps = {label: timing.ordered for label, timing in timings.items()}
    top, floor, height = 40.0, 40.0 + _PANEL, int(40 + _PANEL + 36)
    low, high = log_range([gap for each in gaps.values() for gap in each])
    across, up = Scale(low, high, _LEFT, _WIDTH - _RIGHT, log=True), Scale(0.0, 1.0, floor, top)
    parts = [text(12, 22, "share of the waits for a token that were no longer than so much", "small")]
    parts.append(f'<path class="line" d="M{_LEFT} {floor}H{_WIDTH - _RIGHT}"/>')
    parts += [text(x, floor + 16, said, "small", "middle") for x, said in decades(across)]
    for share in (0.5, 0.9, 1.0):
        y = up(share)
        parts.append(f'<path class="line" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke-dasharray="1 5"/>')
        parts.append(text(_LEFT - 8, y + 4, f"{share:.0%}", "small", "end"))
    for place, (label, each) in enumerate(gaps.items()):
        kind, dash = _LINES[place % len(_LINES)]
        y = top + 8 + place * 18
        line = f'stroke="var(--{kind})" stroke-width="2" fill="none" stroke-dasharray="{dash}"'
        parts.append(f'<path {line} d="M{_WIDTH - _RIGHT + 16} {y}h28"/>')
        parts.append(text(_WIDTH - _RIGHT + 50, y + 4, escaped(label, {})[:20], "small"))
        if each:
            values = [low * (high / low) ** (step / _STEPS) for step in range(_STEPS + 1)]
            points = " ".join(f"{across(value):.1f},{up(share_within(each, value)):.1f}" for value in values)
            parts.append(f'<polyline {line} points="{points}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rxlapce-figure" role="img" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}"><style>{STYLE}{themes(".rxlapce-figure")}</style>{"".join(parts)}</svg>'
    )


def _name(stream: Source, place: int) -> str:
    if isinstance(stream, str | Path):
        return f"{place}: {Path(stream).name}"
    trace = stream if isinstance(stream, Trace) else getattr(stream, "trace", None)
    said = getattr(stream, "who", None) or getattr(trace, "title", "")
    return f"{place}: {said}" if said else f"run {place}"
