"""The daemon's last word to a peer that breaks the protocol reaches it, however soon the peer has said all it says."""

from dataclasses import replace

import pytest

from rxlapce.codec.frame import MAX_PAYLOAD_BYTES, encode_frame
from rxlapce.errors import ErrorKind, ProtocolError
from rxlapce.messages import NUMBERS, Chat, Handshake, Heartbeat, ProtocolFailure, StreamError
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import until
from rxlapce.transports.handshake import Signing
from rxlapce.transports.key_file import SigningKey

SIGNING = Signing(keys={"me": SigningKey("me", b"m" * 32)})


@pytest.mark.parametrize("served_before", [False, True], ids=["at once", "later"])
async def test_who_sends_no_frame_and_shuts_its_side_is_told_why(embedded: EmbeddedDaemon, served_before: bool) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        if served_before:
            peer.send(Heartbeat(echo=True), 1)
            assert await peer.receive() == (1, Heartbeat())
        peer.send_bytes(b"\xff" * 4096)
        peer.half_close()
        ((_, word),) = await peer.receive_all()
        assert isinstance(word, ProtocolFailure)
        assert word.error == "BadMagic"
    await until(lambda: not embedded.daemon.sessions)


async def test_who_shuts_its_side_right_after_the_handshake_is_let_go(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.half_close()
        assert await peer.receive_all() == []
    await until(lambda: not embedded.daemon.sessions)


@pytest.mark.parametrize("text", ["a" * (MAX_PAYLOAD_BYTES - 100), "\U000e0001" * (MAX_PAYLOAD_BYTES // 4 - 100)])
async def test_the_last_word_does_not_say_again_all_that_was_wrong(embedded: EmbeddedDaemon, text: str) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        payload = f'{{"type":"{text}"}}'.encode()
        for message in (Chat, Heartbeat):
            peer.send_bytes(encode_frame(NUMBERS[message], 0x10, 7, payload))
        (request_id, refusal), (_, word) = await peer.receive_all()
        assert request_id == 7
        assert isinstance(refusal, StreamError)
        assert refusal.error.kind == ErrorKind.BAD_REQUEST
        assert isinstance(word, ProtocolFailure)
        assert word.error == "BadPayload"
        assert len(word.message) <= ProtocolError.MAX_MESSAGE_CHARS


@pytest.mark.parametrize(
    "handshake",
    [Handshake(versions=(2,) * 30_000), Handshake(features=("sign",), nonce="00" * 32, key="\U000e0001" * 15_000)],
    ids=["versions", "key"],
)
async def test_a_refused_handshake_is_not_repeated_in_the_refusal(
    embedded: EmbeddedDaemon, handshake: Handshake
) -> None:
    embedded.daemon.settings = replace(embedded.daemon.settings, signing=SIGNING)
    async with await RawPeer.connect(embedded.path) as peer:
        peer.send(handshake)
        ((_, word),) = await peer.receive_all()
        assert isinstance(word, ProtocolFailure)
        assert word.error == "HandshakeRefused"
        assert len(word.message) <= ProtocolError.MAX_MESSAGE_CHARS
