"""A daemon process that is killed while it streams, and comes back."""

import asyncio
from pathlib import Path

import pytest

from rxlapce.bridge import Bridge, ConnectionState
from rxlapce.bridge.messages import Ping, Pong, ProviderChatStream
from rxlapce.testing.asking import ask
from rxlapce.testing.daemons import daemon_process
from rxlapce.testing.ui import Ui
from rxlapce.tokens import Text

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_factories=["asyncio"])]

WITHIN_S = 0.1
STREAMS = 8


async def test_streams_end_once_in_an_error_that_says_so_and_the_bridge_is_back_within_100_ms(path: Path) -> None:
    loop = asyncio.get_running_loop()
    ui = Ui()
    took: list[float] = []
    async with Bridge(path, on_message=ui) as bridge:
        await ui.until(ConnectionState.DISCONNECTED)
        for time in range(3):
            async with daemon_process(path, "--simulator") as daemon:
                began = loop.time()
                await ui.until(ConnectionState.CONNECTED, times=time + 1)
                took.append(loop.time() - began)
                numbers = range(time * 100, time * 100 + STREAMS)
                for number in numbers:
                    request = ask("tokens=100000,tps=500", provider="simulator", prompt=str(number))
                    bridge.send(ProviderChatStream(id=number, request=request))
                for number in numbers:
                    await ui.chunks(number, 5)
                await daemon.kill()
                for number in numbers:
                    error = (await ui.failure(number)).error
                    said = "".join(token.text for token in ui.tokens(number) if isinstance(token, Text))
                    assert (error.kind, error.delivered_chars) == ("truncated", len(said))
                await ui.until(ConnectionState.DISCONNECTED, times=time + 2)
            bridge.send(Ping(id=1000 + time))
            assert (await ui.failure(1000 + time)).error.kind == "network"
        async with daemon_process(path, "--simulator"):
            await ui.until(ConnectionState.CONNECTED, times=4)
            bridge.send(Ping(id=9))
            assert await ui.end(9) == Pong(id=9)
    assert max(took) < WITHIN_S
    assert all(len(ui.ends(time * 100 + stream)) == 1 for time in range(3) for stream in range(STREAMS))
