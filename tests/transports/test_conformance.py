"""The one conformance suite over every transport, on both event loops."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from rxlapce.testing.transports import CHECKS, Check, Inbox, Link, OpenLink
from rxlapce.transports.memory import memory_pair
from rxlapce.transports.shm import ShmReceiver, ShmSender, shm_unavailable
from rxlapce.transports.unix import attach
from rxlapce.transports.writer import FrameWriter

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

# Shorter than some frames, and no power of two.
SMALL_RING = 3001


def over_memory(capacity: int) -> OpenLink:
    @asynccontextmanager
    async def open_link() -> AsyncGenerator[Link]:
        inbox = Inbox()
        lane, receiver = memory_pair(capacity, inbox.on_frames, inbox.on_end, round_bytes=max(capacity // 3, 300))
        writer = FrameWriter(lane)
        receiver.start()

        async def close_sender() -> None:
            await writer.drained()
            lane.close()

        try:
            yield Link(
                writer=writer,
                lane=lane,
                inbox=inbox,
                pause=receiver.pause,
                resume=receiver.resume,
                close_sender=close_sender,
                wakeups=lambda: receiver.wakeups,
            )
        finally:
            lane.close()
            receiver.close()

    return open_link


def over_shm(capacity: int) -> OpenLink:
    @asynccontextmanager
    async def open_link() -> AsyncGenerator[Link]:
        inbox = Inbox()
        sender = ShmSender(capacity)
        memory, wake = map(os.dup, sender.fds)  # as if passed: the receiver owns what it gets
        receiver = ShmReceiver(
            (memory, wake),
            capacity,
            inbox.on_frames,
            inbox.on_end,
            on_end=lambda: inbox.on_end(None),
        )
        sender.release_passed()
        sender.start(inbox.on_end)
        receiver.start()
        receiver.watch(lambda: True)
        writer = FrameWriter(sender.lane)

        async def close_sender() -> None:
            await writer.drained()
            sender.close()

        try:
            yield Link(
                writer=writer,
                lane=sender.lane,
                inbox=inbox,
                pause=receiver.pause,
                resume=receiver.resume,
                close_sender=close_sender,
                wakeups=lambda: sender.wakeups,
            )
            # Both ends run on one thread here: no wake-up can be on its way when the net looks.
            assert receiver.rescued == 0, "a wake-up was missed"
        finally:
            receiver.close()
            sender.close()

    return open_link


@asynccontextmanager
async def over_socket() -> AsyncGenerator[Link]:
    inbox = Inbox()
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    sender = await attach(left, lambda frames: None, lambda error: None)
    receiver = await attach(right, inbox.on_frames, inbox.on_end)
    try:
        yield Link(
            writer=sender.writer,
            lane=sender.lane,
            inbox=inbox,
            pause=receiver.pause_reading,
            resume=receiver.resume_reading,
            close_sender=sender.close,
        )
    finally:
        sender.abort()
        receiver.abort()
        await sender.close()
        await receiver.close()


TRANSPORTS: dict[str, OpenLink] = {
    "memory": over_memory(64 * 1024),
    "small memory": over_memory(SMALL_RING),
    "socket": over_socket,
    "shm": over_shm(1024 * 1024),
    "small shm": over_shm(SMALL_RING),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_transport_conforms(transport: str, check: Check, loop_factory: LoopFactory, no_descriptor_leaks: None) -> None:
    reason = shm_unavailable()
    if "shm" in transport and reason is not None:
        pytest.skip(reason)

    async def run() -> None:
        await check(TRANSPORTS[transport])

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
