"""Where log lines go: to a descriptor or a file, and to nobody where that takes none.

A log that cannot be written must neither end nor hold up what is logged about. So nothing here waits: a full pipe, a
stopped terminal, a full disk and a reader that is gone each cost the lines that they do not take, which are counted;
the next line that is taken is preceded by one that tells how many were lost.
"""

import errno
import os
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TextIO

from rxlapce.errors import ConfigError

#: A pipe that is ready takes this many bytes without waiting, and a socket many more (POSIX: 512 at least; Linux 4096).
_PIPE_BYTES: Final = select.PIPE_BUF
MIB: Final = 1 << 20


class Output(Protocol):
    """Takes bytes without waiting."""

    def write(self, data: bytes) -> int:
        """How many of the bytes were taken. Raises OSError where none can be."""
        ...


class Nowhere:
    """Takes all and keeps nothing."""

    def write(self, data: bytes) -> int:
        """See `Output`."""
        return len(data)


class Text:
    """A text stream of this process, which does not wait: a test's, or one that stands for no descriptor."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        """Write and flush; ValueError of a closed stream is an OSError here."""
        try:
            self._out.write(data.decode())
            self._out.flush()
        except ValueError as error:
            raise OSError(errno.EBADF, str(error)) from error
        return len(data)


class Descriptor:
    """A descriptor that others hold too, so that it cannot be told not to block: it is asked before each write."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._never_waits = stat.S_ISREG(os.fstat(number).st_mode)
        self._poll = select.poll()
        self._poll.register(number, select.POLLOUT)

    def write(self, data: bytes) -> int:
        """See `Output`."""
        if self._never_waits:
            return os.write(self._number, data)
        taken = 0
        while taken < len(data) and self._poll.poll(0):
            taken += os.write(self._number, data[taken : taken + _PIPE_BYTES])
        return taken


class LogFile:
    """A file of at most `max_bytes`; then it becomes PATH.1, that PATH.2, up to `kept` files beside it.

    Made with mode 0600. Two processes may write to it while one takes the other's place: a file that the other has
    renamed is let go of, not renamed once more, and each counts what it writes itself towards the bound. Raises
    `ConfigError` if it cannot be opened; afterwards nothing but OSError, and where files cannot be renamed it takes no
    lines past its bound.
    """

    def __init__(self, path: Path, max_bytes: int = 10 * MIB, kept: int = 3) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        try:
            self._number = self._opened()
        except OSError as error:
            raise ConfigError(f"cannot write the log to {path}: {error.strerror}") from error
        self._size = os.fstat(self._number).st_size

    def _opened(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> int:
        """See `Output`."""
        if self._size and self._size + len(data) > self._max_bytes:
            self._turn()
        taken = os.write(self._number, data)
        self._size += taken
        return taken

    def reopen(self) -> None:
        """Write to what stands at the path now, as the file was renamed. If it raises OSError it goes on as before."""
        number = self._opened()
        os.close(self._number)
        self._number, self._size = number, os.fstat(number).st_size

    def close(self) -> None:
        """Close the file; then it takes no lines."""
        os.close(self._number)
        self._number = -1

    def _turn(self) -> None:
        found = os.fstat(self._number)
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), found):
                self._size = found.st_size  # another may write to it too
                for number in range(self._kept - 1, 0, -1):
                    with suppress(FileNotFoundError):
                        self._older(number).rename(self._older(number + 1))
                if self._kept:
                    self.path.rename(self._older(1))
                else:
                    self.path.unlink()
        self.reopen()

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class Lines:
    """Lines to an `Output`, which never fails: what is not taken is lost and counted. It is what structlog logs to.

    `notice` makes the line that tells of losses, out of their number.
    """

    def __init__(self, output: Output, notice: Callable[[int], str]) -> None:
        self._output = output
        self._notice = notice
        self._torn = False
        self.lost = 0
        """Lines that nobody has been told of."""

    def debug(self, line: str) -> None:
        """Take one line, without its end."""
        if self.lost and self._take(self._notice(self.lost)):
            self.lost = 0
        if self.lost or not self._take(line):
            self.lost += 1

    info = warning = error = debug

    def _take(self, line: str) -> bool:
        # A line of which only a part was taken is ended first, so that it spoils no other.
        data = (b"\n" if self._torn else b"") + line.encode(errors="backslashreplace") + b"\n"
        try:
            taken = self._output.write(data)
        except OSError:
            return False
        if taken:
            self._torn = data[taken - 1 : taken] != b"\n"
        return taken == len(data)
