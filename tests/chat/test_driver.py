"""An output that outlives its terminal."""

import os
import pty

import pytest
from textual.drivers._writer_thread import WriterThread

from rxlapce.chat.driver import Lasting


class Gone:
    """What is written goes to the terminal at once."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, text: str) -> int:
        return os.write(self.descriptor, text.encode())

    def flush(self) -> None:
        os.write(self.descriptor, b"\0")

    def fileno(self) -> int:
        return self.descriptor


@pytest.mark.timeout(10)
def test_who_writes_to_a_terminal_that_is_gone_waits_for_nothing() -> None:
    master, slave = pty.openpty()
    os.close(master)
    thread = WriterThread(Lasting(Gone(slave)))  # type: ignore[arg-type] # of a file it uses what `Lasting` has
    thread.start()
    for _ in range(200):  # more than its queue takes
        thread.write("x")
    thread.stop()
    assert thread.fileno() == slave
    os.close(slave)
