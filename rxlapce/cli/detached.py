"""The `rxlapce` command as nobody's child, logging to a file that does not grow past a bound.

    python -m rxlapce.cli.detached LOG ARGUMENT...

For `bridge.autostart`: who starts it waits for it, and is not the parent of what goes on running.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Final

MAX_LOG_BYTES: Final = 5 * 2**20


class BoundedLog(io.TextIOBase):
    """A file that is set aside as `NAME.1` when it has `max_bytes`, and begun anew: at most two of them are kept.

    Standard error's descriptor goes where the file is, so that also what the interpreter itself says arrives there.
    What cannot be written is lost: a full disk must not end a daemon.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, path: Path, max_bytes: int = MAX_LOG_BYTES, descriptor: int = 2) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._descriptor = descriptor
        self._open()

    def _open(self) -> None:
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(opened, self._descriptor)
        os.close(opened)

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str, /) -> int:
        """Append, in a new file if this one has become too long."""
        data = text.encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size + len(data) > self._max_bytes:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self._open()
            os.write(self._descriptor, data)
        return len(text)


def main() -> None:
    """Fork, and run the command in the child. The session is the caller's to make: the child does not lead it."""
    log, *arguments = sys.argv[1:]
    if os.fork():
        os._exit(0)
    sys.stderr = BoundedLog(Path(log))
    from rxlapce.cli.main import main as command  # after the fork, which copies less so

    command(arguments)


if __name__ == "__main__":
    main()
