"""Makes the pictures of the live diagram beside it, in a real JupyterLab in Chromium.

    python docs/images/notebook/pictures.py [NAME ...]

Of what a diagram is: a stream under way; what is known of one token; a stream that was cut; and 100,000 tokens.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from rxlapce.testing.browser import Browser, browser
from rxlapce.testing.jupyter import JupyterLab, LabPage, jupyter_lab

HERE: Final = Path(__file__).parent
DIAGRAM: Final = "document.querySelector('.rxm[data-told]').diagram"
SETUP: Final = """
from rxlapce.notebook import inspect, show
from rxlapce.notebook.lab import Lab
lab = Lab(simulator=True)
who = await lab.open()
"""
ASK: Final = """view = inspect(lab.ask("Why is the sky blue?", {options}), title="{title}")"""
FAST: Final = """
import reactivex as rx
from rxlapce.tokens import Reasoning, Text
kinds = [Reasoning] * 2 + [Text] * 6
async def tokens(observer):
    for read in range(1_000):
        for number in range(100):
            observer.on_next(kinds[read * 8 // 1_000](f" word{number}"))
        await asyncio.sleep(0.2 if read == 600 else 0.003)
    observer.on_completed()
import asyncio
from reactivex.disposable import Disposable
def subscribe(observer, scheduler=None):
    return Disposable(asyncio.get_running_loop().create_task(tokens(observer)).cancel)
view = show(rx.create(subscribe), title="100,000 tokens", lane="tokens")
"""


async def marks(page: LabPage, count: int) -> None:
    """Wait until the last lane has so many."""
    await page.page.wait_for_selector(".rxm[data-told]")
    await page.page.wait_for_function(f"{DIAGRAM}.store.rows.at(-1).marks >= {count}")


async def over(page: LabPage) -> None:
    """Wait until the end is drawn."""
    await page.page.wait_for_selector(".rxm[data-told]")
    await page.page.wait_for_function(f"!{DIAGRAM}.store.live && {DIAGRAM}.timers.size === 0")


async def point_at(page: LabPage, label: str) -> None:
    """Rest on the first token that begins with `label`, nearer to it than all fits."""
    x, y = await page.page.evaluate(
        f"""async label => {{
          const d = {DIAGRAM};
          const {{ marks }} = d.store;
          const last = d.store.rows.length - 1;
          let i = 0;
          while (marks.row[marks.slot(i)] !== last || !marks.label[marks.slot(i)].includes(label)) i += 1;
          const slot = marks.slot(i);
          d.lookAt(slot);
          d.zoomAt(6);
          d.goTo(marks.t[slot] - d.window.span / 8); // with room for its words to the right
          await new Promise(requestAnimationFrame);
          await new Promise(requestAnimationFrame);
          const box = d.canvas.getBoundingClientRect();
          return [box.left + d.window.x(marks.t[slot], d.painter.width), box.top + d.painter.line(last)];
        }}""",
        label,
    )
    await page.page.mouse.move(x, y)
    await page.page.wait_for_selector(".rxm-tip-raw")


async def shoot(page: LabPage, name: str, below: float = 0) -> None:
    """The diagram alone, with so many pixels of what is below it."""
    box = await page.page.locator(".rxm").bounding_box()
    if box is None:
        raise RuntimeError("there is no diagram")
    clip = {"x": box["x"] - 4, "y": box["y"] - 4, "width": box["width"] + 8, "height": box["height"] + 8 + below}
    await page.page.screenshot(path=HERE / f"{name}.png", clip=clip)


async def pictures(lab: JupyterLab, chromium: Browser) -> None:
    """Each in a notebook of its own, in light and dark by turns."""
    scenes = (
        ("running-light", "Light", ASK.format(options="tps=12, ttft=0.6", title="an answer, under way")),
        ("running-dark", "Dark", ASK.format(options="tps=12, ttft=0.6", title="an answer, under way")),
        ("token-light", "Light", ASK.format(options="tps=20", title="where a token came from")),
        ("token-dark", "Dark", ASK.format(options="tps=20", title="where a token came from")),
        ("cut-light", "Light", ASK.format(options="tps=25, fault='cut', after=18", title="an answer that was cut")),
        ("fast-dark", "Dark", FAST),
    )
    for name, theme, cell in scenes:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        async with lab.opened(chromium, [SETUP, cell], name=name) as page:
            await page.theme(f"JupyterLab {theme}")
            await page.command("application:toggle-left-area")
            await page.run(0)
            await page.run(1)
            if name.startswith("running"):
                await marks(page, 28)
            else:
                await over(page)
            if name.startswith("token"):
                await point_at(page, "a")
            await shoot(page, name, below=265 if name.startswith("token") else 0)


async def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as folder:
        async with browser() as chromium, jupyter_lab(Path(folder)) as lab:
            await pictures(lab, chromium)


if __name__ == "__main__":
    asyncio.run(main())
