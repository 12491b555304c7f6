"""What the editor's side does with a daemon that does not keep to the protocol, or that nobody answers for."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.codec.frame import encode_frame
from rxlapce.errors import (
    BadChecksum,
    BadMessageType,
    BadPayload,
    ConnectionLost,
    DaemonNotRunning,
    ErrorKind,
    Phase,
    ProtocolError,
    ProviderError,
    Retry,
    RingCorrupt,
    RxlapceError,
    SequenceGap,
)
from rxlapce.messages import (
    NUMBERS,
    Cancel,
    ChatStream,
    Complete,
    CompleteResponse,
    Disconnect,
    ErrorBody,
    Handshake,
    Heartbeat,
    ProtocolFailure,
    StreamChunk,
    StreamDone,
    StreamError,
    WireMessage,
)
from rxlapce.testing.asking import Collected, ask
from rxlapce.testing.peer import RawPeer, Script, fake_daemon, frame_of
from rxlapce.tokens import Finish, FinishKind, Text
from rxlapce.transports.shm import ShmSender

FINISH = Finish(FinishKind.STOP)
DONE = StreamDone(1, FINISH)


def chunk(seq: int) -> StreamChunk:
    return StreamChunk(seq, Text(f"t{seq}"))


def says(*pieces: Callable[[int], bytes]) -> Script:
    """A daemon that answers the first stream with these, each made for the stream's id, and waits for the client."""

    async def script(peer: RawPeer) -> None:
        request_id, command = await peer.receive()
        assert isinstance(command, ChatStream)
        for piece in pieces:
            peer.send_bytes(piece(request_id))
        with contextlib.suppress(ConnectionError):
            await peer.receive_all()

    return script


def of(message: StreamChunk | StreamDone | StreamError) -> Callable[[int], bytes]:
    return lambda request_id: frame_of(message, request_id, "daemon")


BREACHES: list[tuple[Callable[[int], bytes], type[RxlapceError], str]] = [
    (of(chunk(2)), SequenceGap, "expected frame 1, got 2"),
    (of(chunk(0)), SequenceGap, "expected frame 1, got 0"),
    (of(StreamDone(3, FINISH)), SequenceGap, "expected frame 1, got 3"),
    (of(StreamError(0, ErrorBody("auth", "never", "headers", "no"))), SequenceGap, "expected frame 1, got 0"),
    (lambda n: frame_of(chunk(1), n, "daemon")[:-1] + b"?", BadChecksum, "CRC-32"),
    (lambda n: encode_frame(NUMBERS[Cancel], 0x20, n, b"{}"), BadMessageType, "does not go to the client"),
    (lambda n: encode_frame(NUMBERS[StreamChunk], 0x20, n, b'{"type":"stream_chunk"}'), BadPayload, "seq"),
    (
        lambda n: frame_of(ProtocolFailure(error="BadMagic", message="what?"), 0, "daemon"),
        ProtocolError,
        "broke .* what?",
    ),
]


@pytest.mark.parametrize(
    ("breach", "error", "words"), BREACHES, ids=[f"{number}-{row[1].__name__}" for number, row in enumerate(BREACHES)]
)
async def test_a_breach_ends_every_request_with_its_error_after_what_was_right(
    path: Path, breach: Callable[[int], bytes], error: type[RxlapceError], words: str
) -> None:
    async with fake_daemon(path, says(of(chunk(0)), breach, of(DONE))), await connect(path) as client:
        got = Collected(client.chat_stream(ask()))
        answer = asyncio.ensure_future(client.chat(ask()))
        ended = await got.end()
        assert type(ended) is error
        assert got.items == [Text("t0")]
        assert got.ends == 1
        with pytest.raises(error, match=words):
            await answer
        assert client.sequence_gaps == (error is SequenceGap)
        assert client.closed.is_set()


