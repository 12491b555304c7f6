"""Axes, bars, dots and lines as SVG, in the colours of the diagrams and on the same ground."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from rxlapce.notebook.axis import duration, ticks

#: Text and lines of a figure; the variables are those of `svg.themes`.
STYLE: Final = """
.rxlapce-figure{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;max-width:100%;height:auto}
.rxlapce-figure text{fill:var(--ink)}
.rxlapce-figure .small{fill:var(--muted);font-size:11px}
.rxlapce-figure .title{font-size:14px;font-weight:600}
.rxlapce-figure .best{font-weight:600}
.rxlapce-figure .error{fill:var(--failed)}
.rxlapce-figure .line{stroke:var(--line);fill:none}
.rxlapce-figure .over{paint-order:stroke;stroke:var(--ground);stroke-width:4px;stroke-linejoin:round}
.rxlapce-figure .note{stroke:var(--ink);stroke-dasharray:4 3;fill:none}
""".strip()
#: Decades of seconds at which a logarithmic axis is marked.
_DECADES: Final = tuple(10.0**power for power in range(-6, 5))


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels, linear or logarithmic; what is outside stands at the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where `value` stands."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(one, 1e-9)) for one in (value, low, high))
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """The decades that hold `values`, of which none is negative; a microsecond is the least that is told apart."""
    known = [max(value, 1e-6) for value in values] or [1e-3]
    low, high = 10.0 ** math.floor(math.log10(min(known))), 10.0 ** math.ceil(math.log10(max(known)) + 1e-9)
    return low, max(high, low * 10)


def text(x: float, y: float, words: str, style: str = "", anchor: str = "") -> str:
    """`words` at a place; escaped."""
    styled = f' class="{style}"' if style else ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}{anchored}>{escape(words)}</text>'


def time_axis(scale: Scale, top: float, floor: float, most: int = 9) -> str:
    """Ticks of a clock that begins at 0, with lines up to `top`."""
    parts = [f'<path class="line" d="M{scale.start} {floor}H{scale.end}"/>']
    for tick in ticks(scale.high, most):
        x = scale(tick.t)
        parts.append(f'<path class="line" d="M{x:.1f} {top}V{floor + 4}" stroke-dasharray="1 5"/>')
        parts.append(text(x, floor + 16, tick.words, "small", "middle"))
    return "".join(parts)


def decades(scale: Scale, at: Iterable[float] = _DECADES) -> list[tuple[float, str]]:
    """The places and words of the decades that a logarithmic scale shows."""
    return [(scale(value), duration(value)) for value in at if scale.low * 0.999 <= value <= scale.high * 1.001]


def rate_ticks(high: float) -> list[float]:
    """Three round numbers or fewer up to `high`."""
    if high <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(high))
    step = next(times * power for times in (0.5, 1, 2, 5) if high / (times * power) <= 3 or times == 5)
    return [number * step for number in range(1, int(high / step + 1e-9) + 1)]


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about `most` of `points`, in order, with the lowest and the highest of each stretch."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept
