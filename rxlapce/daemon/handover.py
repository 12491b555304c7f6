"""Handing a service over to a new process of the same command: a newer version of it, or with newer settings."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from rxlapce.daemon.systemd import Supervision
from rxlapce.errors import ConfigError

START_S: Final = 30.0
#: The passed socket is meant for the process that LISTEN_PID names, whose id only it knows before it runs.
_WITH_OWN_PID: Final = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
#: Descriptors of whoever started this process: they mean nothing to another.
_OF_THIS_PROCESS: Final = ("--ready-fd", "--lifeline-fd")


async def start_successor(supervision: Supervision) -> int:
    """Start this process's own command line anew, and return its process id when it serves.

    It listens on the socket that was passed to this one, or takes the place of this one (`--replace`), and then asks
    this one to stop. It outlives this process. Raises `ConfigError` if it ends instead, or takes longer than `START_S`.
    """
    reading, writing = os.pipe()
    try:
        process = _started(supervision, writing)
    except OSError as error:
        os.close(reading)
        raise ConfigError(f"the next daemon could not be started: {error.strerror}") from error
    finally:
        os.close(writing)
    try:
        said = await _first_bytes(reading)
    except BaseException as error:
        process.kill()
        process.wait()
        if isinstance(error, TimeoutError):
            raise ConfigError(f"the next daemon did not serve within {START_S:g} s") from None
        raise
    finally:
        os.close(reading)
    if not said:
        raise ConfigError(f"the next daemon ended with exit code {process.wait()}: its log says why")
    pid = process.pid
    process.returncode = 0  # it is not waited for: when this process ends it gets another parent
    return pid


def _started(supervision: Supervision, ready_fd: int) -> "subprocess.Popen[bytes]":
    environ = dict(os.environ)
    if supervision.notify_socket is not None:
        environ["NOTIFY_SOCKET"] = supervision.notify_socket
    if supervision.watchdog_s is not None:
        environ["WATCHDOG_USEC"] = str(int(supervision.watchdog_s * 1e6))
    passed = () if supervision.passed is None else (supervision.passed,)
    command = successor_command(sys.orig_argv, ready_fd, passed=bool(passed))
    # Not asyncio's: that kills its children when it is closed, and this one goes on.
    return subprocess.Popen(  # noqa: S603 - the command line of this process
        command, pass_fds=(*passed, ready_fd), env=environ, stdin=subprocess.DEVNULL
    )


def successor_command(own: Sequence[str], ready_fd: int, *, passed: bool) -> list[str]:
    """The command line of the next daemon, made of this one's `own`."""
    command = [sys.executable]
    words = iter(own[1:])
    for word in words:
        if word in _OF_THIS_PROCESS:
            next(words, None)
        elif word.partition("=")[0] not in _OF_THIS_PROCESS and word != "--replace":
            command.append(word)
    command += ["--ready-fd", str(ready_fd)]
    return ["/bin/sh", "-c", _WITH_OWN_PID, "sh", *command] if passed else [*command, "--replace"]


async def _first_bytes(descriptor: int) -> bytes:
    """What a pipe brings first; nothing at its end. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    loop.add_reader(descriptor, news.set)
    try:
        async with asyncio.timeout(START_S):
            await news.wait()
    finally:
        loop.remove_reader(descriptor)
    with suppress(OSError):
        return os.read(descriptor, 64)
    return b""
