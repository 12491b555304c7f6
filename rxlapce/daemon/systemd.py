"""What systemd passes to a service and wants to hear from it, without its library.

Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). Other service managers speak the same, and so do
podman, s6 and OpenRC in parts.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from rxlapce.errors import ConfigError
from rxlapce.telemetry.logs import Logger

#: SD_LISTEN_FDS_START: the first descriptor that is passed.
FIRST_PASSED: Final = 3
#: How often the status is told anew, if it has changed.
STATUS_S: Final = 10.0
_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """What the service manager of this process passed, and wants; nothing where it has none.

    `passed` is the descriptor to listen on, `notify_socket` where to tell how things are, and `watchdog_s` after how
    many seconds without a sign of life this process is taken for dead.
    """

    passed: int | None = None
    notify_socket: str | None = None
    watchdog_s: float | None = None


def take_supervision(environ: MutableMapping[str, str], pid: int) -> Supervision:
    """What the variables say to the process `pid`. Removes them, so that its children do not think it meant for them.

    Raises `ConfigError` for more than one passed socket.
    """
    said = {name: value for name in _VARIABLES if (value := environ.pop(name, ""))}
    return Supervision(
        passed=_passed(said) if said.get("LISTEN_PID") == str(pid) else None,
        notify_socket=said.get("NOTIFY_SOCKET"),
        watchdog_s=_watchdog_s(said) if said.get("WATCHDOG_PID", str(pid)) == str(pid) else None,
    )


def _passed(said: Mapping[str, str]) -> int | None:
    count = said.get("LISTEN_FDS", "0")
    if count == "0":
        return None
    if count != "1":
        raise ConfigError(f"the service manager passed {count} sockets, and the daemon listens on one")
    return FIRST_PASSED


def _watchdog_s(said: Mapping[str, str]) -> float | None:
    text = said.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() and int(text) else None


class Notifier:
    """Tells the service manager assignments like `READY=1`. Never waits, and without a manager does nothing.

    What could not be told because the manager's queue is full goes with the next; a later value replaces an earlier
    one. A manager that is gone is told to the log once.
    """

    def __init__(self, address: str | None, log: Logger) -> None:
        self._log = log
        self._unsaid: dict[str, str] = {}
        self._socket: socket.socket | None = None
        self._address = ""
        if address is None:
            return
        if not address.startswith(("/", "@")):  # vsock: of a virtual machine's own manager
            log.warning("notify_socket_unknown", address=address)
            return
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    @property
    def is_on(self) -> bool:
        """Whether there is somebody to tell."""
        return self._socket is not None

    def tell(self, assignments: Mapping[str, str]) -> None:
        """Send these, and what is still unsaid."""
        if self._socket is None:
            return
        self._unsaid |= assignments
        try:
            self._socket.sendto(datagram(self._unsaid), self._address)
        except BlockingIOError:
            return
        except OSError as error:
            self._log.warning("notify_failed", error=error.strerror or str(error))
            self.close()
        self._unsaid = {}

    def close(self) -> None:
        """Tell nothing any more. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def datagram(assignments: Mapping[str, str]) -> bytes:
    """The bytes that sd_notify(3) sends for these."""
    return "\n".join(f"{name}={' '.join(value.split())}" for name, value in assignments.items()).encode()


class Reporter:
    """Tells the service manager how the daemon is: at once when it is ready or stops, and now and then in between.

    The signs of life for the watchdog come from a timer of the daemon's own loop, at least twice within its time, so
    that they end when the loop stands still. `status` gives one line for people, asked every `STATUS_S` seconds.
    """

    def __init__(self, supervision: Supervision, status: Callable[[], str], log: Logger) -> None:
        self._notifier = Notifier(supervision.notify_socket, log)
        self._watchdog = supervision.watchdog_s is not None
        self._every_s = min(STATUS_S, (supervision.watchdog_s or STATUS_S) / 2)
        self._status = status
        self._told = ""
        self._timer: asyncio.TimerHandle | None = None

    def ready(self) -> None:
        """The daemon serves. Says whose process it is, as it may have taken another's place."""
        self._tell({"READY": "1", "MAINPID": str(os.getpid())})
        if self._notifier.is_on:
            self._tick()

    def stopping(self, within_s: float) -> None:
        """The daemon stops, and needs `within_s` seconds for it, however short the manager's own patience is."""
        self._tell({"STOPPING": "1", "EXTEND_TIMEOUT_USEC": str(int(within_s * 1e6))})

    def handed_over(self, pid: int) -> None:
        """Another process is the service's from now on: this one says no more."""
        self._notifier.tell({"MAINPID": str(pid)})
        self.close()

    def close(self) -> None:
        """Say no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._notifier.close()

    def _tell(self, assignments: Mapping[str, str]) -> None:
        status = self._status()
        fresh = {} if status == self._told else {"STATUS": status}
        if assignments or fresh:
            self._notifier.tell({**assignments, **fresh})
            self._told = status

    def _tick(self) -> None:
        self._timer = None
        self._tell({"WATCHDOG": "1"} if self._watchdog else {})
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._tick)
