"""Shared memory with a peer that lies: in the memory, in the descriptors it passes, in what it does with its own."""

import fcntl
import mmap
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from rxlapce.codec.frame import Frame, encode_frame
from rxlapce.errors import RingCorrupt
from rxlapce.testing.transports import Inbox, loop_rounds
from rxlapce.transports.ring import DATA_OFFSET
from rxlapce.transports.shm import ShmReceiver, ShmSender, shm_unavailable
from rxlapce.transports.writer import FrameWriter

pytestmark = [
    pytest.mark.skipif(shm_unavailable() is not None, reason=str(shm_unavailable())),
    pytest.mark.usefixtures("no_descriptor_leaks"),
]

CHUNK = 0x312
CAPACITY = 4096
TOKEN = Frame(CHUNK, 0x24, 1, b"token")
TOKEN_BYTES = encode_frame(TOKEN.number, TOKEN.flags, TOKEN.request_id, TOKEN.payload)


def put(memory_fd: int, at: int, value: int) -> None:
    """Write into the ring's memory as a hostile peer may."""
    with mmap.mmap(memory_fd, DATA_OFFSET + CAPACITY) as memory:
        memory[at : at + 8] = value.to_bytes(8, sys.byteorder)


@contextmanager
def sending() -> Generator[tuple[ShmSender, int, socket.socket]]:
    """A sender, and what its peer was passed: the memory and the wake-up socket."""
    sender = ShmSender(CAPACITY)
    memory, wake = map(os.dup, sender.fds)
    sender.release_passed()
    with socket.socket(fileno=wake) as theirs:
        try:
            yield sender, memory, theirs
        finally:
            sender.close()
            os.close(memory)


@asynccontextmanager
async def receiving() -> AsyncGenerator[tuple[ShmReceiver, Inbox, ShmSender, socket.socket]]:
    """A receiver; the ring's writing side, which wakes nobody; and the peer's end of the wake-up sockets."""
    inbox = Inbox()
    sender = ShmSender(CAPACITY)
    theirs, ours = socket.socketpair()
    receiver = ShmReceiver((os.dup(sender.fds[0]), ours.detach()), CAPACITY, inbox.on_frames, inbox.on_end)
    try:
        with theirs:
            yield receiver, inbox, sender, theirs
    finally:
        receiver.close()
        sender.close()


# -- in the memory --------------------------------------------------------------------------------------------------


async def test_a_hostile_read_position_ends_the_sender_s_use_once() -> None:
    with sending() as (sender, memory, theirs):
        inbox = Inbox()
        sender.start(inbox.on_end)
        writer = FrameWriter(sender.lane)
        put(memory, 128, 99)
        writer.send(CHUNK, 0x24, 1, b"token")
        assert isinstance(await inbox.end(), RingCorrupt)
        writer.send(CHUNK, 0x24, 2, b"token")
        theirs.send(b"\0")
        await loop_rounds()
        assert len(inbox.ends) == 1
        assert sender.bytes == 0


async def test_a_hostile_read_position_is_found_when_room_is_announced() -> None:
    with sending() as (sender, memory, theirs):
        inbox = Inbox()
        sender.start(inbox.on_end)
        writer = FrameWriter(sender.lane)
        writer.send(CHUNK, 0x24, 1, bytes(6000))
        writer.flush()
        put(memory, 128, 2**63)
        theirs.send(b"\0")
        assert isinstance(await inbox.end(), RingCorrupt)


@pytest.mark.parametrize("position", [4097, 2**64 - 1])
async def test_a_hostile_write_position_ends_the_receiver_s_use_once(position: int) -> None:
    async with receiving() as (receiver, inbox, sender, theirs):
        receiver.start()
        await loop_rounds()
        put(sender.fds[0], 64, position)
        theirs.send(b"\0")
        assert isinstance(await inbox.end(), RingCorrupt)
        theirs.send(b"\0")
        receiver.drain()
        receiver.finish()
        await loop_rounds()
        assert (len(inbox.ends), inbox.frames) == (1, [])


# -- in the descriptors that it passes ------------------------------------------------------------------------------


def _unsealed(size: int) -> int:
    memory = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    return memory


def _short() -> int:
    memory = _unsealed(DATA_OFFSET + 4095)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return memory


