"""What a diagram looks like: in a real browser, without a notebook."""

from typing import Any

import pytest

from rxlapce.notebook.marks import Bin, Lane, LaneEnd, MarkKind, Outcome, Span, SpanKind, State
from rxlapce.notebook.messages import LaneTotal
from rxlapce.notebook.palette import KINDS, OUTCOMES, SPANS, tints
from rxlapce.testing.diagram_page import LANES, DiagramPage, Told, delta, reads, snapshot

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ALL_ENDED = [LaneEnd(lane.id, 9.9, Outcome.COMPLETED) for lane in LANES]


async def test_a_view_asks_for_the_trace_and_shows_nothing_before_it_has_come(diagram: DiagramPage) -> None:
    assert await diagram.sent("ready") == [{"type": "ready"}]
    assert not await diagram.colours() & {tint.light for tint in KINDS.values()}
    assert await diagram.page.locator(".rxm-cancel").is_hidden()


async def test_lanes_are_named_with_what_has_passed_them(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20)))
    lanes = diagram.page.locator(".rxm-lane")
    assert await lanes.all_inner_texts() == [
        "bytes\n20 · 2 kB",
        "sse_decode\n20 · 1.88 kB",
        "token_map\n20 · 120 chars",
    ]


async def test_marks_wear_the_colours_of_their_kinds(diagram: DiagramPage) -> None:
    marks = [Told(number, 0.5 + number / 2, 2, kind.value) for number, kind in enumerate(MarkKind)]
    await diagram.tell(snapshot(marks, ends=ALL_ENDED))
    assert await diagram.colours() >= {tint.light for tint in KINDS.values()}
    legend = await diagram.page.locator(".rxm-kind").all_inner_texts()
    assert legend == [kind.value.replace("_", " ") for kind in MarkKind]


@pytest.mark.parametrize(
    ("attribute", "value", "dark"),
    [
        ("data-jp-theme-light", "false", True),
        ("data-jp-theme-light", "true", False),
        ("class", "vscode-dark", True),
        ("class", "vscode-high-contrast", True),
        ("class", "vscode-light", False),
    ],
)
async def test_a_switch_of_the_notebooks_theme_is_followed(
    diagram: DiagramPage, attribute: str, value: str, dark: bool
) -> None:
    await diagram.page.emulate_media(color_scheme="light" if dark else "dark")  # which the notebook has not asked
    await diagram.tell(snapshot(reads(8)))
    await diagram.page.evaluate("pair => document.body.setAttribute(...pair)", [attribute, value])
    await diagram.until(f"d.theme.dark === {str(dark).lower()}")
    await diagram.page.evaluate("harness.drawn()")
    text = KINDS[MarkKind.TEXT]
    colours = await diagram.colours()
    assert ((text.dark if dark else text.light) in colours, (text.light if dark else text.dark) in colours) == (
        True,
        False,
    )
    ground = await diagram.page.locator(".rxm").evaluate("element => getComputedStyle(element).backgroundColor")
    assert ground == ("rgb(17, 17, 17)" if dark else "rgb(255, 255, 255)")


async def test_without_a_notebook_the_systems_preference_holds(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(8)))
    await diagram.page.emulate_media(color_scheme="dark")
    await diagram.until("d.theme.dark")


async def test_a_stall_and_a_pause_are_hatched_in_colours_of_their_own(diagram: DiagramPage) -> None:
    spans = [Span(2, SpanKind.STALL, 2.0, 5.0), Span(0, SpanKind.PAUSED, 2.0, None)]
    before = await diagram.colours()
    await diagram.tell(snapshot(reads(3), spans=spans))
    written = {SPANS[SpanKind.STALL].light, SPANS[SpanKind.PAUSED].light}
    assert not before & written
    assert await diagram.colours() >= written


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_an_end_is_drawn_as_what_it_was(diagram: DiagramPage, outcome: Outcome) -> None:
    lane = [Lane(7, "only")]
    await diagram.tell(snapshot([], lanes=lane, ends=[LaneEnd(7, 5.0, outcome)]))
    assert OUTCOMES[outcome].light in await diagram.colours()


