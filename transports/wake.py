"""The wake-up beside a ring: one end of a pair of Unix sockets, on which no call ever blocks.

A byte says "look into the ring", in either direction, and nothing else: which byte it is and how many came does not
matter. So a full socket loses nothing, as the peer has been woken already.

**The peer is hostile here too.** Whether a descriptor blocks belongs to its open file description, and both sides of a
passed eventfd share one: a peer could make a write of ours wait for ever, and every other client with it. The two ends
of a socket pair share none, and each call says itself that it does not wait. Nor do they share a lock that the peer
can hold, as the two ends of a pipe do. The kernel bounds what waits unread. See ADR 0011.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from rxlapce.errors import RingCorrupt

#: Where these are missing there is no shared memory either, but the module is imported all the same.
_SEND_FLAGS: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
_TAKE_FLAGS: Final = getattr(socket, "MSG_DONTWAIT", 0)
#: More than can wait of bytes sent one by one; a peer that sends larger pieces has a turn a loop round.
_TAKE_BYTES: Final = 4096


class WakeSocket:
    """One side's end of the pair, which it owns. For use on one loop's thread."""

    __slots__ = ("_ended", "_loop", "_send", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        # Python's own timeout too, which `socket.setdefaulttimeout` of somebody else's may have set: it would wait.
        sock.setblocking(False)
        self._sock = sock
        self._send = sock.send
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False

    @classmethod
    def received(cls, fd: int) -> "WakeSocket":
        """The end that a peer passed as `fd`, which is owned from the call on, also if that raises.

        Raises `RingCorrupt` for anything but a Unix stream socket that does not listen.
        """
        try:
            sock = socket.socket(fileno=fd)
        except OSError as error:
            os.close(fd)
            raise RingCorrupt(f"the ring's wake-up socket cannot be used: {error}") from None
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM or listens:
            sock.close()
            raise RingCorrupt("the ring's wake-up socket is no Unix stream socket that carries bytes")
        return cls(sock)

    def wake(self) -> None:
        """Wake the peer. Quiet whatever happens.

        A full socket has woken the peer already; that it is gone the socket with the frames tells; and a byte that the
        kernel has no memory for is made up for by the nets (`shm.py`).
        """
        try:  # noqa: SIM105 - `suppress` would cost as much as the call
            self._send(b"\0", _SEND_FLAGS)
        except OSError:
            pass

    def take(self) -> bool:
        """Take the wake-ups that wait; return whether there was one. The peer's end counts as one, the last."""
        if self._ended:
            return False
        try:
            if self._sock.recv(_TAKE_BYTES, _TAKE_FLAGS):
                return True
        except BlockingIOError:
            return False
        except OSError:  # ECONNRESET: the peer has closed with wake-ups of ours unread
            pass
        self._ended = True
        self.ignore()  # an end stays readable for ever, and the loop would spin
        return True

    def listen(self, loop: asyncio.AbstractEventLoop, on_wake: Callable[[], None]) -> None:
        """Call `on_wake` in `loop` for what `take` finds, until `ignore`, `close` or, for the last time, the end."""

        def readable() -> None:
            if self.take():
                on_wake()

        self._loop = loop
        loop.add_reader(self._sock.fileno(), readable)

    def ignore(self) -> None:
        """Call nobody any more. Idempotent."""
        if self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._loop = None

    def close(self) -> None:
        """Let go of it. Idempotent; what was sent can still be taken by the peer."""
        self.ignore()
        self._sock.close()
