"""Chromium as it is installed, without a window."""

import importlib
import importlib.util
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

#: playwright's own. It is of the dependency group `notebook`, and types are checked where that is not installed, too.
Browser: TypeAlias = Any
Page: TypeAlias = Any
Route: TypeAlias = Any

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Nothing is asked of the network; a sandbox needs rights that a container does not give. The rest is for measuring.
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
)


def executable() -> str | None:
    """Where Chromium or Chrome is, None where neither is installed."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def missing(*packages: str) -> str | None:
    """What a browser needs, with `packages` beside it, and this machine lacks; None if all is there."""
    for package in ("playwright", *packages):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed: run make test-browser"
    return None if executable() else "neither Chromium nor Chrome is installed"


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """A browser of its own; what it needs must not be `missing`."""
    async with importlib.import_module("playwright.async_api").async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        try:
            yield found
        finally:
            await found.close()
