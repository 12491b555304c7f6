"""Pictures of pipelines: every stage in its scope, what flows, what waits where, and text that cannot break out."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rxlapce.cli.main import main
from rxlapce.config.charts import charts_of
from rxlapce.pipeline.graph import Box, Node
from rxlapce.pipeline.mermaid import mermaid
from rxlapce.pipeline.svg import svg

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
TEXT = """
models: {fast: {ask: [openai/a, anthropic/b]}}
pipelines:
  one:
    stages:
      - stream_timeouts: {first_token_s: 20}
      - retry_stream
      - metrics_tap
      - fallback
      - redact: {patterns: ['<b>"x"`#&\\\\']}
      - buffer_with_backpressure: {high_water: 64, low_water: 16}
    sinks: [memory, editor]
routes: [{models: [fast, "gemini/*"], users: [ada], pipeline: one}]
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "f.yaml").write_text(TEXT)
    return tmp_path / "f.yaml"


def parsed(image: str) -> ET.Element:
    return ET.fromstring(image)  # noqa: S314 - it is our own


def outline(box: Box) -> str:
    parts = (part.name if isinstance(part, Node) else outline(part) for part in box.parts)
    return f"{box.scope.value}({' '.join(parts)})"


def test_each_stage_stands_in_what_it_is_made_for(file: Path) -> None:
    chart = charts_of(file)["one"].chart
    assert outline(chart.request) == (
        "request(leg(attempt(decode token_map stream_timeouts) retry_stream metrics_tap) fallback redact gates of the "
        "user and of the client settle buffer_with_backpressure)"
    )
    assert [node.name for node in chart.sources] == ["fast", "gemini/*"]
    assert chart.routes == ("routes[0]: models fast, gemini/*; users ada",)
    assert ([node.name for node in chart.sinks], chart.tapped.name) == (["editor", "memory"], "redact")
    waits = next(node for node in chart.stages if node.name == "buffer_with_backpressure")
    assert waits.lines == ("pause: at most 4096 tokens wait; from 64 on the provider is not read, until 16 are left",)


def test_what_no_route_takes_goes_the_default_way_which_is_drawn_too(file: Path) -> None:
    default = charts_of(file)["default"].chart
    assert default.routes == ("what no route takes",)
    assert [node.name for node in default.sources] == ["fast", "any model"]  # ada alone goes the other way
    assert [node.name for node in default.stages][-5:] == [
        "retry_stream", "fallback", "gates of the user and of the client", "settle", "buffer_with_backpressure"
    ]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_drawn_with_all_of_its_stages(example: Path) -> None:
    for charted in charts_of(example).values():
        chart = charted.chart
        drawn = mermaid([chart])
        assert drawn.count("subgraph ") == drawn.count("    end\n") == 1 + str(outline(chart.request)).count("(")
        root = parsed(svg([chart]))
        texts = [element.text for element in root.iter(f"{SVG}text")]
        for node in (*chart.sources, *chart.stages, *chart.sinks):
            assert node.name in drawn
            assert node.name in texts
        edges = len(chart.sources) + len(chart.stages) - 1 + len(chart.sinks)
        assert drawn.count("-->") == len(root.findall(f"{SVG}path")) == edges


def test_nodes_of_the_image_lie_in_it_and_none_on_another(file: Path) -> None:
    root = parsed(svg([one.chart for one in charts_of(file).values()]))
    width, height = int(root.get("width", "")), int(root.get("height", ""))
    boxes = [
        tuple(int(rect.get(side, "")) for side in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.get("class") != "box"
    ]
    for place, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert x + w <= width
        assert y + h <= height
        for other_x, other_y, other_w, other_h in boxes[place + 1 :]:
            assert x + w <= other_x or other_x + other_w <= x or y + h <= other_y or other_y + other_h <= y


def test_what_is_written_in_a_file_stays_text_in_a_picture(file: Path) -> None:
    chart = charts_of(file)["one"].chart
    said = next(line for node in chart.stages for line in node.lines if line.startswith("patterns"))
    assert "<b>" in said
    assert "#lt;b#gt;#quot;x#quot;#96;#35;#amp;" in mermaid([chart])
    assert "<b>" not in svg([chart])
    assert said in [element.text for element in parsed(svg([chart])).iter(f"{SVG}text")]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_command_draws_one_or_all(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("graph", str(file)) == 0
    assert re.findall(r'subgraph p\d\["pipeline (\w+)', capsys.readouterr().out) == ["default", "one"]
    assert run("graph", str(file), "one", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert [stage["scope"] for stage in told["stages"]] == ["attempt"] * 3 + ["leg"] * 2 + ["request"] * 5
    assert told["options"]["stream_timeouts"]["first_token_s"] == 20
    assert run("graph", str(file), "--svg") == 0
    assert parsed(capsys.readouterr().out).get("aria-label") == "pipelines: default, one"


def test_the_command_says_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("graph", str(file), "two") == 1
    assert "has no pipeline 'two'; it has default, one" in capsys.readouterr().err
    file.write_text("pipelines: {p: {stages: [redcat]}}")
    assert run("graph", str(file)) == 1
    assert "did you mean redact?" in capsys.readouterr().err
    assert run("graph", str(file), "--svg", "--json") == 2
