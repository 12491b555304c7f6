"""A single-producer, single-consumer ring of bytes in shared memory. Sans-I/O: it only reads and writes a buffer.

Layout, all numbers unsigned, 64 bits, in the machine's byte order, each alone on its 64-byte cache line:

    offset    written by   field
         0    writer       magic 0x52494E47_4C415043, version, capacity: for people with a debugger, never believed
        64    writer       write position: bytes ever written
       128    reader       read position: bytes ever read
       192    reader       1 while the reader sleeps and wants to be woken
       256    writer       1 while the writer waits for room and wants to be woken
       320    writer       1 when the writer has closed
       384    reader       1 when the reader has closed
      4096    writer       data: byte number p of the stream is at 4096 + p % capacity

Frames lie back to back and wrap, so one larger than the ring goes through in parts. Positions never wrap: 2**64 bytes
are 500 years at a GB/s.

**What the peer wrote is hostile.** Each side keeps its own position and the last good one of the other side in private,
and takes the capacity from the handshake. A position that goes back, or away further than the ring is long, is
`RingCorrupt`; a flag only ever decides about waking up. So no value in the memory makes a side touch anything outside
the buffer, loop for ever or read more than `capacity` bytes. (The memory cannot shrink under us: it is sealed.)

**Memory order.** Positions are read and written by `memoryview.cast("Q")`, whose item access is one aligned 8-byte
load or store, which no CPU tears. `struct.pack_into("<Q")` stores byte by byte: the other side may see half of it.

- *Data, then position; position, then data.* x86-64 keeps stores in order among stores and loads among loads, and no
  store passes an older load, so plain accesses are right there. Weaker machines (aarch64) need barriers: `order()`.
- *"I sleep", then "is there anything?"; "here is something", then "does anybody sleep?"* Each side stores, then loads
  something else, and x86-64 too may do the load first: both then see the old value, and the reader sleeps beside data.
  Each side needs a full fence in between: `fence()`.

Python has no fence, but a lock has one inside: taking it is a locked instruction on x86-64, which is a full fence, and
on aarch64 a release (unlock) followed by an acquire (lock) is one. 0.1 us a pair, no system call; the private lock is
never contended. On other machines than x86-64 the waker does not rely on the flags at all (`FLAGS_SUFFICE`).
"""

import platform
from threading import Lock
from typing import Final

from rxlapce.errors import RingCorrupt

DATA_OFFSET: Final = 4096
MAGIC: Final = 0x52494E47_4C415043
VERSION: Final = 1

_LINE: Final = 64
_WRITE, _READ, _SLEEPING, _WAITING, _WRITER_CLOSED, _READER_CLOSED = (_LINE * n for n in range(1, 7))

#: Whether a side may trust the other's flag and skip a wake-up. Elsewhere it wakes after every step.
FLAGS_SUFFICE: Final = platform.machine().lower() in ("x86_64", "amd64")

_lock: Final = Lock()


def fence() -> None:
    """Let every earlier store be seen, and every earlier load be done, before any later load or store."""
    _lock.acquire()
    _lock.release()
    if not FLAGS_SUFFICE:  # release, then acquire: the pair that is a full fence on weakly ordered machines
        _lock.acquire()
        _lock.release()


def order() -> None:
    """Keep data and position in order: nothing to do where the machine does it itself."""
    if not FLAGS_SUFFICE:
        fence()


class _Ring:
    """What both sides share: views of the fields, and the arithmetic of a copy that wraps."""

    __slots__ = ("_data", "_fields", "_whole", "capacity")

    def __init__(self, buffer: memoryview) -> None:
        self.capacity = len(buffer) - DATA_OFFSET
        if self.capacity < 1:
            raise ValueError(f"a ring needs more than {DATA_OFFSET} bytes of memory, got {len(buffer)}")
        self._whole = buffer
        self._fields = {at: buffer[at : at + 8].cast("Q") for at in range(0, _READER_CLOSED + 1, _LINE)}
        self._data = buffer[DATA_OFFSET:]

    def release(self) -> None:
        """Let go of the buffer, so that its owner can unmap it. Idempotent; nothing else may be called after it."""
        for view in (*self._fields.values(), self._data, self._whole):
            view.release()


