"""Frames and signatures as docs/protocol.md tells them, once more and in the plainest way: a second opinion.

Nothing here is shared with `rxlapce.codec`, so that an error there does not make the vectors that are to find it.
"""

import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

HEADER_BYTES: Final = 24
STREAM_PART, PRIORITY, REQUEST, RESPONSE, SIGNED = 0x04, 0x08, 0x10, 0x20, 0x40


@dataclass(frozen=True, slots=True)
class Sent:
    """One frame: what its header says, and its payload."""

    type: int
    flags: int
    id: int
    payload: bytes

    def signed(self) -> "Sent":
        """The same with the flag of the frame that a trailer follows."""
        return replace(self, flags=self.flags | SIGNED)


@dataclass(frozen=True, slots=True)
class Key:
    """What one way of a connection is signed with."""

    label: str
    key: bytes


def header(
    frame: Sent, *, magic: int = 0x4C415043, version: int = 1, length: int | None = None, checksum: int | None = None
) -> bytes:
    """A header, right in all that is not said otherwise."""
    size = len(frame.payload) if length is None else length
    start = struct.pack("<IBBHIQ", magic, version, frame.flags, frame.type, size, frame.id)
    if checksum is None:
        checksum = zlib.crc32(start + bytes(4) + frame.payload)
    return start + struct.pack("<I", checksum)


def frame_bytes(frame: Sent) -> bytes:
    """A whole frame."""
    return header(frame) + frame.payload


def joined(frames: Iterable[Sent]) -> bytes:
    """Frames back to back."""
    return b"".join(map(frame_bytes, frames))


def derive(secret: bytes, client_nonce: bytes, daemon_nonce: bytes, handshake: bytes) -> tuple[bytes, list[Key]]:
    """The pseudorandom key and the keys of the three ways (HKDF-SHA-256, RFC 5869)."""
    prk = hmac.new(client_nonce + daemon_nonce, secret, hashlib.sha256).digest()
    context = hashlib.sha256(handshake).digest()
    labels = ("client", "daemon", "ring")
    return prk, [
        Key(label, hmac.new(prk, b"rxlapce-1 " + label.encode() + b"\x00" + context + b"\x01", hashlib.sha256).digest())
        for label in labels
    ]


def trailer(key: Key, counter: int, batch: bytes) -> bytes:
    """The signature of a batch, which is all bytes of its frames without trailers."""
    return hmac.new(key.key, struct.pack("<Q", counter) + batch, hashlib.sha256).digest()


def signed_batch(frames: Sequence[Sent], key: Key, counter: int) -> bytes:
    """Frames with one trailer behind the last."""
    batch = joined([*frames[:-1], frames[-1].signed()])
    return batch + trailer(key, counter, batch)


def signed_batches(batches: Iterable[Sequence[Sent]], key: Key, counter: int = 0) -> bytes:
    """Batch after batch of one way, the first with `counter`."""
    return b"".join(signed_batch(frames, key, counter + at) for at, frames in enumerate(batches))
