"""Taking connections from a listening socket."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from rxlapce.telemetry.logs import Logger
from rxlapce.transports.listening import BACKLOG, Listener

#: After a failed accept. Out of descriptors (EMFILE) the socket stays readable: looking at once would be a busy loop.
PAUSE_S: Final = 0.2


class Acceptor:
    """Calls `on_connection` with each connection, which is its to close from then on, until `stop`.

    Between `start` and `stop` it holds no task, and no connection: one that it has accepted is handed on within the
    same callback, so none is lost when it stops.
    """

    def __init__(self, listener: Listener, on_connection: Callable[[socket.socket], None], log: Logger) -> None:
        self._listener = listener
        self._on_connection = on_connection
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        """Accept no more: who connects waits in the socket's backlog. Idempotent."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._loop.remove_reader(self._listener.fileno())

    def sweep(self) -> None:
        """Take who waits in the backlog now. Call it after `stop`, when the socket cannot be connected to any more."""
        self._accept()

    def _accept(self) -> None:
        for _ in range(BACKLOG + 1):  # then the loop's other work; it calls again if more have come
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # the clients that are served go on; look again when one may be gone
                self._log.error("accept_failed", error=str(error))
                self.stop()
                self._pause = self._loop.call_later(PAUSE_S, self.start)
                return
            sock.setblocking(False)
            self._on_connection(sock)
