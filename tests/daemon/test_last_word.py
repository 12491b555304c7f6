"""The daemon's last word to a peer that breaks the protocol reaches it, however soon the peer has said all it says."""

import pytest

from rxlapce.messages import Heartbeat, ProtocolFailure
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import until


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
