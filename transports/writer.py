"""The sink of frames: it corks what one loop round sends and hands it to the lane in one piece."""

import asyncio
from collections.abc import Callable
from typing import Final

from rxlapce.codec.frame import FrameStamp, append_frame
from rxlapce.errors import ConnectionLost
from rxlapce.flow import FlowControl
from rxlapce.transports.lane import ByteLane

HIGH_WATER_BYTES: Final = 64 * 1024
LOW_WATER_BYTES: Final = 16 * 1024
MAX_PENDING_BYTES: Final = 64 * 1024 * 1024


def raise_overflow(error: ConnectionLost) -> None:
    """Raise `error` out of `send`."""
    raise error


class FrameWriter:
    """Frames in, corked bytes out; `flow` tells producers when the reader is slow.

    `send` appends to one buffer and asks for one flush in the next loop round, however many frames come before it:
    copying is 0.1 us, a wake-up of the reader 15. Only a buffer over `high_water_bytes` is flushed at once.

    The bound is soft. `flow` closes while more than `high_water_bytes` wait behind a full lane and opens at
    `low_water_bytes`, but `send` takes every frame, as terminal and control frames must get through. A peer that reads
    nothing while such frames pile up to `max_pending_bytes` is given up: the writer closes and calls `on_overflow`
    with a `ConnectionLost`; the default raises it out of `send`. So at most `max_pending_bytes` and one frame wait.

    Runs on one loop's thread; `send` must be called while it runs.
    """

    def __init__(
        self,
        lane: ByteLane,
        *,
        high_water_bytes: int = HIGH_WATER_BYTES,
        low_water_bytes: int = LOW_WATER_BYTES,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        on_overflow: Callable[[ConnectionLost], None] = raise_overflow,
    ) -> None:
        if not 0 <= low_water_bytes < high_water_bytes <= max_pending_bytes:
            raise ValueError(
                "expected 0 <= low_water_bytes < high_water_bytes <= max_pending_bytes, got "
                f"{low_water_bytes}, {high_water_bytes}, {max_pending_bytes}"
            )
        self.flow = FlowControl()
        self.frames = 0
        self.flushes = 0
        """How often bytes were handed to the lane: the count of writes, and at most of wake-ups."""
        self.closed = False
        self._lane = lane
        self._high = high_water_bytes
        self._low = low_water_bytes
        self._max = max_pending_bytes
        self._on_overflow = on_overflow
        # Bytes from `_start` on wait. The front is cut off only when it is the larger part, so a slow reader that takes
        # a little at a time costs each byte one move at most, not one a flush.
        self._pending = bytearray()
        self._start = 0
        self._handed = 0
        self._scheduled = False
        self._lane_is_full = False
        self._drained: list[asyncio.Future[None]] = []
        lane.on_room = self._room

    @property
    def bytes_taken(self) -> int:
        """Bytes of frames taken so far."""
        return self._handed + self.pending_bytes

    @property
    def bytes_handed(self) -> int:
        """Bytes of frames that the lane has taken so far."""
        return self._handed

    @property
    def pending_bytes(self) -> int:
        """Bytes of frames that the lane has not taken yet."""
        return len(self._pending) - self._start

    def send(self, number: int, flags: int, request_id: int, payload: bytes) -> None:
        """Take a frame. Ignored after `close`. Raises `FrameTooLarge` for a payload over the protocol's limit."""
        if self.closed:
            return
        append_frame(self._pending, number, flags, request_id, payload)
        self._took_one()

    def sender(self, number: int, flags: int, request_id: int) -> Callable[[bytes], None]:
        """A `send` for the many frames of one stream: it takes their payloads, and costs a third."""
        append = FrameStamp(number, flags, request_id).append

        def send(payload: bytes) -> None:
            if self.closed:
                return
            pending = self._pending
            append(pending, payload)
            if self._scheduled and len(pending) <= self._high:
                self.frames += 1  # nearly always: it goes with the flush that was asked for
            else:
                self._took_one()

        return send

    def _took_one(self) -> None:
        self.frames += 1
        if not self._scheduled and not self._lane_is_full:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._corked)
        waiting = len(self._pending) - self._start
        if waiting > self._high:
            if not self._lane_is_full:
                self.flush()
            elif waiting > self._max:
                self._overflow(waiting)
            elif self.flow.is_open:
                self.flow.close(self)

    def flush(self) -> None:
        """Hand what waits to the lane now, as far as there is room."""
        if self.closed or self._lane_is_full or len(self._pending) == self._start:
            return
        self.flushes += 1
        pending = self._pending
        if self._start:
            with memoryview(pending) as whole, whole[self._start :] as waiting:
                taken = self._lane.write(waiting)
        else:
            taken = self._lane.write(pending)
        self._start += taken
        self._handed += taken
        self._lane_is_full = self._start < len(pending)
        if not self._lane_is_full:
            pending.clear()
            self._start = 0
            if self.flow.is_open and not self._drained:
                return
        elif self._start * 2 > len(self._pending):
            del self._pending[: self._start]
            self._start = 0
        self._tell()

    async def drained(self) -> None:
        """Return when the lane has taken everything, or the writer has closed. Safe to cancel."""
        while not self.closed and self.pending_bytes:
            waiter = asyncio.get_running_loop().create_future()
            self._drained.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._drained:
                    self._drained.remove(waiter)

    def close(self) -> None:
        """Drop what waits and ignore what is sent from now on. `flow` opens, so that no producer hangs. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._pending = bytearray()
        self._start = 0
        self._tell()

    def _corked(self) -> None:
        self._scheduled = False
        self.flush()

    def _room(self) -> None:
        self._lane_is_full = False
        self.flush()

    def _tell(self) -> None:
        waiting = self.pending_bytes
        if waiting <= self._low:
            if not self.flow.is_open:
                self.flow.open(self)
        elif waiting > self._high and self.flow.is_open:
            self.flow.close(self)
        if not waiting and self._drained:
            waiters, self._drained = self._drained, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _overflow(self, waiting: int) -> None:
        self.close()
        self._on_overflow(ConnectionLost(f"gave the peer up: it has left {waiting:,} bytes of frames unread"))
