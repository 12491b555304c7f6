"""How a client comes to its connection: the socket, the handshake, the ring."""

from pathlib import Path

from rxlapce.bridge.client import Client
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
) -> Client:
    """Connect to the daemon at `path` (default: `$RXLAPCE_SOCKET`, else the user's own).

    `transport` is the way stream frames should come; `Client.transport` says which it became and `Client.reason` why.
    With `key` (see `transports.key_file`) all frames are signed both ways, or the daemon is not spoken to.
    `linger_s` (0 to 0.05): how long the reader of the ring looks again before it sleeps. While frames come more often
    than that, the daemon need not wake it, which spares both sides most of what a frame costs, and a frame waits up to
    `linger_s`; a stream slower than that is read as soon as its frame is there. 0 is for who counts microseconds.
    Raises `DaemonNotRunning`, `HandshakeRefused`, `ConnectionLost`, `RingCorrupt` for a ring that cannot be one.
    """
    wanted: TransportName = "socket" if transport == "shm" and shm_unavailable() else transport
    sock = connect_socket(path or default_socket_path(), timeout_s)
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
