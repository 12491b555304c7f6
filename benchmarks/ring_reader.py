"""A reader that only empties the ring: what the daemon costs by itself, with as little as can be beside it.

Takes the arguments of `benchmarks.editor` and prints the same, but decodes nothing: it counts the words that tokens and
terminal frames have in their payloads.
"""

import asyncio
import mmap
import sys
from pathlib import Path

import uvloop

from benchmarks.replay import WORD
from rxlapce.codec.frame import Flag, encode_frame
from rxlapce.messages import NUMBERS, ChatStream, Handshake, encode
from rxlapce.requests import ChatRequest, Message
from rxlapce.transports.handshake import client_handshake, ring_fds
from rxlapce.transports.ring import DATA_OFFSET, RingReader
from rxlapce.transports.unix import attach, connect
from rxlapce.transports.wake import WakeSocket

TOKEN, DONE = WORD.encode(), b'"type":"stream_done"'
OVERLAP = max(len(TOKEN), len(DONE)) - 1


class Reader:
    """Empties the ring whenever it is woken, and lingers as the bridge does."""

    def __init__(self, ring: RingReader, wake: WakeSocket, linger_s: float) -> None:
        self.ring = ring
        self.wake = wake
        self.linger_s = linger_s
        self.tail = b""
        self.tokens = self.done = self.wakeups = 0
        self.changed = asyncio.Event()

    def woken(self) -> None:
        """The daemon says that there is something."""
        self.wakeups += 1
        self.empty()

    def empty(self) -> None:
        """Read what is there; rest when nothing was."""
        self.ring.sleep(False)
        data = self.ring.read(1 << 20)
        if self.ring.writer_waits():
            self.wake.wake()
        if data:
            text = self.tail + data
            self.tokens += text.count(TOKEN) - self.tail.count(TOKEN)
            self.done += text.count(DONE) - self.tail.count(DONE)
            self.tail = text[-OVERLAP:]
            self.changed.set()
            asyncio.get_running_loop().call_later(self.linger_s, self.empty)
            return
        self.ring.sleep(True)
        if self.ring.available():
            self.empty()

    async def until(self, done: int) -> None:
        """Return when so many streams have ended."""
        while self.done < done:
            self.changed.clear()
            await self.changed.wait()


async def main(path: Path, model: str, streams: int, linger_s: float) -> None:
    """Warm up, wait for the word, then ask."""
    loop = asyncio.get_running_loop()
    sock = connect(path, 5.0)
    agreed = await client_handshake(sock, Handshake(client="benchmark", transport="shm"), 5.0)
    if agreed.ack.ring is None:
        raise RuntimeError(f"no ring: {agreed.ack.reason}")
    memory, wake_fd = ring_fds(agreed)
    mapped = mmap.mmap(memory, DATA_OFFSET + agreed.ack.ring.capacity)
    wake = WakeSocket.received(wake_fd)
    reader = Reader(RingReader(memoryview(mapped)), wake, linger_s)
    wake.listen(loop, reader.woken)
    connection = await attach(sock, lambda _: None, lambda _: None)

    def ask(first: int, wanted: str) -> None:
        for request_id in range(first, first + streams):
            request = ChatRequest(model=f"local/{wanted}", messages=(Message(role="user", content="x"),))
            frame = encode_frame(
                NUMBERS[ChatStream], int(Flag.REQUEST), request_id, encode(ChatStream(request=request))
            )
            connection.lane.write(memoryview(frame))

    reader.empty()
    ask(1, "50")
    await reader.until(streams)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    before, woken = reader.tokens, reader.wakeups
    ask(1 + streams, model)
    await reader.until(2 * streams)
    print(reader.tokens - before, reader.wakeups - woken, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    connection.abort()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[5]) / 1000))
