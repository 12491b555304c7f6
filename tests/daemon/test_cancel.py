"""Cancelling reaches the provider, is answered by one frame, and leaves nothing behind; the others go on."""

import asyncio
import contextlib
import os

import pytest

from rxlapce.bridge import connect
from rxlapce.messages import Cancel, Chat, ChatStream, StreamChunk, StreamError, TransportName
from rxlapce.simulator import Outcome, Simulator
from rxlapce.testing.asking import Collected, ask, heard, truth
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import descriptors, until

both_ways = pytest.mark.parametrize("transport", ["shm", "socket"])
ENDLESS = "tokens=100000000,tps=2000"


async def nothing_is_left(embedded: EmbeddedDaemon) -> None:
    """Waits for the last loop rounds of what was ended, which nobody tells."""
    daemon = embedded.daemon
    await until(lambda: not (daemon.requests or embedded.http.open_streams or len(daemon.tasks)))


@both_ways
async def test_dispose_and_leaving_the_loop_reach_the_provider_and_no_other_stream(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName
) -> None:
    async with await connect(embedded.path, transport=transport) as client:
        other = Collected(client.chat_stream(ask("tokens=60,tps=200", provider="openai")))
        await other.until(1)
        disposed = Collected(client.chat_stream(ask(ENDLESS, provider="openai")))
        await disposed.until(3)
        disposed.dispose()
        got = len(disposed.items)
        left = aiter(client.chat_stream(ask(ENDLESS, provider="anthropic")))
        async with contextlib.aclosing(left):
            for _ in range(3):
                await anext(left)
        await simulator.wait_until(lambda: simulator.outcomes.count(Outcome.CLIENT_GONE) == 2)
        assert await other.end() is None
        assert heard(other.items) == await truth(simulator, 0)
        assert (len(disposed.items), disposed.ends, client.open_requests) == (got, 0, 0)
        await nothing_is_left(embedded)


async def test_a_cancelled_wait_for_an_answer_reaches_the_provider(
    embedded: EmbeddedDaemon, simulator: Simulator
) -> None:
    async with await connect(embedded.path) as client:
        waiting = asyncio.ensure_future(client.chat(ask("fault=hang", provider="openai")))
        await simulator.wait_until(lambda: len(simulator.requests) == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])
        await nothing_is_left(embedded)
        assert client.open_requests == 0


async def test_a_cancel_is_answered_by_one_terminal_frame(embedded: EmbeddedDaemon, simulator: Simulator) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(ChatStream(request=ask("fault=stall,after=2", provider="openai")), 1)
        peer.send(Chat(request=ask("fault=hang", provider="openai")), 2)
        for seq in range(2):
            request_id, chunk = await peer.receive()
            assert isinstance(chunk, StreamChunk)
            assert (request_id, chunk.seq) == (1, seq)
        await simulator.wait_until(lambda: len(simulator.requests) == 2)
        for request_id, seq in ((1, 2), (2, 0)):
            for _ in range(2):  # the second one crosses the terminal frame
                peer.send(Cancel(), request_id)
            got, end = await peer.receive()
            assert isinstance(end, StreamError)
            assert (got, end.seq, end.error.kind) == (request_id, seq, "cancelled")
            assert (end.error.message, end.error.retry) == ("cancelled by the client", "never")
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE] * 2)
        await nothing_is_left(embedded)


async def test_a_stream_cancelled_in_the_same_breath_ends_once(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        peer.send(ChatStream(request=ask("tokens=5", provider="openai")), 1)
        peer.send(Cancel(), 1)
        got, end = await peer.receive()
        assert isinstance(end, StreamError)
        assert (got, end.seq, end.error.kind) == (1, 0, "cancelled")
        await nothing_is_left(embedded)


@both_ways
async def test_clients_that_vanish_leave_no_task_no_descriptor_and_no_stream(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName
) -> None:
    async def vanish(times: int) -> None:
        for _ in range(times):
            client = await connect(embedded.path, transport=transport)
            streams = [Collected(client.chat_stream(ask(ENDLESS, provider="openai"))) for _ in range(3)]
            unary = asyncio.ensure_future(client.chat(ask("fault=hang", provider="openai")))
            for stream in streams:
                await stream.until(1)
            await client.aclose()
            await asyncio.gather(unary, return_exceptions=True)
        await nothing_is_left(embedded)
        await until(lambda: not embedded.daemon.sessions and not simulator.open_streams)

    await vanish(1)
    tasks = len(asyncio.all_tasks())
    before = len(descriptors(os.getpid()))
    await vanish(8)
    await until(lambda: len(asyncio.all_tasks()) == tasks and len(descriptors(os.getpid())) == before)
