"""`timeline`: when an answer's tokens came, how long one waited for each, and how often one waited so long."""

from bisect import bisect_left
from collections import Counter
from heapq import nlargest
from html import escape
from math import log10
from typing import TYPE_CHECKING, Final

from rxlapce.notebook import cells
from rxlapce.notebook.axis import duration
from rxlapce.notebook.figure import Figure, Source, state_words, viewed
from rxlapce.notebook.frames import frame_of
from rxlapce.notebook.items import escaped
from rxlapce.notebook.marks import Span
from rxlapce.notebook.played import Still
from rxlapce.notebook.plot import STYLE, Scale, decades, log_range, rate_ticks, text, thinned, time_axis
from rxlapce.notebook.stalls import TOGETHER_S
from rxlapce.notebook.svg import themes
from rxlapce.notebook.timing import Timing, timing_of
from rxlapce.notebook.view import View

if TYPE_CHECKING:
    from pandas import DataFrame

_WIDTH: Final = 960
_LEFT: Final = 80
_RIGHT: Final = 30
_PANEL: Final = 110
#: Of the rates: a bar has some tokens, or it would say no more than the dots below it.
_BARS: Final = 160
_FEWEST_BARS: Final = 12
_TOKENS_A_BAR: Final = 4
_DOTS: Final = 600
#: Stalls that are shaded: the longest.
_STALLS: Final = 100
#: A stall that is wide enough to say so, in pixels.
_SAID_PX: Final = 80
#: The share of gaps between reads, and not within one, from which on the former are what is drawn.
_APART: Final = 0.05
#: Bars of a histogram in each decade.
_PER_DECADE: Final = 6
_QUANTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


def timeline(stream: Source, *, title: str = "") -> "Timeline":
    """Draw the timing of `stream`: a view, a trace, the path of a recording, or what is subscribed to now.

    See `Timeline`. Raises RuntimeError where no event loop runs and `stream` is to be subscribed to.
    """
    view = viewed(stream, title)
    made = Timeline(view, title or view.trace.title)
    if view is not stream:
        made.started([view])
        cells.close_when_run_again(made)
    made.display()
    return made


class Timeline(Figure):
    """Three panels: tokens a second over time; the gap before each token; how often each gap was. `timing` has figures.

    Drawn anew while the stream runs, at most four times a second; `await` waits for its end. At most some 2,000
    elements: of many dots the lowest and highest are drawn. Tokens of one read came at once: where there are others,
    their gaps of under a millisecond stand together at the end of the scale.
    """

    def __init__(self, view: View | Still, title: str) -> None:
        super().__init__((view,), self.svg, self._words_now)
        self.view = view
        self.title = title

    @property
    def timing(self) -> Timing:
        """The figures, as they are now."""
        return timing_of(self.view.trace, self.view.now())

    def svg(self) -> str:
        """The figure as it is now: one SVG document that needs nothing else."""
        return _Drawing(self.timing, self.title).whole()

    def frame(self) -> "DataFrame":
        """The kept marks: see `frames.frame_of`."""
        return frame_of(self.view.trace)

    def _words_now(self) -> str:
        return words_of(self.timing)


def words_of(timing: Timing) -> str:
    """The figures in one line."""
    return "; ".join(_lines_of(timing))


def _lines_of(timing: Timing) -> list[str]:
    """The figures: of the whole, and of the waits if there were any."""
    parts = [state_words(timing.state, duration(timing.seconds))]
    if timing.first_s is not None:
        parts.append(f"first token {duration(timing.first_s)}")
    parts.append(
        f"{timing.tokens:,} tokens" + (f" ({timing.output:,} by the provider's count)" if timing.output else "")
    )
    if timing.tokens_per_s is not None:
        parts.append(f"{timing.tokens_per_s:,.1f} tokens/s")
    gaps = [(name, timing.gap(quantile)) for name, quantile in (*_QUANTILES, ("max", 1.0))]
    waits = ", ".join(f"{name} {duration(gap)}" for name, gap in gaps if gap is not None)
    said = [f"between tokens {waits}"] if waits else []
    if timing.stalls:
        longest = max(_length(span, timing.seconds) for span in timing.stalls)
        count = len(timing.stalls)
        said.append(f"{count:,} {'stall' if count == 1 else 'stalls'}, the longest {duration(longest)}")
    return ["; ".join(line) for line in (parts, said) if line]


