"""A web server on one address that hands every request to one handler."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Self

from aiohttp import web

MAX_BODY_BYTES: Final = 64 << 20


class Site:
    """Listens in `async with`; leaving ends what runs, at once. `base_url` is valid inside.

    `port` 0 takes a free one. `answer` is cancelled when its client leaves, and when the site stops. Entering raises
    `OSError` if the address cannot be had. Runs on the loop that enters it.
    """

    def __init__(
        self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._answer = answer
        self._address = (host, port)
        self._running: set[asyncio.Task[object] | None] = set()
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        listener = _listener(*self._address)
        # Handlers are cancelled when their client leaves: that is how a disconnect is noticed in the midst of silence.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener, backlog=1024).start()
        host, port = listener.getsockname()[:2]
        self.base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for handler in self._running:
            if handler is not None:
                handler.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        handler = asyncio.current_task()
        self._running.add(handler)
        try:
            return await self._answer(request)
        finally:
            self._running.discard(handler)


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
