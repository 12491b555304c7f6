"""A real JupyterLab: a process with folders of its own, and a page of one notebook in it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from rxlapce.testing.browser import Browser, Page

#: What JupyterLab says when it listens.
URL: Final = re.compile(r"(http://127\.0\.0\.1:\d+)/lab")
#: What it is asked for. It listens to this machine only, where whoever may connect may also run Python.
FLAGS: Final = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--IdentityProvider.token=",
    "--ServerApp.password=",
    "--ServerApp.disable_check_xsrf=True",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",
)
#: Nothing is asked of the network, and nothing lies over the notebook.
SETTINGS: Final[dict[str, dict[str, object]]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"autoStartDefaultKernel": True, "recordTiming": False},
}
#: A cell that is run before its kernel's connection stands is forgotten, though the kernel shows as idle.
CONNECTED: Final = """async () => {
  const context = window.jupyterapp.shell.currentWidget?.sessionContext;
  await context?.ready;
  const kernel = context?.session?.kernel;
  await kernel?.info;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
END_S: Final = 20.0
WAIT_MS: Final = 70_000


def notebook(cells: Sequence[str]) -> str:
    """A notebook with cells of Python, and no outputs yet."""
    made: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "id": f"cell-{at}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for at, source in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": made})


class LabPage:
    """One notebook, open in a browser."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path
        self.errors: list[str] = []
        page.on("pageerror", self._failed)

    def _failed(self, error: object) -> None:
        self.errors.append(str(error))

    async def command(self, name: str, **arguments: object) -> None:
        """Run a command of JupyterLab's, to its end."""
        await self.page.evaluate(
            "([name, arguments]) => window.jupyterapp.commands.execute(name, arguments)", [name, arguments]
        )

    async def select(self, cell: int) -> None:
        """Make a cell the active one; the first is 0."""
        await self.page.evaluate(
            "cell => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell; }", cell
        )

    async def run(self, cell: int) -> None:
        """Run a cell, and wait for its end."""
        await self.select(cell)
        await self.command("notebook:run-cell")

    async def start(self, cell: int) -> None:
        """Run a cell, and do not wait."""
        await self.select(cell)
        await self.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-cell')")

    async def output(self, cell: int) -> str:
        """What a cell has said in words."""
        lines: list[str] = (
            await self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output").all_inner_texts()
        )
        return "\n".join(lines)

    async def theme(self, name: str) -> None:
        """Wear "JupyterLab Light" or "JupyterLab Dark"."""
        await self.command("apputils:change-theme", theme=name)
        light = str("Light" in name).lower()
        await self.page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")

    async def saved(self) -> dict[str, Any]:
        """Save, and read what is in the file."""
        await self.command("docmanager:save")
        saved: dict[str, Any] = json.loads(self.path.read_text())
        return saved


class JupyterLab:
    """A server that runs, on files in `folder`."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._numbers = count(1)

    @asynccontextmanager
    async def opened(self, browser: Browser, cells: Sequence[str], name: str = "a") -> AsyncGenerator[LabPage]:
        """A page with a new notebook of `cells`, and a kernel that is ready for them and ends with the page.

        Its path is new too: a server gives a path that was open before the kernel that it had.
        """
        path = self.folder / f"{name}-{next(self._numbers)}.ipynb"
        path.write_text(notebook(cells))
        context = await browser.new_context(viewport={"width": 1200, "height": 900})
        try:
            context.set_default_timeout(WAIT_MS)  # a kernel takes half a minute to start where all else is busy, too
            page = await context.new_page()
            await page.goto(f"{self.url}/lab/workspaces/{path.stem}/tree/{path.name}")
            await page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached")
            await page.wait_for_function(CONNECTED)
            yield LabPage(page, path)
            await page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        finally:
            await context.close()


@asynccontextmanager
async def jupyter_lab(folder: Path) -> AsyncGenerator[JupyterLab]:
    """A JupyterLab whose configuration, data and files are all in `folder`; its kernels run this very Python."""
    home, files = folder / "home", folder / "files"
    for part in (home, files):
        part.mkdir(parents=True)
    for name, values in SETTINGS.items():
        setting = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        setting.parent.mkdir(parents=True, exist_ok=True)
        setting.write_text(json.dumps(values))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jupyterlab", *FLAGS, cwd=files, env=environment(home), stderr=asyncio.subprocess.PIPE
    )
    log = Log(process.stderr)
    try:
        yield JupyterLab(await log.url(), files)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        await log.close()


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's own configuration."""
    folders = {
        "HOME": home,
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
    }
    return {**os.environ, "JUPYTER_NO_CONFIG": "1", **{name: str(folder) for name, folder in folders.items()}}


class Log:
    """What the server says; read to its end, as a full pipe would stop it."""

    def __init__(self, stream: asyncio.StreamReader | None) -> None:
        if stream is None:
            raise ValueError("the server's log is not piped")
        self._stream = stream
        self._lines: list[str] = []
        self._rest: asyncio.Task[None] | None = None

    async def url(self) -> str:
        """Where it listens. Raises `RuntimeError` with what it said if it ends before."""
        async for line in self._stream:
            self._lines.append(line.decode(errors="replace"))
            found = URL.search(self._lines[-1])
            if found:
                self._rest = asyncio.create_task(self._drain())
                return found[1]
        raise RuntimeError("JupyterLab has ended:\n" + "".join(self._lines[-20:]))

    async def _drain(self) -> None:
        async for _ in self._stream:
            pass

    async def close(self) -> None:
        """Wait until the last of it has been read."""
        if self._rest is not None:
            await self._rest
