"""The Unix socket: where it is, who may connect, and the connection that carries frames."""

import asyncio
import os
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from rxlapce.codec.signing import Signer
from rxlapce.errors import ConfigError, ConnectionLost, DaemonNotRunning, HandshakeRefused
from rxlapce.transports.intake import Decoder, FrameIntake, OnEnd, OnFrames
from rxlapce.transports.lane import ignore_room
from rxlapce.transports.signed_writer import SignedFrameWriter
from rxlapce.transports.writer import FrameWriter

#: `sockaddr_un.sun_path` without its NUL: 107 on Linux. macOS has 103; its kernel refuses the four between itself.
MAX_PATH_BYTES: Final = 107
CLOSE_S: Final = 1.0
#: The transport's own buffer behind the `FrameWriter`'s: enough for one system call, so that bytes wait where the
#: writer counts them.
SOCKET_HIGH_WATER_BYTES: Final = 64 * 1024
SOCKET_LOW_WATER_BYTES: Final = 16 * 1024


def default_socket_path() -> Path:
    """`$RXLAPCE_SOCKET`, else `$XDG_RUNTIME_DIR/rxlapce/daemon.sock`, else `/tmp/rxlapce-$UID/daemon.sock`."""
    chosen = os.environ.get("RXLAPCE_SOCKET")
    if chosen:
        return Path(chosen)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "rxlapce" / "daemon.sock"
    return Path(f"/tmp/rxlapce-{os.geteuid()}/daemon.sock")  # noqa: S108 - `listen` checks owner and mode


# -- connecting -----------------------------------------------------------------------------------------------------


