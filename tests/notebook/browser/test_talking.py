"""What a diagram and its kernel say to each other, and what it holds: in a real browser, without a notebook."""

import pytest

from rxlapce.notebook.marks import LaneEnd, Outcome, State
from rxlapce.testing.diagram_page import LANES, DiagramPage, delta, reads, snapshot

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ENDED = [LaneEnd(lane.id, 2.5, Outcome.COMPLETED) for lane in LANES]


async def test_the_button_cancels_once_and_goes_with_the_end(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(5), state=State.RUNNING, now=2.0))
    button = diagram.page.locator(".rxm-cancel")
    await button.click()
    assert await diagram.sent("cancel") == [{"type": "cancel"}]
    await diagram.page.evaluate("harness.drawn()")
    assert await button.is_disabled()
    ends = [LaneEnd(lane.id, 2.2, Outcome.CANCELLED) for lane in LANES]
    await diagram.tell(delta(now=2.2, state=State.CANCELLED, ends=ends))
    assert await button.is_hidden()
    assert await diagram.page.locator(".rxm-state").inner_text() == "cancelled"


async def test_how_much_was_drawn_is_told_four_times_a_second_at_most_and_in_the_end_all_of_it(
    diagram: DiagramPage,
) -> None:
    await diagram.tell(snapshot([], state=State.RUNNING, now=1.0))
    took_ms = await diagram.page.evaluate(
        """async () => {
          const began = performance.now();
          for (let n = 0; n < 45; n += 1) {
            await harness.tell(harness.delta({ now: 1 + n / 30 }));
          }
          return performance.now() - began;
        }"""
    )
    await diagram.until("harness.model.sent.at(-1).deltas === 45")
    seen = await diagram.sent("seen")
    assert 2 <= len(seen) <= 2 + took_ms / 250
    assert [message["deltas"] for message in seen] == sorted({message["deltas"] for message in seen})


async def test_a_page_that_is_not_drawn_tells_nothing_seen(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot([], state=State.RUNNING, now=1.0))
    await diagram.page.evaluate("document.body.style.paddingTop = '3000px'")  # scrolled out of sight
    await diagram.until("!d.inSight")
    frames = await diagram.js("d.frames")
    await diagram.tell(delta(now=1.1), delta(now=1.2))
    assert await diagram.sent("seen") == []
    assert await diagram.js("d.frames") == frames
    await diagram.page.evaluate("document.body.style.paddingTop = '0'")
    await diagram.until("harness.model.sent.at(-1).deltas === 2")


async def test_an_ended_diagram_costs_nothing(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), ends=ENDED))
    frames = await diagram.js("d.frames")
    await diagram.page.evaluate("async () => { for (let n = 0; n < 30; n += 1) await harness.drawn(); }")
    assert await diagram.js("[d.frames, [...d.timers.keys()], d.frame === undefined]") == [frames, [], True]


async def test_a_running_one_is_drawn_for_its_clock_alone_ten_times_a_second_at_most(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(2), state=State.RUNNING, now=1.0))
    frames, seconds = await diagram.page.evaluate(
        """async () => {
          const d = harness.views[0].diagram;
          const [frames, began] = [d.frames, performance.now()];
          while (performance.now() < began + 700) await harness.drawn();
          return [d.frames - frames, (performance.now() - began) / 1000];
        }"""
    )
    assert 2 <= frames <= 1 + 10 * seconds
    assert await diagram.js("d.now()") == pytest.approx(1.0 + seconds, abs=0.3)


async def test_a_million_marks_leave_no_more_than_what_is_kept(diagram: DiagramPage) -> None:
    heap = "async () => { for (let n = 0; n < 3; n += 1) gc(); return performance.memory.usedJSHeapSize; }"
    await diagram.tell(snapshot([], state=State.RUNNING, now=0.0))
    before = await diagram.page.evaluate(heap)
    await diagram.page.evaluate("harness.million()")
    after = await diagram.page.evaluate(heap)
    marks, capacity, bins, spans, history, longest = await diagram.js(
        """[
          d.store.marks.length, d.store.marks.label.length, d.store.rows.map((row) => row.bins.length),
          d.store.rows[2].spans.length, d.store.history.length,
          Math.max(...d.store.marks.label.map((one) => one.length)),
        ]"""
    )
    assert (marks, capacity, longest) == (20_000, 20_000, 40)
    assert max(bins) <= 2_000
    assert spans == 500
    assert history < 100
    assert after - before < 12e6


async def test_marks_beyond_what_is_kept_push_out_the_oldest_even_if_the_kernel_does_not_say_so(
    diagram: DiagramPage,
) -> None:
    await diagram.tell(snapshot(reads(2), state=State.RUNNING, now=1.0, max_marks=9))
    await diagram.tell(delta(reads(4, first=6, start=0.8), now=2.0))
    assert await diagram.js("[d.store.marks.length, d.store.marks.find(8), d.store.marks.find(17) >= 0]") == [
        9,
        -1,
        True,
    ]


