"""The editor's end: asks for streams by way of a daemon and takes every token.

`python -m benchmarks.editor SOCKET MODEL STREAMS TRANSPORT LINGER_MS` prints `ready`, waits for a line on standard
input, then prints how many tokens came and how often the daemon woke this side.
"""

import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.replay import WORD
from rxlapce.bridge import Client, connect
from rxlapce.messages import TransportName
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import StreamToken, Text


async def take(client: Client, model: str) -> int:
    """One stream, whole; its text tokens, those that the daemon merged each by itself."""
    count = 0
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_next(token: StreamToken) -> None:
        nonlocal count
        if type(token) is Text:
            count += token.text.count(WORD)

    request = ChatRequest(model=f"local/{model}", messages=(Message(role="user", content="x"),))
    stream = client.chat_stream(request, window=4096)
    stream.subscribe(on_next, ended.set_exception, lambda: ended.set_result(None))
    await ended
    return count


async def main(path: Path, model: str, streams: int, transport: TransportName, linger_s: float) -> None:
    """Warm up, wait for the word, then ask."""
    async with await connect(path, transport=transport, linger_s=linger_s) as client:
        await asyncio.gather(*(take(client, "50") for _ in range(streams)))
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        counts = await asyncio.gather(*(take(client, model) for _ in range(streams)))
        print(sum(counts), client.ring.wakeups if client.ring else 0, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    uvloop.run(
        main(
            Path(sys.argv[1]),
            sys.argv[2],
            int(sys.argv[3]),
            cast("TransportName", sys.argv[4]),
            float(sys.argv[5]) / 1000,
        )
    )
