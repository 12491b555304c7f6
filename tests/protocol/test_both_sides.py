"""The daemon and the editor's side do with each wrong vector what the document says: one told, the other ended."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from rxlapce.bridge import connect
from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import ConnectionLost, ErrorKind, Phase, RxlapceError
from rxlapce.messages import (
    NUMBERS,
    Chat,
    ChatStream,
    Complete,
    CompleteStream,
    Heartbeat,
    Models,
    ProtocolFailure,
    Status,
    StreamError,
)
from rxlapce.testing.asking import ask
from rxlapce.testing.daemons import EmbeddedDaemon, embedded_daemon
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.transports.handshake import Signing
from rxlapce.transports.key_file import SigningKey

VECTORS: Final = Path(__file__).parents[2] / "protocol/vectors"
SIGNED: Final[dict[str, Any]] = json.loads((VECTORS / "signing.json").read_text())["vectors"]
#: Keys are made of the daemon's own nonce, so a real connection has others than the signed vectors.
UNSIGNED: Final = sorted(
    file.stem for file in (VECTORS / "invalid").glob("*.bin") if f"invalid/{file.stem}" not in SIGNED
)
REQUESTS: Final = {NUMBERS[kind] for kind in (Chat, ChatStream, Complete, CompleteStream, Models, Status)}
#: An id in it is an ended stream's, whose late frames a client ignores.
OF_THE_PAST: Final = "to-client-sequence-goes-on-behind-the-end"


def read(name: str) -> tuple[bytes, str]:
    """A wrong vector, and the name of its error."""
    told = json.loads((VECTORS / "invalid" / f"{name}.json").read_text())
    return (VECTORS / "invalid" / f"{name}.bin").read_bytes(), told["error"]


async def tell(running: EmbeddedDaemon, name: str) -> None:
    """Send a vector to the daemon, and check what it answers."""
    data, error = read(name)
    greeting = RawPeer.connect if "-handshake-" in name else RawPeer.greeted
    async with await greeting(running.path) as peer:
        peer.send_bytes(data)
        number = int.from_bytes(data[6:8], "little")
        if error == "BadPayload" and number in REQUESTS:
            _, answer = await peer.receive()
            assert isinstance(answer, StreamError), name
            assert (answer.error.kind, answer.error.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT), name
            peer.send(Heartbeat(echo=True))
            assert await peer.receive() == (0, Heartbeat()), name
            return
        peer.half_close()
        said = [message for _, message in await peer.receive_all()]
        told = [message.error for message in said if isinstance(message, ProtocolFailure)]
        assert told == ([] if error == "TruncatedFrame" else [error]), name
        assert told == [] or isinstance(said[-1], ProtocolFailure), name


async def test_daemon_says_the_error_of_each_wrong_vector_or_refuses_the_request_alone(tmp_path: Path) -> None:
    names = [name for name in UNSIGNED if name.startswith("to-daemon-")]
    assert len(names) > 100
    signing = Signing(keys={"laptop": SigningKey("laptop", bytes(32))})
    async with embedded_daemon(DaemonSettings(path=tmp_path / "d.sock", signing=signing)) as running:
        for name in names:
            await tell(running, name)
        assert not running.daemon.requests
        async with await connect(running.path) as client:
            await client.ping()


async def hear(path: Path, name: str) -> RxlapceError:
    """What a stream of the editor's side ends in when the daemon answers it with a vector and closes."""
    data, _ = read(name)

    async def script(peer: RawPeer) -> None:
        assert (await peer.receive())[0] == 1
        peer.send_bytes(data)
        peer.half_close()
        await peer.receive_all()

    async with fake_daemon(path, script), await connect(path, transport="socket") as client:
        with pytest.raises(RxlapceError) as caught:
            [token async for token in client.chat_stream(ask())]
    return caught.value


async def test_stream_of_the_editor_s_side_ends_in_the_error_of_each_wrong_vector(tmp_path: Path) -> None:
    names = [name for name in UNSIGNED if name.startswith("to-client-") and "-handshake-" not in name]
    assert len(names) > 100
    for name in names:
        if name != OF_THE_PAST:
            found = await hear(tmp_path / "d.sock", name)
            expected = read(name)[1]
            word = ConnectionLost.__name__ if expected == "TruncatedFrame" else expected
            assert type(found).__name__ == word, (name, found)


async def test_late_frame_of_a_stream_that_has_ended_is_ignored(tmp_path: Path) -> None:
    data, error = read(OF_THE_PAST)
    assert error == "SequenceGap"
    told = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.receive()
        peer.send_bytes(data)
        request_id, _ = await peer.receive()
        peer.send(Heartbeat(), request_id)
        await peer.receive_all()
        told.set()

    path = tmp_path / "d.sock"
    async with fake_daemon(path, script):
        async with await connect(path, transport="socket") as client:
            assert len([token async for token in client.chat_stream(ask())]) == 2
            await client.ping()
        await told.wait()
