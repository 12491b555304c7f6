"""A daemon as a child process that ends with its parent."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from rxlapce.errors import ConfigError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


@contextlib.asynccontextmanager
async def running_daemon(*options: str, environ: Mapping[str, str] | None = None) -> AsyncGenerator[Path, None]:
    """A daemon in a process of its own, on a socket in a fresh private folder; yields the socket's path.

    It is stopped by SIGTERM at the end. When this process ends in any other way (`kill -9`) it stops by itself, and
    takes the folder along: it holds the reading end of a pipe that only this process can write. It does not get the
    terminal's Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="rxlapce-") as folder:
        path = Path(folder) / "daemon.sock"
        ready_read, ready_write = os.pipe()
        life_read, life_write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rxlapce", "serve", "--path", str(path), "--own-folder", "--drain", "0",
                "--log-level", "warning", "--log-file", "none", "--metrics", "none", "--audit", "none",
                "--ready-fd", str(ready_write), "--lifeline-fd", str(life_read), *options,
                pass_fds=(ready_write, life_read), start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE, env=dict(os.environ if environ is None else environ),
            )  # fmt: skip
        except BaseException:
            for descriptor in (ready_read, ready_write, life_read, life_write):
                os.close(descriptor)
            raise
        os.close(ready_write)
        os.close(life_read)
        errors = asyncio.ensure_future(_tail(process))
        try:
            await _until_ready(process, ready_read, errors)
            yield path
        finally:
            os.close(life_write)
            os.close(ready_read)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()
            await errors


async def _until_ready(process: asyncio.subprocess.Process, ready: int, errors: asyncio.Future[str]) -> None:
    """Return when the daemon listens. Raises `ConfigError` with its own words when it ends instead."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_reader(ready, told.set)
    try:
        await asyncio.wait_for(told.wait(), START_TIMEOUT_S)
    except TimeoutError:
        raise ConfigError(f"the daemon did not start within {START_TIMEOUT_S:g} s") from None
    finally:
        loop.remove_reader(ready)
    if not os.read(ready, 16):  # the end of the pipe, not the word: it has ended
        await process.wait()
        raise ConfigError(f"the daemon did not start: {(await errors).strip() or f'exit code {process.returncode}'}")


async def _tail(process: asyncio.subprocess.Process) -> str:
    """The last of what the daemon says on standard error, read to its end so that it never blocks there."""
    kept = ""
    if process.stderr is not None:
        while data := await process.stderr.read(4096):
            kept = (kept + data.decode(errors="replace"))[-4096:]
    return kept.removeprefix("Error: ")
