"""What holds for any bytes that a peer of the wire protocol can send, or put into shared memory: the rules of fuzzing.

Each `check_*` takes arbitrary bytes and raises AssertionError, or whatever the code under test raises and must not.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from rxlapce.codec.frame import HEADER_BYTES, SIGNED, Flag, Frame, FrameDecoder, encode_frame
from rxlapce.codec.signing import SignedFrameDecoder, Signer
from rxlapce.errors import (
    BadMessageType,
    BadPayload,
    ConnectionLost,
    FrameError,
    ProtocolError,
    RingCorrupt,
    TruncatedFrame,
)
from rxlapce.messages import (
    NUMBERS,
    TAGS,
    TYPES,
    Handshake,
    HandshakeAck,
    ProtocolFailure,
    RingGrant,
    WireMessage,
    decode,
    encode,
)
from rxlapce.transports.handshake import Signing, accept_handshake, client_handshake
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.ring import DATA_OFFSET, RingReader, RingWriter
from rxlapce.transports.shm import ShmReceiver, ShmSender, shm_unavailable

KEY: Final = bytes(range(32))
SECRET: Final = SigningKey("fuzz", KEY)
_MAX_PAYLOAD: Final = 1 << 16
_SPOKEN: Final = int(Flag.STREAM_PART | Flag.PRIORITY | Flag.REQUEST | Flag.RESPONSE)
_PART: Final = int(Flag.RESPONSE | Flag.STREAM_PART)
_HEARTBEAT: Final = b'{"type":"heartbeat","echo":true}'


def _hold(rule: bool, broken: str) -> None:
    if not rule:
        raise AssertionError(broken)


# -- frames -----------------------------------------------------------------------------------------------------------


def check_frames(data: bytes, cuts: Iterable[range] = ()) -> None:
    """However the bytes are cut: the same frames, the same error; and what was read is what stood there."""

    def make() -> FrameDecoder:
        return FrameDecoder(NUMBERS.values(), _MAX_PAYLOAD)

    frames, _ = _same_for_all_cuts(make, data, cuts)
    again = b"".join(encode_frame(one.number, one.flags, one.request_id, one.payload) for one in frames)
    _hold(data.startswith(again), "frames that do not stand in the bytes")


def signed_wire() -> tuple[bytes, list[Frame]]:
    """A signed way as an honest peer writes it, and its frames."""
    signer, out = Signer(KEY), bytearray()
    for batch in ((b"", b"a"), (b"x" * 300,), (_HEARTBEAT, b"", _HEARTBEAT)):
        start = len(out)
        for payload in batch:
            out += encode_frame(0x0312, _PART, len(out), payload)
        signer.seal(out, len(out) - start, HEADER_BYTES + len(batch[-1]))
    decoder = SignedFrameDecoder(KEY)
    return bytes(out), decoder.feed(out)


HONEST, HONEST_FRAMES = signed_wire()


def check_signed(data: bytes, cuts: Iterable[range] = ()) -> None:
    """Who does not know the key gets nothing through but what an honest peer has said, in its order."""
    frames, _ = _same_for_all_cuts(lambda: SignedFrameDecoder(KEY, NUMBERS.values(), _MAX_PAYLOAD), data, cuts)
    _hold(frames == HONEST_FRAMES[: len(frames)], "frames that nobody signed")
    _hold(all(frame.flags & SIGNED for frame in frames[-1:]), "an end without a signature")


def _same_for_all_cuts(
    make: Callable[[], FrameDecoder | SignedFrameDecoder], data: bytes, cuts: Iterable[range]
) -> tuple[list[Frame], str]:
    whole = _decoded(make(), [data])
    for places in cuts:
        ends = [*places, len(data)]
        pieces = [data[start:end] for start, end in zip([0, *places], ends, strict=True)]
        _hold(_decoded(make(), pieces) == whole, f"another result if cut at {places}")
    return whole


def _decoded(decoder: FrameDecoder | SignedFrameDecoder, pieces: Iterable[bytes]) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    for piece in pieces:
        if decoder.error is None:
            frames += decoder.feed(piece)
    if decoder.error is None:
        try:
            decoder.close()
        except TruncatedFrame:
            return frames, "TruncatedFrame"
        return frames, ""
    return frames, type(decoder.error).__name__


# -- messages ---------------------------------------------------------------------------------------------------------


def check_message(data: bytes) -> None:
    """The first byte chooses the type, the rest is a payload: a message that comes back as it was, or a named error."""
    numbers = sorted(TYPES)
    number, payload = numbers[data[0] % len(numbers)] if data else numbers[0], data[1:]
    sides: tuple[Literal["daemon", "client"], ...] = ("daemon", "client")
    for side in sides:
        try:
            message = decode(number, payload, receiver=side)
        except (BadPayload, BadMessageType) as error:
            _hold(len(str(error)) < 10_000, "an error as long as what it complains of")
            continue
        _hold(decode(number, encode(message), receiver=side) == message, "a message that does not come back")


# -- handshakes -------------------------------------------------------------------------------------------------------


def check_handshake(loop: asyncio.AbstractEventLoop, data: bytes, *, signing: bool) -> None:
    """A daemon that gets any bytes as a handshake agrees, or says why not; and keeps no descriptor."""
    keys = Signing(keys={SECRET.name: SECRET}, required=False) if signing else Signing()

    async def accept(sock: socket.socket) -> None:
        accepted = await accept_handshake(
            sock,
            make_shm=None if shm_unavailable() else lambda: ShmSender(4096),
            server="fuzzed",
            max_streams=1,
            allowed_uid=os.geteuid(),
            timeout_s=5,
            features=("drain",),
            signing=keys,
        )
        if accepted.shm is not None:
            accepted.shm.close()

    said = _shake(loop, data, accept)
    frames, error = _decoded(FrameDecoder(signed=True), [said[: HEADER_BYTES + int.from_bytes(said[8:12], "little")]])
    _hold(not error, f"the daemon's answer is no frame: {error}")
    for frame in frames:
        answer = decode(frame.number, frame.payload, receiver="client")
        _hold(isinstance(answer, HandshakeAck | ProtocolFailure), f"an answer of type {frame.number:#06x}")


def check_acknowledgement(loop: asyncio.AbstractEventLoop, data: bytes, *, signing: bool) -> None:
    """A client that gets any bytes as an answer agrees, or says why not; signed, it never agrees."""

    async def ask(sock: socket.socket) -> None:
        agreed = await client_handshake(sock, Handshake(transport="shm"), 5, SECRET if signing else None)
        for fd in agreed.fds:
            os.close(fd)
        _hold(not signing, "an acknowledgement that nobody signed")

    _shake(loop, data, ask)


def _shake(
    loop: asyncio.AbstractEventLoop, data: bytes, talk: Callable[[socket.socket], Coroutine[Any, Any, None]]
) -> bytes:
    """Let `talk` have a socket at whose other end `data` was said; return what it said."""
    mine, theirs = socket.socketpair()
    before = _descriptors()
    with mine, theirs:
        for sock in (mine, theirs):
            sock.setblocking(False)
        theirs.sendall(data[: 1 << 16])
        theirs.shutdown(socket.SHUT_WR)
        with suppress(ProtocolError, ConnectionLost):
            loop.run_until_complete(talk(mine))
        _hold(_descriptors() == before, "a descriptor was left")
        try:
            return theirs.recv(1 << 17)
        except BlockingIOError:
            return b""


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a name each is enough


def handshake_seeds() -> list[bytes]:
    """Frames to begin with, for both checks."""
    messages: tuple[WireMessage, ...] = (
        Handshake(client="fuzz"),
        Handshake(client="fuzz", transport="shm", features=("sign", "drain"), nonce="0a" * 32, key=SECRET.name),
        HandshakeAck(server="fuzz"),
        HandshakeAck(
            server="fuzz", transport="shm", ring=RingGrant(capacity=4096), features=("sign",), nonce="0b" * 32
        ),
        ProtocolFailure(error="HandshakeRefused", message="no"),
    )
    return [encode_frame(NUMBERS[type(one)], 0x10, 0, encode(one)) for one in messages]


# -- rings ------------------------------------------------------------------------------------------------------------


def check_ring(data: bytes, capacity: int = 61) -> None:
    """Both sides over one memory, three bytes a step: write, read, or a hostile store to any field.

    Without a hostile store what is read is what was written. With one each side raises `RingCorrupt` at worst, and
    never hands out more than the ring holds.
    """
    memory = bytearray(DATA_OFFSET + capacity)
    writer, reader = RingWriter(memoryview(memory)), RingReader(memoryview(memory))
    written, read = bytearray(), bytearray()
    honest = True
    corrupt: set[str] = set()
    for step in range(0, len(data) - 2, 3):
        kind, argument = data[step] % 8, int.from_bytes(data[step + 1 : step + 3], "little")
        if kind <= 2 and "writer" not in corrupt:
            piece = bytes((step + n) & 0xFF for n in range(argument % (2 * capacity)))
            try:
                taken = writer.write(memoryview(piece))
                _hold(0 <= taken <= min(len(piece), capacity), "more was taken than there is")
                _hold(0 <= writer.last_fill <= capacity, "a fill past the capacity")
            except RingCorrupt:
                corrupt.add("writer")
                taken = 0
            written += piece[:taken]
        elif kind <= 5 and "reader" not in corrupt:
            try:
                piece = reader.read(argument % (2 * capacity))
            except RingCorrupt:
                corrupt.add("reader")
                piece = b""
            _hold(len(piece) <= capacity, "more was read than the ring holds")
            read += piece
        elif kind > 5:
            honest = False
            field = 64 * (argument % 7)
            value = (argument * 0x9E3779B97F4A7C15 if kind == 6 else argument >> 3) & (2**64 - 1)
            memory[field : field + 8] = value.to_bytes(8, "little")
    _hold(not (honest and corrupt), f"an honest ring was found corrupt by the {corrupt}")
    if honest:
        read += reader.read(capacity)
        _hold(read == written, "what was read is not what was written")


def check_ring_reader(loop: asyncio.AbstractEventLoop, data: bytes, capacity: int = 128) -> None:
    """A client's whole reading side over memory that a daemon filled as it liked: frames, then one end."""
    if shm_unavailable() is not None:
        return
    sender = ShmSender(capacity, loop)
    memory, wake = (os.dup(fd) for fd in sender.fds)
    positions, rest = data[:32].ljust(32, b"\0"), data[32 : 32 + capacity]
    os.pwrite(memory, rest, DATA_OFFSET)
    fields = (64, 192, 256, 320)
    for number, field in enumerate(fields):
        os.pwrite(memory, positions[8 * number : 8 * number + 8], field)
    told: list[Exception | None] = []
    frames: list[Frame] = []

    async def read() -> None:
        receiver = ShmReceiver(
            (memory, wake), capacity, frames.extend, told.append, NUMBERS.values(), on_end=lambda: told.append(None)
        )
        receiver.start()
        for _ in range(4):
            await asyncio.sleep(0)
        receiver.drain()
        if not told:
            receiver.finish()
        receiver.close()

    try:
        loop.run_until_complete(read())
    finally:
        sender.close()
    _hold(len(told) == 1, f"{len(told)} ends")
    _hold(told[0] is None or isinstance(told[0], RingCorrupt | FrameError), repr(told[0]))


