"""What a client makes of a daemon that says it is about to stop."""

import asyncio
from pathlib import Path

from rxlapce.bridge import connect
from rxlapce.errors import ConnectionLost
from rxlapce.messages import Draining, Heartbeat, StreamChunk, StreamDone
from rxlapce.testing.asking import ask
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.tokens import Finish, FinishKind, Text


async def test_it_is_told_once_and_what_runs_finishes(path: Path) -> None:
    async def script(peer: RawPeer) -> None:
        number, _ = await peer.receive()
        peer.send(Draining(within_s=2.5))
        peer.send(Draining(within_s=1))
        peer.send(StreamChunk(0, Text("so")), number)
        peer.send(StreamDone(1, Finish(FinishKind.STOP)), number)
        number, _ = await peer.receive()
        peer.send(Heartbeat(), number)

    told: list[float] = []
    closed: list[ConnectionLost | None] = []
    async with fake_daemon(path, script):
        client = await connect(path)
        client.on_draining = told.append
        client.on_closed = lambda: closed.append(client.lost if isinstance(client.lost, ConnectionLost) else None)
        assert (client.draining, client.lost) == (False, None)
        assert [token async for token in client.chat_stream(ask())] == [Text("so"), Finish(FinishKind.STOP)]
        assert (client.draining, told) == (True, [2.5])
        await client.ping()
        await client.closed.wait()
        await client.aclose()
    assert closed == [client.lost]


async def test_a_callback_that_raises_ends_nothing(path: Path) -> None:
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))

    async def script(peer: RawPeer) -> None:
        number, _ = await peer.receive()
        peer.send(Draining(within_s=0))
        peer.send(Heartbeat(), number)
        await peer.receive_all()

    def broken(_: float) -> None:
        raise LookupError

    async with fake_daemon(path, script), await connect(path) as client:
        client.on_draining = broken
        await client.ping()
    assert [type(error) for error in raised] == [LookupError]


async def test_the_feature_is_asked_for_and_granted(embedded: EmbeddedDaemon) -> None:
    async with await connect(embedded.path) as client:
        assert client.ack.features == ("drain",)
