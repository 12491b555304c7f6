"""A file of this user's alone, read and written so that nobody else decides what is read, or sees what is written."""

import fcntl
import os
import secrets
import stat
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

#: The folders on the way are only passed through: no right to list them is needed where the system has it so.
_THROUGH: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
#: Not a FIFO's or a device's bytes, which might never come or never end.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MAX_LINKS: Final = 16
_LOOK_AGAIN_S: Final = 0.05


class NotPrivate(Exception):
    """The file cannot be read, or is not this user's alone; the text says what to do, and nothing of the contents."""


def read_private(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of `path`: a regular file, of this user, which no other has any right to (mode 0600 or stricter).

    All of that is asked of the opened descriptor, so that nothing can be put in its place meanwhile. Links on the way
    are followed if they are this user's or root's: another's link could make us send any file of ours.

    Raises `FileNotFoundError`, and `NotPrivate` for everything else.
    """
    descriptor = _opened(path)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotPrivate("it is no regular file")
        if found.st_uid != os.geteuid():
            raise NotPrivate(f"it belongs to user {found.st_uid}, not to you ({os.geteuid()})")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise NotPrivate(f"it is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600 it")
        return read_all(descriptor, max_bytes=max_bytes)
    finally:
        os.close(descriptor)


def read_all(descriptor: int, *, max_bytes: int) -> bytes:
    """What is left to read. Raises `NotPrivate` for more than `max_bytes`, and where it cannot be read."""
    pieces = bytearray()
    try:
        while len(pieces) <= max_bytes and (piece := os.read(descriptor, max_bytes + 1 - len(pieces))):
            pieces += piece
    except OSError as error:
        raise NotPrivate(f"it cannot be read: {error.strerror}") from None
    if len(pieces) > max_bytes:
        raise NotPrivate(f"it is larger than {max_bytes:,} bytes")
    return bytes(pieces)


def _opened(path: Path) -> int:
    """A descriptor of the file, each part of whose path was looked at as it was passed."""
    parts = deque(path.absolute().parts[1:])  # with each `..`, which behind a link is not the folder in front
    at, links = os.open("/", _THROUGH), 0
    try:
        while parts:
            name = parts.popleft()
            try:
                opened = os.open(name, _THROUGH if parts else _READ, dir_fd=at)
            except FileNotFoundError:
                raise
            except OSError as error:
                target = _link(name, at)
                if target is None:
                    raise NotPrivate(f"it cannot be read: {error.strerror}") from None
                links += 1
                if links > _MAX_LINKS:
                    raise NotPrivate("too many links lead there") from None
                steps = Path(target).parts
                if Path(target).is_absolute():
                    steps, opened = steps[1:], os.open("/", _THROUGH)
                else:
                    opened = os.dup(at)
                parts.extendleft(reversed(steps))
            os.close(at)
            at = opened
        at, opened = -1, at
        return opened
    finally:
        if at >= 0:
            os.close(at)


def _link(name: str, folder: int) -> str | None:
    """Where the link `name` leads; None for what is none. Raises `NotPrivate` for one of somebody else."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            return None
        if found.st_uid not in (0, os.geteuid()):
            raise NotPrivate(f"a link on the way belongs to user {found.st_uid}")
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def replace_private(path: Path, data: bytes) -> None:
    """Put `data` in the place of what `path` holds, mode 0600: whoever reads finds all of the old or all of the new.

    It is on the disk when this returns: the new file was synced before it got the name, and the folder after. A link is
    followed, not replaced. Raises `NotPrivate`, with the old file as it was.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with FileIO(descriptor, "w") as file:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
                os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise NotPrivate(f"it cannot be written: {error.strerror}") from None


@contextmanager
def only_writer(path: Path, *, wait_s: float) -> Generator[None]:
    """Be the only one who changes `path` during the block; others wait for their turn, at most `wait_s` seconds.

    The lock is on a file beside it, which stays: whoever removed it would let two in. The system takes a lock off when
    its process ends, however that is. Makes the folder, for this user alone, if there is none. Raises `NotPrivate`.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(target.with_name(f".{target.name}.lock"), flags, 0o600)
    except OSError as error:
        raise NotPrivate(f"it cannot be written: {error.strerror}") from None
    try:
        deadline_s = time.monotonic() + wait_s
        while not _locked(descriptor):
            if time.monotonic() >= deadline_s:
                raise NotPrivate(f"another process has been changing it for {wait_s:g} s")
            time.sleep(_LOOK_AGAIN_S)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
