"""The first two frames of a connection, on the raw socket: asyncio's transports cannot carry descriptors.

    client                                   daemon
      | -- Handshake(versions, transport) --> |   uid checked before a byte is read
      | <-- HandshakeAck(version, ring) ----- |   with the ring's two descriptors, if there is one
      | <-- ProtocolFailure(error) ---------- |   instead, and then both sides raise HandshakeRefused

Every wait has the caller's deadline. The socket stays the caller's: nothing here closes it. Received descriptors are
closed on every way out but success.
"""

import array
import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from rxlapce.codec.frame import HEADER_BYTES, Flag, Frame, FrameDecoder, encode_frame
from rxlapce.errors import BadMessageType, BadPayload, ConnectionLost, FrameError, HandshakeRefused, ProtocolError
from rxlapce.messages import (
    NUMBERS,
    PROTOCOL_VERSION,
    Handshake,
    HandshakeAck,
    ProtocolFailure,
    RingGrant,
    WireMessage,
    decode,
    encode,
)
from rxlapce.transports.shm import Descriptors, ShmSender, shm_unavailable
from rxlapce.transports.unix import peer_uid

#: A handshake is a few hundred bytes.
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
#: What one system call may bring beyond the frame goes on as `leftover`.
_READ_BYTES: Final = 4096
_PAYLOAD_AT: Final = slice(8, 12)
_CLOEXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_RING_FDS: Final = 2
_FD_BYTES: Final = array.array("i").itemsize

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Received:
    """One frame, the bytes that came behind it, and the descriptors that came with it: the caller's to close."""

    frame: Frame
    leftover: bytes
    fds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the daemon knows after a handshake. `shm` is None where stream frames travel on the socket."""

    handshake: Handshake
    shm: ShmSender | None
    leftover: bytes
    uid: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the client knows after a handshake. `fds` is empty, or memory and wake-up socket: the caller's to close."""

    ack: HandshakeAck
    fds: tuple[int, ...]
    leftover: bytes


# -- one frame ------------------------------------------------------------------------------------------------------


async def send_frame(sock: socket.socket, data: bytes, fds: Sequence[int] = (), *, timeout_s: float) -> None:
    """Send all of `data` on a non-blocking socket, the descriptors with its first byte.

    Raises `ConnectionLost` if the peer is gone or takes longer than `timeout_s`.
    """
    await _within(timeout_s, "the peer to read", _send(sock, memoryview(data), fds))


async def receive_frame(sock: socket.socket, *, max_payload_bytes: int, timeout_s: float, max_fds: int = 0) -> Received:
    """Receive one frame on a non-blocking socket, and at most `max_fds` descriptors; more are closed.

    Raises `ConnectionLost` at an end before the first byte or after `timeout_s`, `TruncatedFrame` at an end inside
    the frame, another `FrameError` for bytes that are none (`FrameTooLarge` before the payload is read),
    `HandshakeRefused` if descriptors were lost on the way.
    """
    fds: list[int] = []
    try:
        reading = _receive(sock, FrameDecoder(max_payload_bytes=max_payload_bytes), fds, max_fds)
        frame, leftover = await _within(timeout_s, "the peer's first frame", reading)
    except BaseException:
        _close_all(fds)
        raise
    _close_all(fds[max_fds:])
    return Received(frame, leftover, tuple(fds[:max_fds]))


