"""Frames through shared memory: a sealed memfd with a ring in it, and a socket pair to wake each other by (`wake.py`).

The sender makes everything and passes the two descriptors over the Unix socket (`handshake.py`). Nothing has a name,
so nothing can be left behind: the kernel frees all of it with the last process that holds it, kill -9 or not. The
socket beside it stays the sign of life; a ring alone cannot tell that its peer has died.

Both sides map the memory writable. It is sealed against shrinking and growing, so that no peer can turn an access
into SIGBUS by truncating it; what the peer writes into it is treated as hostile (`ring.py`).

**Two nets.** The fences leave no way to miss a wake-up, but a peer may have a bug, and the kernel no memory for a byte.
So whoever waits for the other side also looks by itself every `NET_S`: the sender while the ring is full, the receiver
while its owner waits for frames (`watch`). Who waits for nothing sleeps without a timer.
"""

import asyncio
import errno
import fcntl
import mmap
import os
import socket
import stat
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from typing import Final

from rxlapce.errors import RingCorrupt
from rxlapce.transports.intake import Decoder, FrameIntake, OnFrames
from rxlapce.transports.lane import ByteLane
from rxlapce.transports.ring import DATA_OFFSET, RingReader, RingWriter
from rxlapce.transports.ring_lane import ROUND_BYTES, RingDrain, RingLane
from rxlapce.transports.wake import WakeSocket

DEFAULT_CAPACITY: Final = 1024 * 1024
MAX_CAPACITY: Final = 1024 * 1024 * 1024
#: How long a missed wake-up can last.
NET_S: Final = 0.1

#: The memory, and the peer's end of the wake-up sockets.
Descriptors = tuple[int, int]


