"""Signed frames: an HMAC-SHA-256 trailer (RFC 2104) behind the last frame of a batch.

    [header payload] [header payload] [header* payload] [32 bytes]
    ------------------- batch -------------------------  HMAC-SHA-256(key of the way, u64 counter || batch)

`header*` has the flag SIGNED; payload length and CRC do not count the trailer. The counter counts the trailers of one
way from 0, so that a batch which is sent again, left out or moved is refused. The keys of a connection's ways come from
a secret that both sides know and a nonce of each (HKDF, RFC 5869), so that nothing of one connection passes in another.
Source: `docs/protocol.md`, section "Signing".

One MAC covers all that one write carries: a MAC of 100 bytes costs 2.2 us, one of 16 KiB 6.8.
"""

import hmac
import struct
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from rxlapce.codec.frame import (
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    SIGNED,
    Flag,
    Frame,
    add_flag,
    check_header,
    check_start,
    checked_frame,
)
from rxlapce.errors import BadSignature, FrameError, TruncatedFrame

NONCE_BYTES: Final = 32
MIN_SECRET_BYTES: Final = 32
TRAILER_BYTES: Final = 32
#: A batch of this many bytes must be signed: so much of a signed connection waits unproved at most, and one frame.
MAX_BATCH_BYTES: Final = 64 * 1024

_pack_counter: Final = struct.Struct("<Q").pack
_REFUSED: Final = 0xFF & ~int(Flag.STREAM_PART | Flag.PRIORITY | Flag.REQUEST | Flag.RESPONSE | Flag.SIGNED)
_FLAGS_AT: Final = 5


@dataclass(frozen=True, slots=True, repr=False)
class SessionKeys:
    """The keys of one connection, by its ways: `client` to daemon, `daemon` to client on the socket, and by the `ring`.

    Never printed.
    """

    client: bytes
    daemon: bytes
    ring: bytes


def derive_keys(secret: bytes, client_nonce: bytes, daemon_nonce: bytes, handshake: bytes) -> SessionKeys:
    """HKDF-SHA-256 (RFC 5869): extracted by both nonces, expanded by each way's name.

    `handshake` is the payload of the client's handshake frame: as the acknowledgement is signed, neither of the two can
    have been changed on the way. Raises `ValueError` for nonces or a secret of a wrong length.
    """
    if len(client_nonce) != NONCE_BYTES or len(daemon_nonce) != NONCE_BYTES or len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"expected two nonces of {NONCE_BYTES} bytes and a secret of at least {MIN_SECRET_BYTES}")
    extracted = hmac.digest(client_nonce + daemon_nonce, secret, "sha256")
    said = sha256(handshake).digest()

    def expanded(way: bytes) -> bytes:
        return hmac.digest(extracted, b"rxlapce-1 " + way + b"\0" + said + b"\1", "sha256")

    return SessionKeys(expanded(b"client"), expanded(b"daemon"), expanded(b"ring"))


class _Macs:
    """The MACs of one way, in order."""

    __slots__ = ("_keyed", "counter")

    def __init__(self, key: bytes, counter: int) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")
        self.counter = counter

    def begin(self) -> hmac.HMAC:
        """A MAC of the next batch, to be fed with its bytes."""
        mac = self._keyed.copy()
        mac.update(_pack_counter(self.counter))
        self.counter += 1
        return mac


class Signer:
    """Signs the batches of one way, of which `counter` have gone before."""

    __slots__ = ("_macs",)

    def __init__(self, key: bytes, counter: int = 0) -> None:
        self._macs = _Macs(key, counter)

    def seal(self, out: bytearray, batch_bytes: int, last_bytes: int) -> None:
        """Sign the last `batch_bytes` of `out`, whose last frame has `last_bytes`: sets its flag, adds the trailer."""
        add_flag(out, len(out) - last_bytes, SIGNED)
        mac = self._macs.begin()
        with memoryview(out) as view, view[len(out) - batch_bytes :] as batch:
            mac.update(batch)
        out += mac.digest()


def signed_frame(frame: bytes, signer: Signer) -> bytes:
    """One whole frame as a batch of its own."""
    out = bytearray(frame)
    signer.seal(out, len(frame), len(frame))
    return bytes(out)