async def test_what_a_crowd_is_made_of_stays_when_it_is_merged(diagram: DiagramPage) -> None:
    kinds = ["text", "reasoning"]
    marks = [Told(number, number / 2_000, 2, kinds[number % 2], "word") for number in range(20_000)]
    await diagram.tell(snapshot(marks, ends=ALL_ENDED))
    drawn = await diagram.js("d.painter.drawn")
    assert 100 < drawn < 2_000
    assert await diagram.colours() >= {KINDS[MarkKind.TEXT].light, KINDS[MarkKind.REASONING].light}


async def test_twenty_lanes_of_crowds_are_a_few_thousand_things_to_draw(diagram: DiagramPage) -> None:
    lanes = [Lane(number, f"stage {number}") for number in range(20)]
    kinds = list(MarkKind)
    marks = [Told(number, number / 2_000, number % 20, kinds[number % 3].value, "word") for number in range(20_000)]
    await diagram.tell(snapshot(marks, lanes=lanes))
    assert await diagram.js("d.painter.drawn") < 8_000
    took = await diagram.js("(() => { const at = performance.now(); d.draw(); return performance.now() - at; })()")
    assert took < 100


async def test_bins_are_drawn_as_high_as_the_crowd_that_they_were(diagram: DiagramPage) -> None:
    marks = [Told(number, number / 200, 0, "text") for number in range(1_000)]  # 0 to 5 s
    bins = [Bin(0, 5.0 + at / 4, 5.25 + at / 4, {"text": 50}) for at in range(20)]  # as many a second, 5 to 10 s
    await diagram.tell(snapshot(marks, bins=bins, lanes=[Lane(0, "one")]))
    heights = await diagram.js(
        """(() => {
          const { columns } = d.painter;
          const middle = (from, to) => {
            const some = [...columns.total.slice(columns.at(from), columns.at(to))];
            return some.reduce((sum, n) => sum + n, 0) / some.length;
          };
          return [middle(1, 4), middle(6, 9)];
        })()"""
    )
    assert heights[0] == pytest.approx(heights[1], rel=0.1)


async def test_a_bin_takes_the_place_of_those_that_it_was_merged_from(diagram: DiagramPage) -> None:
    first = [Bin(0, 0.0, 1.0, {"text": 10}), Bin(0, 1.0, 2.0, {"text": 20}), Bin(0, 2.0, 3.0, {"text": 5})]
    await diagram.tell(snapshot([], bins=first, state=State.RUNNING, now=3.0))
    await diagram.tell(delta(now=3.1, bins=[Bin(0, 0.0, 2.0, {"text": 30})]))
    await diagram.tell(delta(now=3.2, bins=[Bin(0, 2.0, 3.0, {"text": 6})]))
    assert await diagram.js("d.store.rows[0].bins.map((bin) => [bin.t0, bin.t1, bin.total])") == [[0, 2, 30], [2, 3, 6]]


async def test_a_span_that_goes_on_is_replaced_when_it_ends(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot([], spans=[Span(2, SpanKind.STALL, 1.0)], state=State.RUNNING, now=1.5))
    await diagram.tell(delta(now=3.0, spans=[Span(2, SpanKind.STALL, 1.0, 2.5)]))
    assert await diagram.js("d.store.rows[2].spans.map((span) => [span.t0, span.t1])") == [[1, 2.5]]


async def test_what_the_kernel_keeps_no_longer_leaves_the_page(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(10), state=State.RUNNING, now=2.0))
    await diagram.tell(delta(now=2.1, kept_from=12))
    assert await diagram.js("[d.store.marks.length, d.store.marks.find(11), d.store.marks.find(12) >= 0]") == [
        18,
        -1,
        True,
    ]


async def test_a_lane_may_come_later(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot([], lanes=LANES[:1], state=State.RUNNING, now=1.0))
    mark = Told(0, 1.0, 2, "text", "late")
    await diagram.tell(delta([mark], now=1.1, lanes=[LANES[2]], totals=[LaneTotal(2, 1, 4)]))
    assert await diagram.page.locator(".rxm-name").all_inner_texts() == ["bytes", "token_map"]
    assert await diagram.js("d.store.marks.row[d.store.marks.find(0)]") == 1


