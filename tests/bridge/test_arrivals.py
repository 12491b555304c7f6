"""News of a path: told in time by both ways, whatever comes first, and nothing is left behind."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.bridge import arrivals
from rxlapce.bridge.arrivals import Inotify, Polling, watching
from rxlapce.testing.processes import descriptors
from rxlapce.transports.listening import listen

both_ways = pytest.mark.parametrize("inotify", [True, False])


def touch(path: Path) -> None:
    path.touch()


def remove(path: Path) -> None:
    path.unlink()


async def told(news: asyncio.Event) -> None:
    await asyncio.wait_for(news.wait(), 5)
    news.clear()


@both_ways
async def test_a_socket_that_comes_goes_and_is_replaced_is_told(path: Path, inotify: bool) -> None:
    news = asyncio.Event()
    with watching(path, news, inotify=inotify):
        assert not news.is_set()
        with listen(path):
            await told(news)
        remove(path)
        with listen(path):
            await told(news)


@both_ways
async def test_folders_that_come_one_after_the_other_are_followed(tmp_path: Path, inotify: bool) -> None:
    news = asyncio.Event()
    path = tmp_path / "one" / "two" / "d.sock"
    with watching(path, news, inotify=inotify):
        for _ in range(2):
            path.parent.mkdir(parents=True, mode=0o700)
            if inotify:
                await told(news)
            touch(path)
            await told(news)
            shutil.rmtree(tmp_path / "one")
            await told(news)


async def test_what_else_happens_in_the_folder_is_no_news(path: Path) -> None:
    news = asyncio.Event()
    with watching(path, news):
        touch(path.parent / "else")
        touch(path.parent / "d.sock2")
        (path.parent / "d.soc").mkdir()
        touch(path)
        await told(news)
        remove(path.parent / "else")
        touch(path.parent / "another")
        os.sync()
        await asyncio.to_thread(lambda: None)  # a turn of the loop: what the kernel has told would have come
        assert not news.is_set()


@pytest.mark.parametrize("make", [Inotify, Polling])
async def test_nothing_is_left_behind(path: Path, make: Callable[[Path, asyncio.Event], arrivals.Watch]) -> None:
    before = descriptors(os.getpid())
    watch = make(path, asyncio.Event())
    watch.close()
    watch.close()
    assert descriptors(os.getpid()) == before


async def test_without_inotify_it_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> object:
        raise OSError("no inotify here")

    monkeypatch.setattr(arrivals, "_libc", none)
    news = asyncio.Event()
    with watching(path, news):
        touch(path)
        await told(news)
