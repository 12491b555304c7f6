"""Connections: taken while there are descriptors, and let in or left alone by a daemon that stops."""

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.daemon import acceptor
from rxlapce.daemon.acceptor import Acceptor
from rxlapce.daemon.server import GREETING_S
from rxlapce.errors import ConnectionLost
from rxlapce.messages import Chat, Disconnect, Draining, Handshake, HandshakeAck, StreamError
from rxlapce.telemetry.logs import logger
from rxlapce.testing.asking import ask
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer
from rxlapce.transports.listening import listen
from rxlapce.transports.unix import connect as connect_socket


async def test_out_of_descriptors_it_waits_and_looks_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(acceptor, "PAUSE_S", 0.01)
    with listen(path) as listener:
        accept, failures = listener.accept, [errno.EMFILE, errno.ENFILE]

        def failing() -> tuple[socket.socket, object]:
            if failures:
                raise OSError(failures[0], os.strerror(failures.pop(0)))
            return accept()

        monkeypatch.setattr(listener, "accept", failing)
        taken: asyncio.Queue[socket.socket] = asyncio.Queue()
        accepting = Acceptor(listener, taken.put_nowait, logger(as_json=True))
        accepting.start()
        for _ in range(3):
            with connect_socket(path, 1), await taken.get() as sock:
                assert not sock.getblocking()
        assert not failures
        accepting.stop()
        accepting.stop()
    assert capsys.readouterr().err.count("accept_failed") == 2


async def test_between_two_looks_it_can_be_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen(path) as listener:
        looked = asyncio.Event()

        def failing() -> tuple[socket.socket, object]:
            looked.set()
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(listener, "accept", failing)
        accepting = Acceptor(listener, socket.socket.close, logger(level="error"))
        accepting.start()
        with connect_socket(path, 1):
            await looked.wait()
            accepting.stop()
            looked.clear()
            monkeypatch.setattr(acceptor, "PAUSE_S", 0)
            accepting.sweep()
            assert looked.is_set()
            accepting.stop()


async def test_who_has_connected_when_it_stops_is_let_in_and_told(embedded: EmbeddedDaemon) -> None:
    client_task = asyncio.ensure_future(connect(embedded.path))
    stopping = asyncio.ensure_future(embedded.daemon.stop(1.0))  # before the loop has looked at the socket
    async with await client_task as client:
        told: list[float] = []
        client.on_draining = told.append
        await client.closed.wait()
        assert client.draining
        assert all(0 < within_s <= 1.0 for within_s in told)
        with pytest.raises(ConnectionLost, match="it said 'shutdown'"):
            await client.ping()
    await stopping


async def test_a_client_that_did_not_ask_for_it_is_not_told_that_it_drains(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as quiet, await connect(embedded.path) as asking:
        await embedded.daemon.stop(1.0)
        assert await quiet.receive_all() == [(0, Disconnect(reason="shutdown"))]
        await asking.closed.wait()
        assert asking.draining


async def test_a_request_that_crosses_the_news_is_refused_and_not_dropped(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.connect(embedded.path) as peer:
        peer.send(Handshake(client="raw", features=("drain",)))
        _, ack = await peer.receive()
        assert isinstance(ack, HandshakeAck)
        assert ack.features == ("drain",)
        stopping = asyncio.ensure_future(embedded.daemon.stop(1.0))
        _, news = await peer.receive()
        assert news == Draining(within_s=1.0)
        peer.send(Chat(request=ask(provider="openai")), 7)  # as if it had not read that
        (request_id, refusal), last = await peer.receive_all()
        assert isinstance(refusal, StreamError)
        assert (request_id, refusal.error.kind, refusal.error.phase) == (7, "overloaded", "admit")
        assert last == (0, Disconnect(reason="shutdown"))
        await stopping


@pytest.mark.heavy
async def test_a_handshake_that_never_ends_holds_a_stop_up_for_a_second_at_most(embedded: EmbeddedDaemon) -> None:
    loop = asyncio.get_running_loop()
    with connect_socket(embedded.path, 1):
        began_s = loop.time()
        await embedded.daemon.stop(60)
        assert loop.time() - began_s < GREETING_S + 1.5
