"""The terminal under the panel, which may be gone at any moment."""

from contextlib import suppress
from typing import Any

from textual.drivers.linux_driver import LinuxDriver


class PanelDriver(LinuxDriver):
    """Textual's driver, with an output that outlives the terminal.

    When a terminal is closed the system sends SIGHUP, which quits the panel, and SIGCONT, at which Textual switches the
    terminal on again, by a new thread that writes. Writing fails by then: the thread would end of it, and who waits for
    room in its queue would wait for ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType] # Textual's App is generic
        # It is written to, flushed, and asked whether it is a terminal: what `Lasting` has not is the file's own.
        lasting: Any = Lasting(self._file)
        self._file = lasting

    def run_input_thread(self) -> None:
        """Read keys, also after bytes that are no UTF-8, as a terminal of another encoding sends them."""
        while not self.exit_event.is_set():
            with suppress(UnicodeDecodeError):  # at which Textual ends the whole panel
                super().run_input_thread()


class Lasting:
    """Text to a terminal; what can be written no more is dropped."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """See `TextIOBase.write`."""
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """See `IOBase.flush`."""
        with suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)