async def test_sequence_numbers_are_each_streams_own(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        (first, _), (second, _) = await peer.receive(), await peer.receive()
        for seq in range(3):
            for request_id in (first, second):
                peer.send(chunk(seq), request_id)
        for request_id in (second, first):
            peer.send(StreamDone(3, FINISH), request_id)

    async with fake_daemon(path, script), await connect(path) as client:
        streams = [Collected(client.chat_stream(ask())) for _ in range(2)]
        for stream in streams:
            assert await stream.end() is None
            assert stream.items == [Text("t0"), Text("t1"), Text("t2"), FINISH]


async def test_frames_of_a_stream_that_was_cancelled_here_are_ignored(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        peer.send(chunk(0), request_id)
        while not isinstance((await peer.receive())[1], Cancel):
            pass
        for message in (chunk(1), chunk(2), StreamError(3, ErrorBody("cancelled", "never", "flow", "cancelled"))):
            peer.send(message, request_id)
        peer.send(StreamDone(9, FINISH), 999)
        ping, heartbeat = await peer.receive()
        assert heartbeat == Heartbeat(echo=True)
        peer.send(Heartbeat(), ping)

    async with fake_daemon(path, script), await connect(path) as client:
        got = Collected(client.chat_stream(ask()))
        await got.until(1)
        got.dispose()
        await client.ping()
        assert (got.items, got.ends) == ([Text("t0")], 0)


async def test_an_answer_of_another_kind_is_a_breach(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        request_id, command = await peer.receive()
        assert not isinstance(command, Complete)
        peer.send(CompleteResponse(text="x", finish=FinishKind.STOP), request_id)

    async with fake_daemon(path, script), await connect(path) as client:
        with pytest.raises(ProtocolError, match="a CompleteResponse does not answer this request"):
            await client.chat(ask())


async def test_an_error_keeps_every_field_and_an_unknown_kind_is_internal(path: Path) -> None:
    body = ErrorBody("rate_limit", "other_key", "headers", "slow down", 2.5, 429, "openai", "req_1", "{}", 1234)

    async def script(peer: RawPeer) -> None:
        for error in (body, ErrorBody("of_tomorrow", "never", "flow", "who knows", status=418)):
            request_id, _ = await peer.receive()
            peer.send(StreamError(0, error), request_id)

    async with fake_daemon(path, script), await connect(path) as client:
        with pytest.raises(ProviderError) as caught:
            await client.chat(ask())
        assert ErrorBody(**caught.value.to_dict()) == body
        assert caught.value.delivered_chars == 1234
        assert caught.value.retry is Retry.OTHER_KEY
        ended = await Collected(client.chat_stream(ask())).end()
        assert isinstance(ended, ProviderError)
        assert (ended.kind, ended.phase, ended.message, ended.status) == (
            ErrorKind.INTERNAL,
            Phase.FLOW,
            "who knows",
            418,
        )


async def test_an_end_inside_a_frame_is_a_lost_connection(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        peer.send(chunk(0), request_id)
        peer.send_bytes(frame_of(chunk(1), request_id, "daemon")[:30])

    async with fake_daemon(path, script), await connect(path) as client:
        got = Collected(client.chat_stream(ask()))
        assert isinstance(await got.end(), ConnectionLost)
        assert got.items == [Text("t0")]


async def test_what_the_daemon_says_at_the_end_is_in_the_error(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.receive()
        peer.send(Disconnect(reason="maintenance"))

    async with fake_daemon(path, script), await connect(path) as client:
        with pytest.raises(ConnectionLost, match="the daemon closed the connection: it said 'maintenance'"):
            await client.chat(ask())


async def test_frames_right_behind_the_handshake_are_not_lost(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        peer.send(Disconnect(reason="at once"))

    async with fake_daemon(path, script), await connect(path) as client:
        await client.closed.wait()
        with pytest.raises(ConnectionLost, match="'at once'"):
            await client.chat(ask())


async def test_a_ring_that_could_be_cut_short_is_refused_and_the_socket_closed(path: Path) -> None:
    """Unsealed memory: whoever made it could truncate it, and our next read of it would be a SIGBUS."""

    class Unsealed(ShmSender):
        def __init__(self) -> None:
            super().__init__(8192)
            memory = os.memfd_create("unsealed", os.MFD_CLOEXEC)
            os.ftruncate(memory, 4096 + 8192)
            os.dup2(memory, self.fds[0], inheritable=False)
            os.close(memory)

    gone = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        with pytest.raises(EOFError):
            await peer.receive()
        gone.set()

    async with fake_daemon(path, script, make_shm=Unsealed):
        with pytest.raises(RingCorrupt, match="not sealed"):
            await connect(path)
        await gone.wait()


async def test_nobody_at_the_path(path: Path) -> None:
    with pytest.raises(DaemonNotRunning, match="start it with: rxlapce serve"):
        await connect(path)


async def test_a_daemon_that_does_not_answer_the_handshake_is_given_up(path: Path) -> None:
    answered = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        answered.set()

    server = await asyncio.start_unix_server(silent, path)
    with pytest.raises(ConnectionLost, match=r"waited 0\.05 s"):
        await connect(path, timeout_s=0.05)
    await answered.wait()
    server.close()
    await server.wait_closed()


async def test_the_client_asks_for_what_it_was_told_to(path: Path) -> None:
    seen: list[Handshake] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer, "daemon")
        _, handshake = await peer.receive()
        assert isinstance(handshake, Handshake)
        seen.append(handshake)
        await peer.close()

    server = await asyncio.start_unix_server(serve, path)
    for transport in ("shm", "socket"):
        with pytest.raises(ConnectionLost):
            await connect(path, transport="shm" if transport == "shm" else "socket", client="me")
    server.close()
    await server.wait_closed()
    assert [(handshake.client, handshake.transport) for handshake in seen] == [("me", "shm"), ("me", "socket")]


async def test_a_sign_of_life_that_asks_for_one_is_answered(path: Path) -> None:
    answers: list[tuple[int, WireMessage]] = []

    async def script(peer: RawPeer) -> None:
        peer.send(Heartbeat(echo=True), 9)
        answers.append(await peer.receive())

    async with fake_daemon(path, script), await connect(path, transport="socket") as client:
        await client.closed.wait()
    assert answers == [(9, Heartbeat())]