async def _within(timeout_s: float, what: str, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except TimeoutError:
        raise ConnectionLost(f"waited {timeout_s:g} s for {what}") from None
    except OSError as error:
        raise ConnectionLost(f"the connection broke: {error.strerror or error}") from error


async def _send(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    while data:
        try:
            data = data[sock.sendmsg([data], ancillary) :]
        except BlockingIOError:
            await _ready(sock, writing=True)
        else:
            ancillary = []


async def _receive(sock: socket.socket, decoder: FrameDecoder, fds: list[int], max_fds: int) -> tuple[Frame, bytes]:
    held = bytearray()
    fed = 0
    wanted = HEADER_BYTES
    while True:
        data = await _receive_some(sock, fds, max_fds)
        if not data:
            if not held:
                raise ConnectionLost("the peer closed the connection before its first frame")
            decoder.close()
            raise ConnectionLost("the peer closed the connection")
        held += data
        while fed < len(held):
            # No further than the frame's end, which the header tells: what is behind it is not ours to decode.
            end = min(len(held), wanted)
            frames = decoder.feed(held[fed:end])
            fed = end
            if decoder.error is not None:
                raise decoder.error
            if frames:
                return frames[0], bytes(held[fed:])
            if fed == HEADER_BYTES:
                wanted = HEADER_BYTES + int.from_bytes(held[_PAYLOAD_AT], "little")


async def _receive_some(sock: socket.socket, fds: list[int], max_fds: int) -> bytes:
    room = socket.CMSG_SPACE(max_fds * _FD_BYTES) if max_fds else 0
    while True:
        try:
            data, ancillary, flags, _ = sock.recvmsg(_READ_BYTES, room, _CLOEXEC)
        except BlockingIOError:
            await _ready(sock, writing=False)
            continue
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                passed = array.array("i")
                passed.frombytes(content[: len(content) - len(content) % _FD_BYTES])
                fds.extend(passed)
        # Without room for any, the kernel has closed them: nothing was lost that we wanted.
        if flags & socket.MSG_CTRUNC and max_fds:
            raise HandshakeRefused(
                f"descriptors were lost on the way: more than {max_fds} came, or the limit of open files is reached"
            )
        return data


async def _ready(sock: socket.socket, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    (loop.add_writer if writing else loop.add_reader)(sock.fileno(), wake)
    try:
        await ready
    finally:
        (loop.remove_writer if writing else loop.remove_reader)(sock.fileno())


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)


# -- the daemon's side ----------------------------------------------------------------------------------------------


async def accept_handshake(
    sock: socket.socket,
    *,
    make_shm: Callable[[], ShmSender] | None,
    server: str,
    max_streams: int,
    allowed_uid: int,
    timeout_s: float,
) -> Accepted:
    """Answer a client's handshake on a non-blocking socket; `timeout_s` bounds each of its two frames.

    Shared memory is granted if the client asks for it and `make_shm` (None: switched off) can make it; if it raises
    OSError, the answer says why and names the socket. The caller owns `shm` from then on and must `start` it.

    Raises `HandshakeRefused`, `FrameError` or `BadPayload` after telling the peer in a `ProtocolFailure`, and
    `ConnectionLost`.
    """
    try:
        uid = peer_uid(sock)
        if uid is None or uid != allowed_uid:
            who = "a user the system does not tell" if uid is None else f"user {uid}"
            raise HandshakeRefused(f"this daemon serves user {allowed_uid} only, and you are {who}")
        received = await receive_frame(sock, max_payload_bytes=MAX_HANDSHAKE_BYTES, timeout_s=timeout_s)
        handshake = _read_handshake(received.frame)
        version = _choose_version(handshake)
    except ProtocolError as error:
        with suppress(ConnectionLost):
            failure = ProtocolFailure(error=type(error).__name__, message=str(error))
            await send_frame(sock, _frame(failure, Flag.RESPONSE), timeout_s=timeout_s)
        raise
    shm, reason = _make_shm(handshake, make_shm)
    ack = HandshakeAck(
        version=version,
        server=server,
        transport="socket" if shm is None else "shm",
        ring=None if shm is None else RingGrant(capacity=shm.capacity),
        max_streams=max_streams,
        reason=reason,
    )
    try:
        await send_frame(sock, _frame(ack, Flag.RESPONSE), () if shm is None else shm.fds, timeout_s=timeout_s)
    except BaseException:
        if shm is not None:
            shm.close()
        raise
    if shm is not None:
        shm.release_passed()
    return Accepted(handshake, shm, received.leftover, uid)


def _read_handshake(frame: Frame) -> Handshake:
    try:
        message = decode(frame.number, frame.payload, receiver="daemon")
    except BadMessageType as error:
        raise HandshakeRefused(f"the first frame must be a handshake: {error}") from None
    if not isinstance(message, Handshake):
        raise HandshakeRefused(f"the first frame must be a handshake, not type {frame.number:#06x}")
    return message


def _choose_version(handshake: Handshake) -> int:
    if PROTOCOL_VERSION not in handshake.versions:
        offered = ", ".join(map(str, handshake.versions)) or "none"
        raise HandshakeRefused(f"no common version: the client offers {offered}, the daemon speaks {PROTOCOL_VERSION}")
    return PROTOCOL_VERSION


def _make_shm(handshake: Handshake, make_shm: Callable[[], ShmSender] | None) -> tuple[ShmSender | None, str | None]:
    """The ring that was asked for, or why there is none; neither where none was asked for."""
    if handshake.transport != "shm":
        return None, None
    reason = shm_unavailable()
    if reason is not None:
        return None, reason
    if make_shm is None:
        return None, "shared memory is switched off"
    try:
        return make_shm(), None
    except OSError as error:
        return None, f"shared memory could not be made: {error.strerror or error}"


# -- the client's side ----------------------------------------------------------------------------------------------


async def client_handshake(sock: socket.socket, handshake: Handshake, timeout_s: float) -> Agreed:
    """Shake hands with the daemon on a non-blocking socket; `timeout_s` bounds each of the two frames.

    Raises `HandshakeRefused` with the daemon's reason, or if its answer is not one to this handshake; `FrameError`,
    `ConnectionLost`.
    """
    # A daemon that refuses may do so without reading: its reason is then in the socket, though sending fails.
    broken: ConnectionLost | None = None
    try:
        await send_frame(sock, _frame(handshake, Flag.REQUEST), timeout_s=timeout_s)
    except ConnectionLost as error:
        broken = error
    try:
        received = await receive_frame(
            sock, max_payload_bytes=MAX_HANDSHAKE_BYTES, timeout_s=timeout_s, max_fds=_RING_FDS
        )
    except (ConnectionLost, FrameError):
        if broken is not None:
            raise broken from None
        raise
    try:
        ack = _read_ack(received, handshake)
    except BaseException:
        _close_all(received.fds)
        raise
    if ack.transport == "socket":
        _close_all(received.fds)
        return Agreed(ack, (), received.leftover)
    return Agreed(ack, received.fds, received.leftover)


def _read_ack(received: Received, handshake: Handshake) -> HandshakeAck:
    frame = received.frame
    try:
        message = decode(frame.number, frame.payload, receiver="client")
    except (BadMessageType, BadPayload) as error:
        raise HandshakeRefused(f"the daemon's answer is no acknowledgement: {error}") from None
    if isinstance(message, ProtocolFailure):
        raise HandshakeRefused(f"the daemon refused: {message.message}")
    if not isinstance(message, HandshakeAck):
        raise HandshakeRefused(f"the daemon's answer is no acknowledgement, but of type {frame.number:#06x}")
    if message.version not in handshake.versions:
        raise HandshakeRefused(f"the daemon chose version {message.version}, which was not offered")
    if message.transport == "shm" and len(received.fds) != _RING_FDS:
        raise HandshakeRefused(f"the daemon grants a ring with {len(received.fds)} descriptors instead of {_RING_FDS}")
    if message.transport == "shm" and (handshake.transport != "shm" or message.ring is None):
        raise HandshakeRefused("the daemon grants a ring that was not asked for, or without its size")
    return message


def ring_fds(agreed: Agreed) -> Descriptors:
    """The two descriptors of a granted ring. Raises ValueError where there is none."""
    memory, wake = agreed.fds
    return memory, wake


def _frame(message: WireMessage, flags: Flag) -> bytes:
    return encode_frame(NUMBERS[type(message)], int(flags), 0, encode(message))
