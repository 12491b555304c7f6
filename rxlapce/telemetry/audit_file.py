"""The file that audit rows are appended to: locked for each row, closed at its size, and continued after anything.

Several processes may append to it, as while one daemon takes another's place: the chain stays one. Who has the lock
looks first whether the path is still the file that it has open, and whether the file is as long as it left it.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rxlapce.errors import ConfigError
from rxlapce.telemetry.audit_chain import MAX_ROW_BYTES, Head, closed_files, closed_name, read_row, sealed

_BLOCK: Final = 1 << 16
Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def stamp(now: datetime) -> str:
    """`2026-11-23T04:53:50.123Z`."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AuditFile:
    """Rows at `path`, at most `max_bytes` a file; of the closed ones the newest `kept` stay, all if it is 0.

    The first row of a file is an `opened`, which names the file before, and the last row that was removed for `kept`.
    Files are made with mode 0600. `head` is the last row, `torn` how many bytes were found at the end of a file that
    were no row: a `torn` row after them tells their hash. Nothing waits but for the disk cache; what is to be synced is
    given out by `take_unsynced`.

    Raises `ConfigError` if it cannot be opened.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int = 0, *, now: Now = utc_now) -> None:
        self.path = path
        self.head = Head()
        self.torn = 0
        self.closed = 0
        """How many files were closed at their size."""
        self._max_bytes = max_bytes
        self._kept = kept
        self._now = now
        self._size: int = -1
        """How long the file was left; negative: it is to be looked at."""
        self._first_seq = 1
        self._removed_to = 0
        self._unsynced: list[int] = []
        self.is_dirty = False
        """Whether something has been written since `take_unsynced`."""
        try:
            self._number = self._opened()
            with self._held():
                self._follow()
        except BlockingIOError:  # it is being written to: the first row looks once more
            pass
        except OSError as error:
            raise ConfigError(f"cannot write the audit log to {path}: {error.strerror}") from error

    def append(self, members: Mapping[str, Any]) -> None:
        """Write one row to the kernel: it outlives this process.

        Raises `BlockingIOError` if another process has the file at the moment, `OSError` if it cannot be written: then
        nothing of it has been.
        """
        with self._held():
            self._follow()
            line, head = sealed(members, self.head)
            if self._size + len(line) > self._max_bytes and head.seq > self._first_seq + 1:
                self._turn()
                line, head = sealed(members, self.head)
            self._write(line, head)

    def take_unsynced(self) -> list[int]:
        """Descriptors of what has been written since the last call, for `sync`, which closes them."""
        if self.is_dirty:
            self._unsynced.append(os.dup(self._number))
            self.is_dirty = False
        unsynced, self._unsynced = self._unsynced, []
        return unsynced

    def close(self) -> None:
        """Close the file; then it takes no rows. Idempotent."""
        if self._number >= 0:
            sync(self.take_unsynced())
            os.close(self._number)
            self._number = -1

    # -- what is done under the lock ----------------------------------------------------------------------------------

    @contextmanager
    def _held(self) -> Generator[None]:
        """The lock of the file that stands at the path. Raises `BlockingIOError` if somebody else has it."""
        for _ in range(8):
            fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(self.path.stat(), os.fstat(self._number)):
                    break
            number = self._opened()  # another process closed it at its size, or somebody has moved it away
            os.close(self._number)
            self._number, self._size = number, -1
        else:
            raise BlockingIOError("the file is moved again and again")
        locked = self._number
        try:
            yield
        finally:
            # Both, if the file was closed at its size: a duplicate that waits to be synced would keep the lock.
            for number in {locked, self._number}:
                fcntl.flock(number, fcntl.LOCK_UN)
            if locked != self._number:
                os.close(locked)

    def _opened(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _follow(self) -> None:
        """Find the last row, if the file is not as it was left; begin it if it is empty; end what was torn."""
        size = os.fstat(self._number).st_size
        if size == self._size:
            return
        head, end = self._last_row(self._number, size)
        self._size = size
        if head is not None:
            self.head = head
            self._read_first(self._number)
        else:
            self._follow_closed()
        if end < size:
            rest = read_row(os.pread(self._number, min(size - end, MAX_ROW_BYTES), end))
            if rest is None:
                self._end_torn(end, size)
            else:  # but for its line's end it is whole
                self._write(b"\n", rest.head)
        elif not size:
            files = closed_files(self.path)
            self._write_opened(files[-1][1].name if files else None)

    def _follow_closed(self) -> None:
        """Go on after the last row of the newest closed file that has one, or of what this process wrote since."""
        for _, file in reversed(closed_files(self.path)):
            number = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                head, _ = self._last_row(number, os.fstat(number).st_size)
                if head is not None:
                    self._read_first(number)
                    self.head = max(self.head, head, key=lambda one: one.seq)
                    return
            finally:
                os.close(number)

    @staticmethod
    def _last_row(number: int, size: int) -> tuple[Head | None, int]:
        """The last row of a file, and where it ends; None and 0 if there is none. Linear in what is behind it."""
        data, start = b"", size
        while start > 0:
            begin = max(0, start - _BLOCK)
            data = os.pread(number, start - begin, begin) + data
            start = begin
            end = data.rfind(b"\n") + 1
            while end > 0:
                line_start = data.rfind(b"\n", 0, end - 1) + 1
                if line_start == 0 and start > 0:
                    break  # the line may begin in the block before
                row = read_row(data[line_start : end - 1])
                if row is not None:
                    return row.head, start + end
                end = line_start
        return None, 0

    def _end_torn(self, end: int, size: int) -> None:
        digest = hashlib.sha256()
        last = b""
        for place in range(end, size, _BLOCK):
            last = os.pread(self._number, min(_BLOCK, size - place), place)
            digest.update(last)
        line, head = sealed(
            {"event": "torn", "time": stamp(self._now()), "bytes": size - end, "sha256": digest.hexdigest()}, self.head
        )
        self._write((b"" if last.endswith(b"\n") else b"\n") + line, head)
        self.torn += size - end

    def _read_first(self, number: int) -> None:
        """Learn from a file's first row which it is, and what was removed before."""
        row = read_row(os.pread(number, 4096, 0).partition(b"\n")[0])
        if row is not None:
            self._first_seq = row.seq
            removed_to = row.members.get("removed_to")
            self._removed_to = removed_to if isinstance(removed_to, int) else 0

    def _write_opened(self, after: str | None) -> None:
        members: dict[str, Any] = {"event": "opened", "time": stamp(self._now()), "after": after}
        line, head = sealed({**members, "removed_to": self._removed_to}, self.head)
        self._write(line, head)
        self._first_seq = head.seq

    def _write(self, data: bytes, head: Head) -> None:
        before, self._size = self._size, -1  # if it fails, the next row looks where the file ends
        taken = 0
        try:
            taken = os.write(self._number, data)
        finally:
            if taken != len(data):
                with suppress(OSError):  # what cannot be taken back is found as torn
                    os.ftruncate(self._number, before)
        if taken != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size = before + taken
        self.head = head
        self.is_dirty = True

    def _turn(self) -> None:
        """Close the file and begin the next, still locked; then remove what is beyond `kept`."""
        old, closed = self._number, closed_name(self.path, f"{self._now():%Y%m%dT%H%M%SZ}", self._first_seq)
        self.path.rename(closed)
        self._number = self._opened()
        fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._unsynced += [os.dup(old), os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)]
        self._size, self.closed = 0, self.closed + 1
        files = closed_files(self.path)
        beyond = files[: -self._kept] if self._kept else []
        if beyond:
            stays = files[len(beyond)][0]
            self._removed_to = max(self._removed_to, stays - 1)
        self._write_opened(closed.name)
        for _, file in beyond:
            with suppress(FileNotFoundError):
                file.unlink()


def sync(numbers: list[int]) -> None:
    """Wait until what was written is on the disk, and close the descriptors. Raises the first `OSError`."""
    failed: OSError | None = None
    for number in numbers:
        try:
            os.fsync(number)
        except OSError as error:
            failed = failed or error
        finally:
            os.close(number)
    if failed is not None:
        raise failed