def shm_unavailable() -> str | None:
    """Why shared memory cannot be used on this system; None if it can."""
    if not (hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")):
        return "shared memory needs Linux: this system has no sealed memory files (memfd_create)"
    return None


class ShmSender:
    """The sending end of a ring of `capacity` bytes, which it makes. Raises `OSError` where that is impossible.

    Memory: `capacity` and 4 KiB, shared by both processes. Descriptors: its end of the wake-up sockets, and the two to
    pass; after `release_passed` the mapping alone keeps the memory (CPython's mmap holds a duplicate until `close`).
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if not 1 <= capacity <= MAX_CAPACITY:
            raise ValueError(f"capacity must be from 1 to {MAX_CAPACITY} bytes, not {capacity}")
        reason = shm_unavailable()
        if reason is not None:
            raise OSError(errno.ENOSYS, reason)
        size = DATA_OFFSET + capacity
        with ExitStack() as undo:
            memory = os.memfd_create("rxlapce-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            undo.callback(os.close, memory)
            os.ftruncate(memory, size)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._map = mmap.mmap(memory, size)
            undo.callback(self._map.close)
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            undo.pop_all()
        self.fds: Descriptors = (memory, theirs.detach())
        """What to pass; closed by `release_passed`, and by `close`."""
        self.capacity = capacity
        self._unpassed: Descriptors | tuple[()] = self.fds
        self._wake = WakeSocket(mine)
        self._loop = loop
        self._on_corrupt: Callable[[Exception], None] | None = None
        self._net: asyncio.TimerHandle | None = None
        self._closed = False
        self._ring = RingWriter(memoryview(self._map))
        self._lane = RingLane(self._ring, self._wake.wake, self._corrupt, self._hang_net)

    @property
    def lane(self) -> ByteLane:
        """Where a `FrameWriter` writes. Usable before `start`: the ring fills and nobody is told of room."""
        return self._lane

    @property
    def in_ring_bytes(self) -> int:
        """Bytes written and not yet read by the peer, as far as a true position tells; 0 after `close`."""
        if not self._closed:
            with suppress(RingCorrupt):
                return self._ring.fill()
        return 0

    @property
    def wakeups(self) -> int:
        """How often the reader was woken."""
        return self._lane.wakeups

    @property
    def bytes(self) -> int:
        """Bytes written."""
        return self._lane.bytes

    @property
    def high_bytes(self) -> int:
        """The largest fill seen."""
        return self._lane.high_bytes

    @property
    def reader_sleeps(self) -> bool:
        """Whether the receiver must be woken to see what is written next."""
        return not self._closed and self._ring.reader_sleeps()

    @property
    def reader_closed(self) -> bool:
        """Whether the reader has said that it reads no more. Its socket's end, which follows, is what counts."""
        return not self._closed and self._ring.reader_closed

    def release_passed(self) -> None:
        """Close `fds`: they have been passed, and the peer's end is from now on the peer's alone. Idempotent."""
        passed, self._unpassed = self._unpassed, ()
        for fd in passed:
            os.close(fd)

    def start(self, on_corrupt: Callable[[Exception], None]) -> None:
        """Listen for room. `on_corrupt` gets the one `RingCorrupt` that ends the use of this ring."""
        if self._closed or self._on_corrupt is not None:
            raise RuntimeError("start is called once, before close")
        self._on_corrupt = on_corrupt
        self._loop = self._loop or asyncio.get_running_loop()
        self._wake.listen(self._loop, self._lane.look)

    def close(self) -> None:
        """Tell the reader that this was all, and let go of everything here. Idempotent.

        What is in the ring can still be read by the peer, whose mapping keeps the memory.
        """
        if self._closed:
            return
        self._closed = True
        self._lane.close()
        if self._net is not None:
            self._net.cancel()
        self._wake.close()
        self.release_passed()
        self._ring.release()
        self._map.close()

    def _hang_net(self) -> None:
        if self._net is None:
            self._net = (self._loop or asyncio.get_running_loop()).call_later(NET_S, self._fall)

    def _fall(self) -> None:
        self._net = None
        self._lane.look()
        if self._lane.waiting and not self._closed:
            self._hang_net()

    def _corrupt(self, error: Exception) -> None:
        if self._on_corrupt is not None and not self._closed:
            self._on_corrupt(error)


class ShmReceiver:
    """The receiving end over descriptors that the peer passed; it owns them from the call on, also if that raises.

    `on_frames` gets the frames of one read of at most `round_bytes`; between reads the loop runs. The stream's end:
    `on_corrupt` once, with `RingCorrupt` or a `FrameError`, or `on_end` once, when the sender has closed in order and
    everything was read. A sender that died says neither: its socket tells; then `finish`. `decoder` is for a signed
    ring; else frames of types that are `known` are taken.

    Raises `RingCorrupt` for descriptors that are not what they should be.
    """

    def __init__(
        self,
        fds: Descriptors,
        capacity: int,
        on_frames: OnFrames,
        on_corrupt: Callable[[Exception], None],
        known: Collection[int] | None = None,
        *,
        decoder: Decoder | None = None,
        on_end: Callable[[], None] | None = None,
        round_bytes: int = ROUND_BYTES,
        linger_s: float = 0.0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = loop
        self._on_corrupt = on_corrupt
        self._on_end = on_end
        self._net: asyncio.TimerHandle | None = None
        self._expecting: Callable[[], bool] = bool
        self._started = False
        self._closed = False
        self.rescued = 0
        """How often the net was first to find bytes: the wake-up was still under way (a sender that lost the CPU
        between publishing and waking), or never came."""
        with ExitStack() as undo:
            undo.callback(os.close, fds[0])
            self._wake = WakeSocket.received(fds[1])
            undo.callback(self._wake.close)
            self._map = _map_sealed(fds[0], capacity)
            undo.callback(self._map.close)
            self._intake = FrameIntake(on_frames, self._ended, known, decoder)
            self._ring = RingReader(memoryview(self._map))
            undo.callback(self._ring.release)
            self._drain = RingDrain(self._ring, self._intake, self._wake.wake, round_bytes, linger_s)
            undo.pop_all()
        os.close(fds[0])

    @property
    def wakeups(self) -> int:
        """How often the sender woke this side."""
        return self._drain.wakeups

    @property
    def bytes(self) -> int:
        """Bytes read."""
        return self._intake.bytes_read

    def start(self) -> None:
        """Begin to read, in the next loop round."""
        if self._closed or self._started:
            raise RuntimeError("start is called once, before close")
        self._started = True
        self._loop = self._loop or asyncio.get_running_loop()
        self._wake.listen(self._loop, self._drain.woken)
        self._drain.look()

    def watch(self, expecting: Callable[[], bool]) -> None:
        """Look every `NET_S` seconds, woken or not, for as long as `expecting()` is true: call it when that begins."""
        self._expecting = expecting
        if self._net is None and self._started and not self._closed and not self._intake.ended:
            self._hang_net()

    def pause(self) -> None:
        """Read nothing until `resume`: the ring fills, and the sender waits."""
        self._drain.pause()

    def resume(self) -> None:
        """Go on reading, in the next loop round."""
        self._drain.resume()

    def drain(self) -> None:
        """Read what is there now, paused or not: at most one ring full. For after the socket's end."""
        self._drain.drain()

    def finish(self) -> None:
        """The sender is gone: read what is there, then tell the end, `TruncatedFrame` if it died inside a frame."""
        self._drain.drain()
        self._intake.end()

    def close(self) -> None:
        """Read nothing more and let go of everything here; nothing is told afterwards. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._intake.mute()
        self._stop()
        self._drain.close()
        self._wake.close()
        self._ring.release()
        self._map.close()

    def _hang_net(self) -> None:
        self._net = (self._loop or asyncio.get_running_loop()).call_later(NET_S, self._fall)

    def _fall(self) -> None:
        self._net = None
        if not self._expecting():
            return
        self._hang_net()
        if self._wake.take():
            self._drain.woken()
        elif self._drain.poll():
            self.rescued += 1

    def _stop(self) -> None:
        if self._net is not None:
            self._net.cancel()
            self._net = None
        self._wake.ignore()

    def _ended(self, error: Exception | None) -> None:
        self._stop()
        if error is not None:
            self._on_corrupt(error)
        elif self._on_end is not None:
            self._on_end()


def _map_sealed(memory: int, capacity: int) -> mmap.mmap:
    """Map a peer's memory file, once it is sure that it cannot shrink. Raises `RingCorrupt`."""
    if not 1 <= capacity <= MAX_CAPACITY:
        raise RingCorrupt(f"a ring of {capacity} bytes, expected from 1 to {MAX_CAPACITY}")
    size = DATA_OFFSET + capacity
    try:
        found = os.fstat(memory)
        seals = fcntl.fcntl(memory, fcntl.F_GET_SEALS)
        if not stat.S_ISREG(found.st_mode) or not seals & fcntl.F_SEAL_SHRINK:
            raise RingCorrupt("the ring's memory is not sealed against shrinking")
        if found.st_size < size:
            raise RingCorrupt(f"the ring's memory has {found.st_size} bytes, expected {size}")
        return mmap.mmap(memory, size)
    except OSError as error:
        raise RingCorrupt(f"the ring's memory cannot be used: {error}") from None
