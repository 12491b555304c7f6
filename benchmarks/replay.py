"""A provider that costs next to nothing: it replays one OpenAI-shaped event, at full speed or paced.

`python -m benchmarks.replay` prints its URL and serves until its standard input ends. The model's name says what is
wanted: `TOKENS` or `TOKENS@RATE` (tokens a second). Each event is an HTTP chunk of its own, as the vendors send them;
at full speed many go into one write, paced each is a segment.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

#: The text of each token.
WORD = " token"
EVENT = (
    b'data: {"id":"chatcmpl-CkYcRjC3Xh2VxPq7wL9mN4tB8sD6f","object":"chat.completion.chunk","created":1771200000,'
    b'"model":"gpt-4.1-2025-04-14","service_tier":"default","system_fingerprint":"fp_3f58d112f7","choices":[{"index":0'
    b',"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"kJ8sWq2mZpL4x"}'
    b"\n\n"
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
FINISH = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1771200000,"model":"gpt-4.1-2025-04-14",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


ONE = chunk(EVENT)
BATCH_EVENTS = 48
BATCH = ONE * BATCH_EVENTS
END = chunk(FINISH) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
MODEL = re.compile(rb'"model":\s*"(\d+)(?:@(\d+))?"')


class Replay(asyncio.Protocol):
    """One connection; a new request after a whole answer is served too."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = b""
        self.left = 0
        self.rate = 0
        self.due = 0.0
        self.paused = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's TCP transport is not a subclass of asyncio's, but it is a stream's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=256 * 1024)

    def data_received(self, data: bytes) -> None:
        """Start the answer when the whole request is there (its JSON body ends it)."""
        self.received += data
        found = MODEL.search(self.received)
        if found is None or not self.received.rstrip().endswith(b"}"):
            return
        self.left, self.rate = int(found[1]), int(found[2] or 0)
        self.write(HEAD)
        self.begun(self.received)
        self.received = b""
        if self.rate:
            loop = asyncio.get_running_loop()
            # Spread the streams over the interval by their ports, as real ones are.
            self.due = loop.time() + hash(self) % 997 / 997 / self.rate
            self.timer = loop.call_at(self.due, self.paced)
        else:
            self.full_speed()

    def begun(self, request: bytes) -> None:
        """A new answer begins."""

    def events(self, count: int) -> bytes:
        """The next events; `left` are those after them."""
        return BATCH if count == BATCH_EVENTS else ONE * count

    def write(self, data: bytes) -> None:
        """Write unless the reader has gone."""
        if self.transport is not None:
            self.transport.write(data)

    def full_speed(self) -> None:
        """Write batches until the reader is slower."""
        while self.left and not self.paused:
            count = min(self.left, BATCH_EVENTS)
            self.left -= count
            self.write(self.events(count))
            if not self.left:
                self.write(END)

    def paced(self) -> None:
        """Write one event, and come again."""
        self.left -= 1
        self.write(self.events(1))
        if not self.left:
            self.write(END)
            return
        self.due += 1 / self.rate
        self.timer = asyncio.get_running_loop().call_at(self.due, self.paced)

    def pause_writing(self) -> None:
        """The reader is slow."""
        self.paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self.paused = False
        if self.left and not self.rate:
            self.full_speed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop."""
        self.transport = None
        self.left = 0
        if self.timer is not None:
            self.timer.cancel()


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Replay, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
