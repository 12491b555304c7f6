"""One end of a connection that speaks frames and nothing more: for what a well-behaved peer never says."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Literal, Self

from rxlapce.codec.frame import Flag, Frame, FrameDecoder, encode_frame
from rxlapce.messages import NUMBERS, Handshake, HandshakeAck, WireMessage, decode, encode
from rxlapce.transports.handshake import accept_handshake
from rxlapce.transports.listening import listen, remove_socket
from rxlapce.transports.shm import ShmSender

Side = Literal["client", "daemon"]


def frame_of(message: WireMessage, request_id: int, side: Side) -> bytes:
    """The bytes of one message of `side`."""
    flag = Flag.REQUEST if side == "client" else Flag.RESPONSE
    return encode_frame(NUMBERS[type(message)], int(flag), request_id, encode(message))


class RawPeer:
    """Sends any bytes, and receives messages one by one. Nothing is answered by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: Side) -> None:
        self._reader = reader
        self._writer = writer
        self._side: Side = side
        self._decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """A client that has said nothing yet. Reads 64 KiB ahead, no more."""
        reader, writer = await asyncio.open_unix_connection(path)
        return cls(reader, writer, "client")

    @classmethod
    async def greeted(cls, path: Path) -> Self:
        """A client after a handshake that asked for no shared memory."""
        peer = await cls.connect(path)
        peer.send(Handshake(client="raw"))
        _, ack = await peer.receive()
        if not isinstance(ack, HandshakeAck):
            raise TypeError(f"the handshake was answered by {ack!r}")
        return peer

    def send(self, message: WireMessage, request_id: int = 0) -> None:
        """Send a message of this side's."""
        self.send_bytes(frame_of(message, request_id, self._side))

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        self._writer.write(data)

    def half_close(self) -> None:
        """Say that nothing more comes, and go on receiving."""
        self._writer.write_eof()

    async def receive(self) -> tuple[int, WireMessage]:
        """The next message with its request id. Raises `EOFError` at the end, `FrameError` inside a frame."""
        while not self._frames:
            data = await self._reader.read(65536)
            if not data:
                self._decoder.close()
                raise EOFError("the other side has closed")
            self._frames.extend(self._decoder.feed(data))
            if self._decoder.error is not None:
                raise self._decoder.error
        frame = self._frames.popleft()
        receiver: Side = "client" if self._side == "client" else "daemon"
        return frame.request_id, decode(frame.number, frame.payload, receiver=receiver)

    async def receive_all(self) -> list[tuple[int, WireMessage]]:
        """Every message up to the orderly end."""
        messages: list[tuple[int, WireMessage]] = []
        with contextlib.suppress(EOFError):
            while True:
                messages.append(await self.receive())
        return messages

    async def close(self) -> None:
        """Close, and wait until it is closed. Idempotent."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


Script = Callable[[RawPeer], Awaitable[None]]


@contextlib.asynccontextmanager
async def fake_daemon(
    path: Path, script: Script, *, make_shm: Callable[[], ShmSender] | None = None
) -> AsyncGenerator[None]:
    """Listens at `path`, shakes hands with one client, plays `script` and closes. What the script raises is raised.

    Unless the script sends otherwise, everything goes by the socket.
    """
    loop = asyncio.get_running_loop()
    listener = listen(path)

    async def serve() -> None:
        sock, _ = await loop.sock_accept(listener)
        sock.setblocking(False)
        try:
            accepted = await accept_handshake(
                sock, make_shm=make_shm, server="fake", max_streams=8, allowed_uid=os.geteuid(), timeout_s=5
            )
            reader, writer = await asyncio.open_unix_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        async with RawPeer(reader, writer, "daemon") as peer:
            try:
                await script(peer)
            finally:
                if accepted.shm is not None:
                    accepted.shm.close()

    serving = asyncio.ensure_future(serve())
    try:
        yield
        await serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        remove_socket(path, listener)
        listener.close()
