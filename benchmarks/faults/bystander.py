"""Who has nothing to do with it, and must not notice: `python -m benchmarks.faults.bystander SOCKET KEYS`.

Three connections (shared memory, socket, shared memory and signed) with two streams each, one after the other, at 50
tokens a second. For a line on standard input it reads its streams to their ends, prints a tally as JSON, and rests
until the next line.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from rxlapce.bridge import Client, connect
from rxlapce.errors import RxlapceError
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Finish, Text
from rxlapce.transports.key_file import only_key

STREAMS: Final = 2
MODEL: Final = "local/bystander:steady=1,tokens=50,tps=50"
AT_ONCE: Final = "local/bystander:steady=1,tokens=50"


class Seen(msgspec.Struct):
    """What became of its streams since the last time it was asked. `longest_ms`: of waiting for a next token."""

    whole: int = 0
    broken: list[str] = []
    tokens: int = 0
    longest_ms: float = 0.0


class Bystander:
    """The streams of one client, while `running` is set."""

    def __init__(self) -> None:
        self.running = True
        self.seen = Seen()
        self.text = ""

    def request(self, model: str) -> ChatRequest:
        """What is asked."""
        return ChatRequest(model=model, messages=(Message(role="user", content="hello"),))

    async def once(self, client: Client, model: str) -> str:
        """One stream; its text. Raises what ends it."""
        text, ended, last_s = "", False, time.monotonic()
        async for token in client.chat_stream(self.request(model), window=64):
            now_s = time.monotonic()
            self.seen.longest_ms = max(self.seen.longest_ms, (now_s - last_s) * 1000)
            last_s = now_s
            self.seen.tokens += 1
            ended = isinstance(token, Finish)
            if isinstance(token, Text):
                text += token.text
        if not ended:
            raise RuntimeError("a stream without a finish")
        return text

    async def run(self, client: Client) -> None:
        """One stream after the other."""
        while self.running:
            try:
                text = await self.once(client, MODEL)
            except (RxlapceError, RuntimeError) as error:
                self.seen.broken.append(repr(error))
                return
            if text == self.text:
                self.seen.whole += 1
            else:
                self.seen.broken.append(f"{len(text)} characters of {len(self.text)}, or other ones")


async def main(path: Path, keys: Path) -> None:
    """Go on until standard input ends."""
    asked = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    bystander = Bystander()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await connect(path, client="bystander")),
            await stack.enter_async_context(await connect(path, client="bystander", transport="socket")),
            await stack.enter_async_context(await connect(path, client="bystander", key=only_key(keys))),
        ]
        bystander.text = await bystander.once(clients[0], AT_ONCE)
        while True:
            print("ready", flush=True)
            if not await asked.readline():
                return
            bystander.running, bystander.seen = True, Seen()
            streams = [asyncio.create_task(bystander.run(client)) for client in clients for _ in range(STREAMS)]
            more = await asked.readline()
            bystander.running = False
            await asyncio.gather(*streams)
            print(msgspec.json.encode(bystander.seen).decode(), flush=True)
            if not more:
                return


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