async def test_text_of_a_stream_never_becomes_markup(diagram: DiagramPage) -> None:
    evil = "<img src=x onerror='window.broken=1'>"
    lanes = [Lane(0, evil, "tokens")]
    ends = [LaneEnd(0, 9.0, Outcome.FAILED, evil)]
    await diagram.tell(
        snapshot([Told(0, 1.0, 0, "text", evil)], lanes=lanes, ends=ends, title=evil, state=State.FAILED)
    )
    await diagram.page.mouse.move(*await diagram.mark(0))
    assert await diagram.page.locator(".rxm-tip-label").inner_text() == evil
    assert await diagram.page.locator(".rxm img").count() == 0
    assert await diagram.page.evaluate("window.broken") is None


async def test_as_many_pixels_are_drawn_as_the_screen_has(opened: Any) -> None:
    sharp: DiagramPage = await opened(device_scale_factor=2)
    await sharp.tell(snapshot(reads(4)))
    assert await sharp.js("d.canvas.width / d.canvas.clientWidth") == pytest.approx(2, abs=0.01)
    assert await sharp.js("d.canvas.height / d.canvas.clientHeight") == pytest.approx(2, abs=0.01)


async def test_a_narrower_page_is_filled_anew(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(4)))
    await diagram.page.set_viewport_size({"width": 500, "height": 400})
    await diagram.until("d.painter.width < 420 && d.canvas.width === d.painter.width")


async def test_a_page_that_had_no_room_only_while_it_was_drawn_is_drawn_anew(diagram: DiagramPage) -> None:
    """As while JupyterLab puts on another theme: hidden, and shown again within one frame."""
    await diagram.tell(snapshot(reads(4)))
    frames = await diagram.js(
        """(() => {
          const { frames } = d;
          d.root.style.display = "none";
          d.invalidate();
          requestAnimationFrame(() => { d.root.style.display = ""; });
          return frames;
        })()"""
    )
    await diagram.until(f"d.frames > {frames}")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0000005, "0.5 µs"),
        (0.00085, "850 µs"),
        (0.0123, "12.3 ms"),
        (0.9996, "1 s"),
        (4.05, "4.05 s"),
        (125, "2 min 5 s"),
        (3780, "1 h 3 min"),
    ],
)
async def test_times_are_said_in_the_unit_that_suits(diagram: DiagramPage, seconds: float, words: str) -> None:
    said = await diagram.page.evaluate("async (s) => (await import('/marbles.js')).duration(s)", seconds)
    assert said == words


@pytest.mark.parametrize(
    ("t0", "t1", "words"),
    [
        (0, 0.9, ["0", "200 ms", "400 ms", "600 ms", "800 ms"]),
        (0, 0.0005, ["0", "100 µs", "200 µs", "300 µs", "400 µs", "500 µs"]),
        (12.3400, 12.3405, ["12.3400 s", "12.3401 s", "12.3402 s", "12.3403 s", "12.3404 s", "12.3405 s"]),
        (0, 300, ["0:00", "1:00", "2:00", "3:00", "4:00", "5:00"]),
        (0, 18_000, ["0:00", "1:00:00", "2:00:00", "3:00:00", "4:00:00", "5:00:00"]),
    ],
)
async def test_the_axis_has_round_times_from_microseconds_to_hours(
    diagram: DiagramPage, t0: float, t1: float, words: list[str]
) -> None:
    script = "async ([t0, t1]) => (await import('/marbles.js')).ticks(t0, t1, 0.18).map((tick) => tick.words)"
    assert await diagram.page.evaluate(script, [t0, t1]) == words


async def test_every_tint_of_the_palette_is_known_to_the_page(diagram: DiagramPage) -> None:
    known = await diagram.js("[...d.theme.kinds, ...Object.values(d.theme)]")
    assert {tint.light for tint in tints().values()} <= {str(colour) for colour in known}
