"""Bytes to frames to their owner, and exactly one end: what every receiving side does."""

from collections.abc import Callable, Collection
from typing import Protocol

from rxlapce.codec.frame import Frame, FrameDecoder
from rxlapce.errors import FrameError, ProtocolError

OnFrames = Callable[[list[Frame]], None]
OnEnd = Callable[[Exception | None], None]


class Decoder(Protocol):
    """Bytes in, frames out: `codec.frame.FrameDecoder`, or `codec.signing.SignedFrameDecoder` on a signed way."""

    error: FrameError | None

    def feed(self, data: bytes) -> list[Frame]:
        """See `FrameDecoder`."""
        ...

    def close(self) -> None:
        """See `FrameDecoder`."""
        ...


class FrameIntake:
    """Decodes what arrives and tells the owner, frames first, then the end, once.

    `on_frames` gets the frames of one read, never an empty list; what it raises goes to whoever fed the bytes. `on_end`
    is called exactly once: None for an end between two frames, `TruncatedFrame` inside one, another `ProtocolError`
    for bytes that are no frames. After it everything is ignored. Holds what `decoder` does: at most one unfinished
    frame, and on a signed way a batch.
    """

    __slots__ = ("_decoder", "_on_end", "_on_frames", "bytes_read", "ended", "frames")

    def __init__(
        self,
        on_frames: OnFrames,
        on_end: OnEnd,
        known: Collection[int] | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._decoder: Decoder = FrameDecoder(known) if decoder is None else decoder
        self._on_frames = on_frames
        self._on_end = on_end
        self.ended = False
        self.bytes_read = 0
        self.frames = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.ended:
            return
        self.bytes_read += len(data)
        frames = self._decoder.feed(data)
        try:
            if frames:
                self.frames += len(frames)
                self._on_frames(frames)
        finally:
            if self._decoder.error is not None:
                self.end(self._decoder.error)

    def end(self, error: Exception | None = None, *, torn_is_error: bool = True) -> None:
        """Nothing more comes. Without an `error` of its own, an end inside a frame is a `TruncatedFrame`."""
        if self.ended:
            return
        self.ended = True
        if error is None and torn_is_error:
            try:
                self._decoder.close()
            except ProtocolError as torn:
                error = torn.with_traceback(None)  # whose frames hold the decoder
        self._forget()
        self._on_end(error)

    def mute(self) -> None:
        """The owner has gone: no frame and no end is told any more."""
        self.ended = True
        self._forget()

    def _forget(self) -> None:
        """Let go of a frame that never came to its end: up to 10 MiB that would wait for the garbage collector."""
        self._decoder = FrameDecoder()
