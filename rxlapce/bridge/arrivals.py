"""News of a socket's path: told when something may have begun to listen there.

Where the kernel tells (inotify, Linux) nothing runs while nothing happens, and the news takes some 0.1 ms. Elsewhere,
and where inotify's own limits are reached, the path is looked at 20 times a second, 2 us each. Either watches only
while it is open; a bridge opens one while it is not connected.
"""

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

POLL_S: Final = 0.05

_IN_ATTRIB, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x4, 0x80, 0x100, 0x400, 0x800
_IN_IGNORED: Final = 0x8000
_IN_ONLYDIR: Final = 0x01000000
#: A directory's entry came or changed (a socket's mode is set when it has been bound), or the directory went.
_MASK: Final = _IN_ATTRIB | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
_GONE: Final = _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_IGNORED
#: struct inotify_event {int wd; u32 mask, cookie, len; char name[len]} (inotify(7))
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 4096


class Watch(Protocol):
    """Something that sets an event when a path has changed, until it is closed."""

    def close(self) -> None:
        """Stop, and release what it holds. Idempotent."""
        ...


@contextmanager
def watching(path: Path, news: asyncio.Event, *, inotify: bool = True) -> Generator[None]:
    """Inside, `news` is set each time that `path` may have come or changed. `inotify` False: by looking alone."""
    watch: Watch
    try:
        watch = Inotify(path, news) if inotify else Polling(path, news)
    except OSError:  # no inotify here, or as many of its instances as a user may have
        watch = Polling(path, news)
    try:
        yield
    finally:
        watch.close()


class Polling:
    """Looks at the path every `POLL_S` seconds."""

    def __init__(self, path: Path, news: asyncio.Event) -> None:
        self._path = path
        self._news = news
        self._loop = asyncio.get_running_loop()
        self._seen = self._look()
        self._timer = self._loop.call_later(POLL_S, self._again)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_ctime_ns

    def _again(self) -> None:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._news.set()
        self._timer = self._loop.call_later(POLL_S, self._again)

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()


class Inotify:
    """Hears from the kernel. Raises OSError where it does not tell.

    Watches the path's directory or, while that does not exist, the nearest one above that does, for the name of the
    next on the way down.
    """

    def __init__(self, path: Path, news: asyncio.Event) -> None:
        self._path = path.absolute()
        self._news = news
        self._loop = asyncio.get_running_loop()
        self._libc = _libc()
        self._fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._watched = -1
        self._name = b""
        try:
            self._aim()
            self._loop.add_reader(self._fd, self._read)
        except BaseException:
            os.close(self._fd)
            raise

    def _aim(self) -> None:
        """Watch the nearest directory that exists. Raises OSError if there is none that can be watched."""
        for _ in range(3):  # a directory may come while the one above it is being watched
            below = self._watch_nearest()
            if below == self._path or not below.is_dir():
                return

    def _watch_nearest(self) -> Path:
        """Watch a directory; returns what it is watched for."""
        if self._watched >= 0:
            self._libc.inotify_rm_watch(self._fd, self._watched)
            self._watched = -1
        below = self._path
        for directory in self._path.parents:
            self._watched = self._libc.inotify_add_watch(self._fd, os.fsencode(directory), _MASK)
            if self._watched >= 0:
                self._name = os.fsencode(below.name)
                return below
            below = directory
        raise OSError(ctypes.get_errno(), "inotify_add_watch", str(self._path))

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        at, concerns = 0, False
        while at < len(data):
            descriptor, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            if descriptor == self._watched:
                name = data[at - length : at].rstrip(b"\0")
                concerns = concerns or bool(mask & _GONE) or name == self._name
        if concerns:
            with suppress(OSError):  # even / cannot be watched any more: the bridge looks by itself now and then
                self._aim()
            self._news.set()

    def close(self) -> None:
        """Stop listening."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def _libc() -> ctypes.CDLL:
    """The C library that this process has loaded. Raises OSError where it has no inotify."""
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or not hasattr(libc, "inotify_init1"):
        raise OSError("no inotify here")
    libc.inotify_init1.argtypes = [ctypes.c_int]
    libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
    libc.inotify_rm_watch.argtypes = [ctypes.c_int, ctypes.c_int]
    return libc