class RingWriter(_Ring):
    """The producer's side. The buffer is `DATA_OFFSET` bytes and the ring's capacity, zeroed, writable."""

    __slots__ = ("_peer_position", "_position", "_read_at", "_sleeping", "_waiting", "_write_at")

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self._position = 0
        self._peer_position = 0
        self._write_at, self._read_at = self._fields[_WRITE], self._fields[_READ]
        self._sleeping, self._waiting = self._fields[_SLEEPING], self._fields[_WAITING]
        with buffer[8:24].cast("Q") as head:
            head[0], head[1] = VERSION, self.capacity
        self._fields[0][0] = MAGIC

    def write(self, data: bytearray | memoryview) -> int:
        """Copy as much of `data` (unsigned bytes) as there is room for, publish it, and return how much that was.

        Raises `RingCorrupt` if the read position cannot be true; nothing is written then.
        """
        position, capacity, count = self._position, self.capacity, len(data)
        start = position % capacity
        if count <= capacity - self.fill() and start + count <= capacity:
            # Nearly always: it fits, in one piece, and needs no slices of its own.
            self._data[start : start + count] = data
        else:
            count = min(count, capacity - self.fill())
            first = min(count, capacity - start)
            with memoryview(data) as view:
                self._data[start : start + first] = view[:first]
                self._data[: count - first] = view[first:count]
        if count:
            if not FLAGS_SUFFICE:
                order()
            self._position = position + count
            self._write_at[0] = self._position
        return count

    def fill(self) -> int:
        """Bytes written and not yet read, from 0 to `capacity`. Raises `RingCorrupt`."""
        position, low = self._position, self._peer_position
        read = self._read_at[0]
        if not low <= read <= position:
            raise RingCorrupt(f"read position {read}, expected from {low} to {position}")
        if not FLAGS_SUFFICE:
            order()  # the reader's loads are done before its place is written again
        self._peer_position = read
        return position - read

    @property
    def last_fill(self) -> int:
        """Bytes written and not yet read when the reader's position was last looked at."""
        return self._position - self._peer_position

    def reader_sleeps(self) -> bool:
        """Whether the reader must be woken to see what was just written. Always True where flags do not suffice."""
        fence()
        return self._sleeping[0] != 0 or not FLAGS_SUFFICE

    def wait(self, waiting: bool) -> None:
        """Say whether the writer wants to be woken when there is room. Look at `fill` again after saying yes."""
        self._waiting[0] = waiting
        fence()

    def close(self) -> None:
        """Say that nothing more is written."""
        order()
        self._fields[_WRITER_CLOSED][0] = 1
        fence()

    @property
    def reader_closed(self) -> bool:
        """Whether the reader has said that it reads no more."""
        return self._fields[_READER_CLOSED][0] != 0


class RingReader(_Ring):
    """The consumer's side, over the same memory."""

    __slots__ = ("_peer_position", "_position", "_read_at", "_sleeping", "_waiting", "_write_at")

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self._position = 0
        self._peer_position = 0
        self._write_at, self._read_at = self._fields[_WRITE], self._fields[_READ]
        self._sleeping, self._waiting = self._fields[_SLEEPING], self._fields[_WAITING]

    def read(self, max_bytes: int) -> bytes:
        """Copy out what is there, at most `max_bytes`, and give its room back; b"" when there is nothing.

        Raises `RingCorrupt` if the write position cannot be true; nothing is read then.
        """
        position, capacity = self._position, self.capacity
        count = min(max_bytes, self.available())
        if count <= 0:
            return b""
        start = position % capacity
        first = min(count, capacity - start)
        if first == count:
            data = bytes(self._data[start : start + count])
        else:
            data = b"".join((self._data[start:], self._data[: count - first]))
        order()
        self._position = position + count
        self._read_at[0] = self._position
        return data

    def available(self) -> int:
        """Bytes written and not yet read, from 0 to `capacity`. Raises `RingCorrupt`."""
        position, low = self._position, self._peer_position
        written = self._write_at[0]
        if not low <= written <= position + self.capacity:
            raise RingCorrupt(f"write position {written}, expected from {low} to {position + self.capacity}")
        order()  # the position is loaded before the data that it promises
        self._peer_position = written
        return written - position

    def sleep(self, sleeping: bool) -> None:
        """Say whether the reader wants to be woken. Look at `available` again after saying yes."""
        self._sleeping[0] = sleeping
        fence()

    def writer_waits(self) -> bool:
        """Whether the writer must be woken to see the room just given back. Always True where flags do not suffice."""
        fence()
        return self._waiting[0] != 0 or not FLAGS_SUFFICE

    def close(self) -> None:
        """Say that nothing more is read."""
        self._fields[_READER_CLOSED][0] = 1
        fence()

    @property
    def writer_closed(self) -> bool:
        """Whether the writer has said that it writes no more. What it wrote before is there to be read."""
        closed = self._fields[_WRITER_CLOSED][0] != 0
        order()
        return closed
