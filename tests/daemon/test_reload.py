"""The configuration is read anew: when its file changes or somebody asks, and never for the worse."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rxlapce.daemon import reload as reload_module
from rxlapce.daemon.reload import TURN_S, Read, Reloader, is_file
from rxlapce.errors import ConfigError, Problem


class Log:
    """A logger that keeps what it is told, and wakes who waits for it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, Any]]] = []
        self._told = asyncio.Condition()

    def bind(self, **_: Any) -> "Log":
        return self

    def debug(self, event: str, **members: Any) -> None:
        self.lines.append((event, members))
        asyncio.get_running_loop().create_task(self._wake())

    info = warning = error = debug

    async def _wake(self) -> None:
        async with self._told:
            self._told.notify_all()

    async def until(self, event: str, count: int = 1) -> Mapping[str, Any]:
        """The members of the `count`th line of that event, when it has come."""
        async with asyncio.timeout(10), self._told:
            await self._told.wait_for(lambda: sum(name == event for name, _ in self.lines) >= count)
        return [members for name, members in self.lines if name == event][count - 1]


class World:
    """A file whose text is its configuration, and what has been applied of it. "bad" is refused, "odd" by `apply`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.log = Log()
        self.applied: list[str] = []
        self.threads: set[int] = set()
        self.turns_s: list[float] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.reloader = Reloader(
            file, self.read, self.apply, self.log, first=self.read(),
            needs_restart=lambda text: ("serve.path",) if "path" in text else (), look_s=0.005, settled_s=0.005,
        )  # fmt: skip

    def read(self) -> Read[str]:
        self.threads.add(threading.get_ident())
        self.turns_s.append(sys.getswitchinterval())
        self.may_read.wait(10)
        text = self.file.read_text()
        if text == "bad":
            problems = [Problem("f", line, 1, "a", "wrong") for line in (1, 2)]
            raise ConfigError("\n".join(map(str, problems)), problems)
        if text == "broken":
            raise ZeroDivisionError
        return Read(text, {"models": text, "limits": "same"})

    async def apply(self, text: str) -> None:
        if text == "odd":
            raise ConfigError("pipeline p: record: it cannot be made")
        self.applied.append(text)

    def write(self, text: str) -> None:
        """As editors do: another file in its place."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.file)  # noqa: PTH105


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    file = tmp_path / "f.yaml"
    file.write_text("one")
    made = World(file)
    made.reloader.start()
    yield made
    await made.reloader.aclose()


async def test_a_changed_file_is_read_on_a_thread_applied_and_told_with_the_sections_that_changed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        w.write("two")
        told = await w.log.until("config_reloaded")
        assert (told["cause"], told["changed"], told["file"]) == ("changed", "models", str(w.file))
        assert w.applied == ["two"]
        assert len(w.threads) == 2, "once here, at the start, and once elsewhere"
        assert w.reloader.loaded.error == ""


async def test_who_reads_takes_short_turns_and_others_as_long_ones_as_ever(tmp_path: Path) -> None:
    before_s = sys.getswitchinterval()
    async with world(tmp_path) as w:
        w.write("two")
        await w.log.until("config_reloaded")
        w.write("bad")
        await w.log.until("config_refused")
        assert w.turns_s == [before_s, pytest.approx(TURN_S), pytest.approx(TURN_S)]
        assert sys.getswitchinterval() == before_s


async def test_a_file_that_is_written_in_place_is_seen_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.file.write_text("three")
        await w.log.until("config_reloaded")
        assert w.applied == ["three"]


async def test_who_asks_has_it_read_though_nothing_has_changed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.reloader.ask()
        told = await w.log.until("config_reloaded")
        assert (told["cause"], told["changed"]) == ("asked", "")
        assert w.applied == ["one"]


async def test_a_bad_file_changes_nothing_and_each_problem_is_a_line(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.write("bad")
        assert (await w.log.until("config_refused"))["problems"] == 2
        assert [members["problem"] for name, members in w.log.lines if name == "config_problem"] == [
            "f:1:1: a: wrong",
            "f:2:1: a: wrong",
        ]
        assert w.applied == []
        assert w.reloader.loaded.error == "f:1:1: a: wrong (and 1 more)"
        w.write("good")
        await w.log.until("config_reloaded")
        assert w.applied == ["good"]
        assert w.reloader.loaded.error == ""


async def test_what_cannot_be_applied_is_refused_as_what_cannot_be_read(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.write("odd")
        await w.log.until("config_refused")
        assert w.reloader.loaded.error == "pipeline p: record: it cannot be made"


async def test_a_file_that_goes_is_refused_and_one_that_comes_again_is_read(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.file.rename(tmp_path / "away")
        told = await w.log.until("config_failed")
        assert isinstance(told["exc_info"], FileNotFoundError)
        w.write("again")
        await w.log.until("config_reloaded")
        assert w.applied == ["again"]


async def test_a_fault_of_ours_ends_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.write("broken")
        assert isinstance((await w.log.until("config_failed"))["exc_info"], ZeroDivisionError)
        assert w.reloader.loaded.error == "ZeroDivisionError inside rxlapce"
        w.write("mended")
        await w.log.until("config_reloaded")


async def test_a_change_while_one_is_read_is_read_after_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.may_read.clear()
        w.reloader.ask()
        async with asyncio.timeout(10):
            while len(w.threads) < 2:  # noqa: ASYNC110 - another thread, which tells nobody
                await asyncio.sleep(0)
        w.write("later")
        w.may_read.set()
        await w.log.until("config_reloaded", 2)
        assert w.applied[-1] == "later"


async def test_what_only_a_new_process_can_take_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.write("path")
        assert (await w.log.until("config_needs_restart"))["settings"] == "serve.path"


async def test_the_end_does_not_wait_for_what_is_read(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.may_read.clear()
        w.reloader.ask()
        async with asyncio.timeout(10):
            while len(w.threads) < 2:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
        await w.reloader.aclose()
        async with asyncio.timeout(5):  # as the end of the loop does
            await asyncio.get_running_loop().shutdown_default_executor()
        w.may_read.set()
        assert w.applied == []


async def test_a_file_system_that_hangs_holds_up_neither_the_loop_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        looked, answers = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hang(_: Path) -> None:
            loop.call_soon_threadsafe(looked.set)
            answers.wait(10)

        monkeypatch.setattr(reload_module, "signature", hang)
        async with asyncio.timeout(5):
            await looked.wait()  # here the loop goes on
            await w.reloader.aclose()
        answers.set()
        assert w.applied == []


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "nothing", "folder"])
def test_a_pipe_is_no_file_that_can_be_read_again(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    match kind:
        case "file":
            path.touch()
        case "link":
            (tmp_path / "there").touch()
            path.symlink_to(tmp_path / "there")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            pass
    assert is_file(path) == (kind in ("file", "link"))
