"""The first two frames: what is agreed, what is refused, and what happens to descriptors on every way out."""

import array
import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import pytest

from rxlapce.codec.frame import encode_frame
from rxlapce.errors import (
    BadMagic,
    BadPayload,
    ConnectionLost,
    FrameTooLarge,
    HandshakeRefused,
    ProtocolError,
    TruncatedFrame,
)
from rxlapce.messages import (
    NUMBERS,
    Cancel,
    Handshake,
    HandshakeAck,
    Heartbeat,
    ProtocolFailure,
    RingGrant,
    WireMessage,
    encode,
)
from rxlapce.testing.transports import loop_rounds
from rxlapce.transports.first_frame import receive_frame, send_frame
from rxlapce.transports.handshake import Accepted, Agreed, accept_handshake, client_handshake, ring_fds
from rxlapce.transports.shm import ShmSender, shm_unavailable

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")
needs_shm = pytest.mark.skipif(shm_unavailable() is not None, reason=str(shm_unavailable()))


@asynccontextmanager
async def sockets() -> AsyncGenerator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


def frame(message: WireMessage) -> bytes:
    return encode_frame(NUMBERS[type(message)], 0x10, 0, encode(message))


async def accept(
    sock: socket.socket, make_shm: Callable[[], ShmSender] | None = None, uid: int | None = None, timeout_s: float = 5
) -> Accepted:
    return await accept_handshake(
        sock,
        make_shm=make_shm,
        server="daemon 1",
        max_streams=8,
        allowed_uid=os.geteuid() if uid is None else uid,
        timeout_s=timeout_s,
    )


async def both(
    handshake: Handshake, make_shm: Callable[[], ShmSender] | None = None, uid: int | None = None
) -> tuple[Accepted | BaseException, Agreed | BaseException]:
    async with sockets() as (daemon, client):
        accepted, agreed = await asyncio.gather(
            accept(daemon, make_shm, uid), client_handshake(client, handshake, 5), return_exceptions=True
        )
        return accepted, agreed


def release(accepted: Accepted | BaseException, agreed: Agreed | BaseException) -> None:
    if isinstance(accepted, Accepted) and accepted.shm is not None:
        accepted.shm.close()
    if isinstance(agreed, Agreed):
        for fd in agreed.fds:
            os.close(fd)


# -- agreement ------------------------------------------------------------------------------------------------------


def test_both_sides_agree_on_the_socket(loop_factory: LoopFactory) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        accepted, agreed = runner.run(both(Handshake(client="editor 2")))
    assert isinstance(accepted, Accepted)
    assert isinstance(agreed, Agreed)
    assert (accepted.handshake.client, accepted.shm, accepted.leftover) == ("editor 2", None, b"")
    assert accepted.uid == os.geteuid()
    assert agreed.ack == HandshakeAck(version=1, server="daemon 1", transport="socket", max_streams=8)
    assert (agreed.fds, agreed.leftover) == ((), b"")


@needs_shm
def test_a_ring_is_granted_and_its_memory_is_the_same(loop_factory: LoopFactory) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        accepted, agreed = runner.run(both(Handshake(transport="shm"), lambda: ShmSender(5000)))
    assert isinstance(accepted, Accepted)
    assert isinstance(agreed, Agreed)
    assert accepted.shm is not None
    assert agreed.ack.ring is not None
    assert (agreed.ack.transport, agreed.ack.ring.capacity, agreed.ack.reason) == ("shm", 5000, None)
    memory, wake = ring_fds(agreed)
    assert [os.get_inheritable(fd) for fd in (memory, wake)] == [False, False]
    accepted.shm.lane.write(memoryview(b"hello"))
    assert os.pread(memory, 5, 4096) == b"hello"
    release(accepted, agreed)


def _unmakeable() -> ShmSender:
    raise OSError(24, "Too many open files")


@pytest.mark.parametrize(
    ("make_shm", "reason"),
    [
        (None, "shared memory is switched off"),
        pytest.param(_unmakeable, "shared memory could not be made: Too many open files", marks=needs_shm),
    ],
)
async def test_a_ring_that_cannot_be_had_becomes_the_socket_with_the_reason(
    make_shm: Callable[[], ShmSender] | None, reason: str
) -> None:
    accepted, agreed = await both(Handshake(transport="shm"), make_shm)
    assert isinstance(accepted, Accepted)
    assert isinstance(agreed, Agreed)
    assert accepted.shm is None
    assert (agreed.ack.transport, agreed.ack.ring, agreed.fds) == ("socket", None, ())
    if shm_unavailable() is None:
        assert agreed.ack.reason == reason