def _length(span: Span, now: float) -> float:
    return (now if span.t1 is None else span.t1) - span.t0


class _Drawing:
    def __init__(self, timing: Timing, title: str) -> None:
        self.timing = timing
        self.title = escaped(title, {})
        self.clock = Scale(0.0, timing.seconds, _LEFT, _WIDTH - _RIGHT)
        gaps = timing.ordered
        within = bisect_left(gaps, TOGETHER_S)
        self.together = within > 0 and len(gaps) - within >= _APART * len(gaps)
        """Whether gaps of under `TOGETHER_S` are one, at the end of the scale."""
        low, high = log_range(gaps[within:] if self.together else gaps)
        self.waits = (TOGETHER_S if self.together else low, high)

    def whole(self) -> str:
        timing, y = self.timing, 24.0
        head = text(12, y, self.title, "title") if self.title else ""
        y += 20 if self.title else 0
        for place, line in enumerate(_lines_of(timing)):
            y += 16 if place else 0
            head += text(12, y, line, "small")
        if timing.error:
            y += 20
            head += text(12, y, escaped(timing.error, {})[:140], "error")
        rates, gaps = y + 36, y + 36 + _PANEL + 58
        spread = gaps + _PANEL + 58
        parts = [head, self.rates(rates), self.gaps(gaps), self.spread(spread)]
        height = int(spread + _PANEL + 36)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rxlapce-figure" role="img"'
            f' aria-label="{escape(words_of(timing))}" width="{_WIDTH}" height="{height}"'
            f' viewBox="0 0 {_WIDTH} {height}"><style>{STYLE}{themes(".rxlapce-figure")}</style>'
            f'<rect width="{_WIDTH}" height="{height}" fill="var(--ground)"/>{"".join(parts)}</svg>'
        )

    def rates(self, top: float) -> str:
        """Tokens a second over time, with the wait for the first one and the stalls."""
        floor, timing = top + _PANEL, self.timing
        width = max(timing.seconds / min(_BARS, max(_FEWEST_BARS, timing.tokens // _TOKENS_A_BAR)), 1e-6)
        rates = timing.rates(width)
        high = max((rate for _, rate in rates), default=0.0)
        scale = Scale(0.0, high, floor, top)
        parts = [text(12, top - 12, "tokens a second, over time"), time_axis(self.clock, top, floor)]
        parts += [self.level(scale(rate), f"{rate:,.0f}" if rate >= 1 else f"{rate:g}") for rate in rate_ticks(high)]
        longest = nlargest(_STALLS, timing.stalls, key=lambda span: _length(span, timing.seconds))
        parts += [self.shade(span.t0, span.t0 + _length(span, timing.seconds), top) for span in longest]
        for middle, rate in rates:
            if rate:
                x, y = self.clock(middle - width / 2), scale(rate)
                wide = max(1.0, self.clock(width) - _LEFT - 1)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{floor - y:.1f}" fill="var(--text)">'
                    f"<title>{duration(max(0.0, middle - width / 2))}: {rate:,.1f} tokens/s</title></rect>"
                )
        if timing.first_s is not None:
            x = self.clock(timing.first_s)
            parts.append(f'<path class="note" d="M{x:.1f} {top - 4}V{floor}"/>')
            late = x > _LEFT + 120
            said = f"first token {duration(timing.first_s)}"
            parts.append(text(x + (-5 if late else 5), top + 6, said, "small over", "end" if late else ""))
        return "".join(parts)

    def gaps(self, top: float) -> str:
        """How long one waited for each token, over time."""
        floor, timing = top + _PANEL, self.timing
        points = list(zip(timing.times[1:], timing.gaps, strict=True))
        scale = Scale(*self.waits, floor, top, log=True)
        words = "wait for each token, over time" + ("" if timing.whole else ": of the newest ones")
        parts = [text(12, top - 12, words), time_axis(self.clock, top, floor)]
        parts += [self.level(y, said) for y, said in self.marked(scale)] if points else []
        parts += [
            f'<circle cx="{self.clock(t):.1f}" cy="{scale(gap):.1f}" r="2.2" fill="var(--text)" opacity=".75">'
            f"<title>{duration(gap)} before the token at {duration(t)}</title></circle>"
            for t, gap in thinned(points, _DOTS)
        ]
        return "".join(parts)

    def spread(self, top: float) -> str:
        """How often one waited so long."""
        floor, gaps = top + _PANEL, self.timing.gaps
        low, high = self.waits
        across = Scale(low, high, _LEFT, _WIDTH - _RIGHT, log=True)
        parts = [
            text(12, top - 12, "how often one waited so long"),
            f'<path class="line" d="M{_LEFT} {floor}H{_WIDTH - _RIGHT}"/>',
        ]
        if not gaps:
            return "".join(parts)
        bars = Counter(int(log10(max(gap, low) / low) * _PER_DECADE) for gap in gaps)
        most = max(bars.values())
        scale = Scale(0.0, most, floor, top + 14)
        parts += [text(x, floor + 16, said, "small", "middle") for x, said in self.marked(across)]
        parts += [self.level(scale(count), f"{count:,.0f}") for count in rate_ticks(most) if count >= 1]
        wide = (_WIDTH - _LEFT - _RIGHT) / (log10(high / low) * _PER_DECADE)
        parts += [
            f'<rect x="{_LEFT + place * wide:.1f}" y="{scale(count):.1f}" width="{wide - 1:.1f}"'
            f' height="{floor - scale(count):.1f}" fill="var(--text)"><title>{count:,}</title></rect>'
            for place, count in sorted(bars.items())
        ]
        notes: list[str] = []  # above all lines: they are often near to each other
        for row, (name, quantile) in enumerate(_QUANTILES):
            gap = self.timing.gap(quantile)
            if gap is not None:
                x = across(gap)
                parts.append(f'<path class="note" d="M{x:.1f} {top}V{floor}"/>')
                late = x > _WIDTH - _RIGHT - 90
                said, anchor = f"{name} {duration(gap)}", "end" if late else ""
                notes.append(text(x + (-4 if late else 4), top + 8 + 13 * row, said, "small over", anchor))
        return "".join((*parts, *notes))

    def marked(self, scale: Scale) -> list[tuple[float, str]]:
        """The decades of waits; the first one says if all that are shorter stand there, too."""
        marks = decades(scale)
        return [(marks[0][0], f"≤ {marks[0][1]}"), *marks[1:]] if self.together and marks else marks

    def level(self, y: float, words: str) -> str:
        """A line across, with what it stands for."""
        line = f'<path class="line" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke-dasharray="1 5"/>'
        return line + text(_LEFT - 8, y + 4, words, "small", "end")

    def shade(self, t0: float, t1: float, top: float) -> str:
        """A stall."""
        x0, x1 = self.clock(t0), self.clock(t1)
        return (
            f'<rect x="{x0:.1f}" y="{top}" width="{max(1.0, x1 - x0):.1f}" height="{_PANEL}" fill="var(--stall)"'
            f' opacity=".15"><title>stall, {duration(t1 - t0)}</title></rect>'
        ) + (
            text((x0 + x1) / 2, top + 24, f"stall {duration(t1 - t0)}", "small", "middle") if x1 - x0 > _SAID_PX else ""
        )
