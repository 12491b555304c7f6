"""A connection over a socket: how it begins, and each way in which it ends."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from rxlapce.codec.frame import Frame, encode_frame
from rxlapce.errors import BadMagic, ConnectionLost, TruncatedFrame
from rxlapce.testing.transports import Inbox, loop_rounds
from rxlapce.transports.unix import SocketConnection, attach

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@asynccontextmanager
async def connection(leftover: bytes = b"") -> AsyncGenerator[tuple[SocketConnection, socket.socket, Inbox]]:
    ours, theirs = socket.socketpair()
    inbox = Inbox()
    with theirs:
        ours.setblocking(False)
        made = await attach(ours, inbox.on_frames, inbox.on_end, leftover=leftover)
        try:
            yield made, theirs, inbox
        finally:
            made.abort()
            await made.close()


def run(loop_factory: LoopFactory, test: Callable[[], object]) -> None:
    async def call() -> None:
        result = test()
        assert asyncio.iscoroutine(result)
        await result

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(call())


ONE = Frame(0x300, 0x10, 1, b"one")
TWO = Frame(0x300, 0x10, 2, b"two")


def wire(frame: Frame) -> bytes:
    return encode_frame(frame.number, frame.flags, frame.request_id, frame.payload)


def test_leftover_comes_first_and_nothing_before_attach_has_returned(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        inbox = Inbox()
        with theirs:
            theirs.sendall(wire(TWO)[5:])
            made = await attach(ours, inbox.on_frames, inbox.on_end, leftover=wire(ONE) + wire(TWO)[:5])
            assert inbox.frames == []
            assert await inbox.until(2) == [ONE, TWO]
            assert made.bytes_read == 54
            assert made.peer_uid == os.geteuid()
            await made.close()

    run(loop_factory, test)


def test_a_peer_gone_before_attach_is_still_told_once_with_its_last_frames(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        inbox = Inbox()
        theirs.sendall(wire(ONE))
        theirs.close()
        made = await attach(ours, inbox.on_frames, inbox.on_end)
        assert await inbox.end() is None
        assert inbox.frames == [ONE]
        await made.close()
        assert inbox.ends == [None]
        assert made.lost

    run(loop_factory, test)


def test_a_last_word_can_be_said_after_bytes_that_are_no_frame(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with connection() as (made, theirs, inbox):
            theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert isinstance(await inbox.end(), BadMagic)
            made.writer.send(0x0004, 0x20, 0, b"{}")
            await made.close()
            theirs.settimeout(5)
            assert theirs.recv(100) == encode_frame(0x0004, 0x20, 0, b"{}")
            assert theirs.recv(100) == b""
            assert len(inbox.ends) == 1

    run(loop_factory, test)


def test_a_reset_is_connection_lost(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
            ours.setblocking(False)
            inbox = Inbox()
            made = await attach(ours, inbox.on_frames, inbox.on_end)
            assert made.peer_uid is None
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            error = await inbox.end()
            assert isinstance(error, ConnectionLost)
            assert "reset" in str(error)
            await made.close()
            assert len(inbox.ends) == 1

    run(loop_factory, test)


def test_closing_sends_what_waits_but_not_for_ever(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with connection() as (made, _, inbox):
            for _n in range(100):
                made.writer.send(0x312, 0x24, 0, bytes(100_000))
            await made.close(timeout_s=0.05)
            assert inbox.ends == [None]
            assert made.writer.closed

    run(loop_factory, test)


async def test_aborting_inside_a_frame_is_our_doing_and_no_error() -> None:
    async with connection() as (made, theirs, inbox):
        theirs.sendall(wire(ONE) + wire(TWO)[:9])
        await inbox.until(1)
        made.abort()
        assert await inbox.end() is None


async def test_an_end_inside_a_frame_is_truncated() -> None:
    async with connection() as (_, theirs, inbox):
        theirs.sendall(wire(ONE)[:9])
        theirs.close()
        assert isinstance(await inbox.end(), TruncatedFrame)


async def test_a_cancelled_close_still_closes() -> None:
    async with connection() as (made, theirs, inbox):
        made.writer.send(0x312, 0x24, 0, bytes(5_000_000))
        closing = asyncio.ensure_future(made.close(timeout_s=60))
        await loop_rounds()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert await inbox.end() is None
        assert theirs.fileno() >= 0


async def test_a_peer_that_reads_nothing_is_given_up_and_told_as_lost() -> None:
    async with connection() as (made, _, inbox):
        for _n in range(80):
            made.writer.send(0x004, 0x20, 0, bytes(1_000_000))
        error = await inbox.end()
        assert isinstance(error, ConnectionLost)
        assert "gave the peer up" in str(error)
        await made.close()
        assert len(inbox.ends) == 1
