"""The sink `unix`: frames of an answer for whoever listens on a Unix socket, as a client would get them."""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from rxlapce.codec.frame import Flag, append_frame
from rxlapce.errors import ConnectionLost, ErrorKind, ProviderError
from rxlapce.messages import NUMBERS, ErrorBody, StreamChunk, StreamDone, StreamError, encode
from rxlapce.operators.tap import Outcome
from rxlapce.pipeline.copies.line import Ended, LineBounds, LinedCopy, Taken
from rxlapce.routing.way import Site
from rxlapce.tokens import Finish
from rxlapce.transports.unix import peer_uid

_PART: Final = int(Flag.RESPONSE | Flag.STREAM_PART)
_END: Final = int(Flag.RESPONSE)
_numbers: Final = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketSink:
    """The sink: a connection to `path` for each answer, given up when its reader takes nothing for `stall_s` seconds.

    The reader has to be of this process's user, or root: others who listen there get nothing.
    """

    pipeline: str
    path: Path
    stall_s: float
    bounds: LineBounds

    def copy(self, site: Site) -> LinedCopy:
        """See `routing.way.CopySink`."""
        return LinedCopy(site, (self.pipeline, "unix"), _Sending(self.path, self.stall_s), self.bounds)


class _Sending:
    """One answer on its way (`line.Carrier`): `stream_chunk`s, and one `stream_done` or `error`.

    The request id of its frames is a number of this process's own. Sequence numbers have no gap: a copy that lacks
    tokens ends in an error of kind `overloaded` that says how many.
    """

    def __init__(self, path: Path, stall_s: float) -> None:
        self._path = path
        self._stall_s = stall_s
        self._number = next(_numbers)
        self._seq = 0
        self._finish: Finish | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def carry(self, taken: Sequence[Taken]) -> None:
        """See `Carrier`."""
        frames = bytearray()
        for one in taken:
            if isinstance(one.token, Finish):
                self._finish = one.token
                continue
            chunk = encode(StreamChunk(self._seq, one.token))
            append_frame(frames, NUMBERS[StreamChunk], _PART, self._number, chunk)
            self._seq += 1
        await self._send(frames)

    async def finish(self, ended: Ended) -> None:
        """See `Carrier`."""
        frames, error = bytearray(), _failure(ended)
        if error is None and self._finish is not None:
            done = encode(StreamDone(self._seq, self._finish))
            append_frame(frames, NUMBERS[StreamDone], _END, self._number, done)
        else:
            error = error or ProviderError(ErrorKind.CANCELLED, "the reader of the answer has left it")
            failed = encode(StreamError(self._seq, ErrorBody(**error.to_dict())))
            append_frame(frames, NUMBERS[StreamError], _END, self._number, failed)
        await self._send(frames)
        if self._writer is not None:
            self._writer.close()
            async with asyncio.timeout(self._stall_s):
                await self._writer.wait_closed()

    def give_up(self) -> None:
        """See `Carrier`."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _send(self, frames: bytes | bytearray) -> None:
        if not frames:
            return
        try:
            async with asyncio.timeout(self._stall_s):
                writer = self._writer or await self._connected()
                writer.write(frames)
                await writer.drain()
        except TimeoutError:
            raise ConnectionLost(f"nobody read at {self._path} for {self._stall_s:g} s") from None

    async def _connected(self) -> asyncio.StreamWriter:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, str(self._path))
            _check_listener(sock, self._path)
            _, self._writer = await asyncio.open_unix_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        return self._writer


def _check_listener(sock: socket.socket, path: Path) -> None:
    uid = peer_uid(sock)
    if uid not in (0, os.geteuid()):
        raise PermissionError(f"user {uid} listens at {path}, and not you ({os.geteuid()})")


def _failure(ended: Ended) -> ProviderError | None:
    """What the copy ends in, where it is not as whole as its stream."""
    if ended.dropped:
        message = f"this copy is incomplete: its reader was too slow for {ended.dropped} of the tokens"
        return ProviderError(ErrorKind.OVERLOADED, message)
    if ended.outcome is Outcome.FAILED:
        if isinstance(ended.error, ProviderError):
            return ended.error
        return ProviderError(ErrorKind.INTERNAL, f"{type(ended.error).__name__} inside rxlapce")
    return None