class SignedFrameDecoder:
    """Turns the bytes of a signed way into the frames that a right trailer proves; otherwise as `FrameDecoder`.

    `feed` returns the frames of the batches that `data` completes, with their flags as they came. Beside the errors of
    `FrameDecoder`, `BadSignature`: a trailer that does not match (a changed, repeated, left out or moved batch, another
    key), or `MAX_BATCH_BYTES` without one. Nothing of such a batch is returned.

    Memory: `MAX_BATCH_BYTES`, one frame, and what one `feed` brings. Time: linear, however the bytes are cut.
    """

    __slots__ = (
        "_batch",
        "_batch_bytes",
        "_held",
        "_known",
        "_mac",
        "_macs",
        "_need",
        "error",
        "max_payload_bytes",
    )

    def __init__(
        self,
        key: bytes,
        known: Collection[int] | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        *,
        counter: int = 0,
    ) -> None:
        self.max_payload_bytes = max_payload_bytes
        self.error: FrameError | None = None
        """As `FrameDecoder.error`."""
        self._known = None if known is None else frozenset(known)
        self._macs = _Macs(key, counter)
        self._mac = self._macs.begin()
        self._batch: list[Frame] = []
        self._batch_bytes = 0
        self._held = bytearray()  # the start of a frame that is not whole
        self._need = HEADER_BYTES  # bytes that `_held` must have before it can be read further

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """The frames that `data` proves, in order. Raises the `error` that an earlier call has set."""
        if self.error is not None:
            raise self.error
        held = self._held
        frames: list[Frame] = []
        try:
            if held:
                held += data
                if len(held) < self._need:
                    check_start(held[:HEADER_BYTES])
                    return frames
                data = bytes(held)
                held.clear()
            elif not isinstance(data, bytes):
                data = bytes(data)
            at = self._read_frames(data, frames)
            if at < len(data):
                held += data[at:]
        except FrameError as error:
            self.error = error.with_traceback(None)  # its frames would keep the bytes alive
            self._batch.clear()
            held.clear()
        return frames

    def close(self) -> None:
        """The bytes have ended. Raises `TruncatedFrame` inside a frame or before a trailer, or the `error`."""
        if self.error is not None:
            raise self.error
        if self._held or self._batch:
            self.error = TruncatedFrame(
                f"the bytes ended inside a signed batch: {len(self._batch)} frames wait for their trailer, and "
                f"{len(self._held):,} bytes of the next one have come"
            )
            raise self.error

    def _read_frames(self, data: bytes, frames: list[Frame]) -> int:
        """Read from the start of `data`, where a frame starts; return where the first that is not whole begins."""
        known, max_bytes, size, batch = self._known, self.max_payload_bytes, len(data), self._batch
        at = unread = 0  # `unread`: from where on the MAC has not seen the bytes
        while size - at >= HEADER_BYTES:
            length = check_header(data[at : at + HEADER_BYTES], known, max_bytes, _REFUSED)
            signed = data[at + _FLAGS_AT] & SIGNED
            end = at + HEADER_BYTES + length
            self._need = HEADER_BYTES + length + (TRAILER_BYTES if signed else 0)
            if at + self._need > size:
                break
            batch.append(checked_frame(data[at:end]))
            self._batch_bytes += end - at
            at = end
            if signed:
                self._mac.update(data[unread:end])
                at = unread = end + TRAILER_BYTES
                self._prove(data[end:at])
                frames += batch
                batch.clear()
                self._batch_bytes = 0
            elif self._batch_bytes >= MAX_BATCH_BYTES:
                raise BadSignature(
                    f"{self._batch_bytes:,} bytes in {len(batch)} frames without a signature; a batch that has "
                    f"{MAX_BATCH_BYTES:,} must be signed"
                )
        else:
            self._need = HEADER_BYTES
            check_start(data[at:])
        self._mac.update(data[unread:at])
        return at

    def _prove(self, trailer: bytes) -> None:
        if not hmac.compare_digest(self._mac.digest(), trailer):
            raise BadSignature(
                f"the signature of batch {self._macs.counter - 1} ({len(self._batch)} frames, {self._batch_bytes:,} "
                "bytes) does not match: it was changed, repeated or moved, or the other side has another secret"
            )
        self._mac = self._macs.begin()
