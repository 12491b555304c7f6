"""A daemon as a service: where it listens, whose place it takes, what its manager hears, what it may open."""

import asyncio
import resource
import sys
from collections.abc import Callable
from typing import Final

from rxlapce.daemon.handover import start_successor
from rxlapce.daemon.server import GREETING_S, Daemon
from rxlapce.daemon.systemd import Reporter, Supervision
from rxlapce.errors import ConfigError
from rxlapce.transports.listening import Listener, take_over

#: What a stop may take besides the drain: handshakes, last frames, closing.
STOP_MARGIN_S: Final = GREETING_S + 4.0
#: More descriptors than any daemon needs. A hard limit may be a billion, and children walk through all of them.
_MOST_FILES: Final = 1 << 20
#: <sys/syslimits.h>: macOS takes no more, whatever its hard limit says.
_MOST_FILES_MACOS: Final = 10240


class Service:
    """A daemon between `start` and `close`, at the socket that was passed to it, or in another's place, or alone."""

    def __init__(
        self, daemon: Daemon, supervision: Supervision, *, passed: Listener | None = None, replace: bool = False
    ) -> None:
        self.daemon = daemon
        self._supervision = supervision
        self._passed = passed
        self._successor: asyncio.Task[None] | None = None
        self._replace = replace
        self._stopping = False
        self._reporter = Reporter(supervision, self.status, daemon.log)

    @property
    def takes_over(self) -> bool:
        """Whether another daemon may still be about that serves, or served, in this one's place."""
        return self._replace or self._passed is not None

    def status(self) -> str:
        """How the daemon is, in a line."""
        daemon = self.daemon
        state = "draining" if self._stopping else "serving"
        return f"{state}: {len(daemon.sessions)} clients, {daemon.requests} requests under way"

    async def start(self, on_ready: Callable[[], None]) -> None:
        """Listen, tell the service manager, call `on_ready`, and only then ask the daemon whose place it is to stop.

        Raises `ConfigError`, and `DaemonAlreadyRunning` unless it is to replace it.
        """
        listener, predecessor = self._passed, None
        if listener is None and self._replace:
            listener, predecessor = take_over(self.daemon.settings.path)
        await self.daemon.start(listener)
        self._reporter.ready()
        on_ready()
        if predecessor is not None:
            self.daemon.log.info("taking_over", pid=predecessor.pid)
            predecessor.ask_to_stop()
            predecessor.close()

    def hand_over(self, stop: Callable[[], None]) -> None:
        """Start a new process of this command, and `stop` when it serves. If it fails, this one goes on."""
        if self._successor is None and not self._stopping:
            self._successor = asyncio.get_running_loop().create_task(self._hand_over(stop), name="handover")

    async def _hand_over(self, stop: Callable[[], None]) -> None:
        try:
            pid = await start_successor(self._supervision)
        except ConfigError as error:
            self.daemon.log.error("handover_failed", error=str(error))
            self._successor = None
            return
        self.daemon.log.info("handed_over", pid=pid)
        if self._passed is not None:
            self.daemon.leave()  # both accept from one socket: from now on only the next one does
        self._reporter.handed_over(pid)
        if self._passed is not None:  # else the next one asks this process by itself
            stop()

    async def stop(self, drain_s: float | None = None) -> None:
        """See `Daemon.stop`."""
        wait_s = self.daemon.settings.drain_s if drain_s is None else drain_s
        self._stopping = True
        if self._successor is not None:  # it serves already, or is given up: a stop does not wait for a start
            if wait_s:
                await asyncio.wait([self._successor], timeout=1.0)
            self._successor.cancel()
        self._reporter.stopping(wait_s + STOP_MARGIN_S)
        await self.daemon.stop(wait_s)

    def close(self) -> None:
        """Tell the service manager no more."""
        self._reporter.close()


def forbid_core_dumps() -> None:
    """Let a crash leave no core: each key that is in memory would be in the file. Children inherit it.

    systemd's collector looks at the limit too: the kernel asks it whatever that is (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def raise_open_files() -> tuple[int, int]:
    """Raise the limit of open files as far as this process may, and return what it was and is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES_MACOS if sys.platform == "darwin" else _MOST_FILES
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft, soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # a sandbox, or a limit of the system's own
        return soft, soft
    return soft, wanted
