"""A daemon that takes another's place while it serves: nobody finds none, and nothing is cut."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.errors import ConnectionLost, ErrorKind, Phase, ProviderError
from rxlapce.messages import TransportName
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask, heard, truth
from rxlapce.testing.daemons import DaemonProcess, daemon_process
from rxlapce.tokens import Text

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


@pytest.fixture
async def daemon(simulator: Simulator, path: Path) -> AsyncIterator[DaemonProcess]:
    async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1", "--drain", "20") as running:
        yield running


@pytest.mark.heavy
async def test_the_old_one_finishes_its_streams_while_the_new_one_serves(
    daemon: DaemonProcess, simulator: Simulator, path: Path
) -> None:
    heard_draining = asyncio.Event()
    async with await connect(path) as client:
        client.on_draining = lambda within_s: heard_draining.set() if within_s == 20 else None
        stream = aiter(client.chat_stream(ask("tokens=60"), window=4))  # it waits for its reader
        got = [await anext(stream)]
        async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1", "--replace") as successor:
            await heard_draining.wait()
            async with await connect(path) as other:
                assert (await other.status()).pid == successor.pid
                assert (await other.chat(ask("tokens=3"))).text
            with pytest.raises(ProviderError, match="the daemon is stopping"):
                await client.chat(ask())
            got += [token async for token in stream]
            assert heard(got) == await truth(simulator, 0)
            assert await daemon.exit_code() == 0
            async with await connect(path) as other:
                await other.ping()
            successor.terminate()
            assert await successor.exit_code() == 0
    assert [entry.name for entry in path.parent.iterdir()] == []


@pytest.mark.heavy
async def test_a_daemon_that_stands_still_is_replaced_too(
    daemon: DaemonProcess, simulator: Simulator, path: Path
) -> None:
    daemon.process.send_signal(signal.SIGSTOP)
    async with (
        daemon_process(path, "--base-url", f"{simulator.base_url}/v1", "--replace"),
        await connect(path) as client,
    ):
        assert (await client.chat(ask("tokens=3"))).text
        daemon.process.send_signal(signal.SIGCONT)
        assert await daemon.exit_code() == 0
        await (await connect(path)).aclose()


@pytest.mark.heavy
async def test_replacing_where_none_runs_is_starting(simulator: Simulator, path: Path) -> None:
    async with (
        daemon_process(path, "--base-url", f"{simulator.base_url}/v1", "--replace"),
        await connect(path) as client,
    ):
        assert (await client.chat(ask("tokens=3"))).text


# -- under load -------------------------------------------------------------------------------------------------------

TOKENS = 12


class Asker:
    """Asks one stream after the other, and connects anew when it is told to, or refused before anything began."""

    def __init__(self, path: Path, transport: TransportName, counts: Counter[str]) -> None:
        self._path = path
        self._transport: TransportName = transport
        self._counts = counts
        self.stop = False

    async def run(self) -> None:
        while not self.stop:
            async with await connect(self._path, transport=self._transport) as client:
                self._counts["connections"] += 1
                while not self.stop and not client.draining and await self._ask(client):
                    self._counts["whole"] += 1

    async def _ask(self, client: Client) -> bool:
        """Ask once; False if it was refused before it began."""
        said = ""
        try:
            async for token in client.chat_stream(ask(f"tokens={TOKENS},tps=400")):
                said += token.text if isinstance(token, Text) else ""
        except (ProviderError, ConnectionLost) as error:
            if said or not never_began(error):
                raise
            self._counts["refused"] += 1
            return False
        assert len(said) > TOKENS, said
        return True


def never_began(error: ProviderError | ConnectionLost) -> bool:
    """Whether a stream without a token was refused, or crossed the goodbye: what has begun ends before that."""
    if isinstance(error, ConnectionLost):
        return "it said 'shutdown'" in str(error)
    return (error.kind, error.phase) == (ErrorKind.OVERLOADED, Phase.ADMIT)


@pytest.mark.heavy
@pytest.mark.timeout(90)
async def test_of_a_load_not_one_request_is_lost_or_cut_by_five_replacements(simulator: Simulator, path: Path) -> None:
    options = ("--base-url", f"{simulator.base_url}/v1", "--drain", "20")
    counts: Counter[str] = Counter()
    ways: tuple[TransportName, ...] = ("shm", "socket") * 4
    askers = [Asker(path, way, counts) for way in ways]
    async with asyncio.timeout(80):
        running = daemon_process(path, *options)
        current = await running.__aenter__()
        load = [asyncio.ensure_future(asker.run()) for asker in askers]
        for _ in range(5):
            before = counts["whole"]
            while counts["whole"] < before + 10:
                done, _ = await asyncio.wait(load, timeout=0.05)
                assert not done, [task.result() for task in done]
            following = daemon_process(path, *options, "--replace")
            successor = await following.__aenter__()
            assert await current.exit_code() == 0
            await running.__aexit__(None, None, None)
            running, current = following, successor
        for asker in askers:
            asker.stop = True
        await asyncio.gather(*load)  # raises what any of them met: no connect failed, no stream broke
        await running.__aexit__(None, None, None)
    assert counts["whole"] >= 50
    assert counts["connections"] >= len(askers) * 6
