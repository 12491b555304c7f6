"""Starting a daemon where none runs, for whoever wants to connect."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from rxlapce.errors import ConfigError
from rxlapce.transports.unix import connect as connect_socket

START_S: Final = 15.0
#: Of what a daemon that ended at once had said.
LAST_WORDS_BYTES: Final = 2048
#: Settings that may be paths from where the editor is; the daemon stands elsewhere.
_PATHS: Final = ("RXLAPCE_CONFIG", "RXLAPCE_KEY_FILE")


def log_path() -> Path:
    """Where a daemon that was started so logs: `$XDG_STATE_HOME/rxlapce/daemon.log`, else under `~/.local/state`.

    Raises `ConfigError` for a user without a home.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the XDG specification: a relative one is invalid and ignored
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError:
            raise ConfigError("there is no home for the daemon's log: set XDG_STATE_HOME or HOME") from None
    return state / "rxlapce" / "daemon.log"


async def start_daemon(path: Path, *, timeout_s: float = START_S) -> None:
    """Start `rxlapce serve` at `path`, and return when it listens, or another does that was started at the same time.

    It is nobody's child and in a session of its own, so that it outlives the editor and its terminal; it stands in `/`
    and takes this process's environment, where its settings are. Two that start at once get one daemon: the lock of
    the socket's directory decides, and the other process ends. Its log is at `log_path()`, where also what
    the interpreter itself says goes; `serve --log-file` bounds it.

    Raises `ConfigError` if the path is another user's, and with the daemon's own last words if it does not come to
    listen within `timeout_s` seconds.
    """
    path = _checked(path)
    log = log_path()
    output = _opened(log)
    try:
        said_before = os.fstat(output).st_size
        listens = await _started(path, log, output, timeout_s)
    finally:
        os.close(output)
    if not listens and not _answers(path):
        raise ConfigError(f"the daemon that was started for {path} has ended: {_last_words(log, said_before)}")


def _checked(path: Path) -> Path:
    """The path, absolute. Raises `ConfigError` if it or its directory is another user's."""
    path = path.absolute()
    for place in (path, path.parent):
        try:
            owner = place.lstat().st_uid
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"cannot look at {place}: {error.strerror}") from error
        if owner != os.geteuid():
            raise ConfigError(
                f"no daemon is started at {path}: {place} belongs to user {owner}, not to you ({os.geteuid()})"
            )
    return path


def _opened(log: Path) -> int:
    """The log, for appending. Raises `ConfigError`."""
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the daemon cannot log to {log}: {error.strerror}; set XDG_STATE_HOME") from error


async def _started(path: Path, log: Path, output: int, timeout_s: float) -> bool:
    """Whether the daemon said that it listens; False if it ended. Raises `ConfigError` if it did neither in time."""
    ready, told = os.pipe()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                # The shell starts it and ends: so it is nobody's child, and no zombie of an editor's when it ends.
                "/bin/sh", "-c", '"$@" &', "sh",
                # -P: nothing is imported from the folder of whatever project the editor has open
                sys.executable, "-P", "-m", "rxlapce", "serve", "--path", str(path), "--log-file", str(log),
                "--ready-fd", str(told), pass_fds=(told,), start_new_session=True, cwd="/", env=_environ(),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=output,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"cannot start a daemon: {error.strerror}") from error
        finally:
            os.close(told)
        try:
            async with asyncio.timeout(timeout_s):
                await _readable(ready)
        except TimeoutError:
            why = f"does not listen after {timeout_s:g} s; its log: {log}"
            raise ConfigError(f"the daemon that was started for {path} {why}") from None
        finally:
            await process.wait()  # the shell, which has long ended
        return bool(os.read(ready, 16))
    finally:
        os.close(ready)


def _environ() -> dict[str, str]:
    environ = dict(os.environ)
    for name in _PATHS:
        if environ.get(name):
            environ[name] = str(Path(environ[name]).absolute())
    return environ


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_reader(descriptor, told.set)
    try:
        await told.wait()
    finally:
        loop.remove_reader(descriptor)


def _answers(path: Path) -> bool:
    """Whether somebody listens at `path`."""
    try:
        connect_socket(path, 1.0).close()
    except Exception:  # noqa: BLE001 - whatever it is, the daemon's own words say more
        return False
    return True


def _last_words(log: Path, since: int) -> str:
    """The end of what was logged after the first `since` bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - LAST_WORDS_BYTES))
            words = file.read().decode(errors="replace").strip()
    except OSError:
        words = ""
    _, _, error = f"\n{words}".rpartition("\nError: ")
    return error or words or f"it said nothing; its log: {log}"
