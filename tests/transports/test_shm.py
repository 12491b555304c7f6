"""Shared memory: the life of its two ends, wake-ups, and the nets under them."""

import asyncio
import fcntl
import mmap
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rxlapce.codec.frame import Frame, encode_frame
from rxlapce.errors import BadMagic, TruncatedFrame
from rxlapce.testing.transports import Inbox, loop_rounds
from rxlapce.transports import shm
from rxlapce.transports.ring import DATA_OFFSET, RingWriter
from rxlapce.transports.shm import Descriptors, ShmReceiver, ShmSender, shm_unavailable
from rxlapce.transports.writer import FrameWriter

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

pytestmark = [
    pytest.mark.skipif(shm_unavailable() is not None, reason=str(shm_unavailable())),
    pytest.mark.usefixtures("no_descriptor_leaks"),
]

PEER = Path(__file__).with_name("ring_peer.py")
CHUNK = 0x312


def passed(sender: ShmSender) -> Descriptors:
    """The sender's descriptors as a peer would get them."""
    memory, wake = map(os.dup, sender.fds)
    return memory, wake


def put(sender: ShmSender, at: int, value: int) -> None:
    """Write into the ring's memory as a hostile peer may."""
    with mmap.mmap(sender.fds[0], DATA_OFFSET + sender.capacity) as memory:
        memory[at : at + 8] = value.to_bytes(8, sys.byteorder)


def write_unannounced(sender: ShmSender) -> None:
    """Write a frame as a peer does that forgets to wake."""
    with mmap.mmap(sender.fds[0], DATA_OFFSET + sender.capacity) as memory:
        buggy = RingWriter(memoryview(memory))
        buggy.write(memoryview(encode_frame(CHUNK, 0x24, 1, b"unannounced")))
        buggy.release()


def unexpected(error: Exception) -> None:
    pytest.fail(repr(error))


@asynccontextmanager
async def ring(capacity: int = 4096, linger_s: float = 0.0) -> AsyncGenerator[tuple[ShmSender, ShmReceiver, Inbox]]:
    inbox = Inbox()
    sender = ShmSender(capacity)
    receiver = ShmReceiver(
        passed(sender),
        capacity,
        inbox.on_frames,
        inbox.on_end,
        on_end=lambda: inbox.on_end(None),
        linger_s=linger_s,
    )
    try:
        yield sender, receiver, inbox
    finally:
        receiver.close()
        sender.close()


# -- life of the two ends -------------------------------------------------------------------------------------------


