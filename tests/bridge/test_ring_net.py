"""The net under the ring's wake-ups, as the client hangs it: only while a stream is open."""

import mmap
import os
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.messages import Heartbeat, StreamChunk, StreamDone
from rxlapce.testing.asking import ask
from rxlapce.testing.peer import RawPeer, fake_daemon, frame_of
from rxlapce.testing.transports import loop_rounds
from rxlapce.tokens import Finish, FinishKind, Text
from rxlapce.transports import shm
from rxlapce.transports.ring import DATA_OFFSET, RingWriter
from rxlapce.transports.shm import ShmSender, shm_unavailable

pytestmark = pytest.mark.skipif(shm_unavailable() is not None, reason=str(shm_unavailable()))

CAPACITY = 8192


class Mute(ShmSender):
    """A ring whose writer wakes nobody."""

    def __init__(self) -> None:
        super().__init__(CAPACITY)
        self.memory = os.dup(self.fds[0])

    def write(self, *frames: bytes) -> None:
        """Write the first frames of this ring."""
        with mmap.mmap(self.memory, DATA_OFFSET + CAPACITY) as memory:
            writer = RingWriter(memoryview(memory))
            writer.write(bytearray(b"".join(frames)))
            writer.release()

    def close(self) -> None:
        """Close the test's descriptor too, once."""
        if self.memory >= 0:
            os.close(self.memory)
            self.memory = -1
        super().close()


async def until_closed(peer: RawPeer) -> None:
    """Wait for the client's end."""
    await peer.receive_all()


async def test_an_answer_of_a_daemon_that_never_wakes_still_comes(path: Path) -> None:
    ring = Mute()

    async def script(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        ring.write(
            frame_of(StreamChunk(0, Text("slow")), request_id, "daemon"),
            frame_of(StreamDone(1, Finish(FinishKind.STOP)), request_id, "daemon"),
        )
        await until_closed(peer)

    async with fake_daemon(path, script, make_shm=lambda: ring), await connect(path) as client:
        tokens = [token async for token in client.chat_stream(ask())]
        assert tokens == [Text("slow"), Finish(FinishKind.STOP)]
        assert client.ring is not None
        assert client.ring.rescued == 1


async def test_a_client_without_a_stream_does_not_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shm, "NET_S", 0)  # each loop round, if at all
    ring = Mute()

    async with fake_daemon(path, until_closed, make_shm=lambda: ring), await connect(path) as client:
        assert client.ring is not None
        await loop_rounds()
        ring.write(frame_of(Heartbeat(), 0, "daemon"))
        await loop_rounds(50)
        assert client.ring.bytes == 0
        stream = client.chat_stream(ask()).subscribe()
        await loop_rounds(50)
        stream.dispose()
        assert client.ring.rescued == 1
