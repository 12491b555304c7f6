"""A soak as a picture: memory, descriptors and tasks over its minutes, each before the load of that moment.

`python -m benchmarks.soak.plot SAMPLES.json OUT.svg` draws what `python -m benchmarks.soak --samples` wrote. Plain SVG
in greys and one colour, which reads on white and on black.
"""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.soak.gauges import Gauges

WIDTH: Final = 900
PANEL: Final = 150
LEFT: Final = 64
RIGHT: Final = 64
TOP: Final = 58
GAP: Final = 34
BOTTOM: Final = 44
FONT: Final = 'font-family="system-ui, sans-serif" font-size="13"'
INK: Final = "#808080"
LINE: Final = "#2f7fd0"
LOAD: Final = "#808080"
#: Of samples drawn across, at most: more are no finer on the screen.
POINTS: Final = 900


class Sample(msgspec.Struct, frozen=True):
    """The daemon `at_s` seconds after the load began."""

    at_s: float
    gauges: Gauges


class Panel(msgspec.Struct, frozen=True):
    """One of the pictures: its title with the unit, and what it shows of a sample."""

    title: str
    value: Callable[[Gauges], float]


PANELS: Final = (
    Panel("private memory, MiB", lambda gauges: gauges.memory_kib / 1024),
    Panel("open descriptors", lambda gauges: gauges.descriptors),
    Panel("asyncio tasks", lambda gauges: gauges.tasks),
)


def drawn(samples: Sequence[Sample]) -> str:
    """The picture. Raises `ValueError` for fewer than two samples."""
    if len(samples) < 2:
        raise ValueError("two samples at least make a line")
    step = max(1, len(samples) // POINTS)
    shown = samples[::step]
    height = TOP + len(PANELS) * PANEL + (len(PANELS) - 1) * GAP + BOTTOM
    minutes = samples[-1].at_s / 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {FONT} fill="{INK}">',
        f"<title>{_title(samples)}</title>",
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="600">{_title(samples)}</text>',
    ]
    for number, panel in enumerate(PANELS):
        parts += _panel(shown, panel, TOP + number * (PANEL + GAP), minutes)
    parts += _minutes(minutes, height - BOTTOM)
    return "\n".join([*parts, "</svg>", ""])


def _title(samples: Sequence[Sample]) -> str:
    last = samples[-1]
    return (
        f"{last.at_s / 60:.0f} minutes of mixed load and faults: {last.gauges.ended:,} attempts at providers, "
        f"{last.gauges.tokens / 1e6:.2f} million tokens"
    )


def _panel(samples: Sequence[Sample], panel: Panel, top: float, minutes: float) -> list[str]:
    """Title, load behind, line before, and both scales."""
    values = [panel.value(sample.gauges) for sample in samples]
    loads = [sample.gauges.requests for sample in samples]
    high, load_high = round_up(max(values)), round_up(max(loads))
    bottom = top + PANEL

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at_s / 60 / minutes

    line = " ".join(
        f"{x(sample.at_s):.1f},{bottom - PANEL * value / high:.1f}"
        for sample, value in zip(samples, values, strict=True)
    )
    behind = " ".join(
        f"{x(sample.at_s):.1f},{bottom - PANEL * load / load_high:.1f}"
        for sample, load in zip(samples, loads, strict=True)
    )
    ends = f"{x(samples[-1].at_s):.1f},{bottom} {x(samples[0].at_s):.1f},{bottom}"
    right = WIDTH - RIGHT
    parts = [
        f'<text x="{LEFT}" y="{top - 8}" fill="{LINE}" font-weight="600">{panel.title}</text>',
        f'<text x="{right}" y="{top - 8}" text-anchor="end">behind: requests under way</text>',
        f'<polygon points="{behind} {ends}" fill="{LOAD}" fill-opacity="0.22"/>',
    ]
    for part in (0.0, 0.5, 1.0):
        y = bottom - PANEL * part
        parts += [
            f'<line x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="{INK}" stroke-opacity="0.35"/>',
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" fill="{LINE}">{high * part:,g}</text>',
            f'<text x="{right + 8}" y="{y + 4}">{load_high * part:,g}</text>',
        ]
    return [*parts, f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="1.6"/>']


def _minutes(minutes: float, bottom: float) -> list[str]:
    """The scale below all panels."""
    step = next(one for one in (0.25, 0.5, 1, 2, 5, 10, 30, 60, math.inf) if minutes / one <= 8)
    marks = [step * number for number in range(int(minutes / step + 1e-6) + 1)] if step < math.inf else [0.0]
    parts = [
        f'<text x="{LEFT + (WIDTH - LEFT - RIGHT) * mark / minutes:.1f}" y="{bottom + 18}" '
        f'text-anchor="middle">{mark:g}</text>'
        for mark in marks
    ]
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    return [*parts, f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">minutes</text>']


def round_up(value: float) -> float:
    """The end of a scale: 1, 1.5, 2, 3, 4, 5, 6, 8 or 10 of the value's power of ten, not less than it."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(part * power for part in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if part * power >= value * (1 - 1e-9))


if __name__ == "__main__":
    read = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=list[Sample])
    Path(sys.argv[2]).write_text(drawn(read))
