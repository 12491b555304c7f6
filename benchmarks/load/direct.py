"""The baseline: aiohttp alone reads the same streams from the provider: `python -m benchmarks.load.direct URL`.

It takes the texts out of the events and nothing else. Prints `ready`, then does what `benchmarks.load.commands` says.
"""

import asyncio
import re
import sys
import time
from typing import Final

import aiohttp
import uvloop

from benchmarks.load.commands import Readers
from benchmarks.stamps import SIZE

_TEXT: Final = re.compile(rb'"content":"([^"]{%d})"' % SIZE)
_DONE: Final = b"data: [DONE]"


async def read(session: aiohttp.ClientSession, url: str, model: str, stream: int, readers: Readers) -> None:
    """One stream, whole."""
    body = {"model": model, "messages": [{"role": "user", "content": str(stream)}], "stream": True}
    tail, whole = b"", False
    async with session.post(f"{url}/chat/completions", json=body) as response:
        while data := await response.content.readany():
            now_ns = time.monotonic_ns()
            events, found, tail = (tail + data).rpartition(b"\n\n")
            if found:
                for text in _TEXT.findall(events):
                    readers.tally.take(stream, text, now_ns)
                whole = whole or _DONE in events[-len(_DONE) :]
                readers.changed()
    readers.ended(stream, whole=whole)


async def main(url: str) -> None:
    """Obey."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, read_bufsize=16 * 1024, timeout=aiohttp.ClientTimeout()) as session,
        asyncio.TaskGroup() as tasks,
    ):

        def open_one(stream: int, model: str) -> None:
            tasks.create_task(read(session, url, model, stream, readers))

        readers = Readers(0, open_one)
        print("ready", flush=True)
        await readers.serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
