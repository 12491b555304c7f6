"""One frame and its descriptors on a raw socket: asyncio's transports cannot carry descriptors.

Every wait has the caller's deadline. The socket stays the caller's: nothing here closes it. Received descriptors are
closed on every way out but success.
"""

import array
import asyncio
import os
import socket
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from rxlapce.codec.frame import HEADER_BYTES, SIGNED, Frame, FrameDecoder
from rxlapce.codec.signing import TRAILER_BYTES
from rxlapce.errors import ConnectionLost, HandshakeRefused, TruncatedFrame

#: What one system call may bring beyond the frame goes on as `leftover`.
_READ_BYTES: Final = 4096
_PAYLOAD_AT: Final = slice(8, 12)
_FLAGS_AT: Final = 5
_CLOEXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_FD_BYTES: Final = array.array("i").itemsize

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Received:
    """One frame, the bytes that came behind it, and the descriptors that came with it: the caller's to close.

    `raw` are the frame's bytes, `trailer` those of its signature: none, if it has no such flag.
    """

    frame: Frame
    leftover: bytes
    fds: tuple[int, ...]
    raw: bytes = b""
    trailer: bytes = b""


async def send_frame(sock: socket.socket, data: bytes, fds: Sequence[int] = (), *, timeout_s: float) -> None:
    """Send all of `data` on a non-blocking socket, the descriptors with its first byte.

    Raises `ConnectionLost` if the peer is gone or takes longer than `timeout_s`.
    """
    await _within(timeout_s, "the peer to read", _send(sock, memoryview(data), fds))


async def receive_frame(
    sock: socket.socket, *, max_payload_bytes: int, timeout_s: float, max_fds: int = 0, signed: bool = False
) -> Received:
    """Receive one frame on a non-blocking socket, and at most `max_fds` descriptors; more are closed.

    With `signed` it may be a signed one, and then comes with its trailer, which is not looked at.

    Raises `ConnectionLost` at an end before the first byte or after `timeout_s`, `TruncatedFrame` at an end inside
    the frame, another `FrameError` for bytes that are none (`FrameTooLarge` before the payload is read),
    `HandshakeRefused` if descriptors were lost on the way.
    """
    fds: list[int] = []
    try:
        decoder = FrameDecoder(max_payload_bytes=max_payload_bytes, signed=signed)
        reading = _receive(sock, decoder, fds, max_fds)
        received = await _within(timeout_s, "the peer's first frame", reading)
    except BaseException:
        close_all(fds)
        raise
    close_all(fds[max_fds:])
    return replace(received, fds=tuple(fds[:max_fds]))


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


async def _receive(sock: socket.socket, decoder: FrameDecoder, fds: list[int], max_fds: int) -> Received:
    held = bytearray()
    fed = trailer = 0
    wanted = HEADER_BYTES
    frame: Frame | None = None
    while True:
        data = await _receive_some(sock, fds, max_fds)
        if not data:
            if not held:
                raise ConnectionLost("the peer closed the connection before its first frame")
            decoder.close()
            if frame is not None:
                raise TruncatedFrame(f"the bytes ended inside a signature: {len(held) - fed} of {TRAILER_BYTES}")
            raise ConnectionLost("the peer closed the connection")
        held += data
        while frame is None and fed < len(held):
            # No further than the frame's end, which the header tells: what is behind it is not ours to decode.
            end = min(len(held), wanted)
            frames = decoder.feed(held[fed:end])
            fed = end
            if decoder.error is not None:
                raise decoder.error
            if frames:
                frame = frames[0]
            elif fed == HEADER_BYTES:
                wanted = HEADER_BYTES + int.from_bytes(held[_PAYLOAD_AT], "little")
                trailer = TRAILER_BYTES if held[_FLAGS_AT] & SIGNED else 0
        if frame is not None and len(held) >= fed + trailer:
            end = fed + trailer
            return Received(frame, bytes(held[end:]), (), bytes(held[:fed]), bytes(held[fed:end]))


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


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors, whatever has become of them."""
    for fd in fds:
        with suppress(OSError):
            os.close(fd)
