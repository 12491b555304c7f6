"""Steps performed on a connection: the only place where the simulator writes a body or breaks a connection."""

import asyncio
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import web

from rxlapce.simulator.journal import Journal, Outcome, Served
from rxlapce.simulator.metronome import Metronome
from rxlapce.simulator.play import Close, Step

#: SO_LINGER on, zero seconds: closing sends RST instead of FIN.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


async def silence() -> None:
    """Wait until cancelled: the client left, or the simulator is stopped."""
    await asyncio.get_running_loop().create_future()


class Stage:
    """One request's connection. Cancelling `perform` is safe anywhere: nothing but the connection is held."""

    def __init__(self, request: web.Request, served: Served, journal: Journal, metronome: Metronome) -> None:
        self._request = request
        self._served = served
        self._journal = journal
        self._metronome = metronome

    async def perform(
        self, headers: Mapping[str, str], steps: Iterable[Step | Close], *, status: int = 200
    ) -> tuple[web.StreamResponse, Outcome]:
        """Send the headers at once and the steps in their time; return how it went.

        Steps that are late (the loop was busy, the client did not read) follow without a pause, so the pace holds over
        the whole answer. Memory: one step and the transport's buffer.
        """
        response = web.StreamResponse(status=status, headers=headers)
        close = Close.COMPLETED
        try:
            await response.prepare(self._request)
            close = await self._play(response, steps)
            if close is Close.SILENCE:
                await silence()
            if close is Close.COMPLETED:
                await response.write_eof()
                return response, Outcome.COMPLETED
        except ConnectionError:
            return response, Outcome.CLIENT_GONE
        self.close(close)
        return response, Outcome.CUT

    async def _play(self, response: web.StreamResponse, steps: Iterable[Step | Close]) -> Close:
        loop, journal, served = asyncio.get_running_loop(), self._journal, self._served
        due_s = loop.time()
        for step in steps:
            if isinstance(step, Close):
                return step
            due_s += step.delay_s
            if step.delay_s and due_s > loop.time():
                await self._metronome.until(due_s)
            else:
                # The other streams get their turn: a write that does not block does not yield by itself.
                await asyncio.sleep(0)
            if not step.data:
                continue  # a pause, and nothing to say: an empty chunk would be the end
            journal.writing(served, len(step.data), step.tokens)
            await response.write(step.data)
            journal.wrote(served)
        return Close.COMPLETED

    def close(self, how: Close) -> None:
        """Break the connection: after what was written (`CUT`), or at once (`RESET`)."""
        transport = self._request.transport
        if transport is None:
            return
        if how is Close.RESET:
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        else:
            transport.close()