async def test_the_memory_can_neither_shrink_nor_grow_nor_be_unsealed() -> None:
    sender = ShmSender(4096)
    for size in (0, 100_000):
        with pytest.raises(PermissionError):
            os.ftruncate(sender.fds[0], size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(sender.fds[0], fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    sender.close()


async def test_descriptors_do_not_survive_an_exec() -> None:
    sender = ShmSender(4096)
    assert [os.get_inheritable(fd) for fd in sender.fds] == [False, False]
    sender.close()


async def test_closing_twice_and_passing_twice_do_nothing_the_second_time() -> None:
    async with ring() as (sender, receiver, inbox):
        sender.start(inbox.on_end)
        receiver.start()
        for _ in range(2):
            sender.release_passed()
        for _ in range(2):
            sender.close()
            receiver.close()
        with pytest.raises(RuntimeError, match="start is called once, before close"):
            sender.start(inbox.on_end)
        with pytest.raises(RuntimeError, match="start is called once, before close"):
            receiver.start()
        assert sender.lane.write(memoryview(b"x")) == 0
        assert sender.in_ring_bytes == 0
        receiver.pause()
        receiver.resume()
        receiver.drain()
        await loop_rounds()
        assert inbox.ends == []


async def test_what_was_written_before_anyone_listened_is_read_at_the_start() -> None:
    async with ring() as (sender, receiver, inbox):
        writer = FrameWriter(sender.lane)
        writer.send(CHUNK, 0x24, 1, b"early")
        writer.flush()
        sender.close()
        receiver.start()
        assert await inbox.end() is None
        assert inbox.frames == [Frame(CHUNK, 0x24, 1, b"early")]


async def test_a_sleeping_reader_is_woken_once_a_burst_and_a_busy_one_not_at_all() -> None:
    async with ring(1024 * 1024) as (sender, receiver, inbox):
        sender.start(inbox.on_end)
        receiver.start()
        await loop_rounds()
        writer = FrameWriter(sender.lane)
        writer.send(CHUNK, 0x24, 0, b"wakes")
        writer.flush()
        for n in range(50):
            writer.send(CHUNK, 0x24, n, b"more")
            writer.flush()
        # Until it has run, the reader's flag says that it sleeps: every flush wakes; the kernel makes that one event.
        await inbox.until(51)
        assert receiver.wakeups == 1
        receiver.pause()
        woken = sender.wakeups
        for n in range(50):
            writer.send(CHUNK, 0x24, n, b"read later")
            writer.flush()
        assert sender.wakeups == woken, "a paused reader need not be woken"
        receiver.resume()
        await inbox.until(101)
        assert receiver.wakeups == 1


async def test_a_lingering_reader_needs_no_wake_up_for_what_comes_meanwhile_and_then_sleeps() -> None:
    async with ring(linger_s=0.05) as (sender, receiver, inbox):
        receiver.start()
        await loop_rounds()
        writer = FrameWriter(sender.lane)
        writer.send(CHUNK, 0x24, 0, b"wakes")
        writer.flush()
        await inbox.until(1)
        woken = sender.wakeups
        for n in range(1, 4):
            writer.send(CHUNK, 0x24, n, b"comes while it lingers")
            writer.flush()
            await inbox.until(n + 1)
        assert (sender.wakeups, receiver.rescued) == (woken, 0)
        async with asyncio.timeout(5):
            while not sender.reader_sleeps:  # its next look finds nothing
                await loop_rounds()
        writer.send(CHUNK, 0x24, 9, b"wakes again")
        writer.flush()
        await inbox.until(5)
        assert sender.wakeups == woken + 1


async def test_a_reader_is_closed_while_it_lingers() -> None:
    async with ring(linger_s=0.001) as (sender, receiver, inbox):
        receiver.start()
        sender.lane.write(memoryview(encode_frame(CHUNK, 0x24, 1, b"x")))
        await inbox.until(1)
        receiver.close()
        await asyncio.get_running_loop().run_in_executor(None, bytes)  # its timer may fire meanwhile
        assert not inbox.ends


@pytest.mark.parametrize("linger_s", [-0.001, 0.06])
def test_a_linger_that_would_be_felt_is_refused(linger_s: float) -> None:
    sender = ShmSender(4096)
    with pytest.raises(ValueError, match=r"linger_s must be from 0 to 0\.05"):
        ShmReceiver(passed(sender), 4096, lambda _: None, unexpected, linger_s=linger_s)
    sender.close()


async def test_statistics_tell_fill_peak_and_bytes() -> None:
    async with ring(4096) as (sender, receiver, inbox):
        assert sender.lane.write(memoryview(bytes(5000))) == 4096
        assert (sender.in_ring_bytes, sender.high_bytes, sender.bytes) == (4096, 4096, 4096)
        receiver.drain()
        assert (sender.in_ring_bytes, sender.high_bytes, receiver.bytes) == (0, 4096, 4096)
        assert not sender.reader_closed
        receiver.close()
        assert sender.reader_closed
        assert isinstance(inbox.ends[0], BadMagic)


async def test_drain_reads_what_is_there_though_the_reader_is_paused() -> None:
    async with ring() as (sender, receiver, inbox):
        receiver.start()
        receiver.pause()
        writer = FrameWriter(sender.lane)
        for n in range(3):
            writer.send(CHUNK, 0x24, n, b"token")
        await writer.drained()
        await loop_rounds()
        assert inbox.frames == []
        receiver.drain()
        assert [frame.request_id for frame in inbox.frames] == [0, 1, 2]
        assert inbox.ends == []


async def test_finish_inside_a_frame_is_truncated() -> None:
    async with ring() as (sender, receiver, inbox):
        sender.lane.write(memoryview(encode_frame(CHUNK, 0x24, 1, b"token")[:-1]))
        receiver.finish()
        assert isinstance(inbox.ends[0], TruncatedFrame)


async def test_a_read_is_bounded_so_that_the_loop_gets_its_turn() -> None:
    batches: list[int] = []
    sender = ShmSender(100_000)
    receiver = ShmReceiver(
        passed(sender), 100_000, lambda frames: batches.append(len(frames)), unexpected, round_bytes=1000
    )
    writer = FrameWriter(sender.lane)
    for n in range(1000):
        writer.send(CHUNK, 0x24, n, bytes(26))
    writer.flush()
    receiver.start()
    await loop_rounds(3)
    assert set(batches) == {20}
    assert len(batches) < 10
    await loop_rounds(60)
    assert sum(batches) == 1000
    receiver.close()
    sender.close()


async def test_frames_after_ones_that_their_owner_choked_on_still_come() -> None:
    seen: list[int] = []
    errors: list[dict[str, Any]] = []
    enough = asyncio.Event()

    def on_frames(frames: list[Frame]) -> None:
        seen.extend(frame.request_id for frame in frames)
        if 0 in (frame.request_id for frame in frames):
            raise ZeroDivisionError("the owner's bug")
        enough.set()

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    sender = ShmSender(4096)
    receiver = ShmReceiver(passed(sender), 4096, on_frames, unexpected, round_bytes=60)
    writer = FrameWriter(sender.lane)
    receiver.start()
    for n in range(5):
        writer.send(CHUNK, 0x24, n, bytes(20))
    await enough.wait()
    await loop_rounds()
    assert seen == [0, 1, 2, 3, 4]
    assert isinstance(errors[0]["exception"], ZeroDivisionError)
    receiver.close()
    sender.close()


async def test_closing_from_within_on_frames_is_safe() -> None:
    sender = ShmSender(4096)
    closed = asyncio.Event()

    def on_frames(frames: list[Frame]) -> None:
        receiver.close()
        closed.set()

    receiver = ShmReceiver(passed(sender), 4096, on_frames, unexpected, round_bytes=60)
    receiver.start()
    sender.lane.write(memoryview(encode_frame(CHUNK, 0x24, 1, b"token") * 10))
    await closed.wait()
    await loop_rounds()
    sender.close()


async def test_bytes_whose_wake_up_never_came_are_found_by_the_net() -> None:
    async with ring() as (sender, receiver, inbox):
        receiver.start()
        receiver.watch(lambda: not inbox.frames)
        await loop_rounds()
        write_unannounced(sender)
        await inbox.until(1)
        assert (receiver.wakeups, receiver.rescued) == (0, 1)


async def test_the_net_hangs_only_while_frames_are_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shm, "NET_S", 0)
    asked = 0
    until = 0

    def expecting() -> bool:
        nonlocal asked
        asked += 1
        return asked < until

    async with ring() as (_, receiver, _inbox):
        receiver.watch(expecting)
        await loop_rounds()
        assert asked == 0, "not started"
        receiver.start()
        for until in (5, 9):
            receiver.watch(expecting)
            receiver.watch(expecting)
            await loop_rounds(50)
            assert asked == until
    receiver.watch(expecting)
    await loop_rounds()
    assert asked == until, "closed"


async def test_room_whose_wake_up_never_came_is_found_by_the_net() -> None:
    async with ring() as (sender, _, inbox):
        sender.start(inbox.on_end)
        writer = FrameWriter(sender.lane)
        writer.send(CHUNK, 0x24, 1, bytes(6000))
        writer.flush()
        assert writer.pending_bytes == 1928
        put(sender, 128, 4096)  # the read position, moved by a peer that forgets to wake
        await writer.drained()
        assert sender.in_ring_bytes == 1928


# -- where it cannot be had -----------------------------------------------------------------------------------------


def test_a_system_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    reason = shm_unavailable()
    assert reason is not None
    assert "memfd_create" in reason
    with pytest.raises(OSError, match="shared memory needs Linux"):
        ShmSender(4096)


@pytest.mark.parametrize("capacity", [0, -1, 2**31])
def test_a_capacity_that_makes_no_sense_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity must be from 1 to"):
        ShmSender(capacity)
