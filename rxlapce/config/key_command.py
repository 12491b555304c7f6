"""A command that prints a secret, such as a password manager's: run without a shell, for a bounded time and output."""

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

WAIT_S: Final = 10.0


class CommandFailed(Exception):
    """The command gave no secret; the text says why, and nothing of what it printed, nor of its arguments."""


def output_of(words: Sequence[str], environ: Mapping[str, str], *, max_bytes: int, wait_s: float = WAIT_S) -> bytes:
    """What the command prints on standard output. Its arguments are `words` as they are: no shell sees them.

    It has no standard input and no terminal, and its standard error goes nowhere: it may hold anything. It is killed,
    with what it started in its group, when `wait_s` seconds are over or `max_bytes` are passed.

    Raises `CommandFailed`.
    """
    program = _found(words[0], environ)
    try:
        process = subprocess.Popen(  # noqa: S603 - what the user's own file says to run
            words,
            executable=program,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "a word of it holds a zero byte"
        raise CommandFailed(f"{program} cannot be run: {said}") from None
    with process:
        try:
            output = _read(process, program, max_bytes, time.monotonic() + wait_s, wait_s)
        except BaseException:
            with suppress(ProcessLookupError, PermissionError):  # it is gone by now, and all of its group
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode < 0:
        raise CommandFailed(f"{program} was ended by {signal.Signals(-process.returncode).name}")
    if process.returncode:
        raise CommandFailed(f"{program} ended with status {process.returncode}: run it by hand to see why")
    return output


def _found(name: str, environ: Mapping[str, str]) -> str:
    """The program's path. One that is not found is not shown: the secret itself may have been put there."""
    if "/" in name:
        if Path(name).is_absolute() and os.access(name, os.X_OK) and not Path(name).is_dir():
            return name
        raise CommandFailed("the command is no program: expected an absolute path, or a name that is found in PATH")
    program = shutil.which(name, path=environ.get("PATH", os.defpath))
    if program is None:
        raise CommandFailed("the command is not found in PATH")
    return program


def _read(process: "subprocess.Popen[bytes]", program: str, max_bytes: int, deadline_s: float, wait_s: float) -> bytes:
    """All that it prints, until it has ended."""
    late = CommandFailed(f"{program} did not end within {wait_s:g} s: does it ask something? It has no terminal here")
    pipe, output = process.stdout, bytearray()
    if pipe is None:
        raise RuntimeError("the process was started without a pipe")
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline_s - time.monotonic())):
                raise late
            piece = os.read(pipe.fileno(), 65536)
            output += piece
            if len(output) > max_bytes:
                raise CommandFailed(f"{program} printed more than {max_bytes:,} bytes")
            if not piece:
                break
    try:
        process.wait(max(0.0, deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise late from None
    return bytes(output)