@pytest.mark.parametrize(
    ("memory", "capacity", "error"),
    [
        (lambda: _unsealed(DATA_OFFSET + 4096), 4096, "not sealed against shrinking"),
        (_short, 4096, "has 8191 bytes, expected 8192"),
        (lambda: os.open("/dev/null", os.O_RDWR), 4096, "cannot be used"),
        (lambda: os.open(Path(__file__), os.O_RDONLY), 4096, "cannot be used|not sealed"),
        (_short, 0, "a ring of 0 bytes"),
        (_short, 2**31, "a ring of 2147483648 bytes"),
    ],
    ids=["unsealed", "short", "device", "file", "no capacity", "absurd capacity"],
)
async def test_memory_that_is_not_what_it_should_be_is_refused_and_closed(
    memory: Callable[[], int], capacity: int, error: str
) -> None:
    theirs, ours = socket.socketpair()
    with theirs, pytest.raises(RingCorrupt, match=error):
        ShmReceiver((memory(), ours.detach()), capacity, lambda frames: None, lambda error: None)


def _pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def _listening() -> int:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(b"")  # a free abstract address
    sock.listen()
    return sock.detach()


@pytest.mark.parametrize(
    ("wake", "error"),
    [
        (_pipe, "cannot be used"),
        (lambda: os.eventfd(0), "cannot be used"),
        (_listening, "no Unix stream socket that carries bytes"),
        (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(), "no Unix stream socket"),
        (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).detach(), "no Unix stream socket"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach(), "no Unix stream socket"),
    ],
    ids=["pipe", "eventfd", "listening", "datagrams", "packets", "internet"],
)
async def test_a_wake_up_descriptor_that_is_no_unix_stream_is_refused_and_closed(
    wake: Callable[[], int], error: str
) -> None:
    sender = ShmSender(CAPACITY)
    with pytest.raises(RingCorrupt, match=error):
        ShmReceiver((os.dup(sender.fds[0]), wake()), CAPACITY, lambda frames: None, lambda error: None)
    sender.close()


# -- in what it does with its own end -------------------------------------------------------------------------------


def fill(sock: socket.socket) -> int:
    """Send until nothing more fits, and let the socket block from then on; return how many bytes that took."""
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(4096))
    except BlockingIOError:
        sock.setblocking(True)
        return sent


async def test_a_sender_does_not_block_though_its_peer_s_end_does_and_both_are_full() -> None:
    with sending() as (sender, memory, theirs):
        put(memory, 192, 1)  # "I sleep", for ever: each write wakes
        fill(theirs)
        for n in range(1, 1001):
            assert sender.lane.write(memoryview(b"x")) == 1
            put(memory, 128, n)  # read, and the wake-up left where it is
        assert sender.wakeups == 1000
        assert 0 < len(theirs.recv(2000)) < 1000, "the socket was full, and that was no error"
        inbox = Inbox()
        sender.start(inbox.on_end)
        await loop_rounds()
        assert inbox.ends == []


async def test_a_receiver_does_not_block_though_its_peer_s_end_does_and_both_are_full() -> None:
    async with receiving() as (receiver, inbox, sender, theirs):
        fill(theirs)
        receiver.start()
        put(sender.fds[0], 256, 1)  # "I wait for room", for ever: each read wakes
        for n in range(1, 1001):
            sender.lane.write(memoryview(TOKEN_BYTES))
            receiver.drain()
            assert len(inbox.frames) == n
        await loop_rounds()
        assert 0 < len(theirs.recv(2000)) < 1000, "the socket was full, and that was no error"


async def test_a_sender_whose_peer_has_closed_its_end_early_goes_on_slowly() -> None:
    with sending() as (sender, memory, theirs):
        inbox = Inbox()
        sender.start(inbox.on_end)
        theirs.close()
        put(memory, 192, 1)
        writer = FrameWriter(sender.lane)
        writer.send(CHUNK, 0x24, 1, bytes(6000))  # wakes who does not hear, and then waits for room
        writer.flush()
        await loop_rounds()
        put(memory, 128, CAPACITY)
        await writer.drained()  # by the net; whether the peer lives, the socket with the frames tells
        assert inbox.ends == []


async def test_a_receiver_whose_peer_has_closed_its_end_early_goes_on_slowly() -> None:
    async with receiving() as (receiver, inbox, sender, theirs):
        receiver.start()
        theirs.close()
        await loop_rounds()
        receiver.watch(lambda: not inbox.frames)
        sender.lane.write(memoryview(TOKEN_BYTES))
        assert await inbox.until(1) == [TOKEN]
        assert receiver.rescued == 1
