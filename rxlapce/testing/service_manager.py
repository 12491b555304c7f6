"""A service manager for tests: it listens, passes the socket on, and keeps what it is told."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path

#: Runs what follows as systemd does: the socket as descriptor 3, and the process's own id beside it.
_AS_SYSTEMD = """
import os, sys
passed = int(sys.argv[1])
os.dup2(passed, 3)
if passed != 3:
    os.close(passed)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Between `listen` and the end it has the socket at `path`, also while no daemon runs."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        self.path = folder / "d.sock"
        self.listener: socket.socket | None = None
        self.told: list[dict[str, str]] = []
        """Each datagram's assignments."""
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.setblocking(False)
        self.notify_socket = f"@rxlapce-test-{os.getpid()}" if abstract else str(folder / "notify")
        self._notify.bind("\0" + self.notify_socket[1:] if abstract else self.notify_socket)
        self._news = asyncio.Event()
        self._processes: list[asyncio.subprocess.Process] = []

    def listen(self) -> None:
        """Make the socket."""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(self.path))
        self.path.chmod(0o600)
        self.listener.listen()

    async def start(
        self, *options: str, environ: Mapping[str, str] | None = None, stderr: int | None = None
    ) -> asyncio.subprocess.Process:
        """Start a daemon on the socket, or without one where there is none."""
        command = [sys.executable, "-W", "error", "-m", "rxlapce", "serve", "--log-level", "warning", *options]
        passed: tuple[int, ...] = ()
        if self.listener is not None:
            passed = (self.listener.fileno(),)
            command = [sys.executable, "-S", "-E", "-c", _AS_SYSTEMD, str(passed[0]), *command]
        process = await asyncio.create_subprocess_exec(
            *command,
            pass_fds=passed,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "NOTIFY_SOCKET": self.notify_socket, **(environ or {})},
        )
        self._processes.append(process)
        return process

    async def until(self, is_it: Callable[[dict[str, str]], bool], after: int = 0) -> dict[str, str]:
        """The first datagram from number `after` on of which `is_it` is true."""
        looked = after
        while True:
            for found in self.told[looked:]:
                if is_it(found):
                    return found
            looked = len(self.told)
            self._news.clear()
            await self._news.wait()

    def read(self) -> None:
        """Take what has been told."""
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self._notify.recv(4096).decode().split("\n")
                self.told.append(dict(line.split("=", 1) for line in lines))
                self._news.set()

    async def aclose(self) -> None:
        """End all that it started."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.read()
        for pid in {int(told["MAINPID"]) for told in self.told if "MAINPID" in told}:
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's by now
                if os.fsencode(self.notify_socket) in _environment(pid):  # a successor that one of ours has started
                    os.kill(pid, signal.SIGKILL)
        self._notify.close()
        if self.listener is not None:
            self.listener.close()

    @property
    def notify_fd(self) -> int:
        """What becomes readable when something is told."""
        return self._notify.fileno()


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


@contextlib.asynccontextmanager
async def manager(folder: Path, *, abstract: bool = False) -> AsyncGenerator[Manager]:
    """A manager whose sockets are in `folder`."""
    made = Manager(folder, abstract=abstract)
    asyncio.get_running_loop().add_reader(made.notify_fd, made.read)
    try:
        yield made
    finally:
        asyncio.get_running_loop().remove_reader(made.notify_fd)
        await made.aclose()
