"""The baseline: aiohttp reads the same streams and throws the bytes away.

`python -m benchmarks.aiohttp_alone URL MODEL STREAMS` prints the CPU seconds of the reading and the bytes read.
"""

import asyncio
import sys

import aiohttp
import uvloop

from benchmarks.cpu import cpu_seconds


async def read(session: aiohttp.ClientSession, url: str, model: str) -> int:
    """One stream, whole; the bytes of it."""
    size = 0
    async with session.post(f"{url}/chat/completions", json={"model": model}) as response:
        while data := await response.content.readany():
            size += len(data)
    return size


async def main(url: str, model: str, streams: int) -> None:
    """Warm up, then read `streams` at once."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=16 * 1024) as session:
        await asyncio.gather(*(read(session, url, "50") for _ in range(streams)))
        before = cpu_seconds()
        sizes = await asyncio.gather(*(read(session, url, model) for _ in range(streams)))
        print(cpu_seconds() - before, sum(sizes))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
