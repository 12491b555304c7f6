"""A lane within one process: the same ring over ordinary memory, for tests and for embedding."""

import asyncio
from collections.abc import Collection

from rxlapce.transports.intake import FrameIntake, OnEnd, OnFrames
from rxlapce.transports.ring import DATA_OFFSET, RingReader, RingWriter
from rxlapce.transports.ring_lane import ROUND_BYTES, RingDrain, RingLane


class MemoryReceiver:
    """The reading end of `memory_pair`: `start` it, `pause` and `resume` it, `close` it."""

    def __init__(self, drain: RingDrain, intake: FrameIntake) -> None:
        self._drain = drain
        self._intake = intake

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
        self._drain.look()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._drain.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._drain.resume()

    def drain(self) -> None:
        """Read what is there now."""
        self._drain.drain()

    def close(self) -> None:
        """Read nothing more; no frame and no end is told afterwards. Idempotent."""
        self._intake.mute()
        self._drain.close()


def memory_pair(
    capacity: int,
    on_frames: OnFrames,
    on_end: OnEnd,
    known: Collection[int] | None = None,
    *,
    round_bytes: int = ROUND_BYTES,
) -> tuple[RingLane, MemoryReceiver]:
    """A lane and its receiver, connected by `capacity` bytes; for use on one loop's thread.

    Closing the lane is the end of the stream: `on_end` gets None after the last frame, or the error that broke it.
    """
    memory = bytearray(DATA_OFFSET + capacity)
    loop = asyncio.get_running_loop()
    intake = FrameIntake(on_frames, on_end, known)

    def wake_reader() -> None:
        loop.call_soon(drain.woken)

    def wake_writer() -> None:
        loop.call_soon(lane.look)

    lane = RingLane(RingWriter(memoryview(memory)), wake_reader, intake.end)
    drain = RingDrain(RingReader(memoryview(memory)), intake, wake_writer, round_bytes)
    return lane, MemoryReceiver(drain, intake)
