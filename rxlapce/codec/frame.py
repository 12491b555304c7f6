"""The frame of our own wire, `docs/protocol.md` section "Frame": a header of 24 bytes, little-endian, then the payload.

    offset  size  field
         0     4  magic 0x4C415043; on the wire 43 50 41 4C
         4     1  version, 1
         5     1  flags, see `Flag`
         6     2  message type
         8     4  length of the payload in bytes, at most 10 MiB
        12     8  request id; a response carries its request's
        20     4  CRC-32 (IEEE 802.3) of the header with this field zero, then of the payload

What comes in is checked as soon as it can be: the magic and version byte by byte, the rest of the header when it is
whole, before any of the payload is kept.
"""

import struct
from collections.abc import Collection
from enum import IntFlag
from typing import Final
from zlib import crc32

import msgspec

from rxlapce.errors import (
    BadChecksum,
    BadFlags,
    BadMagic,
    BadMessageType,
    BadVersion,
    FrameError,
    FrameTooLarge,
    TruncatedFrame,
)

MAGIC: Final = 0x4C415043
VERSION: Final = 1
HEADER_BYTES: Final = 24
MAX_PAYLOAD_BYTES: Final = 10 * 2**20

_HEADER: Final = struct.Struct("<IBBHIQI")
_pack_start: Final = struct.Struct("<IBBHIQ").pack
_pack_checksum: Final = struct.Struct("<I").pack
_FLAGS_AT: Final = 5
_CRC_AT: Final = 20
_NO_CRC: Final = bytes(HEADER_BYTES - _CRC_AT)
_MAGIC_BYTES: Final = MAGIC.to_bytes(4, "little")


class Flag(IntFlag):
    """The bits of a frame's flags.

    ZSTD and ENCRYPTED are reserved; SIGNED (an HMAC trailer follows the payload, see `codec.signing`) is for
    connections that agreed on it. A frame with any other bit is refused, since its payload is not what it seems.
    """

    ZSTD = 0x01
    ENCRYPTED = 0x02
    STREAM_PART = 0x04
    PRIORITY = 0x08
    REQUEST = 0x10
    RESPONSE = 0x20
    SIGNED = 0x40


