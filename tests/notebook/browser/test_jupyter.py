"""`show` in a real JupyterLab, in a real browser."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from rxlapce.testing.browser import Browser
from rxlapce.testing.jupyter import JupyterLab, LabPage, jupyter_lab

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

TICKS = """
import reactivex as rx
from reactivex import operators as ops
from rxlapce.notebook import show
from rxlapce.tokens import Text
disposed = []
ticks = rx.interval(0.02).pipe(ops.map(lambda n: Text(f"word{n} ")), ops.finally_action(lambda: disposed.append(1)))
"""
#: How the diagram of the page stands, once there is one that was told of marks.
STATE = "document.querySelector('.rxm[data-told]')?.diagram.store.state"
SAID = "[...document.querySelectorAll('.jp-OutputArea-output')].some((one) => one.innerText.includes('{}'))"
MARKS = "document.querySelector('.rxm[data-told]')?.diagram.store.marks.length"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jupyter(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[JupyterLab]:
    async with jupyter_lab(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


async def until(page: LabPage, expression: str) -> None:
    await page.page.wait_for_function(expression)


async def colours(page: LabPage) -> set[str]:
    found: list[str] = await page.page.evaluate(
        """() => {
          const { canvas } = document.querySelector(".rxm").diagram;
          const pixels = new Uint32Array(
            canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
          const hex = (byte) => (byte & 255).toString(16).padStart(2, "0");
          const opaque = [...new Set(pixels)].filter((pixel) => pixel >>> 24 === 255);
          return opaque.map((pixel) => `#${hex(pixel)}${hex(pixel >> 8)}${hex(pixel >> 16)}`);
        }"""
    )
    return set(found)


async def test_a_stream_is_drawn_while_it_runs_and_wears_the_notebooks_theme(
    jupyter: JupyterLab, chromium: Browser
) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks, title='ticks', lane='tokens')"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{MARKS} > 30")
        assert await page.page.evaluate(STATE) == "running"
        await page.theme("JupyterLab Light")
        assert "#0b67c3" in await colours(page)
        await page.theme("JupyterLab Dark")
        await until(page, "document.querySelector('.rxm').diagram.painter.theme.dark")
        await until(page, f"{MARKS} > 60")
        dark = await colours(page)
        assert ("#56b4e9" in dark, "#0b67c3" in dark) == (True, False)
        assert page.errors == []


async def test_the_button_cancels_while_a_cell_awaits_the_stream(jupyter: JupyterLab, chromium: Browser) -> None:
    """Its message comes by a subshell of the kernel: the shell is busy with the cell."""
    cells = [TICKS, "view = show(ticks)\ntrace = await view\nprint('over:', trace.state, disposed)"]
    async with jupyter.opened(chromium, cells) as page:
        await page.run(0)
        await page.start(1)
        await until(page, f"{MARKS} > 10")
        await page.page.locator(".rxm-cancel").click()
        await until(page, f"{STATE} === 'cancelled'")
        await until(page, SAID.format("over:"))
        assert "over: cancelled [1]" in await page.output(1)


async def test_running_a_cell_again_disposes_of_what_it_had_started(jupyter: JupyterLab, chromium: Browser) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks)", "print('disposed', disposed)"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{MARKS} > 10")
        await page.run(1)
        await until(page, f"{STATE} === 'running' && {MARKS} > 5")
        assert await page.page.locator(".rxm").count() == 1
        await page.run(2)
        assert "disposed [1]" in await page.output(2)


async def test_a_mark_under_the_pointer_shows_all_that_the_kernel_knows_of_it(
    jupyter: JupyterLab, chromium: Browser
) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks.pipe(ops.take(20)))\nawait view\nNone"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{STATE} === 'completed'")
        x, y = await page.page.evaluate(
            """() => {
              const d = document.querySelector(".rxm").diagram;
              const box = d.canvas.getBoundingClientRect();
              const { marks } = d.store;
              return [box.left + d.window.x(marks.t[marks.find(7)], d.painter.width), box.top + d.painter.line(0)];
            }"""
        )
        await page.page.mouse.move(x, y)
        text = page.page.locator(".rxm-tip-text")
        await text.wait_for()
        assert "word7" in await text.inner_text()


async def test_a_click_puts_keys_into_the_diagrams_hands_and_out_of_the_notebooks(
    jupyter: JupyterLab, chromium: Browser
) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks.pipe(ops.take(20)))\nawait view\nNone"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{STATE} === 'completed'")
        cells = await page.page.locator(".jp-Cell").count()
        await page.page.locator(".rxm-canvas").click(position={"x": 20, "y": 8})
        span = await page.page.evaluate("document.querySelector('.rxm').diagram.window.span")
        for key in ("+", "+", "Home"):
            await page.page.keyboard.press(key)
        assert await page.page.evaluate("document.querySelector('.rxm').diagram.window.span") < span / 2
        await page.page.mouse.wheel(0, 500)
        await until(page, f"document.querySelector('.rxm').diagram.window.span > {span / 2}")
        assert await page.page.locator(".jp-Cell").count() == cells


async def test_a_saved_notebook_has_the_static_form(jupyter: JupyterLab, chromium: Browser) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks.pipe(ops.take(20)))\nawait view\nNone"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{STATE} === 'completed'")
        saved = await page.saved()
        data: list[dict[str, Any]] = [output.get("data", {}) for output in saved["cells"][1]["outputs"]]
        pictures = ["".join(one["text/html"]) for one in data if "text/html" in one]
        assert len(pictures) == 1
        assert "<svg" in pictures[0]
        assert re.search(r"20\b", pictures[0])


async def test_a_kernel_that_is_restarted_is_said_and_the_picture_stays(jupyter: JupyterLab, chromium: Browser) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks)"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{MARKS} > 10")
        await page.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        await page.page.wait_for_selector(".rxm-state[data-state=gone]")
        assert await page.page.evaluate(MARKS) > 10
        assert {"#0b67c3", "#56b4e9"} & await colours(page)


async def test_a_second_view_beside_the_notebook_shows_the_same(jupyter: JupyterLab, chromium: Browser) -> None:
    async with jupyter.opened(chromium, [TICKS, "view = show(ticks)"]) as page:
        await page.run(0)
        await page.run(1)
        await until(page, f"{MARKS} > 10")
        await page.select(1)
        await page.command("notebook:create-output-view")
        await until(page, "document.querySelectorAll('.rxm[data-told]').length === 2")
        await until(page, "[...document.querySelectorAll('.rxm')].every((one) => one.diagram.store.marks.length > 30)")
