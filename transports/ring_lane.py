"""The two ends of a ring as they live in an event loop, whatever it is that wakes them.

`shm.py` wakes by a socket pair across processes, `memory.py` by `call_soon` within one. Both ends follow one rule: say
that you sleep (or wait), fence, look once more, and only then rest. See `ring.py` for why.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from rxlapce.errors import RingCorrupt
from rxlapce.transports.intake import FrameIntake
from rxlapce.transports.lane import ignore_room
from rxlapce.transports.ring import RingReader, RingWriter

#: A round of reading stops here, so that a fast sender cannot keep the loop from everything else.
ROUND_BYTES: Final = 256 * 1024
#: A longer rest without the flag would be felt by whoever waits for the frame.
MAX_LINGER_S: Final = 0.05


class RingLane:
    """A `ByteLane` into a ring. `wake` wakes the reader; it is called once a `write`, and only if the reader sleeps.

    After `RingCorrupt`, which goes to `on_corrupt` in the next loop round, it takes nothing more. `on_full` is called
    after each short write, for whoever wants to `look` without being told.
    """

    def __init__(
        self,
        ring: RingWriter,
        wake: Callable[[], None],
        on_corrupt: Callable[[Exception], None],
        on_full: Callable[[], None] | None = None,
    ) -> None:
        self.on_room: Callable[[], None] = ignore_room
        self.waiting = False
        """Whether the last write was short and `look` has not yet found room."""
        self.bytes = 0
        self.wakeups = 0
        """How often the reader was woken."""
        self.high_bytes = 0
        """The largest fill seen by a write, at most the ring's capacity."""
        self._ring = ring
        self._wake = wake
        self._on_corrupt = on_corrupt
        self._on_full = on_full
        self._broken = False

    def write(self, data: bytearray | memoryview) -> int:
        """See `ByteLane`."""
        if self._broken:
            return 0
        ring = self._ring
        try:
            taken = ring.write(data)
            if taken < len(data):
                # The reader may have made room before it could see that we wait: look again after saying so.
                ring.wait(True)
                with memoryview(data) as view:
                    taken += ring.write(view[taken:])
                self.waiting = taken < len(data)
                if not self.waiting:
                    ring.wait(False)
                elif self._on_full is not None:
                    self._on_full()
            fill = ring.last_fill
            if fill > self.high_bytes:
                self.high_bytes = fill
        except RingCorrupt as error:
            self._corrupt(error)
            return 0
        if taken:
            self.bytes += taken
            if ring.reader_sleeps():
                self.wakeups += 1
                self._wake()
        return taken

    def look(self) -> None:
        """Somebody says that there may be room: if there is and it is waited for, tell the writer."""
        if not self.waiting or self._broken:
            return
        try:
            if self._ring.fill() == self._ring.capacity:
                return
        except RingCorrupt as error:
            self._corrupt(error)
            return
        self.waiting = False
        self._ring.wait(False)
        self.on_room()

    def close(self) -> None:
        """Say that nothing more comes, and wake the reader to see it. Takes nothing and calls nothing afterwards."""
        if not self._broken:
            self._broken = True
            self._ring.close()
            self._wake()

    def _corrupt(self, error: RingCorrupt) -> None:
        self._broken = True
        # Not from inside `write`: the owner will close the writer that is writing.
        asyncio.get_running_loop().call_soon(self._on_corrupt, error)


class RingDrain:
    """Reads a ring into a `FrameIntake`, a bounded number of bytes a loop round; sleeps when it is empty.

    `wake_writer` is called after a read that made room while the writer waits. The intake's end is told when the
    writer has closed and everything was read, or at the first byte that cannot be true. Holds no bytes of its own.

    With `linger_s` above 0 it does not sleep as soon as the ring is empty, but looks once more that much later: while
    frames come more often than that, the writer pays for no wake-up (15 us of its time, 50 of latency), and a frame
    waits up to `linger_s` instead. A slow stream's frames find the reader asleep and wake it at once, as without.
    """

    def __init__(
        self,
        ring: RingReader,
        intake: FrameIntake,
        wake_writer: Callable[[], None],
        round_bytes: int = ROUND_BYTES,
        linger_s: float = 0.0,
    ) -> None:
        if round_bytes < 1:
            raise ValueError(f"round_bytes must be from 1, not {round_bytes}")
        if not 0 <= linger_s <= MAX_LINGER_S:
            raise ValueError(f"linger_s must be from 0 to {MAX_LINGER_S}, not {linger_s}")
        self.paused = False
        self.wakeups = 0
        """How often the writer woke this side."""
        self._ring = ring
        self._intake = intake
        self._wake_writer = wake_writer
        self._round_bytes = round_bytes
        self._linger_s = linger_s
        self._scheduled = False
        self._closed = False

    def look(self) -> None:
        """Read in the next loop round."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_round)

    def woken(self) -> None:
        """The writer says that there is something: read now."""
        if self._closed:
            return
        self.wakeups += 1
        if not self._scheduled:
            self._round()

    def poll(self) -> bool:
        """Look without having been woken; return whether there was something."""
        before = self._intake.bytes_read
        if not self._scheduled:
            self._round()
        return self._intake.bytes_read > before

    def pause(self) -> None:
        """Read nothing until `resume`: the ring fills, and the writer waits."""
        if not self._closed:
            self.paused = True
            self._ring.sleep(False)  # awake, as far as the writer can see: it need not wake us

    def resume(self) -> None:
        """Go on reading, in the next loop round."""
        if self.paused and not self._closed:
            self.paused = False
            self.look()

    def drain(self) -> None:
        """Read what is there now, paused or not: at most one ring full, however fast somebody writes."""
        left = self._ring.capacity if not self._closed else 0
        while left > 0 and not self._stopped():
            count = self._read(min(left, self._round_bytes))
            left = left - count if count else 0

    def close(self) -> None:
        """Read nothing more, and let the writer see that. The ring is not touched afterwards."""
        if not self._closed:
            self._closed = True
            self._ring.close()
            self._wake_writer()

    def _stopped(self) -> bool:
        return self._closed or self._intake.ended

    def _next_round(self) -> None:
        self._scheduled = False
        self._round()

    def _round(self) -> None:
        if self.paused or self._stopped():
            return
        again = True  # also when on_frames raises: what is behind those frames must still be read
        try:
            self._ring.sleep(False)
            count = self._read(self._round_bytes)
            if 0 < count < self._round_bytes and self._linger_s and not self._scheduled:
                again = False
                self._scheduled = True
                asyncio.get_running_loop().call_later(self._linger_s, self._next_round)
            else:
                again = count == self._round_bytes or not self._sleep()
        finally:
            if again:
                self.look()

    def _read(self, max_bytes: int) -> int:
        """Read once; return how many bytes that brought."""
        try:
            data = self._ring.read(max_bytes)
        except RingCorrupt as error:
            self._intake.end(error)
            return 0
        if data:
            if self._ring.writer_waits():
                self._wake_writer()
            self._intake.feed(data)
        return len(data)

    def _sleep(self) -> bool:
        """Rest, unless there is something to do after all; return whether nothing is."""
        if self.paused or self._stopped():
            return True
        ring = self._ring
        ring.sleep(True)
        try:
            closed = ring.writer_closed  # before the last look: what was written before closing is then seen
            if ring.available():
                ring.sleep(False)
                return False
        except RingCorrupt as error:
            self._intake.end(error)
            return True
        if closed:
            self._intake.end()
        return True
