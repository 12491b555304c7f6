"""Listening on a Unix socket: alone, in place of a daemon that runs, or on a socket that a service manager made."""

import fcntl
import os
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rxlapce.errors import ConfigError, DaemonAlreadyRunning
from rxlapce.transports.unix import MAX_PATH_BYTES, peer_uid

BACKLOG: Final = 64
#: Where the socket of a daemon that takes another's place is bound, beside the path that it is renamed to. One name is
#: enough, as the directory is locked: what stands there was left by one that was killed on the way.
_BESIDE: Final = ".new"
_PROBE_S: Final = 1.0
#: struct timeval, for SO_SNDTIMEO.
_TIMEVAL: Final = struct.Struct("@ll")


class Listener(socket.socket):
    """A listening socket that knows which file it made, as another daemon may have put its own there since."""

    path_id: tuple[int, int] | None = None
    """Device and inode of that file; None where the file is not this process's to remove."""


def listen(path: Path) -> Listener:
    """Listen at `path`, for this user only: a socket of mode 0600 in a directory of mode 0700.

    Makes the directory if need be. A socket nobody answers at is taken over. Two daemons that start at once cannot both
    win: the directory itself is locked from the check to the bind, so there is no lock file to be left behind. May
    block for as long as another process does the same.

    Raises `DaemonAlreadyRunning` if somebody accepts connections there, `ConfigError` if the directory or what stands
    at `path` is not fit.
    """
    _check_length(path)
    with _locked_directory(path.parent, make=True):
        probe = _probe(path)
        if probe is not None:
            probe.close()
            raise DaemonAlreadyRunning(f"a daemon already listens at {path}: use it, or stop it first")
        path.unlink(missing_ok=True)
        return _bound(path)


def remove_socket(path: Path, listener: Listener) -> None:
    """Remove the file at `path` if it is still the one that `listener` made. Call it before closing the listener."""
    with suppress(FileNotFoundError, ConfigError), _locked_directory(path.parent, make=False):
        if is_at(path, listener):
            path.unlink()
    listener.path_id = None


def is_at(path: Path, listener: Listener) -> bool:
    """Whether the file at `path` is the one that `listener` made."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == listener.path_id


# -- in place of another ----------------------------------------------------------------------------------------------


class Predecessor:
    """The daemon whose place was taken, until `close`. It still serves those who are connected."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        # A number can become another process's when this one ends; a descriptor stays its own (Linux).
        self._descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1

    def ask_to_stop(self) -> None:
        """SIGTERM: it finishes what is under way. Without effect if it has ended."""
        with suppress(ProcessLookupError):
            if self._descriptor >= 0:
                signal.pidfd_send_signal(self._descriptor, signal.SIGTERM)
            else:
                os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Forget it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_over(path: Path) -> tuple[Listener, Predecessor | None]:
    """Listen at `path` as `listen` does, also if a daemon does already: that is the second of the result.

    The new socket listens beside the path before it is renamed to it, so that every connect finds one of the two. Ask
    the predecessor to stop once this one accepts; it finds that the file is not its own and leaves it.

    Raises `ConfigError` as `listen` does, and if who listens is no `rxlapce serve`, or is one that got its socket from
    a service manager: that keeps the socket, and is to be asked instead.
    """
    _check_length(path)
    _check_length(path.with_name(_BESIDE))
    with _locked_directory(path.parent, make=True):
        probe = _probe(path)
        if probe is None:
            path.unlink(missing_ok=True)
            return _bound(path), None
        with probe:
            predecessor = _predecessor(path, probe)
        beside = path.with_name(_BESIDE)
        listener: Listener | None = None
        try:
            beside.unlink(missing_ok=True)
            listener = _bound(beside)
            beside.rename(path)
        except BaseException as error:
            predecessor.close()
            if listener is not None:
                listener.close()
                beside.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise ConfigError(f"cannot take {path} over: {error.strerror}") from error
            raise
        return listener, predecessor


def _predecessor(path: Path, probe: socket.socket) -> Predecessor:
    """The process that listens at the other end of `probe`. It will get a signal, so it must be what we think it is."""
    uid = peer_uid(probe)
    if uid != os.geteuid():
        raise ConfigError(f"who listens at {path} runs as user {uid}, not as you ({os.geteuid()})")
    pid = _peer_pid(probe)
    if not pid:
        raise ConfigError(f"the system does not tell which process listens at {path}: stop it first")
    try:
        predecessor = Predecessor(pid)
    except OSError as error:
        raise ConfigError(f"process {pid}, which listens at {path}, cannot be asked: {error.strerror}") from error
    # The kernel tells who called listen(). A service manager does so itself and passes the socket on.
    arguments = _arguments(pid)
    if "serve" not in arguments:
        predecessor.close()
        raise ConfigError(
            f"process {pid} ({arguments[0] if arguments else 'unknown'}), which made the socket at {path}, is no "
            "`rxlapce serve`: restart the daemon where it was started (under systemd: systemctl --user restart rxlapce)"
        )
    return predecessor


