"""Many editors in one process, as light as can be: `python -m benchmarks.load.clients SOCKET WAY CONNECTIONS FIRST`.

Each has a connection of its own, by `shm` or by `socket`; their streams have the numbers from FIRST on. Nothing but
frames and tokens is decoded. Prints `ready`, then does what `benchmarks.load.commands` says.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop

from benchmarks.load.commands import Readers
from rxlapce.codec.frame import Flag, Frame, encode_frame
from rxlapce.messages import NUMBERS, ChatStream, Handshake, StreamChunk, StreamDone, StreamError, TransportName, encode
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Text
from rxlapce.transports.handshake import client_handshake, ring_fds
from rxlapce.transports.shm import ShmReceiver
from rxlapce.transports.unix import attach, connect

CHUNK: Final = NUMBERS[StreamChunk]
ENDS: Final = {NUMBERS[StreamDone]: True, NUMBERS[StreamError]: False}
#: As the bridge has it.
LINGER_S: Final = 0.001
_chunk: Final = msgspec.json.Decoder(StreamChunk)


def on_frames(readers: Readers) -> Callable[[Sequence[Frame]], None]:
    """Takes the frames of one read: a stream's number is its request's id."""
    take, ended = readers.tally.take, readers.ended

    def taken(frames: Sequence[Frame]) -> None:
        now_ns = time.monotonic_ns()
        for frame in frames:
            if frame.number == CHUNK:
                token = _chunk.decode(frame.payload).token
                if type(token) is Text:
                    take(frame.request_id, token.text, now_ns)
            elif frame.number in ENDS:
                ended(frame.request_id, whole=ENDS[frame.number])
        readers.changed()

    return taken


def gone(error: Exception | None) -> None:
    """A connection ended, which it must not before this process does."""
    raise RuntimeError(f"the daemon closed the connection: {error}")


class Editor:
    """One connection."""

    def __init__(self, ask: Callable[[memoryview], int]) -> None:
        self._ask = ask

    def open_one(self, stream: int, model: str) -> None:
        """Ask for a stream."""
        request = ChatRequest(model=f"local/{model}", messages=(Message(role="user", content=str(stream)),))
        payload = encode(ChatStream(request=request))
        self._ask(memoryview(encode_frame(NUMBERS[ChatStream], int(Flag.REQUEST), stream, payload)))


async def editor(path: Path, way: TransportName, readers: Readers, stack: ExitStack) -> Editor:
    """A client that has shaken hands; its end is on `stack`."""
    sock = connect(path, 5.0)
    agreed = await client_handshake(sock, Handshake(client="benchmark", transport=way), 10.0)
    if agreed.ack.transport != way:
        raise RuntimeError(f"no {way}: {agreed.ack.reason}")
    take = on_frames(readers)
    if agreed.ack.ring is not None:
        ring = ShmReceiver(ring_fds(agreed), agreed.ack.ring.capacity, take, gone, linger_s=LINGER_S)
        stack.callback(ring.close)
        ring.start()
    connection = await attach(sock, take, lambda _: None, leftover=agreed.leftover)
    stack.callback(connection.abort)
    return Editor(connection.lane.write)


async def main(path: Path, way: TransportName, connections: int, first: int) -> None:
    """Connect, then obey."""
    editors: list[Editor] = []
    turn = cycle(range(connections))
    readers = Readers(first, lambda stream, model: editors[next(turn)].open_one(stream, model))
    with ExitStack() as stack:
        for _ in range(connections):
            editors.append(await editor(path, way, readers, stack))  # noqa: PERF401 - one after the other
        print("ready", flush=True)
        await readers.serve()


if __name__ == "__main__":
    # The parent gives one of the two words.
    uvloop.run(main(Path(sys.argv[1]), cast("TransportName", sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
