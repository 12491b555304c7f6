"""Charts as Mermaid, which GitHub and many editors draw.

Source: https://mermaid.js.org/syntax/flowchart.html
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rxlapce.pipeline.graph import Box, Chart, Look, Node
from rxlapce.registry import Shape

_SHAPES = {
    Look.SOURCE: ('(["', '"])'),
    Look.STAGE: ('["', '"]'),
    Look.ALWAYS: ('["', '"]'),
    Look.SINK: ('[/"', '"/]'),
}
_STYLES = "    classDef always stroke-dasharray: 4 3"


def mermaid(charts: Sequence[Chart]) -> str:
    """One flowchart of all `charts`, each in a frame of its own."""
    lines = ["flowchart TB"]
    for number, chart in enumerate(charts):
        lines += _Drawing(chart, f"p{number}").lines()
    return "\n".join([*lines, _STYLES]) + "\n"


class _Drawing:
    """One chart, with ids that begin with a `prefix`."""

    def __init__(self, chart: Chart, prefix: str) -> None:
        self.chart = chart
        self.prefix = prefix
        nodes = (*chart.sources, *chart.stages, *chart.sinks)
        self.ids = {id(node): f"{prefix}n{place}" for place, node in enumerate(nodes)}

    def lines(self) -> Iterator[str]:
        chart, prefix = self.chart, self.prefix
        title = "<br>".join((f"pipeline {_text(chart.name)}", *map(_text, chart.routes)))
        yield f'    subgraph {prefix}["{title}"]'
        for node in chart.sources:
            yield from self.node(node, 2)
        yield from self.box(chart.request, 2, f"{prefix}b")
        for node in chart.sinks:
            yield from self.node(node, 2)
        yield "    end"
        yield from self.edges()

    def box(self, box: Box, depth: int, name: str) -> Iterator[str]:
        yield f'{"    " * depth}subgraph {name}["{box.label}"]'
        for place, part in enumerate(box.parts):
            if isinstance(part, Node):
                yield from self.node(part, depth + 1)
            else:
                yield from self.box(part, depth + 1, f"{name}{place}")
        yield f"{'    ' * depth}end"

    def node(self, node: Node, depth: int) -> Iterator[str]:
        before, after = _SHAPES[node.look]
        label = "<br>".join((_text(node.name), *(f"<small>{_text(line)}</small>" for line in node.lines)))
        always = ":::always" if node.look is Look.ALWAYS else ""
        yield f"{'    ' * depth}{self.ids[id(node)]}{before}{label}{after}{always}"

    def edges(self) -> Iterator[str]:
        stages = self.chart.stages
        for source in self.chart.sources:
            yield self.edge(source, stages[0], Shape.BYTES)
        for one, other in pairwise(stages):
            yield self.edge(one, other, one.gives)
        for place, sink in enumerate(self.chart.sinks):
            yield self.edge(self.chart.tapped if place else stages[-1], sink, "copies" if place else Shape.TOKENS)

    def edge(self, one: Node, other: Node, flows: str) -> str:
        return f"    {self.ids[id(one)]} -->|{flows}| {self.ids[id(other)]}"


def _text(said: str) -> str:
    """`said` where Mermaid would read marks of its own: its entities are without the ampersand."""
    marks = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;", "\\": "#92;"}
    return "".join(marks.get(letter, letter) for letter in said)