#: A plain int, as `flags` should be on the hot path: an operator of an IntFlag costs a microsecond.
SIGNED: Final = int(Flag.SIGNED)
_REFUSED: Final = 0xFF & ~int(Flag.STREAM_PART | Flag.PRIORITY | Flag.REQUEST | Flag.RESPONSE)


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One whole frame whose checksum was right. `number` is the message type, `flags` bits of `Flag`."""

    number: int
    flags: int
    request_id: int
    payload: bytes


def encode_frame(number: int, flags: int, request_id: int, payload: bytes) -> bytes:
    """One frame. Raises as `append_frame`."""
    out = bytearray()
    append_frame(out, number, flags, request_id, payload)
    return bytes(out)


def append_frame(out: bytearray, number: int, flags: int, request_id: int, payload: bytes) -> None:
    """Put one frame at the end of `out`. `number` is u16, `request_id` u64, `flags` bits that are spoken.

    Raises ValueError, with nothing put, for what no frame of ours can hold.

    For many frames of one stream a `FrameStamp` does the same in a third of the time.
    """
    start, checksum = _start(number, flags, request_id, len(payload))
    out += start
    out += _pack_checksum(crc32(payload, checksum))
    out += payload


class FrameStamp:
    """Puts frames that have number, flags and request id in common: the chunks of one stream.

    Their headers differ by the payload's length alone, and the payloads of a stream have few lengths, so the start of
    each header and its part of the checksum are kept by length. One CRC-32 a frame is left: 0.63 us with a payload of
    90 bytes, where `append_frame` takes 1.9 and the CRC-32 alone 0.3 (2026-11-22, two busy virtual CPUs, median of 9
    runs). Memory: at most `MAX_KEPT` lengths.
    """

    __slots__ = ("_flags", "_number", "_request_id", "_starts")

    MAX_KEPT: Final = 256

    def __init__(self, number: int, flags: int, request_id: int) -> None:
        self._number = number
        self._flags = flags
        self._request_id = request_id
        self._starts: dict[int, tuple[bytes, int]] = {}

    def __len__(self) -> int:
        """How many lengths are kept."""
        return len(self._starts)

    def append(self, out: bytearray, payload: bytes) -> None:
        """As `append_frame`."""
        size = len(payload)
        kept = self._starts.get(size)
        if kept is None:
            if len(self._starts) >= self.MAX_KEPT:
                self._starts.clear()
            kept = self._starts[size] = _start(self._number, self._flags, self._request_id, size)
        start, checksum = kept
        out += start
        out += _pack_checksum(crc32(payload, checksum))
        out += payload


def _start(number: int, flags: int, request_id: int, size: int) -> tuple[bytes, int]:
    """A header up to its checksum, and the checksum of the whole header with that field zero."""
    if size > MAX_PAYLOAD_BYTES or flags & _REFUSED:
        raise _cannot_send(flags, size)
    try:
        start = _pack_start(MAGIC, VERSION, flags, number, size, request_id)
    except struct.error:
        raise ValueError(
            f"a frame has flags of 8 bits, a type of 16 and a request id of 64, not {flags:#x}, {number:#x} and "
            f"{request_id:#x}"
        ) from None
    return start, crc32(_NO_CRC, crc32(start))


def _cannot_send(flags: int, size: int) -> ValueError:
    if size > MAX_PAYLOAD_BYTES:
        return ValueError(f"a payload has at most {MAX_PAYLOAD_BYTES:,} bytes, not {size:,}")
    return ValueError(f"this version does not speak {Flag(flags & _REFUSED)!r}")


class FrameDecoder:
    """Turns the bytes of a connection into frames.

    `feed` returns the frames that `data` completes; cutting the bytes elsewhere gives the same frames. At bytes that
    are no frame of ours `error` is set, and `feed` still returns the frames before. Look at `error` after each `feed`;
    any later `feed` or `close` raises it. It is the first that holds of

    - `BadMagic`, `BadVersion`: at the first wrong byte
    - `BadFlags`, `BadMessageType` (not in `known`, where that is given), `FrameTooLarge`: when the header is whole
    - `BadChecksum`: when the frame is whole

    With `signed` a frame may have the flag SIGNED; its trailer is the caller's to take out of the bytes. A connection
    that has agreed on signing uses `codec.signing.SignedFrameDecoder` instead.

    Memory: one frame and what one `feed` brings. Time: linear in the bytes, however they are cut.
    """

    __slots__ = ("_held", "_known", "_need", "_refused", "error", "max_payload_bytes")

    def __init__(
        self,
        known: Collection[int] | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        *,
        signed: bool = False,
    ) -> None:
        if not 0 <= max_payload_bytes <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"max_payload_bytes must be from 0 to {MAX_PAYLOAD_BYTES}, not {max_payload_bytes}")
        self.max_payload_bytes = max_payload_bytes
        self.error: FrameError | None = None
        """Set at the first bytes that are no frame; nothing more is read then."""
        self._known = None if known is None else frozenset(known)
        self._refused = _REFUSED & ~SIGNED if signed else _REFUSED
        self._held = bytearray()  # the start of a frame that is not whole
        self._need = HEADER_BYTES  # bytes that `_held` must have before it can be read further

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """The frames that `data` completes, in order. Raises the `error` that an earlier call has set.

        Keeps no reference to `data`.
        """
        if self.error is not None:
            raise self.error
        if not isinstance(data, bytes):
            data = bytes(data)
        frames: list[Frame] = []
        try:
            at = self._finish_frame(data, frames) if self._held else 0
            self._read_frames(data, at, frames)
        except FrameError as error:
            self.error = error.with_traceback(None)  # its frames would keep the bytes alive
            self._held.clear()
        return frames

    def close(self) -> None:
        """The bytes have ended. Raises `TruncatedFrame` inside a frame, or the `error` if there is one."""
        if self.error is not None:
            raise self.error
        held = len(self._held)
        if held:
            of = f"{self._need:,}" if held >= HEADER_BYTES else f"a header of {HEADER_BYTES}"
            self.error = TruncatedFrame(f"the bytes ended inside a frame: {held:,} of {of}")
            raise self.error

    def _finish_frame(self, data: bytes, frames: list[Frame]) -> int:
        """Complete the frame that is held, as far as `data` goes; return how much of it that took."""
        held = self._held
        at = 0
        while len(held) < self._need:
            if at == len(data):
                return at
            piece = data[at : at + self._need - len(held)]
            held += piece
            at += len(piece)
            if len(held) < HEADER_BYTES:
                check_start(held)
            elif self._need == HEADER_BYTES:
                self._need += self._check_header(held)
        frames.append(checked_frame(held))
        held.clear()
        self._need = HEADER_BYTES
        return at

    def _read_frames(self, data: bytes, at: int, frames: list[Frame]) -> None:
        """Read from `at` on, where a frame starts; hold the last if it is not whole. Nothing is held before."""
        unpack_from = _HEADER.unpack_from
        known, max_bytes, size, refused = self._known, self.max_payload_bytes, len(data), self._refused
        while size - at >= HEADER_BYTES:
            magic, version, flags, number, length, request_id, checksum = unpack_from(data, at)
            if (
                magic != MAGIC
                or version != VERSION
                or flags & refused
                or length > max_bytes
                or (known is not None and number not in known)
            ):
                self._check_header(data[at : at + HEADER_BYTES])
            start = at + HEADER_BYTES
            end = start + length
            if end > size:
                self._need = HEADER_BYTES + length
                break
            payload = data[start:end]
            if crc32(payload, crc32(_NO_CRC, crc32(data[at : at + _CRC_AT]))) != checksum:
                _check_crc(data[at : at + _CRC_AT], payload, checksum, number, request_id)
            frames.append(Frame(number, flags, request_id, payload))
            at = end
        if at < size:
            self._held += data[at:]
            if len(self._held) < HEADER_BYTES:
                check_start(self._held)

    def _check_header(self, header: bytes | bytearray) -> int:
        return check_header(header, self._known, self.max_payload_bytes, self._refused)


def check_header(
    header: bytes | bytearray, known: frozenset[int] | None, max_payload_bytes: int, refused: int = _REFUSED
) -> int:
    """The payload's length, if the 24 bytes are a header of ours. Raises as `FrameDecoder` tells."""
    check_start(header)
    _, _, flags, number, length, request_id, _ = _HEADER.unpack(header)
    if flags & refused:
        why = repr(Flag(flags & refused))
        raise BadFlags(f"flags {flags:#04x} of request {request_id}: this version does not speak {why}")
    if known is not None and number not in known:
        names = ", ".join(f"{one:#06x}" for one in sorted(known))
        raise BadMessageType(f"message type {number:#06x} of request {request_id}; known here: {names}")
    if length > max_payload_bytes:
        raise FrameTooLarge(
            f"a payload of {length:,} bytes (type {number:#06x}, request {request_id}); "
            f"the bound is {max_payload_bytes:,}"
        )
    return int(length)


