"""How a client comes to its connection: the socket, the handshake, the ring."""

import socket
from pathlib import Path

from rxlapce.bridge.autostart import start_daemon
from rxlapce.bridge.client import Client
from rxlapce.errors import DaemonNotRunning
from rxlapce.messages import NUMBERS, Handshake, TransportName
from rxlapce.transports.handshake import DRAIN, client_handshake
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.shm import shm_unavailable
from rxlapce.transports.unix import attach, default_socket_path
from rxlapce.transports.unix import connect as connect_socket


async def connect(
    path: Path | None = None,
    *,
    transport: TransportName = "shm",
    client: str = "rxlapce.bridge",
    linger_s: float = 0.001,
    timeout_s: float = 5.0,
    key: SigningKey | None = None,
    autostart: bool = False,
) -> Client:
    """Connect to the daemon at `path` (default: `$RXLAPCE_SOCKET`, else the user's own).

    `transport` is the way stream frames should come; `Client.transport` says which it became and `Client.reason` why.
    With `key` (see `transports.key_file`) all frames are signed both ways, or the daemon is not spoken to.
    `linger_s` (0 to 0.05): how long the reader of the ring looks again before it sleeps. While frames come more often
    than that, the daemon need not wake it, which spares both sides most of what a frame costs, and a frame waits up to
    `linger_s`; a stream slower than that is read as soon as its frame is there. 0 is for who counts microseconds.
    With `autostart` a daemon is started where none runs (see `autostart.start_daemon`, which raises `ConfigError`).
    Raises `DaemonNotRunning`, `HandshakeRefused`, `ConnectionLost`, `RingCorrupt` for a ring that cannot be one.
    """
    where = path or default_socket_path()
    try:
        sock = connect_socket(where, timeout_s)
    except DaemonNotRunning:
        if not autostart:
            raise
        await start_daemon(where)
        sock = connect_socket(where, timeout_s)
    return await greet(sock, transport=transport, client=client, linger_s=linger_s, timeout_s=timeout_s, key=key)


async def greet(
    sock: socket.socket,
    *,
    transport: TransportName,
    client: str,
    linger_s: float = 0.001,
    timeout_s: float = 5.0,
    key: SigningKey | None = None,
) -> Client:
    """Make a client of a connected socket, which is the client's from now on: closed also where this raises."""
    wanted: TransportName = "socket" if transport == "shm" and shm_unavailable() else transport
    try:
        handshake = Handshake(client=client, transport=wanted, features=(DRAIN,))
        agreed = await client_handshake(sock, handshake, timeout_s, key)
        made = Client(agreed, linger_s)
    except BaseException:
        sock.close()
        raise
    try:
        # From the call on, the socket is `attach`'s, also if that fails.
        connection = await attach(
            sock,
            made.on_frames,
            made.on_socket_lost,
            known=NUMBERS.values(),
            leftover=agreed.leftover,
            signed=agreed.signed,
        )
    except BaseException:
        if made.ring is not None:
            made.ring.close()
        raise
    made.start(connection)
    return made
