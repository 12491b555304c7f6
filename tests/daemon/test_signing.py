"""Signed connections: whole streams by both ways, and everybody who only pretends to know the secret."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.codec.frame import HEADER_BYTES, add_flag
from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import BadSignature, ConnectionLost, FrameError, HandshakeRefused, ProtocolError
from rxlapce.messages import ChatStream, Handshake, ProtocolFailure, TransportName
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask, simulated
from rxlapce.testing.daemons import EmbeddedDaemon, embedded_daemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import until
from rxlapce.tokens import Finish, Text
from rxlapce.transports.handshake import SIGN, Signing
from rxlapce.transports.key_file import SigningKey

#: The loop that the daemon runs on; what it does by itself is the same on the other.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

LAPTOP = SigningKey("laptop", b"l" * 32)
OFFICE = SigningKey("office", b"o" * 32)
KEYS = {key.name: key for key in (LAPTOP, OFFICE)}


@contextlib.asynccontextmanager
async def signing_daemon(simulator: Simulator, path: Path, signing: Signing) -> AsyncGenerator[EmbeddedDaemon]:
    settings = DaemonSettings(path=path, signing=signing)
    async with embedded_daemon(settings, *simulated(simulator.base_url)) as running:
        yield running


@pytest.fixture
async def embedded(simulator: Simulator, path: Path) -> AsyncIterator[EmbeddedDaemon]:
    async with signing_daemon(simulator, path, Signing(keys=KEYS, required=True)) as running:
        yield running


@pytest.mark.parametrize("transport", ["shm", "socket"])
async def test_a_signed_stream_is_whole_by_both_ways(embedded: EmbeddedDaemon, transport: TransportName) -> None:
    async with await connect(embedded.path, transport=transport, key=LAPTOP) as client:
        assert client.transport == transport
        assert SIGN in client.ack.features
        streams = [
            client.chat_stream(ask(f"tokens={300 + n},steady=1", provider="openai"), window=16) for n in range(4)
        ]

        async def read(n: int) -> str:
            tokens = [token async for token in streams[n]]
            assert isinstance(tokens[-1], Finish)
            return "".join(token.text for token in tokens if isinstance(token, Text))

        texts = await asyncio.gather(*(read(n) for n in range(4)))
        answer = await client.chat(ask("tokens=302,steady=1", provider="openai"))
        assert answer.text == texts[2]
        assert client.sequence_gaps == 0
        (session,) = embedded.daemon.sessions
        assert session.user == "laptop"


async def test_who_signs_is_the_user_and_who_does_not_is_the_peer_s(simulator: Simulator, path: Path) -> None:
    async with signing_daemon(simulator, path, Signing(keys=KEYS)) as embedded:
        async with await connect(path, key=OFFICE), await connect(path):
            users = {session.user for session in embedded.daemon.sessions}
        assert users == {"office", f"uid {os.getuid()}"}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (None, "serves signed connections only"),
        (SigningKey("stranger", b"l" * 32), "no key of the name 'stranger'"),
        (SigningKey("laptop", b"x" * 32), "it has another secret of the name 'laptop'"),
    ],
)
async def test_who_does_not_know_the_secret_is_refused(
    embedded: EmbeddedDaemon, key: SigningKey | None, why: str
) -> None:
    with pytest.raises(HandshakeRefused, match=why):
        await connect(embedded.path, key=key)


async def test_a_client_that_signs_does_not_go_on_with_a_daemon_that_does_not(simulator: Simulator, path: Path) -> None:
    async with signing_daemon(simulator, path, Signing()):
        with pytest.raises(HandshakeRefused, match="the daemon does not sign"):
            await connect(path, key=LAPTOP)


@pytest.mark.parametrize("nonce", [None, "", "zz" * 32, "00" * 31, "00 " * 32, "00" * 33])
async def test_a_nonce_that_is_none_is_refused(embedded: EmbeddedDaemon, nonce: str | None) -> None:
    async with await RawPeer.connect(embedded.path) as peer:
        peer.send(Handshake(features=("sign",), nonce=nonce, key="laptop"))
        ((_, message),) = await peer.receive_all()
        assert isinstance(message, ProtocolFailure)
        assert message.error == "HandshakeRefused"
        assert "the client signs with a nonce of 64 hexadecimal digits, and sent none" in message.message


async def test_a_request_that_is_not_signed_does_nothing(simulator: Simulator, embedded: EmbeddedDaemon) -> None:
    """Who has the handshake of somebody else, but not the secret, can send nothing that counts."""
    async with await RawPeer.connect(embedded.path) as peer:
        peer.send(Handshake(features=("sign",), nonce="00" * 32, key="laptop"))
        for request_id in range(1, 1000):
            peer.send(ChatStream(request=ask("tokens=5", provider="openai")), request_id)
        with pytest.raises((EOFError, FrameError)):
            await peer.receive()
        await until(lambda: not embedded.daemon.sessions)
    assert simulator.requests == []


async def two_pings(client: Client) -> None:
    await client.ping()
    await client.ping()


Change = Callable[[bytes], bytes]


@dataclass(slots=True)
class Meddler:
    """Stands between a client and the daemon, and changes the first bytes that a way carries after its handshake."""

    path: Path
    of_client: Change
    of_daemon: Change

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        daemon_reader, daemon_writer = await asyncio.open_unix_connection(self.path)
        ways = (
            asyncio.create_task(self._pass(reader, daemon_writer, self.of_client)),
            asyncio.create_task(self._pass(daemon_reader, writer, self.of_daemon)),
        )
        await asyncio.wait(ways)
        for one in (writer, daemon_writer):
            one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Change) -> None:
        pieces = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                pieces += 1
                writer.write(change(data) if pieces == 2 else data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


def same(data: bytes) -> bytes:
    return data


def doubled(data: bytes) -> bytes:
    return data + data


def bent_where_the_checksum_is_mended(data: bytes) -> bytes:
    """The first payload's last letter but one, with a checksum that fits."""
    size = HEADER_BYTES + int.from_bytes(data[8:12], "little")
    frame = bytearray(data[:size])
    frame[-2] ^= 1
    add_flag(frame, 0, 0)
    return bytes(frame) + data[size:]


@pytest.mark.parametrize("change", [doubled, bent_where_the_checksum_is_mended])
@pytest.mark.parametrize("way", ["client", "daemon"])
async def test_a_meddler_in_between_is_found(
    embedded: EmbeddedDaemon, tmp_path: Path, change: Change, way: str
) -> None:
    meddler = Meddler(embedded.path, change if way == "client" else same, change if way == "daemon" else same)
    between = tmp_path / "m.sock"
    server = await asyncio.start_unix_server(meddler.serve, between)
    try:
        client = await connect(between, transport="socket", key=LAPTOP)
        with pytest.raises((ProtocolError, ConnectionLost)) as caught:
            await two_pings(client)
        if way == "daemon":
            assert isinstance(caught.value, BadSignature)
        await client.aclose()
    finally:
        server.close()
        await server.wait_closed()