def connect(path: Path, timeout_s: float) -> socket.socket:
    """Connect to the daemon of this user at `path`; returns a non-blocking socket. Blocks, for a local connect's time.

    Raises `DaemonNotRunning` if nobody listens, `ConfigError` if the path is another user's, `HandshakeRefused` if
    who listens is another user, `ConnectionLost` if the daemon is too busy to accept within `timeout_s` seconds.
    """
    advice = "start it with: rxlapce serve"
    try:
        owner = path.lstat().st_uid
    except OSError as error:
        raise DaemonNotRunning(f"no daemon at {path} ({error.strerror}); {advice}") from None
    if owner != os.geteuid():
        raise ConfigError(f"{path} belongs to user {owner}, not to you ({os.geteuid()}): set RXLAPCE_SOCKET")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(os.fspath(path))
        _check_daemon(path, peer_uid(sock))
        sock.setblocking(False)
    except (BlockingIOError, TimeoutError) as error:
        sock.close()
        raise ConnectionLost(f"the daemon at {path} is too busy to accept a connection") from error
    except OSError as error:
        sock.close()
        raise DaemonNotRunning(f"no daemon answers at {path} ({error.strerror}); {advice}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _check_daemon(path: Path, uid: int | None) -> None:
    if uid != os.geteuid():
        raise HandshakeRefused(f"the daemon at {path} runs as user {uid}, not as you ({os.geteuid()})")


def peer_uid(sock: socket.socket) -> int | None:
    """The user that the peer ran as when it connected; None where the system does not tell."""
    if hasattr(socket, "SO_PEERCRED"):  # Linux: struct ucred {pid, uid, gid}
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    local_peercred = getattr(socket, "LOCAL_PEERCRED", None)
    if isinstance(local_peercred, int):  # macOS, FreeBSD: struct xucred {version, uid, ngroups, groups[16]}
        sol_local = 0
        credentials = sock.getsockopt(sol_local, local_peercred, struct.calcsize("2Ih16I"))
        return int(struct.unpack_from("2I", credentials)[1])
    return None


# -- a connection ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedWays:
    """How the two ways of a socket are signed from here on: what signs, and what proves."""

    signer: Signer
    decoder: Decoder


class _SocketLane:
    """A lane into an asyncio transport: full while that has paused writing."""

    def __init__(self) -> None:
        self.on_room = ignore_room
        self.transport: asyncio.Transport | None = None
        self.paused = False

    def write(self, data: bytearray | memoryview) -> int:
        taken = 0
        while taken < len(data) and not self.paused and self.transport is not None:
            # A copy, as transports keep what they could not send at once. In parts, so that they can say "enough".
            part = bytes(data[taken : taken + SOCKET_HIGH_WATER_BYTES])
            self.transport.write(part)
            taken += len(part)
        return taken


class SocketConnection(asyncio.Protocol):
    """Frames over a connected stream socket, both ways. Made by `attach`.

    `on_frames` gets the frames of one read. `on_lost` is called exactly once, when nothing more will be read: None for
    an orderly end or after a local `close` or `abort`, `TruncatedFrame` for an end inside a frame, another
    `ProtocolError` for bytes that are no frames, `ConnectionLost` when the socket broke. After a `ProtocolError` the
    socket is still open for writing: say the last word, then `close`.

    While reading is paused the peer's end is not noticed either. Holds one unfinished frame on the way in; on the way
    out what the `writer` holds, and at most 128 KiB in the transport.
    """

    def __init__(
        self,
        on_frames: OnFrames,
        on_lost: OnEnd,
        known: Collection[int] | None = None,
        signed: SignedWays | None = None,
    ) -> None:
        self.lane = _SocketLane()
        """What `writer` writes to."""
        self._intake = FrameIntake(on_frames, on_lost, known, None if signed is None else signed.decoder)
        self._transport: asyncio.Transport | None = None
        self._early: bytearray | None = bytearray()
        self._early_end = False
        self._loss: Exception | None = None
        self._closing = False
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.writer = (
            FrameWriter(self.lane, on_overflow=self._overflown)
            if signed is None
            else SignedFrameWriter(self.lane, signed.signer, on_overflow=self._overflown)
        )
        self.peer_uid: int | None = None
        """The peer's user; None where the system does not tell."""

    @property
    def lost(self) -> bool:
        """Whether `on_lost` has been called."""
        return self._intake.ended

    @property
    def bytes_read(self) -> int:
        """Bytes that came."""
        return self._intake.bytes_read

    @property
    def unread_bytes(self) -> int:
        """Bytes that wait here until the peer reads."""
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return waiting + self.writer.pending_bytes

    def feed(self, leftover: bytes) -> None:
        """Take bytes that were read before this connection took over the socket."""
        self.data_received(leftover)

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`, so that the peer's writes stop. Frames already read still come."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def close(self, timeout_s: float = CLOSE_S) -> None:
        """Send what waits, for at most `timeout_s` seconds, then close. Returns when the socket is closed."""
        self._closing = True
        try:
            async with asyncio.timeout(timeout_s):
                await self.writer.drained()
                self.writer.close()
                if self._transport is not None:
                    self._transport.close()
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._gone)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """Close now; what waits is dropped. `on_lost` follows in a later loop round."""
        self._closing = True
        self.writer.close()
        if self._transport is not None:
            self._transport.abort()

    def begin(self) -> None:
        """Hand on what came before the owner was ready (`attach` calls it once)."""
        early, self._early = self._early, None
        if early:
            self._intake.feed(bytes(early))
        if self._early_end:
            self._end()
            self.writer.flush()
            if self._transport is not None:
                self._transport.close()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        # asyncio types the argument by its base class; a stream socket always brings a Transport (not isinstance:
        # uvloop's transports do not derive from it).
        self._transport = self.lane.transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(SOCKET_HIGH_WATER_BYTES, SOCKET_LOW_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._early is not None:
            self._early += data
        elif data:
            self._intake.feed(data)

    def eof_received(self) -> bool:
        """See asyncio. False: the transport closes itself, as a peer that is half gone is gone."""
        self._end()
        # Who breaks the protocol may end in the same read: the last word goes out while the transport still takes it,
        # and so the transport stays open until `begin` where there was nobody yet to say one.
        self.writer.flush()
        return self._early is not None

    def pause_writing(self) -> None:
        """See asyncio."""
        self.lane.paused = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self.lane.paused = False
        self.lane.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.lane.transport = None
        self.writer.close()
        if not self._gone.done():
            self._gone.set_result(None)
        if isinstance(exc, OSError):
            self._loss = ConnectionLost(f"the connection broke: {exc.strerror or exc}")
        else:
            self._loss = exc
        self._end()

    def _end(self) -> None:
        if self._early is not None:
            self._early_end = True
        else:
            self._intake.end(self._loss, torn_is_error=not self._closing)

    def _overflown(self, error: ConnectionLost) -> None:
        self._loss = error
        self.abort()
        self._end()


async def attach(
    sock: socket.socket,
    on_frames: OnFrames,
    on_lost: OnEnd,
    known: Collection[int] | None = None,
    leftover: bytes = b"",
    signed: SignedWays | None = None,
) -> SocketConnection:
    """Put a connected socket, accepted or connecting, under a `SocketConnection`, which owns it from now on.

    `leftover` comes first; `signed` is what a handshake that agreed on signing left. No callback is called before this
    has returned: the first ones come in the next loop round.
    """
    loop = asyncio.get_running_loop()
    connection = SocketConnection(on_frames, on_lost, known, signed)
    connection.peer_uid = peer_uid(sock) if sock.family == socket.AF_UNIX else None
    connection.feed(leftover)
    try:
        await loop.connect_accepted_socket(lambda: connection, sock)
    except BaseException:
        connection.abort()
        sock.close()
        raise
    loop.call_soon(connection.begin)
    return connection
