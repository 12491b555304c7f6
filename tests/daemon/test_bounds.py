"""What clients may make the daemon keep: each bound is kept, told by name, and harms nobody else."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.daemon.bounds import Limits
from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import ErrorKind, HandshakeRefused, Phase, ProviderError
from rxlapce.messages import Cancel, Chat, ChatResponse, ChatStream, StreamError
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask, simulated
from rxlapce.testing.daemons import embedded_daemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import until

#: The loop that the daemon runs on; what it does by itself is the same on the other.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

SETTINGS = DaemonSettings(path=Path(), max_handshakes=2)


@pytest.fixture
def base(simulator: Simulator) -> str:
    return simulator.base_url


def hanging() -> ChatStream:
    return ChatStream(request=ask("fault=hang", provider="openai"))


def long_one(size: int) -> ChatStream:
    """A request whose frame has at least `size` bytes."""
    request = ask("fault=hang", provider="openai")
    (message,) = request.messages
    return ChatStream(request=replace(request, messages=(replace(message, content=message.content + " " * size),)))


async def refusal(peer: RawPeer, request_id: int) -> StreamError:
    got, message = await peer.receive()
    assert got == request_id
    assert isinstance(message, StreamError), message
    return message


async def test_half_open_handshakes_are_bounded_and_their_end_makes_room(base: str, path: Path) -> None:
    async with (
        embedded_daemon(replace(SETTINGS, path=path), *simulated(base)) as embedded,
        await RawPeer.connect(path),
        await RawPeer.connect(path) as second,
    ):
        with pytest.raises(HandshakeRefused, match="2 connections are about their handshake"):
            await connect(path)
        assert embedded.daemon.refused["max_handshakes"] == 1
        await second.close()
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(HandshakeRefused):
                    client = await connect(path)
                    break
        await client.ping()
        await client.aclose()


async def test_bytes_of_requests_under_way_are_bounded_for_each_client(base: str, path: Path) -> None:
    settings = DaemonSettings(path=path, limits=Limits(max_request_bytes=100_000))
    async with (
        embedded_daemon(settings, *simulated(base)) as embedded,
        await RawPeer.greeted(path) as peer,
        await connect(path) as other,
    ):
        peer.send(long_one(60_000), 1)
        peer.send(long_one(60_000), 2)
        told = (await refusal(peer, 2)).error
        assert (told.kind, told.phase, told.retry) == ("rate_limit", "admit", "same")
        assert "one of 60," in told.message
        assert "over its bound of 100,000" in told.message
        assert embedded.daemon.refused == {"max_request_bytes": 1}
        assert (await other.chat(ask("tokens=1", provider="openai"))).text
        peer.send(Cancel(), 1)
        assert (await refusal(peer, 1)).error.kind == "cancelled"
        peer.send(Chat(request=ask("tokens=1", provider="openai")), 3)
        assert isinstance((await peer.receive())[1], ChatResponse)
    assert (embedded.daemon.held.requests, embedded.daemon.held.bytes) == (0, 0)


async def test_a_request_larger_than_the_bound_is_served_alone(base: str, path: Path) -> None:
    settings = DaemonSettings(path=path, limits=Limits(max_request_bytes=10))
    async with embedded_daemon(settings, *simulated(base)), await connect(path) as client:
        assert (await client.chat(ask("tokens=1", provider="openai"))).text


async def test_requests_of_all_clients_are_bounded_together(base: str, path: Path) -> None:
    settings = DaemonSettings(path=path, daemon_limits=Limits(max_requests=2))
    async with (
        embedded_daemon(settings, *simulated(base)) as embedded,
        await RawPeer.greeted(path) as first,
        await RawPeer.greeted(path) as second,
        await connect(path) as third,
    ):
        for peer in (first, second):
            peer.send(hanging(), 1)
        await until(lambda: embedded.daemon.held.requests == 2)
        with pytest.raises(ProviderError) as caught:
            await third.chat(ask("tokens=1", provider="openai"))
        assert (caught.value.kind, caught.value.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
        assert "the daemon has 2 requests under way" in caught.value.message
        assert embedded.daemon.refused == {"daemon_max_requests": 1}
        await first.close()
        await until(lambda: embedded.daemon.held.requests == 1)
        assert (await third.chat(ask("tokens=1", provider="openai"))).text