# -- the table --------------------------------------------------------------------------------------------------------


def mended(data: bytes) -> bytes:
    """`data` with the length and the checksum of its first frame as they should be, so that what is inside is read."""
    if len(data) < HEADER_BYTES:
        return data
    flags, number, payload = data[5], int.from_bytes(data[6:8], "little"), data[HEADER_BYTES:]
    if flags & ~_SPOKEN or len(payload) > _MAX_PAYLOAD:
        return data
    return encode_frame(number, flags, int.from_bytes(data[12:20], "little"), payload)


def _as_it_is(data: bytes) -> bytes:
    return data


#: Checks any bytes, on a loop, cut at the places of each range too.
Check = Callable[[asyncio.AbstractEventLoop, bytes, list[range]], None]


@dataclass(frozen=True, slots=True)
class WireTarget:
    """What to check, what to begin with, and how a mutation may be mended so that it comes further."""

    check: Check
    seeds: list[bytes]
    mend: Callable[[bytes], bytes] = _as_it_is


_PAYLOADS: Final = [
    bytes([place]) + b'{"type":"%s"}' % TAGS[number].encode() for place, number in enumerate(sorted(TYPES))
]
_RING_STEPS: Final = [
    bytes([0, 20, 0, 3, 50, 0] * 8),
    bytes([0, 200, 0, 3, 200, 0, 6, 1, 9, 0, 9, 0, 7, 8, 0, 3, 9, 0]),
]
_RING_MEMORY: Final = [(n).to_bytes(8, "little") + bytes(24) + HONEST[:100] for n in (0, 24, 100, 128)]

WIRE_TARGETS: Final[dict[str, WireTarget]] = {
    "frames": WireTarget(lambda _, data, cuts: check_frames(data, cuts), handshake_seeds(), mended),
    "signed": WireTarget(lambda _, data, cuts: check_signed(data, cuts), [HONEST]),
    "messages": WireTarget(lambda _, data, __: check_message(data), _PAYLOADS),
    "handshake": WireTarget(
        lambda loop, data, _: check_handshake(loop, data, signing=False), handshake_seeds()[:2], mended
    ),
    "handshake-signed": WireTarget(
        lambda loop, data, _: check_handshake(loop, data, signing=True), handshake_seeds()[:2], mended
    ),
    "acknowledgement": WireTarget(
        lambda loop, data, _: check_acknowledgement(loop, data, signing=False), handshake_seeds()[2:], mended
    ),
    "acknowledgement-signed": WireTarget(
        lambda loop, data, _: check_acknowledgement(loop, data, signing=True), handshake_seeds()[2:], mended
    ),
    "ring": WireTarget(lambda _, data, __: check_ring(data), _RING_STEPS),
    "ring-reader": WireTarget(lambda loop, data, _: check_ring_reader(loop, data), _RING_MEMORY),
}
