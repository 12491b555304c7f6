"""What a hostile client writes into the ring's memory, and what the daemon makes of it."""

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.faults.raw import RawClient
from rxlapce.codec.frame import FrameDecoder
from rxlapce.messages import ChatStream, StreamChunk, StreamDone, decode
from rxlapce.requests import ChatRequest, Message
from rxlapce.transports.ring import DATA_OFFSET, RingReader

WRITTEN, READ, SLEEPING, WAITING, WRITER_CLOSED, READER_CLOSED = (64 * number for number in range(1, 7))
MODEL: Final = "local/hostile:steady=1,tokens=60,tps=400"
_ALL_ONES: Final = 2**64 - 1


def asked(model: str) -> ChatStream:
    """A request for a stream that is not counted."""
    return ChatStream(request=ChatRequest(model=model, messages=(Message(role="user", content="ring"),)))


def wait_for_bytes(client: RawClient, more_than: int) -> int:
    """Look until the daemon has written further than that; how far."""
    until_s = time.monotonic() + 10
    while (written := client.look(WRITTEN)) <= more_than:
        if time.monotonic() > until_s:
            raise TimeoutError(f"nothing more came into the ring after {more_than} bytes")
        time.sleep(0.001)
    return written


def _ahead(client: RawClient) -> None:
    client.put(READ, wait_for_bytes(client, 0) + 1_000_000)


def _far(client: RawClient) -> None:
    wait_for_bytes(client, 0)
    client.put(READ, 2**63)


def _all_ones(client: RawClient) -> None:
    wait_for_bytes(client, 0)
    client.put(READ, _ALL_ONES)


def _back(client: RawClient) -> None:
    """As far as it has read in truth, which the daemon sees at its next frame; then back to the beginning."""
    written = wait_for_bytes(client, 0)
    client.put(READ, written)
    wait_for_bytes(client, written)
    client.put(READ, 0)


def _scribbled_head(client: RawClient) -> None:
    """All that the daemon should never believe: magic, version, capacity, and its own position and flag."""
    wait_for_bytes(client, 0)
    for at in (0, 8, 16, WRITTEN, WRITER_CLOSED):
        client.put(at, _ALL_ONES)
    client.send(asked("nobody/none"), 2)  # a frame at once, with which the daemon puts down its own position again
    until_s = time.monotonic() + 10
    while client.look(WRITTEN) == _ALL_ONES:
        if time.monotonic() > until_s:
            raise TimeoutError("the daemon writes nothing more")
        time.sleep(0.001)


def _scribbled_flags(client: RawClient) -> None:
    chance = random.Random(7)  # noqa: S311 - test data
    for _ in range(200):
        for at in (SLEEPING, WAITING, READER_CLOSED):
            client.put(at, chance.getrandbits(64))


def _flooded_wake(client: RawClient) -> None:
    assert client.wake is not None
    client.wake.setblocking(False)
    for _ in range(20_000):
        try:
            client.wake.send(b"x" * 64)
        except BlockingIOError:
            time.sleep(0.0001)


def _closed_wake(client: RawClient) -> None:
    assert client.wake is not None
    client.wake.close()
    client.put(SLEEPING, 1)


def _scribbled_data(client: RawClient) -> None:
    """Over the frames that wait for itself; then it goes, since it can read none of them."""
    wait_for_bytes(client, 0)
    assert client.memory is not None
    client.memory[DATA_OFFSET:] = b"\xa5" * (len(client.memory) - DATA_OFFSET)


#: Positions that cannot be: each must end that connection by `RingCorrupt`.
CORRUPT: Final[dict[str, Callable[[RawClient], None]]] = {
    "read ahead": _ahead,
    "read at 2**63": _far,
    "read at 2**64-1": _all_ones,
    "read back": _back,
}
#: What only harms the peer's own wake-ups, or nobody: the stream must come whole.
HARMLESS: Final[dict[str, Callable[[RawClient], None]]] = {
    "head scribbled": _scribbled_head,
    "flags scribbled": _scribbled_flags,
    "wake flooded": _flooded_wake,
    "wake closed": _closed_wake,
}


def corrupt(path: Path, name: str) -> str:
    """How the daemon ends a connection whose ring has such a position."""
    with RawClient(path).greet("shm") as client:
        client.send(asked("local/hostile:steady=1,tokens=1000000,tps=200"), 1)
        CORRUPT[name](client)
        # The daemon looks at its next frame: this request has one at once, also where the provider has nothing to say.
        client.send(asked("nobody/none"), 2)
        return client.last_word()


def harmless(path: Path, name: str) -> str:
    """`whole`, or what became of a stream whose client scribbles where nobody should look."""
    with RawClient(path).greet("shm") as client:
        client.send(asked(MODEL), 1)
        HARMLESS[name](client)
        return read_whole(client, {1})


def scribbled(path: Path) -> str:
    """Scribble over the ring's data, and go."""
    with RawClient(path).greet("shm") as client:
        client.send(asked(MODEL), 1)
        _scribbled_data(client)
    return "gone"


def read_whole(client: RawClient, open_streams: set[int], texts: dict[int, str] | None = None) -> str:
    """Read the ring, as an honest client does but without sleeping in it, until these streams have ended: `whole`.

    What else comes is not looked at.
    """
    assert client.memory is not None
    reader, decoder, seqs = RingReader(memoryview(client.memory)), FrameDecoder(), dict.fromkeys(open_streams, 0)
    waiting, until_s = set(open_streams), time.monotonic() + 60
    try:
        while waiting:
            data = reader.read(1 << 20)
            if not data:
                time.sleep(0.001)
                if client.wake is not None and client.wake.fileno() >= 0 and reader.writer_waits():
                    with suppress(BlockingIOError):  # full: it has been woken already
                        client.wake.send(b"\0", socket.MSG_DONTWAIT)
            if time.monotonic() > until_s:
                return f"not ended: {seqs}"
            for frame in decoder.feed(data):
                if frame.request_id not in waiting:
                    continue
                message = decode(frame.number, frame.payload, receiver="client")
                if not isinstance(message, StreamChunk | StreamDone) or message.seq != seqs[frame.request_id]:
                    return f"stream {frame.request_id} at {seqs[frame.request_id]}: {message!r}"
                seqs[frame.request_id] += 1
                if isinstance(message, StreamDone):
                    waiting.discard(frame.request_id)
                elif texts is not None:
                    texts[frame.request_id] = texts.get(frame.request_id, "") + getattr(message.token, "text", "")
    finally:
        reader.release()
    return "whole"