async def test_more_bins_than_a_page_holds_are_merged_and_none_is_lost(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot([], state=State.RUNNING, now=1.0))
    await diagram.js(
        """(() => {
          for (let n = 0; n < 5000; n += 1) d.store.rows[0].putBin({ t0: n, t1: n + 1, counts: { text: 2 } });
        })()"""
    )
    count, total = await diagram.js(
        "[d.store.rows[0].bins.length, d.store.rows[0].bins.reduce((sum, bin) => sum + bin.total, 0)]"
    )
    assert count <= 2_000
    assert total == 10_000


async def test_a_second_view_of_the_same_stream_works_beside_the_first(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(5), state=State.RUNNING, now=2.0))
    await diagram.page.evaluate("harness.render()")
    assert len(await diagram.sent("ready")) == 2
    await diagram.tell(delta(reads(1, first=15, start=1.5), now=2.1))  # not for the one that has no snapshot
    lengths = "harness.views.map((view) => view.diagram.store.marks.length)"
    assert await diagram.js(lengths) == [18, 0]
    await diagram.tell(snapshot(reads(6), state=State.RUNNING, now=2.2))
    await diagram.tell(delta(reads(1, first=18, start=2.1), now=2.3))
    assert await diagram.js(lengths) == [21, 21]
    await diagram.page.evaluate("harness.views[1].cleanup()")
    await diagram.tell(delta(reads(1, first=21, start=2.2), now=2.4))
    assert await diagram.js(lengths) == [24, 21]


async def test_a_view_that_is_taken_down_leaves_nothing_behind(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=2.0))
    await diagram.page.mouse.move(*await diagram.mark(32))
    await diagram.js("d.cancel()")
    left = await diagram.page.evaluate(
        """async () => {
          const view = harness.views.pop();
          window.gone = new WeakRef(view.diagram);
          view.cleanup();
          const { frame, timers } = view.diagram;
          return [harness.model.listening, view.el.childElementCount, frame === undefined, timers.size];
        }"""
    )
    assert left == [0, 0, True, 0]
    # Whatever still listened to the page, to its size or to its theme, would hold it.
    await diagram.page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    await diagram.page.wait_for_function("gc({ execution: 'async' }).then(() => window.gone.deref() === undefined)")


async def test_a_kernel_that_has_gone_is_said_and_the_picture_stays(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=2.6))
    await diagram.js(
        "(() => { d.el.classList.add('jupyter-widgets-disconnected'); harness.model.trigger('comm_live_update'); })()"
    )
    await diagram.page.evaluate("harness.drawn()")
    assert await diagram.page.locator(".rxm-state").inner_text() == "kernel gone"
    assert "The kernel is gone" in await diagram.page.locator(".rxm-notice").inner_text()
    assert await diagram.page.locator(".rxm-cancel").is_hidden()
    assert await diagram.js("d.theme.kinds[2]") in await diagram.colours()
    stopped = await diagram.js("d.now()")
    await diagram.page.evaluate("harness.drawn()")
    assert await diagram.js("d.now()") == stopped
    assert not await diagram.js("d.timers.has('tick')")


async def test_a_late_word_of_a_kernel_that_has_gone_does_not_bring_it_back(diagram: DiagramPage) -> None:
    await diagram.js("void d.el.classList.add('jupyter-widgets-disconnected')")
    await diagram.js("void harness.model.trigger('comm_live_update')")
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=2.6))
    assert await diagram.page.locator(".rxm-state").inner_text() == "kernel gone"
    await diagram.js("void d.el.classList.remove('jupyter-widgets-disconnected')")
    await diagram.js("void harness.model.trigger('comm_live_update')")
    await diagram.page.evaluate("harness.drawn()")
    assert await diagram.page.locator(".rxm-state").inner_text() != "kernel gone"


async def test_a_connection_that_is_closed_is_met_when_it_is_used(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot(reads(20), state=State.RUNNING, now=2.6))
    await diagram.js("harness.model.closed = true")
    await diagram.page.locator(".rxm-cancel").click()
    await diagram.page.evaluate("harness.drawn()")
    assert await diagram.page.locator(".rxm-state").inner_text() == "kernel gone"


async def test_a_kernel_of_another_version_is_not_misread(diagram: DiagramPage) -> None:
    await diagram.js("d.hear({ type: 'snapshot', version: 2 })")
    assert "different versions" in await diagram.page.locator(".rxm-notice").inner_text()


async def test_the_speed_is_that_of_the_last_second_while_it_runs(diagram: DiagramPage) -> None:
    await diagram.tell(snapshot([], state=State.RUNNING, now=0.0))
    rate = await diagram.js(
        """(() => {
          for (let n = 1; n <= 40; n += 1) {
            const marks = n <= 20 ? n * 100 : 2_000 + (n - 20) * 5; // 1,000 a second, then 50
            const totals = [{ lane: 2, marks, size: 0 }];
            d.store.delta(harness.delta({ now: n / 10, totals }));
          }
          return [d.store.rate(4.0), d.store.history.length];
        })()"""
    )
    assert rate[0] == pytest.approx(50)
    assert rate[1] <= 13
