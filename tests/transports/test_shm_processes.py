"""Shared memory between two processes: whole, in order, and nothing left behind after kill -9."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from rxlapce.errors import TruncatedFrame
from rxlapce.messages import Handshake
from rxlapce.testing.transports import Inbox, loop_rounds
from rxlapce.transports.handshake import Accepted, accept_handshake, client_handshake, ring_fds
from rxlapce.transports.shm import ShmReceiver, ShmSender, shm_unavailable
from rxlapce.transports.unix import attach
from rxlapce.transports.writer import FrameWriter

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

pytestmark = [
    pytest.mark.skipif(shm_unavailable() is not None, reason=str(shm_unavailable())),
    pytest.mark.usefixtures("no_descriptor_leaks"),
]

PEER = Path(__file__).with_name("ring_peer.py")
CHUNK = 0x312


def unexpected(error: Exception) -> None:
    pytest.fail(repr(error))


@asynccontextmanager
async def peer(mode: str) -> AsyncGenerator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        process = subprocess.Popen(  # noqa: ASYNC220 - a start takes milliseconds, and nothing else runs here
            [sys.executable, str(PEER), str(theirs.fileno()), mode],
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
        )
    with process, ours:
        try:
            yield ours, process
        finally:
            process.kill()


async def grant(ours: socket.socket, capacity: int) -> tuple[Accepted, ShmSender]:
    accepted = await accept_handshake(
        ours,
        make_shm=lambda: ShmSender(capacity),
        server="test",
        max_streams=1,
        allowed_uid=os.geteuid(),
        timeout_s=10,
    )
    assert accepted.shm is not None
    return accepted, accepted.shm


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("loop_factory", "capacity", "count"),
    [(uvloop.new_event_loop, 1024 * 1024, 200_000), (asyncio.new_event_loop, 5000, 20_000)],
    ids=["uvloop, 200,000 frames", "asyncio, a small ring"],
)
def test_frames_reach_another_process_whole_and_in_order(loop_factory: LoopFactory, capacity: int, count: int) -> None:

    async def run() -> dict[str, Any]:
        async with peer("read") as (ours, process):
            _, sender = await grant(ours, capacity)
            sender.start(unexpected)
            writer = FrameWriter(sender.lane)
            for n in range(count):
                if not writer.flow.is_open:
                    await writer.flow.wait_open()
                if n % 61 == 0:  # bursts of a few loop rounds: the reader falls asleep again and again
                    await loop_rounds(1)
                writer.send(CHUNK, 0x24, n, b"%d" % n * (n % 40))
            await writer.drained()
            assert sender.high_bytes <= capacity
            assert sender.bytes == writer.bytes_taken
            sender.close()
            out, _ = await asyncio.to_thread(process.communicate)
            seen: dict[str, Any] = json.loads(out)
            return seen

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(run()) == {"seen": count, "wrong": 0, "errors": []}


def shared_segments() -> set[str]:
    return {entry.name for entry in Path("/dev/shm").iterdir()}  # noqa: S108 - looked at, not written


async def test_a_reader_that_is_killed_leaves_nothing_and_its_socket_tells() -> None:
    before = shared_segments()
    async with peer("hang") as (ours, process):
        _, sender = await grant(ours, 4096)
        inbox = Inbox()
        connection = await attach(ours, inbox.on_frames, inbox.on_end)
        sender.start(inbox.on_end)
        writer = FrameWriter(sender.lane)
        while writer.flow.is_open:
            writer.send(CHUNK, 0x24, 0, bytes(3000))
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        process.kill()
        assert await inbox.end() is None
        assert sender.in_ring_bytes == 4096
        writer.close()
        sender.close()
        await connection.close()
    assert shared_segments() == before


async def test_what_a_writer_wrote_before_it_was_killed_is_read_and_then_its_death_is_told() -> None:
    before = shared_segments()
    async with peer("write") as (ours, process):
        agreed = await client_handshake(ours, Handshake(transport="shm"), 10)
        assert agreed.ack.ring is not None
        inbox, lost = Inbox(), Inbox()
        connection = await attach(ours, lost.on_frames, lost.on_end, leftover=agreed.leftover)
        receiver = ShmReceiver(
            ring_fds(agreed),
            agreed.ack.ring.capacity,
            inbox.on_frames,
            inbox.on_end,
            on_end=lambda: inbox.on_end(None),
        )
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"full\n"
        process.kill()
        assert await lost.end() is None
        receiver.finish()
        assert sum(24 + len(frame.payload) for frame in inbox.frames) > agreed.ack.ring.capacity - 2000
        assert [frame.request_id for frame in inbox.frames] == list(range(len(inbox.frames)))
        # The last frame may be torn: the ring was full when the writer died.
        assert len(inbox.ends) == 1
        assert inbox.ends[0] is None or isinstance(inbox.ends[0], TruncatedFrame)
        receiver.close()
        await connection.close()
    assert shared_segments() == before
