"""What a diagram does with pointer, wheel and keys: in a real browser, without a notebook."""

from typing import Any

import pytest

from rxlapce.notebook.marks import Bin, LaneEnd, Outcome, Span, SpanKind, State
from rxlapce.notebook.messages import Detail, Gone, LaneTotal
from rxlapce.testing.diagram_page import LANES, DiagramPage, Told, delta, reads, snapshot

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ENDED = [LaneEnd(lane.id, 2.5, Outcome.COMPLETED) for lane in LANES]
TIP = ".rxm-tip"


async def window(diagram: DiagramPage) -> tuple[float, float]:
    t0, t1 = await diagram.js("[d.window.t0, d.window.t1]")
    return t0, t1


async def time_at(diagram: DiagramPage, x: float) -> float:
    """The time that is at `x` of the page's window."""
    time: float = await diagram.js(
        "d.window.time(argument - d.canvas.getBoundingClientRect().left, d.canvas.clientWidth)", x
    )
    return time


async def focus(diagram: DiagramPage) -> None:
    await diagram.js("d.canvas.focus()")


async def test_all_of_an_ended_stream_is_shown_with_a_little_room(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    t0, t1 = await window(diagram)
    assert -0.3 < t0 < 0
    assert 2.5 < t1 < 2.8


async def test_the_wheel_zooms_where_the_pointer_is_once_the_diagram_is_in_focus(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    x, y = map(round, await diagram.mark(30))  # a wheel turns at whole pixels
    before, at = await window(diagram), await time_at(diagram, x)
    await diagram.page.mouse.move(x, y)
    await diagram.page.mouse.wheel(0, -300)
    await diagram.page.evaluate("harness.drawn()")
    assert await window(diagram) == before  # who scrolls through the notebook is not caught
    await diagram.page.mouse.click(x, y)
    await diagram.page.mouse.wheel(0, -300)
    await diagram.until(f"d.window.span < {(before[1] - before[0]) * 0.6}")
    assert await time_at(diagram, x) == pytest.approx(at, abs=1e-6)


async def test_a_pinch_of_the_touch_pad_zooms_without_focus(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    x, y = map(round, await diagram.mark(30))  # a wheel turns at whole pixels
    span, at = await diagram.js("d.window.span"), await time_at(diagram, x)
    await diagram.page.mouse.move(x, y)
    await diagram.page.keyboard.down("Control")
    await diagram.page.mouse.wheel(0, 40)
    await diagram.page.keyboard.up("Control")
    await diagram.until(f"d.window.span > {span * 1.2}")
    assert await time_at(diagram, x) == pytest.approx(at, abs=1e-6)


async def test_two_fingers_zoom_between_them(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    span = await diagram.js("d.window.span")
    await diagram.js(
        """(() => {
          const box = d.canvas.getBoundingClientRect();
          d.canvas.setPointerCapture = () => {};
          const touch = (type, pointerId, x) => d.canvas.dispatchEvent(
            new PointerEvent(type, { pointerId, clientX: box.left + x, clientY: box.top + 40, button: 0 }));
          touch("pointerdown", 1, 200);
          touch("pointerdown", 2, 300);
          touch("pointermove", 2, 400);
          touch("pointerup", 1, 200);
          touch("pointerup", 2, 400);
        })()"""
    )
    assert await diagram.js("d.window.span") == pytest.approx(span / 2, rel=1e-6)


async def test_a_drag_moves_the_time_with_the_pointer(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    x, y = await diagram.mark(30)
    at = await time_at(diagram, x)
    await diagram.page.mouse.move(x, y)
    await diagram.page.mouse.down()
    await diagram.page.mouse.move(x - 120, y, steps=4)
    await diagram.page.mouse.up()
    assert await time_at(diagram, x - 120) == pytest.approx(at, abs=1e-6)


async def test_one_cannot_get_lost(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    await diagram.js("[d.panPixels(1e9), d.zoomAt(1e-9)]")
    t0, t1 = await window(diagram)
    assert t0 < 2.5
    assert t1 - t0 <= 10.01
    await diagram.js("[d.panPixels(-1e9), d.zoomAt(1e12)]")
    t0, t1 = await window(diagram)
    assert t1 > 0
    assert t1 - t0 == pytest.approx(5e-6)


async def test_a_double_click_and_the_button_show_all(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    whole = await window(diagram)
    await diagram.js("d.zoomAt(20)")
    await diagram.page.locator(".rxm-canvas").dblclick()
    assert await window(diagram) == pytest.approx(whole)
    await diagram.js("d.zoomAt(20)")
    await diagram.page.locator(".rxm-fit").click()
    assert await window(diagram) == pytest.approx(whole)


async def test_keys_zoom_move_and_show_all(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    whole = await window(diagram)
    await focus(diagram)
    await diagram.page.keyboard.press("+")
    t0, t1 = await window(diagram)
    assert t1 - t0 == pytest.approx((whole[1] - whole[0]) / 1.5)
    await diagram.page.keyboard.press("ArrowRight")
    assert await window(diagram) == pytest.approx((t0 + (t1 - t0) / 8, t1 + (t1 - t0) / 8))
    await diagram.page.keyboard.press("ArrowLeft")
    assert await window(diagram) == pytest.approx((t0, t1))
    await diagram.page.keyboard.press("-")
    assert await window(diagram) == pytest.approx(whole)
    await diagram.js("d.zoomAt(8)")
    await diagram.page.keyboard.press("Home")
    assert (await window(diagram))[0] == pytest.approx(0, abs=0.02)
    await diagram.page.keyboard.press("End")
    t0, t1 = await window(diagram)
    assert t0 < 2.5 < t1 < 2.6
    await diagram.page.keyboard.press("f")
    assert await window(diagram) == pytest.approx(whole)


async def test_keys_of_the_diagram_are_not_the_notebooks_too(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    await diagram.page.evaluate("document.addEventListener('keydown', (event) => { window.heard = event.key; })")
    await focus(diagram)
    for key in ("f", "+", "ArrowUp", "Home", "Escape"):
        await diagram.page.keyboard.press(key)
    assert await diagram.page.evaluate("window.heard") is None
    await diagram.page.keyboard.press("b")
    assert await diagram.page.evaluate("window.heard") == "b"


async def test_the_newest_is_followed_until_one_looks_elsewhere_and_again_when_asked(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=100.0))
    follow = diagram.page.locator(".rxm-follow")
    t0, t1 = await window(diagram)
    assert 100 < t1 < 101
    assert t1 - t0 == pytest.approx(10)
    assert await follow.is_hidden()
    await diagram.js("d.panPixels(-200)")
    stays = await window(diagram)
    await diagram.tell(delta(now=105.0))
    assert await window(diagram) == stays
    await follow.click()
    await diagram.until("d.window.t1 > 105")
    assert await follow.is_hidden()


async def test_who_asked_for_less_motion_sees_the_window_jump_instead_of_slide(opened: Any) -> None:
    calm: DiagramPage = await opened(reduced_motion="reduce")
    await calm.tell(snapshot([], state=State.RUNNING, now=100.0))
    first = await window(calm)
    await calm.tell(delta(now=101.0))
    assert await window(calm) == first == (92.5, 102.5)


async def test_the_end_of_a_followed_stream_shows_all_of_it(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=100.0))
    await diagram.tell(delta(now=101.0, state=State.COMPLETED, ends=[LaneEnd(2, 100.9, Outcome.COMPLETED)]))
    t0, t1 = await window(diagram)
    assert t0 < 0
    assert t1 > 100.9


async def test_a_mark_under_the_pointer_says_at_once_what_it_is_and_all_of_it_when_the_kernel_answers(
    diagram: DiagramPage,
) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    await diagram.page.mouse.move(*await diagram.mark(32))  # the token of the eleventh read
    tip = diagram.page.locator(TIP)
    said = await tip.inner_text()
    assert "text · token_map" in said
    assert "word10" in said
    assert "1.500 s" in said
    assert "100 ms after the one before" in said
    assert "6 chars" in said
    await diagram.until("harness.model.sent.some((message) => message.type === 'ask_detail')")
    assert await diagram.sent("ask_detail") == [{"type": "ask_detail", "seq": 32}]
    await diagram.tell(Detail(32, "Text", "Text('word10 and all the rest')", "0000  64 61  da", chain=[31, 30]))
    said = await tip.inner_text()
    assert "Text('word10 and all the rest')" in said
    assert "0000  64 61  da" in said


async def test_what_a_mark_came_from_is_linked_across_the_lanes_and_what_came_of_it_too(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    seqs = "d.focus().pairs.map((pair) => pair.map((slot) => d.store.marks.seq[slot]))"
    await diagram.page.mouse.move(*await diagram.mark(32))
    assert await diagram.js(seqs) == [[31, 32], [30, 31]]
    await diagram.page.mouse.move(*await diagram.mark(30))
    assert await diagram.js(seqs) == [[30, 31], [31, 32]]


async def test_sweeping_over_marks_asks_nothing_and_what_is_known_is_not_asked_again(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    places = [await diagram.mark(seq) for seq in range(2, 59, 3)]
    for place in places:
        await diagram.js("d.hoverAt(...argument)", [place[0], place[1]])
    assert await diagram.sent("ask_detail") == []
    await diagram.page.mouse.move(*places[0])
    await diagram.until("harness.model.sent.length === 2")
    await diagram.tell(Detail(2, "Text", "Text('word0')"))
    await diagram.page.mouse.move(*places[5])
    await diagram.until("harness.model.sent.length === 3")
    await diagram.page.mouse.move(*places[0])
    assert "Text('word0')" in await diagram.page.locator(TIP).inner_text()
    assert not await diagram.js("d.timers.has('rest')")
    assert [message["seq"] for message in await diagram.sent("ask_detail")] == [2, 17]


async def test_a_mark_that_the_kernel_has_let_go_says_so(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=3.0, ends=ENDED))
    await diagram.js("d.fit()")  # or what runs would slide away under the pointer
    await diagram.page.mouse.move(*await diagram.mark(32))
    await diagram.tell(Gone(32))
    assert "keeps no more of it" in await diagram.page.locator(TIP).inner_text()
    await diagram.tell(delta(now=3.1, kept_from=40))
    assert await diagram.js("d.focus()") is None


async def test_a_click_keeps_the_words_open_and_escape_lets_go(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    x, y = await diagram.mark(32)
    tip = diagram.page.locator(TIP)
    await diagram.page.mouse.click(x, y)
    await diagram.page.mouse.move(5, 480)
    assert await tip.is_visible()
    await diagram.page.keyboard.press("Escape")
    assert await tip.is_hidden()
    await diagram.page.mouse.move(x, y)
    assert await tip.is_visible()
    await diagram.page.mouse.move(5, 480)
    assert await tip.is_hidden()


@pytest.mark.parametrize(
    ("x_of", "row", "words"),
    [
        (3.0, 2, ["stall 2 s", "from 2 s"]),
        (3.0, 0, ["paused 1.5 s", "its reader could take no more"]),
        (7.5, 1, ["1,200 event", "3 usage", "kept as counts only"]),
        (9.5, 2, ["failed at 9.5 s", "truncated: no terminal event"]),
    ],
)
async def test_what_is_no_mark_says_what_it_is_too(
    diagram: DiagramPage, x_of: float, row: int, words: list[str]
) -> None:
    await diagram.tell(
        snapshot(
            [],
            state=State.FAILED,
            spans=[Span(2, SpanKind.STALL, 2.0, 4.0), Span(0, SpanKind.PAUSED, 2.0, 3.5)],
            bins=[Bin(1, 7.0, 8.0, {"event": 1200, "usage": 3})],
            ends=[LaneEnd(2, 9.5, Outcome.FAILED, "truncated: no terminal event")],
        )
    )
    await diagram.js("d.hoverAt(d.window.x(argument[0], d.painter.width), d.painter.line(argument[1]))", [x_of, row])
    said = await diagram.page.locator(TIP).inner_text()
    assert [word for word in words if word not in said] == []


async def test_a_chosen_kind_dims_the_others(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    before = await diagram.colours()
    text = await diagram.js("d.theme.kinds[2]")
    event = await diagram.js("d.theme.kinds[1]")
    assert {text, event} <= before
    entry = diagram.page.locator(".rxm-kind", has_text="text")
    await entry.click()
    await diagram.page.evaluate("harness.drawn()")
    assert {text, event} & await diagram.colours() == {text}
    assert await diagram.page.locator(".rxm-kind[aria-pressed=true]").count() == 1
    await diagram.page.locator(".rxm-kind", has_text="text").click()
    await diagram.page.evaluate("harness.drawn()")
    assert {text, event} <= await diagram.colours()


async def test_marks_are_reached_by_keys_and_said_aloud(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    await diagram.page.keyboard.press("Tab")
    await diagram.page.keyboard.press("Tab")
    assert await diagram.js("document.activeElement === d.canvas")
    await diagram.page.keyboard.press("ArrowDown")
    await diagram.page.keyboard.press("ArrowDown")
    await diagram.page.keyboard.press("ArrowDown")
    await diagram.page.keyboard.press("Shift+ArrowRight")
    assert await diagram.js("d.hover.seq") == 5
    assert "token_map, text word1" in await diagram.page.locator("[aria-live=polite]").inner_text()
    await diagram.page.keyboard.press("Shift+ArrowLeft")
    assert await diagram.js("d.hover.seq") == 2


async def test_the_picture_is_told_to_those_who_do_not_see_it(diagram: DiagramPage) -> None:
    spans = [Span(2, SpanKind.STALL, 2.0, 4.0)]
    await diagram.tell(snapshot(reads(20), spans=spans, ends=ENDED, title="an answer"))
    aloud = await diagram.page.locator("[aria-live=polite]").inner_text()
    assert aloud.startswith("an answer: completed, 4 s.")
    assert "token_map: 20 marks." in aloud
    assert "1 stall, the longest 2 s." in aloud
    canvas = diagram.page.get_by_role("application")
    assert aloud in (await canvas.get_attribute("aria-label") or "")


async def test_while_it_runs_it_is_not_told_more_often_than_one_can_listen(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(2), state=State.RUNNING, now=2.0))
    first = await diagram.page.locator("[aria-live=polite]").inner_text()
    more = [Told(9, 2.1, 2, "text", "word")]
    await diagram.tell(delta(more, now=2.2, totals=[LaneTotal(2, 3, 18)]))
    assert await diagram.page.locator("[aria-live=polite]").inner_text() == first
    await diagram.tell(delta(now=2.3, state=State.FAILED))
    assert "failed" in await diagram.page.locator("[aria-live=polite]").inner_text()
