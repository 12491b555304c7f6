"""A loopback server that keeps each request as it came, and lets another answer it."""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import yarl
from aiohttp import web

from rxlapce.testing.recorder import Asked

#: Headers of one hop (RFC 9110 section 7.6.1), and what aiohttp says by itself.
_OF_THE_HOP: Final = frozenset(
    {"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it went out, without the headers of one hop."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Relay:
    """Stands before `target`, a base URL, at `base_url`; `asked` has the requests in the order in which they came."""

    def __init__(self, target: str) -> None:
        self.asked: list[Asked] = []
        self.base_url = ""
        self._target = target
        self._last: Answered | None = None
        self._again: Answered | None = None

    @contextmanager
    def repeating(self) -> Generator[None]:
        """Within, every request is given the last answer once more, byte for byte."""
        self._again = self._last
        try:
            yield
        finally:
            self._again = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Relay"]:
        """Listen, on the loop that enters."""
        async with aiohttp.ClientSession(auto_decompress=False) as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await self._hand_on(request, session)

            app = web.Application(client_max_size=64 << 20)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                host, port = runner.addresses[0][:2]
                self.base_url = f"http://{host}:{port}"
                yield self
            finally:
                await runner.cleanup()

    async def _hand_on(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.raw_path, headers, body))
        if self._again is not None:
            return web.Response(status=self._again.status, headers=self._again.headers, body=self._again.body)
        kept = {name: value for name, value in headers.items() if name not in _OF_THE_HOP}
        # What stands in the request line goes on as it stands: %3A is not a colon to who signs it.
        url = yarl.URL(self._target + request.raw_path, encoded=True)
        async with session.request(request.method, url, data=body or None, headers=kept) as answer:
            told = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_HOP}
            response = web.StreamResponse(status=answer.status, headers=told)
            await response.prepare(request)
            said = bytearray()
            async for data in answer.content.iter_any():
                said += data
                await response.write(data)
            # Kept before the end goes out: who has read it may ask for it again at once.
            self._last = Answered(answer.status, told, bytes(said))
            await response.write_eof()
            return response
