"""Charts as one SVG image that needs nothing else, for light and dark screens.

The layout is a column: the sources in rows, the stages below each other in their boxes, the sinks in rows.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from rxlapce.pipeline.graph import Box, Chart, Look, Node

WIDTH: Final = 640
_NODE_W: Final = 400
_SMALL_W: Final = 190
_HEAD: Final = 30
_LINE: Final = 15
_GAP: Final = 30
_PAD: Final = 18
#: Characters of small print that fit into a wide and a narrow node.
_CHARS: Final = {_NODE_W: 66, _SMALL_W: 30}

_STYLE: Final = """
    svg { --ink: #1f2328; --soft: #57606a; --line: #8c959f; --page: #ffffff; --node: #f6f8fa; --box: #0969da;
          --source: #dafbe1; --sink: #ddf4ff; background: var(--page); }
    @media (prefers-color-scheme: dark) {
      svg { --ink: #e6edf3; --soft: #9198a1; --line: #656c76; --page: #0d1117; --node: #161b22; --box: #58a6ff;
            --source: #12361f; --sink: #0c2d4d; } }
    text { font: 13px system-ui, sans-serif; fill: var(--ink); }
    .small { font-size: 11px; fill: var(--soft); } .title { font-size: 16px; font-weight: 600; }
    .label { font-size: 11px; fill: var(--box); } .flow { font-size: 10px; fill: var(--soft); }
    rect { fill: var(--node); stroke: var(--line); } .box { fill: none; stroke: var(--box); stroke-opacity: .6; }
    .source { fill: var(--source); } .sink { fill: var(--sink); } .always { stroke-dasharray: 4 3; }
    path { stroke: var(--line); fill: none; } marker path { fill: var(--line); stroke: none; }
"""


def svg(charts: Sequence[Chart]) -> str:
    """All `charts` in one image, below each other."""
    drawing = _Drawing()
    for chart in charts:
        drawing.chart(chart)
    body = "\n".join(drawing.marks)
    height = drawing.y + _PAD
    names = escape(", ".join(chart.name for chart in charts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="pipelines: {names}">\n'
        f"  <style>{_STYLE}  </style>\n"
        '  <defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>\n'
        f"{body}\n</svg>\n"
    )


@dataclass(slots=True)
class _Spot:
    """Where a node has come to stand."""

    x: int
    top: int
    bottom: int


@dataclass(slots=True)
class _Drawing:
    marks: list[str] = field(default_factory=list[str])
    y: int = _PAD

    def chart(self, chart: Chart) -> None:
        self.text(_PAD, self.y + 16, f"pipeline {chart.name}", "title")
        self.y += 24
        for route in chart.routes:
            for line in textwrap.wrap(route, 96):
                self.text(_PAD, self.y + 12, line, "small")
                self.y += _LINE
        self.y += 8
        sources = self.row(chart.sources)
        self.y += _GAP
        spots: list[tuple[Node, _Spot]] = []
        self.box(chart.request, 0, spots)
        self.y += _GAP
        sinks = self.row(chart.sinks)
        for spot in sources:
            self.arrow(spot, spots[0][1], "bytes")
        for (node, spot), (_, following) in pairwise(spots):
            self.arrow(spot, following, node.gives)
        self.arrow(spots[-1][1], sinks[0], "tokens")
        tapped = next(spot for node, spot in spots if node is chart.tapped)
        for place, spot in enumerate(sinks[1:]):
            self.around(tapped, spot, place)
        self.y += 2 * _PAD

    def row(self, nodes: Sequence[Node]) -> list[_Spot]:
        """Up to three nodes beside each other, the rest in rows below."""
        spots: list[_Spot] = []
        for begin in range(0, len(nodes), 3):
            here = nodes[begin : begin + 3]
            top, lowest = self.y, self.y
            step = (WIDTH - 2 * _PAD) // len(here)
            for place, node in enumerate(here):
                self.y = top
                spots.append(self.node(node, _PAD + step * place + step // 2, _SMALL_W))
                lowest = max(lowest, self.y)
            self.y = lowest + (_PAD if begin + 3 < len(nodes) else 0)
        return spots

    def box(self, box: Box, depth: int, spots: list[tuple[Node, _Spot]]) -> None:
        """The parts below each other, with a frame around them that is drawn behind."""
        top, mark = self.y, len(self.marks)
        self.y += _PAD + 6
        for place, part in enumerate(box.parts):
            self.y += _GAP if place else 0
            if isinstance(part, Node):
                spots.append((part, self.node(part, WIDTH // 2, _NODE_W)))
            else:
                self.box(part, depth + 1, spots)
        self.y += _PAD
        x = _PAD + depth * _PAD
        frame = f'  <rect class="box" x="{x}" y="{top}" width="{WIDTH - 2 * x}" height="{self.y - top}" rx="8"/>'
        label = f'  <text class="label" x="{x + 10}" y="{top + 15}">{escape(box.label)}</text>'
        self.marks[mark:mark] = [frame, label]

    def node(self, node: Node, x: int, width: int) -> _Spot:
        lines = [piece for line in node.lines for piece in textwrap.wrap(line, _CHARS[width])]
        top, height = self.y, _HEAD + _LINE * len(lines) + (4 if lines else 0)
        look = {Look.STAGE: "", Look.ALWAYS: "always", Look.SOURCE: "source", Look.SINK: "sink"}[node.look]
        self.marks.append(
            f'  <rect class="{look}" x="{x - width // 2}" y="{top}" width="{width}" height="{height}" rx="5"/>'
        )
        self.text(x, top + 20, textwrap.shorten(node.name, _CHARS[width], placeholder="..."), "", middle=True)
        for place, line in enumerate(lines):
            self.text(x, top + _HEAD + 7 + _LINE * place, line, "small", middle=True)
        self.y = top + height
        return _Spot(x, top, self.y)

    def arrow(self, one: _Spot, other: _Spot, flows: str) -> None:
        half = (one.bottom + other.top) // 2
        way = f"M{one.x} {one.bottom} L{one.x} {half} L{other.x} {half} L{other.x} {other.top - 1}"
        self.marks.append(f'  <path d="{way}" marker-end="url(#end)"/>')
        self.text(other.x + 8, other.top - 8, flows, "flow")

    def around(self, one: _Spot, other: _Spot, place: int) -> None:
        """An arrow past all that the client has for itself, on the right."""
        x, out, high = WIDTH - 12 + 3 * (place % 3), WIDTH // 2 + _NODE_W // 2, (one.top + one.bottom) // 2
        way = f"M{out} {high} L{x} {high} L{x} {other.top - 12} L{other.x} {other.top - 12} L{other.x} {other.top - 1}"
        self.marks.append(f'  <path d="{way}" marker-end="url(#end)"/>')
        self.text(other.x + 8, other.top - 15, "copies", "flow")

    def text(self, x: int, y: int, said: str, look: str, *, middle: bool = False) -> None:
        anchor = ' text-anchor="middle"' if middle else ""
        chosen = f' class="{look}"' if look else ""
        self.marks.append(f'  <text{chosen} x="{x}" y="{y}"{anchor}>{escape(said)}</text>')
