"""A page with a diagram, in a real browser; and a real JupyterLab for it."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
import pytest_asyncio

from rxlapce.testing.browser import Browser, browser, executable, missing
from rxlapce.testing.diagram_page import DiagramPage

HARNESS: Final = Path(__file__).with_name("harness.js")


def need(*packages: str) -> None:
    """Skip a test on a machine that lacks what it needs; of that, no run of CI may lack the packages."""
    if reason := missing(*packages):
        pytest.fail(reason) if os.environ.get("CI") and executable() else pytest.skip(reason)


class Open(Protocol):
    """Opens a page with a diagram; `options` are those of the browser's context."""

    async def __call__(self, **options: Any) -> DiagramPage: ...  # of playwright's `new_context`


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncGenerator[Browser]:
    need()
    async with browser() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def opened(chromium: Browser) -> AsyncGenerator[Open]:
    pages: list[DiagramPage] = []

    async def open_page(**options: Any) -> DiagramPage:
        context = await chromium.new_context(viewport={"width": 900, "height": 500}, **options)
        page = DiagramPage(await context.new_page(), HARNESS)
        pages.append(page)
        await page.start()
        return page

    yield open_page
    for page in pages:
        await page.page.context.close()
        assert page.errors == []


@pytest_asyncio.fixture(loop_scope="module")
async def diagram(opened: Open) -> DiagramPage:
    return await opened()
