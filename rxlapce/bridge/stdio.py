"""The bridge for editors in any language: messages as lines of JSON, in by one descriptor and out by another."""

import asyncio
from collections.abc import Callable
from typing import Final

from rxlapce.bridge.bridge import Bridge
from rxlapce.bridge.lines import LineSplitter, Reader, Writer
from rxlapce.bridge.messages import InboundMessage, decode_outbound, encode, request_id
from rxlapce.codec.frame import MAX_PAYLOAD_BYTES
from rxlapce.errors import BadPayload
from rxlapce.flow import FlowControl

#: Longer than any request that a frame can hold.
MAX_LINE_BYTES: Final = MAX_PAYLOAD_BYTES + 64 * 1024
#: Chunks of one stream that may come while the UI does not read: what they take is the most that a stream waits here.
WINDOW: Final = 256
#: Streams stop long before. What else the UI asks for while it does not read waits here; then nothing more is read.
MAX_WAITING_BYTES: Final = 1024 * 1024
FLUSH_S: Final = 1.0

MakeBridge = Callable[[Callable[[InboundMessage], None], FlowControl], Bridge]


async def serve_lines(make_bridge: MakeBridge, *, stdin: int = 0, stdout: int = 1, finish: bool = False) -> bool:
    """Serve until `stdin` ends or nobody reads `stdout`; False for the latter. Both descriptors stay open.

    `make_bridge(on_message, flow)` makes the bridge. At the end of `stdin` what is under way is cancelled, or, with
    `finish`, waited for. A UI that does not read stops its streams by credit: at most `WINDOW` chunks each and
    `MAX_WAITING_BYTES` wait here. A line that is no message is answered, and does no harm.
    """
    lines = _Lines(make_bridge, stdin, stdout)
    try:
        async with lines.bridge:
            reading = asyncio.ensure_future(lines.read())
            gone = asyncio.ensure_future(lines.writer.gone.wait())
            try:
                await asyncio.wait((reading, gone), return_when=asyncio.FIRST_COMPLETED)
                if finish and not gone.done():
                    settled = asyncio.ensure_future(lines.bridge.settled())
                    await asyncio.wait((settled, gone), return_when=asyncio.FIRST_COMPLETED)
                    settled.cancel()
            finally:
                reading.cancel()
                gone.cancel()
        try:
            await asyncio.wait_for(lines.writer.drained(), FLUSH_S)
        except TimeoutError:
            return False
        return not lines.writer.gone.is_set()
    finally:
        lines.close()


class _Lines:
    """The bridge between its two descriptors."""

    def __init__(self, make_bridge: MakeBridge, stdin: int, stdout: int) -> None:
        flow = FlowControl()
        self.writer = Writer(stdout, flow)
        self.bridge = make_bridge(self._on_message, flow)
        self._splitter = LineSplitter(MAX_LINE_BYTES)
        self._data: asyncio.Queue[bytes] = asyncio.Queue()  # holds one: the reader waits to be told to proceed
        self._reader = Reader(stdin, self._data.put_nowait)

    def close(self) -> None:
        """Stop both threads."""
        self._reader.close()
        self.writer.close()

    async def read(self) -> None:
        """Do what the lines say, up to their end."""
        while data := await self._data.get():
            for line in self._splitter.feed(data):
                self._on_line(line)
            while self.writer.pending_bytes > MAX_WAITING_BYTES:
                await self.writer.flow.wait_open()
            self._reader.proceed()
        for line in self._splitter.close():
            self._on_line(line)

    def _on_line(self, line: bytes | None) -> None:
        if line is None:
            self.bridge.refuse(f"a line is longer than {MAX_LINE_BYTES:,} bytes")
            return
        try:
            message = decode_outbound(line)
        except BadPayload as error:
            self.bridge.refuse(str(error), request_id(line))
        else:
            self.bridge.send(message)

    def _on_message(self, message: InboundMessage) -> None:
        self.writer.write(encode(message) + b"\n")
