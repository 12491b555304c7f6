"""Lines in and out of this process, on threads of their own.

Not asyncio's pipes: those make the descriptor non-blocking, which the shell and every other process that has it would
feel, and they take neither a file nor /dev/null.
"""

import asyncio
import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Final

from rxlapce.flow import FlowControl

READ_BYTES: Final = 64 * 1024
#: A pipe that is writable takes as much without blocking (POSIX).
WRITE_BYTES: Final = select.PIPE_BUF
HIGH_WATER_BYTES: Final = 64 * 1024
LOW_WATER_BYTES: Final = 16 * 1024


class LineSplitter:
    """Cuts bytes into lines, without their ends. A line over `max_bytes` is dropped, and None stands for it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that `data` ends."""
        *ends, rest = data.split(b"\n")
        lines: list[bytes | None] = []
        for end in ends:
            self._add(end)
            lines += self._take()
        self._add(rest)
        return lines

    def close(self) -> list[bytes | None]:
        """The last line, if it had no end."""
        return self._take() if self._line or self._dropping else []

    def _add(self, piece: bytes) -> None:
        if self._dropping or len(self._line) + len(piece) > self._max_bytes:
            self._dropping = True
            self._line.clear()
        else:
            self._line += piece

    def _take(self) -> list[bytes | None]:
        line, dropped = bytes(self._line), self._dropping
        self._line.clear()
        self._dropping = False
        if dropped:
            return [None]
        return [line] if line.strip() else []


class _Worker:
    """A thread beside the loop, and the pipe that wakes it for its end."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken, self._wake = os.pipe()
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            os.close(self.woken)

    def tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Call on the loop's thread; lost once the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def stop(self) -> None:
        """Wake it for the last time. Idempotent."""
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


class Reader:
    """Calls `on_data` with what each read of `descriptor` brings, then once with b"" at the end.

    It reads on when `proceed` is called, once for each: so at most one read waits for the loop.
    """

    def __init__(self, descriptor: int, on_data: Callable[[bytes], None]) -> None:
        self._descriptor = descriptor
        self._on_data = on_data
        self._go = threading.Semaphore(1)
        self._stopped = False
        self._started = threading.Event()
        self._worker = _Worker(self._read_all, "bridge reader")
        self._started.set()

    def proceed(self) -> None:
        """Read on."""
        self._go.release()

    def close(self) -> None:
        """Read no more; the descriptor stays open."""
        self._stopped = True
        self._worker.stop()
        self._go.release()

    def _read_all(self) -> None:
        self._started.wait()
        while True:
            self._go.acquire()
            if self._stopped:
                return
            ready, _, _ = select.select([self._descriptor, self._worker.woken], [], [])
            if self._worker.woken in ready:
                return
            try:
                data = os.read(self._descriptor, READ_BYTES)
            except OSError:  # EIO: the terminal is gone
                data = b""
            self._worker.tell(self._on_data, data)
            if not data:
                return


class Writer:
    """Takes bytes for `descriptor`; what one loop turn brings is handed to the thread in one piece.

    `flow` is closed while more than `HIGH_WATER_BYTES` wait. The bound is soft: who writes asks it. `gone` is set when
    nobody reads any more; what is written then is dropped.
    """

    def __init__(self, descriptor: int, flow: FlowControl) -> None:
        self.flow = flow
        self.gone = asyncio.Event()
        self.pending_bytes = 0
        self._descriptor = descriptor
        self._turn = bytearray()
        self._waiting = bytearray()
        self._some = threading.Condition()
        self._closed = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._worker = _Worker(self._write_all, "bridge writer")

    def write(self, data: bytes) -> None:
        """Take `data`."""
        if self.gone.is_set():
            return
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._turn += data
        self.pending_bytes += len(data)
        self._drained.clear()
        if self.pending_bytes > HIGH_WATER_BYTES and self.flow.is_open:
            self.flow.close(self)

    async def drained(self) -> None:
        """Return when everything is written, or nobody reads."""
        await self._drained.wait()

    def close(self) -> None:
        """Stop; what waits is dropped. The descriptor stays open."""
        with self._some:
            self._closed = True
            self._some.notify()
        self._worker.stop()

    def _hand_over(self) -> None:
        turn, self._turn = self._turn, bytearray()
        with self._some:
            self._waiting += turn
            self._some.notify()

    def _write_all(self) -> None:
        while True:
            with self._some:
                while not self._waiting and not self._closed:
                    self._some.wait()
                if self._closed:
                    return
                data, self._waiting = self._waiting, bytearray()
            if not self._write(data):
                return

    def _write(self, data: bytearray) -> bool:
        left = memoryview(data)
        while left:
            try:
                woken, _, _ = select.select([self._worker.woken], [self._descriptor], [])
                if woken:
                    return False
                written = os.write(self._descriptor, left[:WRITE_BYTES])
            except OSError:
                self._worker.tell(self._lost)
                return False
            left = left[written:]
        self._worker.tell(self._written, len(data))
        return True

    def _written(self, size: int) -> None:
        self.pending_bytes -= size
        if not self.pending_bytes:
            self._drained.set()
        if self.pending_bytes <= LOW_WATER_BYTES and not self.flow.is_open:
            self.flow.open(self)

    def _lost(self) -> None:
        self.pending_bytes = 0
        self.gone.set()
        self._drained.set()
        self.flow.open(self)