def checked_frame(data: bytearray | bytes) -> Frame:
    """The frame that `data` is, whose header was checked. Raises `BadChecksum`."""
    _, _, flags, number, _, request_id, checksum = _HEADER.unpack_from(data)
    with memoryview(data) as view:
        payload = bytes(view[HEADER_BYTES:])
    _check_crc(bytes(data[:_CRC_AT]), payload, checksum, number, request_id)
    return Frame(number, flags, request_id, payload)


def add_flag(out: bytearray, at: int, flag: int) -> None:
    """Set `flag` in the whole frame that ends `out` and starts at `at`, and its checksum anew."""
    out[at + _FLAGS_AT] |= flag
    with memoryview(out) as view:
        header = bytes(view[at : at + _CRC_AT])
        checksum = crc32(view[at + HEADER_BYTES :], crc32(_NO_CRC, crc32(header)))
    out[at + _CRC_AT : at + HEADER_BYTES] = _pack_checksum(checksum)


def check_start(start: bytes | bytearray) -> None:
    """Check as much of magic and version as there is."""
    magic = start[: len(_MAGIC_BYTES)]
    if not _MAGIC_BYTES.startswith(magic):
        raise BadMagic(f"a frame starts with {_MAGIC_BYTES.hex(' ')}, not {magic.hex(' ')}")
    if len(start) > len(_MAGIC_BYTES) and start[len(_MAGIC_BYTES)] != VERSION:
        raise BadVersion(f"a frame of version {start[len(_MAGIC_BYTES)]}; this side speaks {VERSION}")


def _check_crc(header: bytes, payload: bytes, expected: int, number: int, request_id: int) -> None:
    """Check the CRC-32 of `header`, the bytes before its checksum, and of `payload`."""
    actual = crc32(payload, crc32(_NO_CRC, crc32(header)))
    if actual != expected:
        raise BadChecksum(
            f"CRC-32 {actual:#010x} of a frame of {HEADER_BYTES + len(payload):,} bytes that says {expected:#010x} "
            f"(type {number:#06x}, request {request_id})"
        )
