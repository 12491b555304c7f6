"""What a UI does at a bad moment: while it is told something, and while a bridge pauses."""

import asyncio
from pathlib import Path

import pytest

from rxlapce.bridge import Bridge, ConnectionState
from rxlapce.bridge.messages import Cancel, InboundMessage, Ping, Pong, ProviderChatStream, ProviderFailure, Reconnect
from rxlapce.messages import Heartbeat
from rxlapce.testing.asking import ask
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.testing.ui import Ui

S = ConnectionState


async def pong(peer: RawPeer) -> None:
    """Answer one ping, and break off."""
    number, _ = await peer.receive()
    peer.send(Heartbeat(), number)


async def test_who_reconnects_within_a_pause_is_connected_again_and_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxlapce.bridge.keeping.AFTER_SHORT_S", (0.05,))
    ui, seen, paused = Ui(), asyncio.Event(), asyncio.Event()

    async def leave(_: RawPeer) -> None:
        await seen.wait()

    async with Bridge(path, on_message=ui) as bridge:
        async with fake_daemon(path, leave):
            await ui.until(S.CONNECTED)
            gone = ui.states.count(S.DISCONNECTED) + 1
            seen.set()
        await ui.until(S.DISCONNECTED, times=gone)
        asyncio.get_running_loop().call_later(0.1, paused.set)
        async with fake_daemon(path, pong):
            bridge.send(Reconnect())
            await ui.until(S.CONNECTED, times=2)
            await paused.wait()  # the pause that was cut short would have ended by now
            bridge.send(Ping(id=1))
            assert await ui.end(1) == Pong(id=1)
        async with fake_daemon(path, pong):
            await ui.until(S.CONNECTED, times=3)
            bridge.send(Ping(id=2))
            assert await ui.end(2) == Pong(id=2)


async def test_a_request_that_is_cancelled_while_the_end_of_another_is_told_does_no_harm(path: Path) -> None:
    ui = Ui()

    def on_message(message: InboundMessage) -> None:
        ui(message)
        if isinstance(message, ProviderFailure) and message.id == 1:
            bridge.send(Cancel(id=2))

    bridge = Bridge(path, on_message=on_message, wait_s=20)
    async with bridge:
        await ui.until(S.DISCONNECTED)
        bridge.send(ProviderChatStream(id=1, request=ask(prompt="x" * (11 * 2**20), provider="openai")))
        bridge.send(Ping(id=2))
        bridge.send(Ping(id=3))
        async with fake_daemon(path, pong):
            assert (await ui.failure(1)).error.kind == "bad_request"
            assert (await ui.failure(2)).error.kind == "cancelled"
            assert await ui.end(3) == Pong(id=3)
        async with fake_daemon(path, pong):
            await ui.until(S.CONNECTED, times=2)
            bridge.send(Ping(id=4))
            assert await ui.end(4) == Pong(id=4)
