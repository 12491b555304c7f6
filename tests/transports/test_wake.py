"""The wake-up sockets: never blocking, never spinning, whatever state they are in."""

import asyncio
import socket
from collections.abc import Callable, Generator

import pytest

from rxlapce.testing.transports import loop_rounds
from rxlapce.transports.wake import WakeSocket

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Pair = tuple[WakeSocket, socket.socket, socket.socket]

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@pytest.fixture
def pair() -> Generator[Pair]:
    """A wake-up socket, the plain socket inside it, and its peer's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WakeSocket(ours), ours, theirs


def test_wake_ups_are_taken_all_at_once(pair: Pair) -> None:
    wake, _, theirs = pair
    assert not wake.take()
    peer = WakeSocket(theirs)
    for _ in range(100):
        peer.wake()
    assert wake.take()
    assert not wake.take()


@pytest.mark.parametrize("default_timeout_s", [None, 20.0])
def test_no_call_blocks_on_a_socket_that_does(default_timeout_s: float | None) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(default_timeout_s)
    try:
        ours, theirs = socket.socketpair()
    finally:
        socket.setdefaulttimeout(before)
    with ours, theirs:
        wake = WakeSocket(ours)
        # As somebody does who has the same open file, too.
        with ours.dup() as same:
            same.setblocking(True)
        assert not wake.take()
        for _ in range(5000):
            wake.wake()
        theirs.setblocking(False)
        assert 0 < len(theirs.recv(10_000)) < 5000, "the socket was full, and that was no error"


def test_the_peer_s_end_is_one_last_wake_up_and_does_not_spin(pair: Pair, loop_factory: LoopFactory) -> None:
    wake, ours, theirs = pair
    woken: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        wake.listen(loop, lambda: woken.append(1))
        theirs.send(b"\0\0\0")
        await loop_rounds()
        assert len(woken) == 1
        wake.wake()  # left unread: the end is then a reset
        theirs.close()
        await loop_rounds()
        assert len(woken) == 2
        assert not loop.remove_reader(ours.fileno()), "the loop still listens"
        assert not wake.take()
        wake.wake()  # to nobody
        wake.close()
        wake.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())


def test_a_socket_that_is_not_connected_is_at_its_end() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as alone:
        wake = WakeSocket.received(alone.dup().detach())
        wake.wake()
        assert wake.take()
        assert not wake.take()
        wake.close()


async def test_a_listener_that_ignores_is_called_no_more(pair: Pair) -> None:
    wake, ours, theirs = pair
    woken: list[int] = []
    wake.listen(asyncio.get_running_loop(), lambda: woken.append(1))
    wake.ignore()
    wake.ignore()
    theirs.send(b"\0")
    await loop_rounds()
    assert woken == []
    assert not asyncio.get_running_loop().remove_reader(ours.fileno())
