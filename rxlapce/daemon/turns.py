"""Whose turn it is: no client keeps the loop from the others by what it says at once."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rxlapce.codec.frame import Frame

#: A read of 256 KiB can bring thousands of frames, each worth some 20 us, or 300 where a request begins.
TURN_S: Final = 0.002


class Pausable(Protocol):
    """What brings the frames."""

    def pause_reading(self) -> None:
        """Bring no more."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...


class Turns:
    """Hands the frames of one client to `on_frame`, one by one and in order, for `TURN_S` and one frame a loop round.

    While some wait for their turn nothing more is read, so that one read's frames are kept at most; and those that come
    before `start`.
    """

    __slots__ = ("_last", "_on_frame", "_paused", "_reading", "_waiting")

    def __init__(self, on_frame: Callable[[Frame], None]) -> None:
        self._on_frame = on_frame
        self._reading: Pausable | None = None
        self._waiting: deque[Frame] = deque()
        self._paused = False
        self._last: Callable[[], None] | None = None

    def start(self, reading: Pausable) -> None:
        """Begin; `reading` is what is paused."""
        self._reading = reading
        self._turn()

    def take(self, frames: Sequence[Frame]) -> None:
        """Hand on what has come, now as far as this turn goes."""
        self._waiting.extend(frames)
        if self._reading is not None and not self._paused:
            self._turn()

    def at_last(self, last: Callable[[], None]) -> None:
        """Call `last` when all that has come has had its turn: now, if nothing waits."""
        if self._waiting:
            self._last = last
        else:
            last()

    def drop(self) -> None:
        """Forget what waits, and what was to come after it."""
        self._waiting.clear()
        self._last = None

    def _turn(self) -> None:
        waiting, until_s = self._waiting, time.monotonic() + TURN_S
        try:
            while waiting:
                self._on_frame(waiting.popleft())
                if time.monotonic() >= until_s:
                    break
        finally:  # also when a frame's handler has a bug: those behind it must still have their turn
            self._pause(bool(waiting))
            if waiting:
                asyncio.get_running_loop().call_soon(self._turn)
            elif self._last is not None:
                last, self._last = self._last, None
                last()

    def _pause(self, paused: bool) -> None:
        if self._paused is paused or self._reading is None:
            return
        self._paused = paused
        if paused:
            self._reading.pause_reading()
        else:
            self._reading.resume_reading()