def _peer_pid(sock: socket.socket) -> int:
    """The process that made the other end's socket listen; 0 where the system does not tell, or not this namespace."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])
    sol_local, local_peerpid = 0, 2  # macOS: <sys/un.h>
    with suppress(OSError):
        return sock.getsockopt(sol_local, local_peerpid)
    return 0


def _arguments(pid: int) -> list[str]:
    """The command line of a process; empty where it is not told."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = ["/bin/ps", "-o", "args=", "-p", str(pid)]  # macOS, BSD
        with suppress(OSError):
            told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a constant
            return told.stdout.split()
        return []
    return [os.fsdecode(part) for part in data.split(b"\0") if part]


# -- made by another --------------------------------------------------------------------------------------------------


def adopt(descriptor: int) -> tuple[Listener, Path]:
    """The listening socket that a service manager has passed as `descriptor`, and its path. Its file stays at the end.

    Raises `ConfigError` if it is none that `listen` could have made: a Unix stream socket that listens, with a path in
    a directory that is this user's alone.
    """
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError as error:
        raise ConfigError(f"descriptor {descriptor}, which was passed to listen on: {error.strerror}") from error
    if not is_socket:
        raise ConfigError(f"descriptor {descriptor}, which was passed to listen on, is no socket")
    listener = Listener(fileno=descriptor)
    try:
        path = _path_of(listener, f"the socket that was passed as descriptor {descriptor}")
        listener.set_inheritable(False)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener, path


def _path_of(listener: Listener, what: str) -> Path:
    if listener.family != socket.AF_UNIX or listener.type != socket.SOCK_STREAM:
        raise ConfigError(f"{what} is no Unix stream socket: ListenStream= must be a path")
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ConfigError(f"{what} does not listen: it needs Accept=no")
    name = listener.getsockname()
    if not isinstance(name, str) or not name:  # bytes: abstract, where every user of the machine may connect
        raise ConfigError(f"{what} has no path, so nobody guards it")
    path = Path(name)
    try:
        with _locked_directory(path.parent, make=False):
            return path
    except FileNotFoundError:
        raise ConfigError(f"{what} is in a directory that is not there: {path.parent}") from None


# -- what they share --------------------------------------------------------------------------------------------------


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > MAX_PATH_BYTES:
        raise ConfigError(
            f"the socket's path is {length} bytes long and a Unix socket's may be {MAX_PATH_BYTES}: "
            f"set RXLAPCE_SOCKET to a shorter one ({path})"
        )


def _bound(path: Path) -> Listener:
    """A socket that listens at `path`, where nothing stands. The directory is locked."""
    listener = Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)  # nobody else could get at it in between: the directory is 0700
        found = path.lstat()
        listener.path_id = (found.st_dev, found.st_ino)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen at {path}: {error.strerror}") from error
    return listener


@contextmanager
def _locked_directory(directory: Path, *, make: bool) -> Generator[None]:
    """Hold an exclusive lock on a directory that only we may enter. Raises `ConfigError` if it is not such."""
    advice = "make it yours alone (chmod 700), or set RXLAPCE_SOCKET to a path in a directory that is"
    try:
        if make:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:  # ELOOP or ENOTDIR for a link, EEXIST for a file, EACCES
        raise ConfigError(f"{directory} cannot be the socket's directory: {error.strerror}; {advice}") from error
    try:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.geteuid():
            raise ConfigError(f"{directory} belongs to user {found.st_uid}, not to you ({os.geteuid()}); {advice}")
        if mode & 0o077:
            raise ConfigError(f"{directory} is open to other users (mode {mode:04o}); {advice}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def _probe(path: Path) -> socket.socket | None:
    """A connection to who listens at `path`; None if nobody does. Raises `ConfigError`, `DaemonAlreadyRunning`."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} exists and is no socket: remove it, or set RXLAPCE_SOCKET to another path")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Not settimeout: a socket that does not block gets no chance to wait for room in a full backlog.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(_PROBE_S), int(_PROBE_S % 1 * 1e6)))
        probe.connect(os.fspath(path))
    except (ConnectionRefusedError, FileNotFoundError):
        probe.close()
        return None
    except (BlockingIOError, TimeoutError):
        probe.close()
        raise DaemonAlreadyRunning(f"a daemon already listens at {path}, too busy to be asked: stop it first") from None
    except OSError as error:
        probe.close()
        raise ConfigError(f"cannot tell whether a daemon listens at {path}: {error.strerror}") from error
    return probe