async def test_a_system_without_shared_memory_answers_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    _, agreed = await both(Handshake(transport="shm"), ShmSender)
    assert isinstance(agreed, Agreed)
    assert agreed.ack.transport == "socket"
    assert agreed.ack.reason is not None
    assert "memfd_create" in agreed.ack.reason
    with pytest.raises(ValueError, match="not enough values"):
        ring_fds(agreed)


async def test_what_a_client_sends_behind_its_handshake_is_left_over() -> None:
    async with sockets() as (daemon, client):
        behind = frame(Heartbeat()) + b"\x43\x50"
        client.sendall(frame(Handshake()) + behind)
        assert (await accept(daemon)).leftover == behind


async def test_a_handshake_torn_at_every_byte_is_put_together() -> None:
    whole = frame(Handshake(client="slow"))
    for cut in range(1, len(whole)):
        async with sockets() as (daemon, client):
            accepting = asyncio.ensure_future(accept(daemon))
            client.sendall(whole[:cut])
            await loop_rounds(4)
            client.sendall(whole[cut:])
            assert (await accepting).handshake.client == "slow", cut


async def test_a_client_gone_at_every_byte_is_truncated_or_lost() -> None:
    whole = frame(Handshake(client="gone"))
    for cut in range(len(whole)):
        async with sockets() as (daemon, client):
            client.sendall(whole[:cut])
            client.close()
            with pytest.raises(TruncatedFrame if cut else ConnectionLost):
                await accept(daemon)


# -- refusal --------------------------------------------------------------------------------------------------------


async def test_no_common_version_is_refused_on_both_sides_with_the_reason() -> None:
    accepted, agreed = await both(Handshake(versions=(7, 9)))
    for error in (accepted, agreed):
        assert isinstance(error, HandshakeRefused)
        assert "no common version: the client offers 7, 9, the daemon speaks 1" in str(error)


async def test_another_user_is_refused_before_a_byte_of_it_is_read() -> None:
    accepted, agreed = await both(Handshake(), uid=os.geteuid() + 1)
    for error in (accepted, agreed):
        assert isinstance(error, HandshakeRefused)
        assert f"serves user {os.geteuid() + 1} only, and you are user {os.geteuid()}" in str(error)


