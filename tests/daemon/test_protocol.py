"""What the daemon answers to peers that do not keep to the protocol, frame by frame; the others never notice."""

import asyncio
import contextlib
import mmap
import os
import socket
from collections.abc import AsyncGenerator

import pytest

from rxlapce.bridge import connect
from rxlapce.codec.frame import Flag, encode_frame
from rxlapce.daemon.bounds import Limits
from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import ConnectionLost, ErrorKind, HandshakeRefused, Phase, ProviderError
from rxlapce.messages import (
    NUMBERS,
    Cancel,
    Chat,
    ChatResponse,
    ChatStream,
    Credit,
    Disconnect,
    Handshake,
    Heartbeat,
    ProtocolFailure,
    StreamChunk,
    StreamDone,
    StreamError,
    WireMessage,
)
from rxlapce.simulator import Outcome, Simulator
from rxlapce.testing.asking import ask, simulated
from rxlapce.testing.daemons import EmbeddedDaemon, embedded_daemon
from rxlapce.testing.peer import RawPeer, frame_of
from rxlapce.testing.processes import until
from rxlapce.tokens import Finish
from rxlapce.transports.handshake import client_handshake
from rxlapce.transports.ring import DATA_OFFSET

REQUEST = int(Flag.REQUEST)


@contextlib.asynccontextmanager
async def bystander(embedded: EmbeddedDaemon) -> AsyncGenerator[None]:
    """Another client, that has a stream open meanwhile and must get the rest of it."""
    async with await connect(embedded.path) as client:
        stream = aiter(client.chat_stream(ask("tokens=2000", provider="openai"), window=8))
        await anext(stream)
        yield
        tokens = [token async for token in stream]
        assert isinstance(tokens[-1], Finish)
        assert client.sequence_gaps == 0


def stream(options: str, credit: int | None = None) -> ChatStream:
    return ChatStream(request=ask(options, provider="openai"), credit=credit)


def failure(messages: list[tuple[int, WireMessage]]) -> ProtocolFailure:
    """The daemon's last word, which must be a failure."""
    assert messages, "closed without a word"
    last = messages[-1][1]
    assert isinstance(last, ProtocolFailure), last
    return last


async def refusal(peer: RawPeer, request_id: int) -> StreamError:
    got, message = await peer.receive()
    assert (got, type(message)) == (request_id, StreamError), message
    assert isinstance(message, StreamError)
    return message


# -- before the handshake -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: daemon\r\n\r\n", "BadMagic", "a frame starts with 43 50 41 4c"),
        (frame_of(Heartbeat(echo=True), 0, "client"), "HandshakeRefused", "the first frame must be a handshake"),
        (frame_of(Handshake(versions=(7, 8)), 0, "client"), "HandshakeRefused", "the client offers 7, 8"),
        (encode_frame(0x10, REQUEST, 0, b'{"type":"handshake","client":3}'), "BadPayload", "$.client"),
        (frame_of(Handshake(), 0, "client")[:-1] + b"?", "BadChecksum", "CRC-32"),
    ],
)
async def test_who_does_not_shake_hands_is_told_why_and_closed(
    embedded: EmbeddedDaemon, data: bytes, error: str, words: str
) -> None:
    async with bystander(embedded), await RawPeer.connect(embedded.path) as peer:
        peer.send_bytes(data)
        told = failure(await peer.receive_all())
        assert told.error == error
        assert words in told.message


async def test_who_never_finishes_the_handshake_is_dropped(simulator: Simulator, embedded: EmbeddedDaemon) -> None:
    settings = DaemonSettings(path=embedded.path.with_name("other.sock"), handshake_s=0.05)
    async with embedded_daemon(settings, *simulated(simulator.base_url)), await RawPeer.connect(settings.path) as peer:
        peer.send_bytes(frame_of(Handshake(), 0, "client")[:30])
        assert await peer.receive_all() == []


async def test_more_connections_than_allowed_are_refused_with_a_reason(
    simulator: Simulator, embedded: EmbeddedDaemon
) -> None:
    settings = DaemonSettings(path=embedded.path.with_name("other.sock"), max_connections=2)
    async with embedded_daemon(settings, *simulated(simulator.base_url)) as running:
        async with await RawPeer.greeted(settings.path), await connect(settings.path) as second:
            with pytest.raises(HandshakeRefused, match="2 connections are open, as many as this daemon takes"):
                await connect(settings.path)
            await second.ping()
        # A place is free again as soon as somebody's socket has ended.
        await until(lambda: not running.daemon.sessions)
        async with await connect(settings.path) as client:
            await client.ping()


