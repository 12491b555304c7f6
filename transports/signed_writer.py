"""The sink of a signed way: each batch that it hands over ends in a trailer."""

from collections.abc import Callable

from rxlapce.codec.frame import FrameStamp, append_frame
from rxlapce.codec.signing import MAX_BATCH_BYTES, Signer
from rxlapce.errors import ConnectionLost
from rxlapce.transports.lane import ByteLane
from rxlapce.transports.writer import FrameWriter, raise_overflow


class SignedFrameWriter(FrameWriter):
    """A `FrameWriter` that signs what it hands to the lane: one MAC a flush, or each `MAX_BATCH_BYTES`.

    So signing adds no waiting: what one loop round sends goes in one piece, with its trailer behind it.
    """

    def __init__(
        self, lane: ByteLane, signer: Signer, *, on_overflow: Callable[[ConnectionLost], None] = raise_overflow
    ) -> None:
        super().__init__(lane, on_overflow=on_overflow)
        self._signer = signer
        # Counted from the end of `_pending`, whose front is cut off as the lane takes it.
        self._batch_bytes = 0
        self._last_bytes = 0

    def send(self, number: int, flags: int, request_id: int, payload: bytes) -> None:
        """See `FrameWriter`."""
        if self.closed:
            return
        before = len(self._pending)
        append_frame(self._pending, number, flags, request_id, payload)
        self._grew(len(self._pending) - before)
        self._took_one()

    def sender(self, number: int, flags: int, request_id: int) -> Callable[[bytes], None]:
        """See `FrameWriter`."""
        append = FrameStamp(number, flags, request_id).append

        def send(payload: bytes) -> None:
            if self.closed:
                return
            before = len(self._pending)
            append(self._pending, payload)
            self._grew(len(self._pending) - before)
            self._took_one()

        return send

    def flush(self) -> None:
        """See `FrameWriter`."""
        if self._batch_bytes and not self._lane_is_full and not self.closed:
            self._seal()
        super().flush()

    def _grew(self, frame_bytes: int) -> None:
        self._last_bytes = frame_bytes
        self._batch_bytes += frame_bytes
        if self._batch_bytes >= MAX_BATCH_BYTES:
            self._seal()

    def _seal(self) -> None:
        self._signer.seal(self._pending, self._batch_bytes, self._last_bytes)
        self._batch_bytes = 0