@pytest.mark.parametrize(
    ("first", "error", "text"),
    [
        (frame(Cancel()), HandshakeRefused, "the first frame must be a handshake, not type 0x0205"),
        (frame(HandshakeAck()), HandshakeRefused, "the first frame must be a handshake: message type 0x0011"),
        (encode_frame(0x0010, 0x10, 0, b"[]"), BadPayload, "payload of type 0x0010"),
        (encode_frame(0x0010, 0x10, 0, b'{"type":"handshake","versions":1}'), BadPayload, r"\$.versions"),
        (encode_frame(0x0010, 0x10, 0, bytes(65_537)), FrameTooLarge, "65,?537"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", BadMagic, "a frame starts with 43 50 41 4c"),
    ],
    ids=["command", "answer", "not an object", "wrong member", "too large", "HTTP"],
)
async def test_a_wrong_first_message_is_answered_with_a_protocol_failure(
    first: bytes, error: type[ProtocolError], text: str
) -> None:
    async with sockets() as (daemon, client):
        client.sendall(first)
        with pytest.raises(error, match=text):
            await accept(daemon)
        received = await receive_frame(client, max_payload_bytes=10_000, timeout_s=5)
        assert received.frame.number == NUMBERS[ProtocolFailure]
        assert f'"error":"{error.__name__}"'.encode() in received.frame.payload


async def test_a_silent_client_is_given_up_after_the_timeout() -> None:
    async with sockets() as (daemon, client):
        client.sendall(frame(Handshake())[:30])
        with pytest.raises(ConnectionLost, match=r"waited 0\.01 s for the peer's first frame"):
            await accept(daemon, timeout_s=0.01)


async def test_a_peer_that_does_not_read_is_given_up_after_the_timeout() -> None:
    async with sockets() as (daemon, _):
        with pytest.raises(ConnectionLost, match=r"waited 0\.01 s for the peer to read"):
            await send_frame(daemon, bytes(10_000_000), timeout_s=0.01)


async def test_a_large_frame_is_sent_in_as_many_parts_as_it_takes() -> None:
    data = encode_frame(0x300, 0x10, 3, bytes(5_000_000))
    async with sockets() as (left, right):
        sending = asyncio.ensure_future(send_frame(left, data, timeout_s=10))
        received = await receive_frame(right, max_payload_bytes=5_000_000, timeout_s=10)
        await sending
        assert (received.frame.request_id, len(received.frame.payload)) == (3, 5_000_000)


async def test_sending_to_a_peer_that_is_gone_is_connection_lost() -> None:
    async with sockets() as (daemon, client):
        client.close()
        with pytest.raises(ConnectionLost, match="Broken pipe"):
            await send_frame(daemon, b"x", timeout_s=1)


Lie = tuple[HandshakeAck | ProtocolFailure | Heartbeat, Literal["shm", "socket"], int, str]
LIES: list[Lie] = [
    (HandshakeAck(version=2), "socket", 0, "the daemon chose version 2, which was not offered"),
    (HandshakeAck(transport="shm"), "shm", 2, "grants a ring that was not asked for, or without its size"),
    (HandshakeAck(transport="shm"), "socket", 2, "grants a ring that was not asked for"),
    (HandshakeAck(transport="shm", ring=RingGrant(capacity=1)), "shm", 1, "1 descriptors instead of 2"),
    (Heartbeat(), "socket", 2, "no acknowledgement, but of type 0x0005"),
    (ProtocolFailure(error="x", message="go away"), "shm", 2, "the daemon refused: go away"),
]


@pytest.mark.parametrize(("answer", "transport", "descriptors", "text"), LIES)
async def test_an_answer_that_is_none_is_refused_and_its_descriptors_are_closed(
    answer: HandshakeAck | ProtocolFailure | Heartbeat,
    transport: Literal["shm", "socket"],
    descriptors: int,
    text: str,
) -> None:
    async with sockets() as (daemon, client):
        await send_frame(daemon, frame(answer), [daemon.fileno()] * descriptors, timeout_s=5)
        with pytest.raises(HandshakeRefused, match=text):
            await client_handshake(client, Handshake(transport=transport), 5)


# -- descriptors ----------------------------------------------------------------------------------------------------


async def test_descriptors_nobody_asked_for_are_closed() -> None:
    async with sockets() as (daemon, client):
        await send_frame(client, frame(Handshake()), [client.fileno()] * 5, timeout_s=5)
        assert (await accept(daemon)).handshake == Handshake()


async def test_more_descriptors_than_allowed_are_refused_or_closed() -> None:
    for count in (4, 5, 20):
        async with sockets() as (left, right):
            await send_frame(left, frame(Heartbeat()), [left.fileno()] * count, timeout_s=5)
            with suppress(HandshakeRefused):  # whether the kernel finds room for a fourth is its own business
                received = await receive_frame(right, max_payload_bytes=100, timeout_s=5, max_fds=3)
                assert len(received.fds) == 3
                for fd in received.fds:
                    os.close(fd)


@pytest.mark.parametrize("cut", [1, 23, 24, 30])
async def test_descriptors_of_a_torn_frame_are_closed(cut: int) -> None:
    async with sockets() as (left, right):
        await send_frame(left, frame(Heartbeat())[:cut], [right.fileno()] * 3, timeout_s=5)
        left.close()
        with pytest.raises(TruncatedFrame):
            await receive_frame(right, max_payload_bytes=100, timeout_s=5, max_fds=3)


async def test_descriptors_of_a_frame_that_never_ends_are_closed() -> None:
    async with sockets() as (left, right):
        await send_frame(left, frame(Heartbeat())[:25], [left.fileno()] * 3, timeout_s=5)
        with pytest.raises(ConnectionLost):
            await receive_frame(right, max_payload_bytes=100, timeout_s=0.01, max_fds=3)


async def test_descriptors_travel_with_the_first_byte_of_a_torn_frame() -> None:
    whole = frame(Heartbeat())
    async with sockets() as (left, right):
        await send_frame(left, whole[:1], [left.fileno()], timeout_s=5)
        receiving = asyncio.ensure_future(receive_frame(right, max_payload_bytes=100, timeout_s=5, max_fds=3))
        await loop_rounds(4)
        left.sendmsg([whole[1:]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [left.fileno()]))])
        received = await receiving
        assert len(received.fds) == 2
        for fd in received.fds:
            os.close(fd)


@needs_shm
async def test_a_ring_for_a_client_that_is_gone_is_closed() -> None:
    made: list[ShmSender] = []

    def make() -> ShmSender:
        made.append(ShmSender(5000))
        return made[0]

    async with sockets() as (daemon, client):
        client.sendall(frame(Handshake(transport="shm")))
        client.close()
        with pytest.raises(ConnectionLost):
            await accept(daemon, make)
    assert made[0].lane.write(memoryview(b"x")) == 0, "closed"


async def test_a_cancelled_handshake_leaves_the_socket_out_of_the_loop() -> None:
    async with sockets() as (daemon, client):
        accepting = asyncio.ensure_future(accept(daemon))
        await loop_rounds(4)
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
        assert not asyncio.get_running_loop().remove_reader(daemon.fileno())
        client.sendall(frame(Handshake()))
        assert (await accept(daemon)).handshake == Handshake()
