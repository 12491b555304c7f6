"""Makes the main picture of each notebook, in a real JupyterLab in Chromium, light and dark.

    python docs/pictures.py [NAME...]

A NAME is the beginning of a notebook's name (`04`). The notebook's own cells are run, up to the one whose picture is
taken; without a key, so by the simulator.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rxlapce.testing.browser import browser
from rxlapce.testing.jupyter import JupyterLab, LabPage, jupyter_lab

if TYPE_CHECKING:
    from playwright.async_api import Browser

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "images" / "notebook"
#: The cell whose picture is taken, by the notebook.
SCENES: Final = {
    "01-first-stream": "show",
    "02-anatomy-of-a-stream": "openai-raw",
    "03-building-a-pipeline": "redact",
    "04-backpressure": "flow",
    "05-when-providers-fail": "seam",
    "06-pipeline-from-yaml": "compare",
}
#: Wide enough for a diagram, and high enough for a cell with its output.
WIDTH: Final = 1000
HEIGHT: Final = 1500
DRAWN: Final = """() => [...document.querySelectorAll('.rxm')].every(
  one => one.diagram && !one.diagram.store.live && one.diagram.timers.size === 0)"""


def cells_up_to(path: Path, last: str) -> list[str]:
    """The code of the notebook, up to and with the cell `last`."""
    found = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    ids = [cell["id"] for cell in found]
    return ["".join(cell["source"]) for cell in found[: ids.index(last) + 1]]


async def shoot(page: LabPage, cell: int, name: str) -> None:
    """The cell with its output, in both themes."""
    shown = page.page.locator(".jp-CodeCell").nth(cell)
    for theme in ("Light", "Dark"):
        await page.theme(f"JupyterLab {theme}")
        await page.page.wait_for_selector("#jupyterlab-splash", state="detached")  # it lies over all for a moment
        await shown.scroll_into_view_if_needed()
        await page.page.wait_for_function(DRAWN)
        await shown.screenshot(path=FOLDER / f"{name}-{theme.lower()}.png")


async def take(lab: JupyterLab, chromium: "Browser", name: str) -> None:
    """Run the notebook `name` up to its scene, and take its picture."""
    cells = cells_up_to(ROOT / "notebooks" / f"{name}.ipynb", SCENES[name])
    async with lab.opened(chromium, cells, name=name) as page:
        await page.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        await page.command("application:toggle-left-area")
        for cell in range(len(cells)):
            await page.run(cell)
        await shoot(page, len(cells) - 1, name)


async def main(asked: list[str]) -> None:
    """Take those of the notebooks whose names begin so; without any, all."""
    names = [name for name in SCENES if not asked or any(name.startswith(one) for one in asked)]
    with tempfile.TemporaryDirectory() as folder:
        async with browser() as chromium, jupyter_lab(Path(folder)) as lab:
            for name in names:
                await take(lab, chromium, name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
