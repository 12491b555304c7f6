"""What the commands that serve over HTTP share: an address to listen on, and waiting for the end."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from typing import Protocol, Self

import click


class Server(Protocol):
    """Listens in `async with`; entering raises `OSError`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


def address(said: str) -> tuple[str, int]:
    """`HOST:PORT` in its parts; IPv6 in brackets. Raises `click.BadParameter`."""
    host, colon, port = said.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise click.BadParameter(f"expected HOST:PORT, for example 127.0.0.1:8089, got {said!r}", param_hint="--listen")
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextlib.asynccontextmanager
async def listening(server: Server, said: str) -> AsyncGenerator[None]:
    """`server`, while it listens at `said`. Raises `click.ClickException` where it cannot."""
    try:
        await server.__aenter__()
    except OSError as error:
        raise click.ClickException(f"cannot listen on {said}: {error.strerror or error}") from None
    try:
        yield
    finally:
        await server.__aexit__(None, None, None)


async def until_stopped() -> None:
    """Return at Ctrl-C or SIGTERM, by which such a command is ended."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