# -- after the handshake --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"not a frame at all, but long enough to be one", "BadMagic"),
        (frame_of(Heartbeat(), 0, "client")[:-1] + b"?", "BadChecksum"),
        (encode_frame(0x7777, REQUEST, 1, b"{}"), "BadMessageType"),
        (encode_frame(NUMBERS[StreamDone], REQUEST, 1, b"{}"), "BadMessageType"),
        (encode_frame(NUMBERS[Cancel], REQUEST, 1, b'{"type":"credit"}'), "BadPayload"),
        (encode_frame(NUMBERS[Credit], REQUEST, 1, b'{"type":"credit","frames":0}'), "BadPayload"),
        (frame_of(Handshake(), 0, "client"), "ProtocolError"),
    ],
)
async def test_a_breach_of_the_protocol_ends_the_connection_with_its_name(
    embedded: EmbeddedDaemon, simulator: Simulator, data: bytes, error: str
) -> None:
    async with bystander(embedded), await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("fault=stall,after=1"), 9)
        assert isinstance((await peer.receive())[1], StreamChunk)
        peer.send_bytes(data)
        told = failure(await peer.receive_all())
        assert told.error == error
        assert told.message
        # the bystander's request is the first
        await simulator.wait_until(lambda: simulator.served[1].outcome is Outcome.CLIENT_GONE)


async def test_a_ring_position_that_cannot_be_true_ends_the_connection_with_its_name(embedded: EmbeddedDaemon) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect(str(embedded.path))
    agreed = await client_handshake(sock, Handshake(transport="shm"), 5)
    assert agreed.ack.ring is not None
    assert len(agreed.fds) > 1
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    async with bystander(embedded), RawPeer(reader, writer, "client") as peer:
        with mmap.mmap(agreed.fds[0], DATA_OFFSET + agreed.ack.ring.capacity) as shared:
            shared[128:136] = (1 << 40).to_bytes(8, "little")  # the reader's position
            peer.send(stream("tokens=5"), 1)
            assert failure(await peer.receive_all()).error == "RingCorrupt"
    for descriptor in agreed.fds:
        os.close(descriptor)


async def test_a_request_id_in_use_breaks_the_protocol(embedded: EmbeddedDaemon) -> None:
    async with bystander(embedded), await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("fault=stall,after=0"), 3)
        peer.send(Chat(request=ask("tokens=1", provider="openai")), 3)
        told = failure(await peer.receive_all())
        assert (told.error, told.message) == ("ProtocolError", "request id 3 is in use")


async def test_bad_values_in_a_request_end_that_request_alone(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("fault=stall,after=0"), 1)
        for number, command in ((2, ChatStream), (3, Chat)):
            payload = (
                b'{"type":"%s","request":{"model":"openai/sim","temperature":9,"messages":[{"role":"user"}]}}'
                % command.tag.encode()
            )
            peer.send_bytes(encode_frame(NUMBERS[command], REQUEST, number, payload))
            told = await refusal(peer, number)
            assert (told.seq, told.error.kind, told.error.phase) == (0, "bad_request", "admit")
            assert "temperature must be from 0 to 2, not 9" in told.error.message
            assert "$.request" in told.error.message
        assert embedded.daemon.requests == 1
        # under an id that is in use nobody could tell whose error it is
        peer.send_bytes(encode_frame(NUMBERS[Chat], REQUEST, 1, b'{"type":"chat"}'))
        assert failure(await peer.receive_all()).error == "BadPayload"


