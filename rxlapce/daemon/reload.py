"""The configuration, read anew when its file changes or SIGHUP asks for it; what is wrong changes nothing."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Generic, TypeVar

from rxlapce.errors import ConfigError
from rxlapce.off_loop import off_loop
from rxlapce.telemetry.logs import Logger
from rxlapce.typing import Clock

T = TypeVar("T")

#: How often the file is looked at: one `stat`. Looking finds what inotify does not tell of: a link that leads elsewhere
#: now, a file of another machine.
LOOK_S: Final = 1.0
#: Editors write in pieces: a file is read when it has stayed as it is for so long.
SETTLED_S: Final = 0.2
#: How long the reading thread may keep the interpreter from the loop, which asks for it after every system call. With
#: Python's own 5 ms a file of 75 KiB stretched the pace of 50 streams by up to 1.1 s, so by 0.1 (2026-11-23).
TURN_S: Final = 0.0005
#: Of all that is wrong so much is told in the log.
MAX_TOLD: Final = 20

#: What tells one state of the file from another; None: there is no file.
Signature = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What a file says, and a digest of each of its sections by name, by which changes are named."""

    config: T
    sections: Mapping[str, str]


@dataclass(slots=True)
class Loaded:
    """The state of the configuration, for reports: which file, since when it holds, and why the last one was refused.

    `error` is "" while what is in the file is what holds.
    """

    file: str
    loaded_s: float
    error: str = ""


class Reloader(Generic[T]):
    """Reads `file` anew, and applies it.

    `read` is called on a thread, since keys may be fetched by it; `apply` on the loop, with what was read: it makes new
    streams take it, and raises `ConfigError` if it changes nothing. `needs_restart` names those settings of what was
    read that only a new process can take. Requests that come while it reads take what held before; a second
    change meanwhile is read after the first.

    `start` begins to look, `ask` reads even if nothing has changed, `aclose` ends it.
    """

    def __init__(
        self,
        file: Path,
        read: Callable[[], Read[T]],
        apply: Callable[[T], Awaitable[None]],
        log: Logger,
        *,
        first: Read[T],
        needs_restart: Callable[[T], tuple[str, ...]] = lambda _: (),
        look_s: float = LOOK_S,
        settled_s: float = SETTLED_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.file = file
        self.loaded = Loaded(str(file), clock())
        self._read = read
        self._apply = apply
        self._log = log
        self._sections = first.sections
        self._needs_restart = needs_restart
        self._look_s = look_s
        self._settled_s = settled_s
        self._clock = clock
        self._seen = signature(file)
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look at the file."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="reload")

    async def aclose(self) -> None:
        """Look no more. What is being read is let go of, and not applied."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def ask(self) -> None:
        """Read the file, whether it has changed or not: what it refers to may have."""
        self._asked.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._asked.wait()
            asked = self._asked.is_set()
            self._asked.clear()
            now = await self._look()
            if not asked and now == self._seen:
                continue
            if not asked:
                await asyncio.sleep(self._settled_s)
                if await self._look() != now:
                    continue  # somebody is still writing
            self._seen = now
            await self._reload("asked" if asked else "changed")

    async def _look(self) -> Signature:
        """On a thread too: a file of another machine that does not answer is to hold up nobody."""
        return await off_loop(partial(signature, self.file), "look at the configuration")

    async def _reload(self, cause: str) -> None:
        began_s = self._clock()
        try:
            with _short_turns():
                found = await off_loop(self._read, "read the configuration")
            await self._apply(found.config)
        except ConfigError as error:
            self._refuse(cause, error)
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the daemon over a file
            self._log.error("config_failed", cause=cause, exc_info=error)
            self.loaded.error = f"{type(error).__name__} inside rxlapce"
            return
        before, self._sections = self._sections, found.sections
        changed = sorted(name for name in {**before, **self._sections} if before.get(name) != self._sections.get(name))
        self.loaded = Loaded(str(self.file), self._clock())
        took_s = round(self._clock() - began_s, 3)
        self._log.info("config_reloaded", cause=cause, file=str(self.file), changed=", ".join(changed), took_s=took_s)
        later = self._needs_restart(found.config)
        if later:
            self._log.warning("config_needs_restart", settings=", ".join(later))

    def _refuse(self, cause: str, error: ConfigError) -> None:
        problems = [str(problem) for problem in error.problems] or str(error).splitlines()
        self._log.error("config_refused", cause=cause, file=str(self.file), problems=len(problems))
        for problem in problems[:MAX_TOLD]:
            self._log.error("config_problem", problem=problem)
        more = len(problems) - 1
        self.loaded.error = problems[0] + (f" (and {more} more)" if more > 0 else "")


@contextmanager
def _short_turns() -> Generator[None]:
    """Let threads take turns of `TURN_S` inside."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def signature(file: Path) -> Signature:
    """What tells the file's states apart: where it is, its size, and when it was written."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def is_file(path: Path | None) -> bool:
    """Whether `path` can be read more than once: no pipe, as `<(command)` makes one."""
    return path is not None and os.path.isfile(path)  # noqa: PTH113 - follows links, and says False for what cannot be
