"""The static form of a diagram: one SVG document that needs nothing else, dark or light as what is around it."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from html import escape
from typing import Final

from rxlapce.notebook import palette
from rxlapce.notebook.axis import duration, ticks
from rxlapce.notebook.bins import Counts
from rxlapce.notebook.items import escaped
from rxlapce.notebook.layout import Column, Layout, lay_out
from rxlapce.notebook.marks import LaneEnd, Mark, MarkKind, Outcome, Span, SpanKind
from rxlapce.notebook.trace import Trace
from rxlapce.notebook.words import counted, kind_words, summary_of, total_words

_WIDTH: Final = 960
_LEFT: Final = 128
_RIGHT: Final = 130
_LANE: Final = 48
_HEAD: Final = 46
_RADIUS: Final = 5.0
#: Of the marks of a lane with more than so many: they would hide each other.
_SMALL_RADIUS: Final = 3.5
_MANY: Final = 60
_TICKS: Final = 9
#: Of monospaced text of 10 px, a character; and what stands at both sides of a label.
_CHAR: Final = 6.1
_AIR: Final = 6.0
#: Of a label that is cut: less of it says nothing.
_FEWEST_CHARS: Final = 5
_SMALL_CHARS: Final = 7.2
_NAME_CHARS: Final = 15
_TITLE_CHARS: Final = 60
_ERROR_CHARS: Final = 140
#: Ends of one lane that are drawn: its last ones.
_ENDS: Final = 12

_STYLE: Final = """
.rxlapce-marbles{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;max-width:100%;height:auto}
.rxlapce-marbles text{fill:var(--ink)}
.rxlapce-marbles .small{fill:var(--muted);font-size:11px}
.rxlapce-marbles .label{fill:var(--muted);font:10px ui-monospace,"DejaVu Sans Mono",monospace}
.rxlapce-marbles .title{font-size:14px;font-weight:600}
.rxlapce-marbles .error{fill:var(--failed)}
.rxlapce-marbles .line{stroke:var(--line);fill:none}
.rxlapce-marbles .mark{stroke:var(--ground);stroke-width:1}
.rxlapce-marbles .end{stroke-width:2.5;fill:none}
.rxlapce-marbles .span{opacity:.12}
.rxlapce-marbles .hatch{stroke-width:1;opacity:.7;fill:none}
""".strip()


def svg_of(trace: Trace, now: float) -> str:
    """The diagram of `trace`, at `now` seconds of its clock.

    At most some 2,000 elements, however long the stream: where marks would lie on each other there are bars. All text
    of the stream is escaped.
    """
    return _Drawing(trace, now, lay_out(trace, now)).whole()


class _Drawing:
    """One diagram, drawn from top to bottom."""

    def __init__(self, trace: Trace, now: float, layout: Layout) -> None:
        self.trace = trace
        self.now = now
        self.layout = layout
        self.top = _HEAD + (20 if trace.error else 0)
        self.floor = self.top + _LANE * max(1, len(trace.lanes))

    def whole(self) -> str:
        legend, height = self.legend(self.floor + 48)
        parts = [
            self.head(),
            self.clock(),
            *(self.span(span) for span in self.layout.spans),
            *(self.lane(lane.id) for lane in self.trace.lanes),
            legend,
        ]
        summary = escape(summary_of(self.trace, self.now))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rxlapce-marbles" role="img" aria-label="{summary}"'
            f' width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">'
            f"<style>{_STYLE}{themes('.rxlapce-marbles')}</style>"
            f'<rect width="{_WIDTH}" height="{height}" fill="var(--ground)"/>{"".join(parts)}</svg>'
        )

    def x(self, t: float) -> float:
        """Where on the clock `t` is, in pixels."""
        return _LEFT + min(t / self.layout.until, 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, lane: int) -> float:
        """The line of a lane."""
        return self.top + _LANE * lane + 22

    def head(self) -> str:
        title = _cut(escaped(self.trace.title, {}), _TITLE_CHARS)
        x = 12 + (len(title) * 8 + 14 if title else 0)
        head = _text(12, 24, title, "title") if title else ""
        head += _text(x, 24, summary_of(self.trace, self.now, titled=False), "small")
        if self.trace.error:
            full = escaped(self.trace.error, {})
            head += f"<g>{_title(full)}{_text(12, 46, _cut(full, _ERROR_CHARS), 'error')}</g>"
        return head

    def clock(self) -> str:
        y = self.floor + 8
        parts = [f'<path class="line" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>']
        for tick in ticks(self.layout.until, _TICKS):
            x = self.x(tick.t)
            parts.append(f'<path class="line" d="M{x:.1f} {self.top}V{y + 4}" stroke-dasharray="1 5"/>')
            parts.append(_text(x, y + 17, tick.words, "small", "middle"))
        return "".join(parts)

    def lane(self, number: int) -> str:
        lane, y, columns = self.trace.lanes[number], self.y(number), self.layout.columns[number]
        ends = [end for end in self.trace.ends if end.lane == number][-_ENDS:]
        last = ends[-1].t if ends and self.trace.is_over else self.layout.until
        name = escaped(lane.name, {})
        return (
            f'<g text-anchor="end">{_title(name)}{_text(_LEFT - 12, y + 4, _cut(name, _NAME_CHARS))}</g>'
            f'<path class="line" d="M{_LEFT} {y}H{self.x(last):.1f}"/>'
            f"{self.marks(columns, lane.shape, y)}"
            f"{''.join(self.end(end, y) for end in ends)}"
            f"{_text(_WIDTH - _RIGHT + 22, y + 4, total_words(self.trace, number), 'small')}"
        )

    def marks(self, columns: list[Column], shape: str, y: float) -> str:
        bars = [self.bar(column, y) for column in columns if column.crowded]
        singles = [mark for column in columns for mark in (column.notable if column.crowded else column.marks)]
        radius = _RADIUS if len(singles) <= _MANY else _SMALL_RADIUS
        taken = [self.x(column.t1) for column in columns if column.crowded]
        labels = self.labels(singles, taken, y)
        return "".join(bars) + "".join(self.mark(mark, y, radius) for mark in singles) + "".join(labels)

    def mark(self, mark: Mark, y: float, radius: float) -> str:
        unit = "bytes" if mark.kind is MarkKind.BYTES else "characters"
        size = f", {mark.size:,} {unit}" if mark.size else ""
        words = f"{kind_words(mark.kind)} {mark.seq} at {duration(mark.t)}{size}\n{mark.label}"
        shape = _shape(mark.kind, self.x(mark.t), y, radius)
        return f'<path class="mark" fill="var(--{mark.kind})" d="{shape}">{_title(words)}</path>'

    def labels(self, marks: list[Mark], bars: list[float], y: float) -> Iterable[str]:
        """What the marks say, where there is room until the next one; a bar takes room too."""
        places = sorted([(self.x(mark.t), mark.label) for mark in marks] + [(x, "") for x in bars])
        free, edge = 0.0, _WIDTH - 8.0  # below what stands at the right of the lane
        for (x, label), following in zip(places, [*(x for x, _ in places[1:]), edge], strict=False):
            left = max(x - _RADIUS, free)
            fit = int((following - _RADIUS - _AIR - left) / _CHAR)
            said = label if _cells(label) <= fit else _cut(label, fit) if fit >= _FEWEST_CHARS else ""
            if said:
                free = left + _cells(said) * _CHAR + _AIR
                yield _text(left, y + 22, said, "label")

    def bar(self, column: Column, y: float) -> str:
        """How many passed: higher for more, stacked by kind, most of it for the most frequent one."""
        x0, x1 = self.x(column.t0), self.x(column.t1)
        height = 6 + 20 * (column.counts.total() / self.layout.most) ** 0.5
        bottom, parts = y + height / 2, ""
        for kind, share in _shares(column.counts):
            parts += f'<rect x="{x0:.1f}" y="{bottom - height * share:.1f}" width="{max(1.0, x1 - x0 - 0.6):.1f}"'
            parts += f' height="{height * share:.1f}" fill="var(--{kind})"/>'
            bottom -= height * share
        words = f"{duration(column.t0)} to {duration(column.t1)}: {counted(column.counts)}"
        return f"<g>{_title(words)}{parts}</g>"

    def span(self, span: Span) -> str:
        t1 = self.now if span.t1 is None else span.t1
        x0, x1, y = self.x(span.t0), self.x(t1), self.y(span.lane)
        words = f"{'stall' if span.kind is SpanKind.STALL else 'gate closed'}, {duration(t1 - span.t0)}"
        short, wide = duration(t1 - span.t0), max(1.0, x1 - x0)
        fits = wide > len(short) * _SMALL_CHARS
        return (
            f'<g>{_title(words)}<path class="span" fill="var(--{span.kind})" d="{_box(x0, y - 12, wide, 24)}"/>'
            f'<path class="hatch" stroke="var(--{span.kind})" d="{_hatch(x0, x1, y - 12, y + 12)}"/>'
            f"{_text((x0 + x1) / 2, y - 15, short, 'small', 'middle') if fits else ''}</g>"
        )

    def end(self, end: LaneEnd, y: float) -> str:
        x = self.x(end.t) + _RADIUS + 2  # beside the mark that came with it
        said = f": {escaped(end.error, {})}" if end.error else ""
        words = _title(f"{end.outcome} at {duration(end.t)}{said}")
        return f'<path class="end" stroke="var(--{end.outcome})" d="{_end_shape(end.outcome, x, y)}">{words}</path>'

    def legend(self, y: float) -> tuple[str, int]:
        """What the colours and signs mean that are there, in lines; and the height that the picture has with it."""
        columns = [column for lane in self.layout.columns for column in lane]
        kinds = {kind for column in columns for kind in column.counts}
        spans = {span.kind for span in self.layout.spans}
        entries = [(_dot(kind), kind_words(kind)) for kind in MarkKind if kind in kinds]
        entries += [
            (_swatch(kind), "stall" if kind is SpanKind.STALL else "gate closed") for kind in SpanKind if kind in spans
        ]
        if any(column.crowded for column in columns):
            entries.append(
                ('<path fill="var(--muted)" d="M0 5v-6h3v6zM4 5v-11h3v11zM8 5v-8h3v8z"/>', "many: hover for how many")
            )
        x, parts = float(_LEFT), ""
        for sign, words in entries:
            wide = 18 + len(words) * 6.2 + 18
            if x + wide > _WIDTH - 12:
                x, y = float(_LEFT), y + 20
            parts += f'<g transform="translate({x:.0f} {y:.0f})">{sign}{_text(17, 4, words, "small")}</g>'
            x += wide
        return parts, int(y) + 16


def _shares(counts: Counts) -> list[tuple[str, float]]:
    """The four most frequent kinds and their shares of a bar, the most frequent first."""
    total = counts.total()
    return [(kind, count / total) for kind, count in counts.most_common(4)]


def _shape(kind: MarkKind, x: float, y: float, r: float) -> str:
    match kind:
        case MarkKind.BYTES:
            return f"M{x - r:.1f} {y - r}h{2 * r}v{2 * r}h{-2 * r}z"
        case MarkKind.EVENT:
            return f"M{x:.1f} {y - r - 1}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z"
        case _:
            return f"M{x - r:.1f} {y}a{r} {r} 0 1 1 {2 * r} 0a{r} {r} 0 1 1 {-2 * r} 0z"


def _end_shape(outcome: Outcome, x: float, y: float) -> str:
    match outcome:
        case Outcome.COMPLETED:
            return f"M{x + 1.5:.1f} {y - 12}v24"
        case Outcome.FAILED:
            return f"M{x - 6:.1f} {y - 6}l12 12M{x + 6:.1f} {y - 6}l-12 12"
        case Outcome.CANCELLED:
            return f"M{x + 1.5:.1f} {y - 12}v6m0 3v6m0 3v6"


def _hatch(x0: float, x1: float, top: float, bottom: float) -> str:
    """Slanted lines that fill a box, as one path: a pattern would need an id that no other picture of a page has."""
    height, step = bottom - top, max(6.0, (x1 - x0) / 80)
    lines: list[str] = []
    x = x0 - height + step
    while x < x1:
        # From the lower left to the upper right, cut at both sides of the box.
        left, right = max(x, x0), min(x + height, x1)
        if right > left:
            lines.append(f"M{left:.1f} {bottom - (left - x):.1f}L{right:.1f} {bottom - (right - x):.1f}")
        x += step
    return "".join(lines)


def _dot(kind: MarkKind) -> str:
    return f'<path fill="var(--{kind})" d="{_shape(kind, 5, 0, _RADIUS)}"/>'


def _swatch(kind: SpanKind) -> str:
    return f'<path class="hatch" stroke="var(--{kind})" d="{_hatch(-2, 12, -6, 6)}"/>'


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "") -> str:
    styled = f' class="{style}"' if style else ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.0f}"{styled}{anchored}>{escape(words)}</text>'


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def _cut(text: str, cells: int) -> str:
    """`text` in at most so many cells of monospaced text; wide characters take two."""
    if _cells(text) <= cells:
        return text
    kept, used = "", 1
    for char in text:
        used += _cells(char)
        if used > cells:
            break
        kept += char
    return f"{kept}…"


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@cache
def themes(place: str) -> str:
    """The colours as variables, for what the selector `place` is.

    The reader's theme by the system's, or by the notebook's where that says its own.
    """
    light = ";".join(f"--{name}:{tint.light}" for name, tint in palette.tints().items())
    dark = ";".join(f"--{name}:{tint.dark}" for name, tint in palette.tints().items())
    return (
        f"{place}{{{light}}}@media (prefers-color-scheme:dark){{{place}{{{dark}}}}}"
        f'[data-jp-theme-light="true"] {place},body.vscode-light {place}{{{light}}}'
        f'[data-jp-theme-light="false"] {place},body.vscode-dark {place}{{{dark}}}'
    )


def _box(x: float, y: float, wide: float, high: float) -> str:
    return f"M{x:.1f} {y:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z"