async def test_too_many_requests_on_one_connection_are_refused_one_by_one(
    simulator: Simulator, embedded: EmbeddedDaemon
) -> None:
    settings = DaemonSettings(path=embedded.path.with_name("other.sock"), limits=Limits(max_requests=2))
    async with (
        embedded_daemon(settings, *simulated(simulator.base_url)),
        await RawPeer.greeted(settings.path) as peer,
        await connect(settings.path) as other,
    ):
        peer.send(stream("fault=stall,after=0"), 1)
        peer.send(Chat(request=ask("fault=hang", provider="openai")), 2)
        peer.send(stream("tokens=1"), 3)
        peer.send(Chat(request=ask("tokens=1", provider="openai")), 4)
        for request_id in (3, 4):
            told = await refusal(peer, request_id)
            assert (told.seq, told.error.kind, told.error.phase) == (0, "rate_limit", "admit")
            assert "2 requests under way" in told.error.message
        assert (await other.chat(ask("tokens=1", provider="openai"))).text
        peer.send(Cancel(), 1)
        assert (await refusal(peer, 1)).error.kind == "cancelled"
        peer.send(Chat(request=ask("tokens=1", provider="openai")), 5)
        assert isinstance((await peer.receive())[1], ChatResponse)


async def test_cancel_and_credit_for_what_has_ended_or_never_was_are_ignored(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("tokens=2"), 1)
        while not isinstance((await peer.receive())[1], StreamDone):
            pass
        for request_id in (1, 77):
            peer.send(Cancel(), request_id)
            peer.send(Credit(frames=5), request_id)
        peer.send(Heartbeat(echo=True), 6)
        assert await peer.receive() == (6, Heartbeat(echo=False))


async def test_a_heartbeat_is_echoed_only_when_it_asks_for_it(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(Heartbeat(), 1)
        peer.send(Heartbeat(echo=True), 2)
        assert await peer.receive() == (2, Heartbeat(echo=False))


async def test_an_answer_cancelled_before_its_first_step_still_gets_its_one_end(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        chat = Chat(request=ask("fault=hang", provider="openai"))
        peer.send_bytes(frame_of(chat, 1, "client") + frame_of(Cancel(), 1, "client"))
        told = await refusal(peer, 1)
        assert (told.error.kind, told.error.message) == ("cancelled", "cancelled by the client")
        assert embedded.daemon.requests == 0


async def test_credit_lets_through_as_many_chunks_as_it_says_and_the_end_needs_none(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("reasoning=4,tokens=1", credit=0), 1)
        for granted in range(4):
            peer.send(Credit(frames=1), 1)
            _, chunk = await peer.receive()
            assert isinstance(chunk, StreamChunk)
            assert chunk.seq == granted
            peer.send(Heartbeat(echo=True), 50)
            assert await peer.receive() == (50, Heartbeat())
        peer.send(Credit(frames=2), 1)  # the text and the usage
        kinds = [type((await peer.receive())[1]) for _ in range(3)]
        assert kinds == [StreamChunk, StreamChunk, StreamDone]


async def test_a_goodbye_closes_the_connection_and_releases_its_streams(
    embedded: EmbeddedDaemon, simulator: Simulator
) -> None:
    async with bystander(embedded), await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("fault=stall,after=0"), 1)
        await simulator.wait_until(lambda: len(simulator.served) == 2 and simulator.served[1].streaming)
        peer.send(Disconnect(reason="bye"))
        assert await peer.receive_all() == []
        await simulator.wait_until(lambda: simulator.served[1].outcome is Outcome.CLIENT_GONE)


async def test_a_client_that_is_half_gone_is_gone(embedded: EmbeddedDaemon, simulator: Simulator) -> None:
    """It has shut its sending side and reads nothing: what is written for it must not keep its descriptor."""
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(stream("tokens=100000"), 1)
        await simulator.wait_until(lambda: len(simulator.served) == 1 and simulator.served[0].paused_by_client)
        assert embedded.daemon.requests == 1
        peer.half_close()
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])
        async with asyncio.timeout(2):
            with contextlib.suppress(ConnectionError):
                await peer.receive_all()
        assert not embedded.daemon.sessions


async def test_the_bridge_reports_a_refusal_by_its_kind(simulator: Simulator, embedded: EmbeddedDaemon) -> None:
    settings = DaemonSettings(path=embedded.path.with_name("other.sock"), limits=Limits(max_requests=1))
    async with (
        embedded_daemon(settings, *simulated(simulator.base_url)),
        await connect(settings.path) as client,
    ):
        waiting = asyncio.ensure_future(client.chat(ask("fault=hang", provider="openai")))
        await simulator.wait_until(lambda: len(simulator.requests) == 1)
        with pytest.raises(ProviderError) as caught:
            await client.chat(ask("tokens=1", provider="openai"))
        assert (caught.value.kind, caught.value.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
        await client.aclose()
        with pytest.raises(ConnectionLost, match="closed by this side"):
            await waiting
