"""The seam between a writer of frames and the way they travel."""

from collections.abc import Callable
from typing import Protocol


class ByteLane(Protocol):
    """Takes bytes in order, as many as there is room for.

    A lane belongs to one loop's thread and is written by one `FrameWriter`. It keeps no reference to what it was given:
    the caller reuses the memory when `write` returns.
    """

    on_room: Callable[[], None]
    """Set by the writer; called once after each short `write`, when there is room again."""

    def write(self, data: bytearray | memoryview) -> int:
        """Take a prefix of `data` and return its length, from 0 to `len(data)`.

        A short count means that the lane is full: `on_room` will be called, and until then writing again is useless. A
        lane that is closed takes nothing and never calls.
        """
        ...


def ignore_room() -> None:
    """What `on_room` is until a writer sets it."""
