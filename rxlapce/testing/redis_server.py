"""A real Redis for a test: a process of its own, that can be killed, stopped and started again."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Why a test is skipped that needs the program.
NO_REDIS = "redis-server or redis-cli is not on the PATH"


def has_redis() -> bool:
    """Whether the programs are there."""
    return all(map(shutil.which, ("redis-server", "redis-cli")))


class RedisServer:
    """A server without persistence at a socket in a folder; `password` is asked for if there is one."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self.path = folder / "r.sock"
        self.password = password
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Where to ask, with the password."""
        return f"unix://{f':{self.password}@' if self.password else ''}{self.path}"

    def start(self) -> None:
        """Return when it listens. It knows nothing of what was before."""
        options = ["--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no"]
        options += ["--requirepass", self.password] if self.password else []
        self._process = process = subprocess.Popen(  # noqa: S603 - the program found, and options of ours
            [_program("redis-server"), *options], cwd=self.path.parent, stdout=subprocess.PIPE, text=True
        )
        said = iter(process.stdout or ())
        if not any("ready to accept connections" in line.lower() for line in said):
            raise RuntimeError(f"redis-server ended at once with {process.wait()}")

    def kill(self) -> None:
        """End it at once, whatever it does; all connections break."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def pause(self) -> None:
        """Return when it has stopped to do anything; its connections stay."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on, with what was sent to it meanwhile."""
        self._running().send_signal(signal.SIGCONT)

    def ask(self, *command: str) -> str:
        """What a server without a password answers to `command`, as text."""
        cli = [_program("redis-cli"), "-s", str(self.path), *command]
        done = subprocess.run(cli, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - as above
        return done.stdout.strip()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("it does not run")
        return self._process


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(NO_REDIS)
    return found


@contextmanager
def redis_server(password: str = "") -> Generator[RedisServer]:
    """A running server, in a folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="rx") as folder:
        server = RedisServer(Path(folder), password)
        server.start()
        try:
            yield server
        finally:
            server.kill()
